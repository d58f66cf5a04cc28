"""The whole book in one command, on drawn and on real faces, and chapters that fail."""

import base64
import html
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from expr_lib import reproduce as book
from expr_lib.__main__ import main
from expr_lib.config import load_settings
from expr_lib.faceset import FaceSet
from expr_lib.files import read_json
from expr_lib.provenance import REPOSITORY
from expr_lib.runs import Run

ROOT = Path(__file__).resolve().parents[1]
LONDON = ROOT.parent / "shared" / "data" / "london"
SHORT = ["fusion.images=1280", "transfer.images=64", "evaluation.pairs=8", "threads=1"]
SHORT += ["comparison.images=16", "comparison.methods=controls,cgan,paper,no_fusion"]
UNTOLD = "No description has been provided"  # what nbconvert says of a picture without words


@pytest.mark.long
def test_chapters_run_in_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    command = ["reproduce", "--preset", "smoke", "--run", str(run), "--set", *SHORT]
    # all of them run in the test of CK+'s layout
    some = [one for one in book.chapters() if one.stem[:2] in ("01", "03", "04")]
    monkeypatch.setattr(book, "chapters", lambda: some)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "| copy target |" in said
    assert said.strip().splitlines()[-1] == f"report: {run / 'report.html'}"
    page = (run / "report.html").read_text()
    for chapter in some:
        assert (run / "notebooks" / chapter.name).is_file()
        assert UNTOLD not in (run / "chapters" / f"{chapter.stem}.html").read_text()
        assert f'chapters/{chapter.stem}.html">{chapter.stem}</a>: ' in page
        assert re.search(rf"^chapter {chapter.stem}: [\d.]+ min, at most [\d.]+ GB$", said, re.M)
    costs = pd.read_csv(run / book.COSTS).set_index("chapter")
    assert list(costs.index) == [chapter.stem for chapter in some]
    assert (costs > 0).all().all()
    assert page.count("data:image/png;base64,") == 6
    assert "<table>" in page
    assert '"preset": "smoke"' in html.unescape(page)
    model = run / "transfer" / "model.safetensors"
    before = model.stat().st_mtime_ns
    monkeypatch.setattr(book, "chapters", lambda: some[1:2])
    assert main(command) == 0  # again: nothing is trained twice
    assert model.stat().st_mtime_ns == before
    other = [*command, "transfer.images=128"]
    card = (run / "run.json").read_text()
    assert main(other) == 2
    assert (run / "run.json").read_text() == card  # a command that is refused changes nothing
    assert "transfer.images 64, now 128" in capsys.readouterr().err
    assert model.stat().st_mtime_ns == before


def test_the_stages_run_on_real_photos(tmp_path: Path) -> None:
    if not LONDON.is_dir():
        pytest.skip(f"no real photos at {LONDON}: the path is not tested on them")
    few = tmp_path / "london"
    for folder in ("neutral_front", "smiling_front"):
        (few / folder).mkdir(parents=True)
        for photo in sorted((LONDON / folder).glob("*.jpg"))[:10]:
            (few / folder / photo.name).symlink_to(photo.resolve())
    run, faces = tmp_path / "run", tmp_path / "faces"
    prepare = ["prepare", "--source", "london", "--root", str(few), "--out", str(faces)]
    assert main([*prepare, "--size", "64"]) == 0
    assert read_json(faces / "card.json")["faces"] == 20
    train = ["train", "transfer", "--faces", str(faces), "--run", str(run), "--preset", "smoke"]
    assert main([*train, "--set", *SHORT]) == 0
    assert main(["evaluate", "--run", str(run)]) == 0
    table = pd.read_csv(run / "evaluation" / "table.csv").set_index(["method", "measure"])["mean"]
    assert table["copy", "identity"] < 0.5  # a person's two photos show one person
    assert table["warp", "error_wanted"] < table["copy", "error_wanted"]


def chapter(folder: Path, name: str, *cells: str) -> Path:
    parameters = new_code_cell('preset = ""\noverrides = ""\nsource = ""\nroot = ""\nrun = ""')
    parameters.metadata["tags"] = ["parameters"]
    notebook = new_notebook(cells=[parameters, *(new_code_cell(cell) for cell in cells)])
    notebook.metadata["language_info"] = {"name": "python"}
    path = folder / name
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


def test_a_chapter_that_fails_is_named(
    tmp_path: Path, small_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = chapter(
        tmp_path, "01_good.ipynb", "from pathlib import Path", "Path(run).exists() or 1/0"
    )
    bad = chapter(tmp_path, "02_bad.ipynb", "raise ValueError('the reason')")
    monkeypatch.setattr(book, "chapters", lambda: [good, bad])
    job = Run(tmp_path / "run", load_settings("smoke"), faces_at=small_faces)
    with pytest.raises(book.ChapterFailed, match=r"02_bad.ipynb stopped with ValueError: the rea"):
        book.reproduce(job, [])
    assert (tmp_path / "run" / "chapters" / "01_good.html").is_file()
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_page_is_read_without_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "docs" / "dot.png"
    picture.parent.mkdir()
    Image.new("RGB", (2, 2)).save(picture)
    first, second = (chapter(tmp_path / "notebooks", f"0{i}_a.ipynb", "1 + 1") for i in (1, 2))
    notebook = nbformat.read(first, 4)
    links = "[on](02_a.ipynb) [solved](solutions/01_a.ipynb) [all](../tests) [far](https://a.org/b)"
    notebook.cells.insert(0, new_markdown_cell(f"{links} ![a dot](../docs/dot.png)"))
    nbformat.write(notebook, first)
    monkeypatch.setattr(book, "chapters", lambda: [first, second])
    page = book.as_page(first, first)
    assert 'href="02_a.html"' in page
    assert f'href="{REPOSITORY}/blob/main/notebooks/solutions/01_a.ipynb"' in page
    assert f'href="{REPOSITORY}/blob/main/tests"' in page
    assert 'href="https://a.org/b"' in page
    assert '<img alt="a dot" src="data:image/png;base64,' in page
    assert "dot.png" not in page


def test_a_page_says_what_its_pictures_show(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "dot.png")
    data = {"image/png": base64.b64encode((tmp_path / "dot.png").read_bytes()).decode()}
    about = {"image/png": {"alt": "its own words", "width": 40}}
    path = chapter(tmp_path / "notebooks", "01_a.ipynb", "draw()")
    notebook = nbformat.read(path, 4)
    drawing = notebook.cells[1]
    drawing.outputs = [new_output("display_data", data, metadata=m) for m in (about, {})]
    nbformat.write(notebook, path)
    page = book.as_page(path, path)
    assert (page.count('alt="its own words"'), page.count(UNTOLD)) == (1, 1)
    drawing.metadata["alt"] = "the cell's words"
    nbformat.write(notebook, path)
    page = book.as_page(path, path)
    assert re.search(r'<img alt="its own words" src="data:image/png;base64,[^"]+" width="40"', page)
    assert '<img alt="the cell\'s words" src="data:image/png;base64,' in page
    assert UNTOLD not in page


def test_overrides_reach_the_chapters(
    tmp_path: Path, small_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = FaceSet.load(small_faces).people
    parts = ["test"] * 3 + ["train"] * (len(people) - 3)
    file = tmp_path / "mine.csv"
    pd.DataFrame({"person": people, "part": parts}).to_csv(file, index=False)
    wanted = ("smoke", f"seed=3 fold=1 split={file}", "synthetic")  # chapters have another folder
    check = f"assert (preset, overrides, source) == {wanted}"
    only = chapter(tmp_path, "01_only.ipynb", check)
    monkeypatch.setattr(book, "chapters", lambda: [only])
    monkeypatch.setattr(book, "render_report", lambda *_: "done")
    monkeypatch.chdir(tmp_path)
    overrides = ["seed=3", "fold = 1", "split=mine.csv"]
    job = Run(tmp_path / "run", load_settings("smoke", overrides), faces_at=small_faces)
    assert book.reproduce(job, overrides).read_text() == "done"


HOLDER = """
import subprocess, sys, time
from expr_lib.reproduce import watch_cost
hold = "import sys; held = bytes([1]) * 300_000_000; sys.stdin.read()"
with watch_cost() as cost:
    process = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
    started = time.monotonic()
    while cost.gigabytes < 0.3 and time.monotonic() < started + 60:
        time.sleep(0.1)
    process.communicate()
    waited = (time.monotonic() - started) / 60
print(cost.gigabytes, cost.minutes, waited)
"""


def test_minutes_and_memory_of_processes_are_measured() -> None:
    command = [sys.executable, "-c", HOLDER]  # a process without other children
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    gigabytes, minutes, waited = map(float, said.split())
    assert 0.3 <= gigabytes < 0.5
    assert minutes >= waited


def test_markdown_tables_become_html_and_nothing_else_does() -> None:
    text = book.table_as_html("a **b** <script>\n\n| x | y |\n|---|---|\n| 1 | **2** |\n")
    assert "<table>" in text
    assert "<strong>2</strong>" in text
    assert "<script>" not in text


@pytest.mark.long
@pytest.mark.parametrize(("layout", "people", "last"), [("rafd", 6, "04"), ("ckplus", 10, "07")])
def test_the_book_runs_on_the_layouts_of_the_licensed_sets(
    layout: str,
    people: int,
    last: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = [one for one in book.chapters() if "01" <= one.stem[:2] <= last]  # 00 has its own faces
    monkeypatch.setattr(book, "chapters", lambda: ours)
    root, run = tmp_path / "photos", tmp_path / "run"
    drawing = ["synthesize", "--layout", layout, "--people", str(people), "--out", str(root)]
    assert main([*drawing, "--size", "96"]) == 0
    command = ["reproduce", "--preset", "smoke", "--source", layout, "--root", str(root)]
    assert main([*command, "--run", str(run), "--set", *SHORT]) == 0
    assert "| copy target |" in capsys.readouterr().out
    card = read_json(run / "faces" / "card.json")
    assert (card["source"], card["people"], card["grey"]) == (layout, people, layout == "ckplus")
    pairs = pd.read_csv(run / "evaluation" / "pairs.csv")
    assert len(pairs) == 3 * 8
    pages = sorted((run / "chapters").glob("*.html"))
    assert [page.stem for page in pages] == [one.stem for one in ours]
    assert [page.stem for page in pages if UNTOLD in page.read_text()] == []
