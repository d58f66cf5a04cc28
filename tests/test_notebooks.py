"""The contract of the notebooks: one anatomy for all, and nothing in them that a run leaves behind.

What the cells compute is tested by running them (`run_notebooks.py`); here the files are only read.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from expr_lib.provenance import REPOSITORY
from keep_book import COLUMNS, cells_of, row_of

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
ALL = sorted({*NOTEBOOKS.glob("*.ipynb"), *SOLUTIONS})
NUMBERED = [*CHAPTERS, *SOLUTIONS]

PARAMETERS = ["preset", "source", "root", "run", "overrides"]
COLAB = f"https://colab.research.google.com/github/{REPOSITORY.split('github.com/')[1]}/blob/main/"
LONGEST_CELL, LONGEST_CLASS = 25, 40  # lines
LONGEST_SETUP = 15  # lines that are not blank
LARGEST_FILE = 100_000  # bytes
MARKDOWN_SHARE = (0.5, 0.6)
MACHINE_PATH = re.compile(r"(?<![\w.:/])(/(work|tmp|root|home|Users|mnt|content)/|[A-Z]:\\)")
FORBIDDEN_TAGS = {"injected-parameters", "raises-exception", "nbval-skip", "skip-execution"}
FORBIDDEN_TEXT = re.compile(r"NBVAL_SKIP|%%script|pytest\.skip")
# papermill waits for ever for such a widget's answer, about one time in ten (jupyter/nbclient#312)
LIVE_WIDGET = re.compile(r"\b(interact|interactive|interact_manual|Output)\(")
# calls that show a picture: of pyplot, of the chapters' helpers, of the library, of a file
DRAWS = re.compile(r"plt\.(?!ion$)\w+|show(_\w+)?|photo_columns|\w+_(curves|diagram)|Image")

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook as plain dictionaries, as it is in the file."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def cells(notebook: Notebook, kind: str) -> list[str]:
    """The sources of all `code` or all `markdown` cells."""
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == kind]


def tags(cell: Notebook) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def prose(source: str) -> list[str]:
    """Lines of a markdown cell, code fences left out."""
    return re.sub(r"^```.*?^```", "", source, flags=re.MULTILINE | re.DOTALL).splitlines()


# --- each of these lists what is wrong with one notebook, nothing when all is well


def stored_results(notebook: Notebook) -> list[str]:
    """What a run leaves behind and no one should commit."""
    faults = [
        f"metadata {name}" for name in ("widgets", "papermill") if name in notebook["metadata"]
    ]
    for number, cell in enumerate(notebook["cells"]):
        if cell.get("outputs"):
            faults.append(f"cell {number} has outputs")
        if cell.get("execution_count") is not None:
            faults.append(f"cell {number} has an execution count")
        if left := {"papermill", "execution"} & set(cell["metadata"]):
            faults.append(f"cell {number} has metadata {left}")
        if "injected-parameters" in tags(cell):
            faults.append(f"cell {number} is an injected-parameters cell")
    return faults


def format_faults(notebook: Notebook) -> list[str]:
    """A valid file of the current format that names the one kernel that is everywhere."""
    # the validator repairs missing ids
    faults = [f"cell {i} has no id" for i, c in enumerate(notebook["cells"]) if "id" not in c]
    if faults:
        return faults
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        faults.append(f"not valid: {error.message}")
    if (notebook["nbformat"], notebook["nbformat_minor"]) < (4, 5):
        faults.append("older than format 4.5")
    if (kernel := notebook["metadata"].get("kernelspec", {}).get("name")) != "python3":
        faults.append(f"kernel {kernel}, not python3")
    return faults


def parameter_faults(notebook: Notebook) -> list[str]:
    """One tagged cell, the first with code: literals only, one `=` a line, the smoke preset."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    tagged = [cell for cell in notebook["cells"] if "parameters" in tags(cell)]
    if len(tagged) != 1 or tagged[0] is not code[0]:
        return [f"{len(tagged)} parameters cells; one is wanted, the first cell with code"]
    source = tagged[0]["source"]
    faults = [f"not one = in {line!r}" for line in source.splitlines() if line.count("=") != 1]
    values = {}
    for line in source.splitlines():
        try:
            name, _, value = line.partition("=")
            values[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            faults.append(f"no literal in {line!r}")
    if list(values) != PARAMETERS:
        faults.append(f"parameters {list(values)}, not {PARAMETERS}")
    elif values["preset"] != "smoke":
        faults.append(f"preset {values['preset']!r}, not 'smoke'")
    return faults


def setup_faults(notebook: Notebook, setup: str) -> list[str]:
    """The second cell with code is the same everywhere."""
    code = cells(notebook, "code")
    return [] if len(code) > 1 and code[1] == setup else ["its set-up cell differs"]


def heading_faults(notebook: Notebook, number: str) -> list[str]:
    """One title, with the chapter's number, in the first cell; no level is left out below it."""
    first = notebook["cells"][0]
    faults = []
    if first["cell_type"] != "markdown" or not first["source"].startswith(f"# {number} · "):
        faults.append(f"the first cell is no title '# {number} · ...'")
    lines = [line for source in cells(notebook, "markdown") for line in prose(source)]
    headings = [m for line in lines if (m := re.match(r"(#+) +(.+)", line))]
    levels = [len(heading[1]) for heading in headings]
    for before, after, heading in zip(levels, levels[1:], headings[1:], strict=False):
        if after > before + 1 or after == 1:
            faults.append(f"heading out of order: {heading[0]}")
    return faults


def badge_faults(notebook: Notebook, path: Path) -> list[str]:
    """The Colab badge opens this file and no other."""
    wanted = f"({COLAB}{path.relative_to(ROOT).as_posix()})"
    return [] if wanted in notebook["cells"][0]["source"] else [f"no badge that opens {wanted}"]


def check_faults(notebook: Notebook) -> list[str]:
    """Below each heading 'Check' comes a cell with an assert, and there is at least one."""
    faults, found = [], 0
    listed = notebook["cells"]
    for i, cell in enumerate(listed):
        if cell["cell_type"] != "markdown" or "### Check" not in prose(cell["source"]):
            continue
        found += 1
        after = next((c["source"] for c in listed[i + 1 :] if c["cell_type"] == "code"), "")
        if not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(after))):
            faults.append(f"no assert below the Check heading in cell {i}")
    return faults if found else ["no cell under a heading '### Check'"]


def code_faults(notebook: Notebook) -> list[str]:
    """Small cells that are run, all of them, anywhere."""
    faults = []
    for i, cell in enumerate(notebook["cells"]):
        source = cell["source"]
        if match := MACHINE_PATH.search(source):
            faults.append(f"path of one machine in cell {i}: {match[0]}")
        if found := FORBIDDEN_TAGS & set(tags(cell)) or FORBIDDEN_TEXT.findall(source):
            faults.append(f"cell {i} is not run like the others: {found}")
        if cell["cell_type"] == "code":
            if widget := LIVE_WIDGET.search(source):
                faults.append(f"live widget in cell {i}: {widget[0]}")
            has_class = re.search(r"^class ", source, re.MULTILINE)
            longest = LONGEST_CLASS if has_class else LONGEST_CELL
            if (lines := len(source.splitlines())) > longest:
                faults.append(f"cell {i} has {lines} lines, {longest} are enough")
    return faults


def link_faults(notebook: Notebook, folder: Path) -> list[str]:
    """Links to files of the repository lead to a file; those with its address too."""
    faults = []
    for source in cells(notebook, "markdown"):
        for link in re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose(source))):
            own = re.match(
                rf"(?:{re.escape(REPOSITORY)}/(?:blob|tree)/main/|{re.escape(COLAB)})(.*)", link
            )
            target = ROOT / own[1] if own else folder / link.partition("#")[0]
            if (own or not re.match(r"[a-z]+:|#", link)) and not target.exists():
                faults.append(f"no file for the link {link}")
    return faults


def draws(source: str) -> bool:
    """Whether a cell with code shows pictures when it is run; what it only defines does not."""
    run = [n for n in ast.parse(source).body if not isinstance(n, ast.FunctionDef | ast.ClassDef)]
    calls = [n.func for part in run for n in ast.walk(part) if isinstance(n, ast.Call)]
    return any(DRAWS.fullmatch(ast.unparse(called)) for called in calls)


def picture_faults(notebook: Notebook) -> list[str]:
    """Whoever cannot see a picture is told what it shows."""
    text = "\n".join(cells(notebook, "markdown"))
    found = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)
    # the badge is a picture inside a link
    faults = [f"no words for {path}" for alt, path in found if len(alt.split()) < 3]
    faults += ["a picture as HTML, which may lack words" for _ in re.findall(r"<img ", text)]
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code" and draws(cell["source"]):
            told = re.search(r"\balt ?=", cell["source"])
            if not told and len(cell["metadata"].get("alt", "").split()) < 3:
                faults.append(f"no words for the pictures of cell {i}")
    return faults


def outcome_faults(notebook: Notebook, number: str) -> list[str]:
    """The first cell shows what the chapter comes to, as one tagged cell draws it."""
    tagged = sum("outcome" in tags(cell) for cell in notebook["cells"])
    faults = [] if tagged == 1 else [f"{tagged} cells with the tag outcome; one is wanted"]
    picture = f"](../docs/outcome_{number}.jpg)"
    shown = picture in notebook["cells"][0]["source"]
    return faults if shown else [*faults, f"no picture ![...{picture} in the first cell"]


def cost_faults(notebook: Notebook, chapter: str, readme: str) -> list[str]:
    """Its minutes and memory in each preset, as measured, are the same here and in README."""
    row = cells_of(chapter).search(readme)
    if row is None:
        return [f"no row of {chapter} with minutes and memory in README"]
    faults = []
    for preset, told in zip(COLUMNS, row.groups()[1:], strict=True):
        found = row_of(preset).findall(notebook["cells"][0]["source"])
        if found != [told] or told == "0.0 min, 0.0 GB":
            faults.append(f"{preset} takes {found} in the first cell, {told} in README")
    return faults


def share_faults(notebook: Notebook) -> list[str]:
    """About as much is said as is computed."""
    share = len(cells(notebook, "markdown")) / len(notebook["cells"])
    low, high = MARKDOWN_SHARE
    return [] if low <= share <= high else [f"{100 * share:.0f} % of the cells are markdown"]


def gaps(notebook: Notebook) -> int:
    """Number of exercises that wait for an answer."""
    return sum("answer = None" in source.splitlines() for source in cells(notebook, "code"))


def checks_of_exercises(notebook: Notebook) -> dict[str, str]:
    """Name -> text of each function `check_exercise_...`, for chapters that have such."""
    found = {}
    for source in cells(notebook, "code"):
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("check_exercise"):
                found[node.name] = ast.get_source_segment(source, node) or ""
    return found


# --- the tests


def named(paths: list[Path]) -> Any:
    ids = [path.relative_to(NOTEBOOKS).as_posix() for path in paths]
    return pytest.mark.parametrize("path", paths, ids=ids)


def test_there_are_chapters_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:2]) for path in CHAPTERS]
    assert len(numbers) >= 4
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] in (0, 1)


def test_each_chapter_with_exercises_has_solutions_and_no_solution_is_left_over() -> None:
    with_exercises = [path.name for path in CHAPTERS if gaps(read(path))]
    assert [path.name for path in SOLUTIONS] == with_exercises
    assert len(with_exercises) >= 4


@named(ALL)
def test_the_file_is_valid_small_and_holds_no_results(path: Path) -> None:
    notebook = read(path)
    assert format_faults(notebook) + stored_results(notebook) + code_faults(notebook) == []
    assert path.stat().st_size < LARGEST_FILE


@named(ALL)
def test_links_lead_somewhere_and_pictures_have_words(path: Path) -> None:
    assert link_faults(read(path), path.parent) + picture_faults(read(path)) == []


@named(NUMBERED)
def test_it_begins_like_all_the_others(path: Path) -> None:
    notebook, setup = read(path), cells(read(CHAPTERS[0]), "code")[1]
    faults = parameter_faults(notebook) + setup_faults(notebook, setup)
    assert faults + heading_faults(notebook, path.name[:2]) == []


def test_every_part_of_the_paper_has_a_home() -> None:
    """README's map: the section that it names is there, and it speaks of that equation, table or
    figure."""
    parts = [("Eq.", 9), ("Table", 4), ("Figure", 6)]
    wanted = {f"{kind} {i}" for kind, count in parts for i in range(1, count + 1)}
    rows = re.findall(
        r"^\| ([^|]+) \| \[\d\d\]\((notebooks/[^)]+)\), (.+) \|$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    found = []
    for what, path, section in rows:
        text = "\n".join(cell["source"] for cell in read(ROOT / path)["cells"])
        begin = text.index(f"## {section}\n")
        told = text[begin : text.find("\n## ", begin)]
        for kind, number in re.findall(r"(Eq\.|Table|Figure) (\d)", what):
            found.append(f"{kind} {number}")
            listed = rf"{kind}s? (\d(, | and | to ))*{number}\b"
            assert re.search(listed, told) or f"tag{{{number}}}" in told, (what, section)
    assert sorted(found) == sorted(wanted)


def test_the_set_up_cell_is_short_and_never_installs_torch() -> None:
    setup = cells(read(CHAPTERS[0]), "code")[1]
    assert len([line for line in setup.splitlines() if line]) <= LONGEST_SETUP
    assert f'REPOSITORY = "{REPOSITORY}"' in setup
    strings = [n.value for n in ast.walk(ast.parse(setup)) if isinstance(n, ast.Constant)]
    assert not [text for text in strings if isinstance(text, str) and "torch" in text]


@named(CHAPTERS)
def test_a_chapter_has_badge_outcome_checks_and_prose(path: Path) -> None:
    notebook = read(path)
    faults = badge_faults(notebook, path) + outcome_faults(notebook, path.name[:2])
    faults += cost_faults(notebook, path.stem, (ROOT / "README.md").read_text(encoding="utf-8"))
    assert faults + check_faults(notebook) + share_faults(notebook) == []


@named(SOLUTIONS)
def test_solutions_answer_all_exercises_under_the_same_checks(path: Path) -> None:
    chapter, solution = read(NOTEBOOKS / path.name), read(path)
    assert gaps(chapter) >= 3 and gaps(solution) == 0
    text = "\n".join(cells(solution, "code"))
    answers = re.findall(r"^(?:answer = |def answer\()", text, re.MULTILINE)
    assert len(answers) >= gaps(chapter)
    assert checks_of_exercises(solution) == checks_of_exercises(chapter)


# --- and that the contract can be broken


def add_output(notebook: Notebook) -> list[str]:
    notebook["cells"][2]["outputs"] = [nbformat.v4.new_output("stream", text="hello")]
    return stored_results(notebook)


def add_count(notebook: Notebook) -> list[str]:
    notebook["cells"][2]["execution_count"] = 3
    return stored_results(notebook)


def add_injected(notebook: Notebook) -> list[str]:
    cell = nbformat.v4.new_code_cell('preset = "paper"', metadata={"tags": ["injected-parameters"]})
    notebook["cells"].insert(2, cell)
    return stored_results(notebook)


def add_widgets(notebook: Notebook) -> list[str]:
    notebook["metadata"]["widgets"] = {"state": {}}
    return stored_results(notebook)


def name_private_kernel(notebook: Notebook) -> list[str]:
    notebook["metadata"]["kernelspec"]["name"] = "my-venv"
    return format_faults(notebook)


def break_format(notebook: Notebook) -> list[str]:
    del notebook["cells"][1]["outputs"]
    return format_faults(notebook)


def lose_id(notebook: Notebook) -> list[str]:
    del notebook["cells"][1]["id"]
    return format_faults(notebook)


def change_preset(notebook: Notebook) -> list[str]:
    source = notebook["cells"][1]["source"]
    notebook["cells"][1]["source"] = source.replace('"smoke"', '"paper"')
    return parameter_faults(notebook)


def compute_parameter(notebook: Notebook) -> list[str]:
    source = notebook["cells"][1]["source"]
    notebook["cells"][1]["source"] = source.replace('run = ""', "run = str(1)")
    return parameter_faults(notebook)


def hide_parameter(notebook: Notebook) -> list[str]:
    notebook["cells"][1]["source"] += '  # such as "seed=1"'
    return parameter_faults(notebook)


def lose_tag(notebook: Notebook) -> list[str]:
    notebook["cells"][1]["metadata"] = {}
    return parameter_faults(notebook)


def change_setup(notebook: Notebook) -> list[str]:
    setup = notebook["cells"][2]["source"]
    notebook["cells"][2]["source"] += "\nprint(1)"
    return setup_faults(notebook, setup)


def renumber(notebook: Notebook) -> list[str]:
    return heading_faults(notebook, "07")


def skip_level(notebook: Notebook) -> list[str]:
    notebook["cells"].insert(1, nbformat.v4.new_markdown_cell("### Too deep"))
    return heading_faults(notebook, "01")


def move_badge(notebook: Notebook) -> list[str]:
    return badge_faults(notebook, NOTEBOOKS / "02_landmark_fusion.ipynb")


def drop_checks(notebook: Notebook) -> list[str]:
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].replace("### Check", "### Look")
    return check_faults(notebook)


def drop_asserts(notebook: Notebook) -> list[str]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = "print(1)  # assert True"
    return check_faults(notebook)


def lengthen(notebook: Notebook) -> list[str]:
    notebook["cells"][4]["source"] = "\n".join(["x = 1"] * (LONGEST_CELL + 1))
    return code_faults(notebook)


def name_machine(notebook: Notebook) -> list[str]:
    notebook["cells"][4]["source"] = 'open("/home/me/photo.png")'
    return code_faults(notebook)


def skip_cell(notebook: Notebook) -> list[str]:
    notebook["cells"][4]["metadata"] = {"tags": ["nbval-skip"]}
    return code_faults(notebook)


def add_slider(notebook: Notebook) -> list[str]:
    notebook["cells"][4]["source"] = "from ipywidgets import interact\ninteract(print, x=3)"
    return code_faults(notebook)


def break_link(notebook: Notebook) -> list[str]:
    notebook["cells"][0]["source"] += "\n\n[chapter](99_missing.ipynb)"
    return link_faults(notebook, NOTEBOOKS)


def break_own_address(notebook: Notebook) -> list[str]:
    notebook["cells"][0]["source"] += f"\n\n[page]({REPOSITORY}/blob/main/missing.md)"
    return link_faults(notebook, NOTEBOOKS)


def show_without_words(notebook: Notebook) -> list[str]:
    notebook["cells"][0]["source"] += "\n\n![grid](../docs/grid.jpg)"
    return picture_faults(notebook)


def draw_without_words(notebook: Notebook) -> list[str]:
    notebook["cells"][4]["source"] = "plt.imshow(photo)\nplt.show()"
    return picture_faults(notebook)


def show_no_outcome(notebook: Notebook) -> list[str]:
    notebook["cells"][0]["source"] = "# 01 · Data"
    return outcome_faults(notebook, "01")


def lose_outcome(notebook: Notebook) -> list[str]:
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    return outcome_faults(notebook, "01")


def take_longer(notebook: Notebook) -> list[str]:
    source = notebook["cells"][0]["source"]
    notebook["cells"][0]["source"] = row_of("laptop").sub("99.0 min, 1.0 GB", source)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return cost_faults(notebook, "01_data_preparation", readme)


def fall_silent(notebook: Notebook) -> list[str]:
    kept = notebook["cells"]
    notebook["cells"] = [cell for cell in kept if cell["cell_type"] == "code"] + kept[:1]
    return share_faults(notebook)


DOCTORS: list[tuple[Callable[[Notebook], list[str]], str]] = [
    (add_output, "outputs"),
    (add_count, "execution count"),
    (add_injected, "injected-parameters"),
    (add_widgets, "widgets"),
    (name_private_kernel, "my-venv"),
    (break_format, "not valid"),
    (lose_id, "has no id"),
    (change_preset, "not 'smoke'"),
    (compute_parameter, "no literal"),
    (hide_parameter, "not one ="),
    (lose_tag, "0 parameters cells"),
    (change_setup, "set-up cell differs"),
    (renumber, "no title"),
    (skip_level, "Too deep"),
    (move_badge, "no badge"),
    (drop_checks, "no cell under"),
    (drop_asserts, "no assert"),
    (lengthen, "lines"),
    (name_machine, "/home/"),
    (skip_cell, "nbval-skip"),
    (add_slider, "live widget"),
    (break_link, "99_missing"),
    (break_own_address, "missing.md"),
    (show_without_words, "no words for ../docs/grid.jpg"),
    (draw_without_words, "pictures of cell 4"),
    (show_no_outcome, "outcome_01.jpg"),
    (lose_outcome, "tag outcome"),
    (take_longer, "99.0 min"),
    (fall_silent, "markdown"),
]


@pytest.mark.parametrize(("doctor", "word"), DOCTORS, ids=[d.__name__ for d, _ in DOCTORS])
def test_a_doctored_notebook_is_caught(doctor: Callable[[Notebook], list[str]], word: str) -> None:
    notebook = copy.deepcopy(read(NOTEBOOKS / "01_data_preparation.ipynb"))
    faults = doctor(notebook)
    assert len(faults) >= 1 and any(word in fault for fault in faults), faults
