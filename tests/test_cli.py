"""The command line as a user meets it: the whole path, small, and a sentence for every mistake."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from expr_lib.__main__ import main
from expr_lib.checkpoints import CHECKPOINTS, read_tensors
from expr_lib.files import file_sha256, only_one, read_json, write_json
from expr_lib.marking import EDITED_BY_A_MODEL, provenance_of
from expr_lib.measuring import find_again
from expr_lib.metrics import landmark_error
from expr_lib.sources.synthetic import Person, expression_units, render
from expr_lib.transfer import SHIPPED, ExpressionTransfer

SETTINGS = [
    "threads=1",
    "fusion.images=640",
    "fusion.batch=32",
    "transfer.images=240",
    "transfer.filters=4",
    "transfer.discriminator_filters=4",
    "transfer.curve_pairs=2",
    "evaluation.pairs=6",
]


def train_command(faces: Path, run: Path, *settings: str, stage: str = "transfer") -> list[str]:
    command = ["train", stage, "--faces", str(faces), "--run", str(run), "--preset", "smoke"]
    return [*command, "--set", *SETTINGS, *settings]


@pytest.fixture(scope="module")
def run(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(train_command(small_faces, folder)) == 0
    return folder


@pytest.fixture
def photo(tmp_path: Path, drawn_face: object) -> Path:
    path = tmp_path / "face.png"
    Image.fromarray(drawn_face.image).save(path)  # type: ignore[attr-defined]
    return path


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Run a command that must fail; give its one line."""
    capsys.readouterr()
    assert main(arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    ours = [line for line in lines if line.startswith("expr-lib: ")]
    assert len(ours) == 1, lines
    assert "Traceback" not in "\n".join(lines)
    return ours[0]


def transfer_command(source: Path, target: Path, out: Path, run: Path, *more: str) -> list[str]:
    paths = ["--source", str(source), "--target", str(target), "--out", str(out), "--run", str(run)]
    return ["transfer", *paths, *more]


# --- the path


def test_synthesize_then_prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn, faces = tmp_path / "drawn", tmp_path / "faces"
    expressions = ["--expressions", "neutral,happy", "--size", "128"]
    assert main(["synthesize", "--people", "2", "--out", str(drawn), *expressions]) == 0
    table = pd.read_csv(drawn / "photos.csv")
    assert len(table) == 4
    assert not Path(table["path"].iloc[0]).is_absolute()
    assert np.load(drawn / "landmarks.npy").shape == (4, 68, 2)
    command = ["prepare", "--source", "synthetic", "--root", str(drawn), "--out", str(faces)]
    assert main([*command, "--size", "64", "--landmarks", "true"]) == 0
    assert read_json(faces / "card.json")["faces"] == 4
    assert "4 faces of 2 people" in capsys.readouterr().out


def test_synthesize_draws_views_gazes_and_intensities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["synthesize", "--people", "1", "--out", str(tmp_path / "drawn"), "--size", "64"]
    views = ["--yaws", "-45,0", "--gazes", "all", "--intensities", "0.5,1"]
    assert main([*command, "--expressions", "neutral,sad", *views]) == 0
    assert "photos: 18, people: 1, in" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "drawn" / "photos.csv")
    assert set(table["yaw"]) == {-45, 0}
    assert set(table["gaze"]) == {"left", "frontal", "right"}
    assert set(table.loc[table["expression"] == "sad", "intensity"]) == {0.5, 1}
    line = fails([*command, "--expressions", "neutral,sad", "--yaws", "all"], capsys)
    assert "yaws [-45.0, 0.0], not [-90.0, -45.0, 0.0, 45.0, 90.0]" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--yaws", "0;45"], "--yaws is '0;45'; give numbers with commas"),
        (["--yaws", "-100"], "yaw -100.0 is out of range"),
        (["--gazes", "up"], "unknown gaze 'up'"),
        (["--intensities", "full"], "--intensities is 'full'"),
        (["--intensities", "0"], "intensity 0.0 is out of range"),
    ],
)
def test_synthesize_refuses_what_cannot_be_drawn(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    assert message in fails(["synthesize", "--people", "1", "--out", str(out), *options], capsys)
    assert not out.exists()


def test_an_exported_model_is_small_and_paints_the_same(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    assert main(["export", "--run", str(run), "--out", str(alone)]) == 0
    assert f"{alone}: " in capsys.readouterr().out
    files = sorted(path.relative_to(alone).as_posix() for path in alone.rglob("*.*"))
    assert files == ["run.json", "transfer/model.safetensors"]
    sizes = [(f / "transfer" / "model.safetensors").stat().st_size for f in (run, alone)]
    assert sizes[1] < 0.6 * sizes[0]
    pictures = []
    for folder in (run, alone):
        out = tmp_path / f"{folder.name}.png"
        assert main(transfer_command(photo, photo, out, folder)) == 0
        pictures.append(np.asarray(Image.open(out)).astype(int))
    assert np.ptp(pictures[0]) > 0
    assert np.abs(pictures[0] - pictures[1]).max() <= 2
    line = fails(["export", "--run", str(run), "--out", str(alone)], capsys)
    assert "holds something already" in line
    assert "holds no finished model" in fails(
        ["export", "--run", str(unfinished(run, tmp_path)), "--out", str(tmp_path / "x")], capsys
    )
    assert not (tmp_path / "x").exists()


def test_the_model_that_comes_along_moves_a_face(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, out = (tmp_path / f"{name}.png" for name in ("source", "target", "out"))
    for path, number, word in ((source, 7_000_001, "surprised"), (target, 7_000_002, "neutral")):
        drawn = render(Person(number), expression_units(word), size=256)
        Image.fromarray(drawn.image).save(path)
    pair = ["--source", str(source), "--target", str(target), "--out", str(out)]
    assert main(["transfer", *pair]) == 0
    assert "has learnt from drawn faces alone" in capsys.readouterr().err
    made = ExpressionTransfer.load()(source, target)
    assert np.array_equal(np.asarray(Image.open(out)), made.result)
    before, after = (
        landmark_error(points, made.fused_points)
        for points in (made.target_points, find_again(made.result))
    )
    assert after < 0.9 * before
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    assert size < 10e6
    card = read_json(SHIPPED / "run.json")
    assert card["root"] is None and card["faces"] is None  # no folder of the machine that made it


def unfinished(run: Path, folder: Path) -> Path:
    """A run folder whose model is missing."""
    other = folder / "unfinished"
    other.mkdir()
    shutil.copy(run / "run.json", other)
    return other


def test_evaluate_writes_table_and_figures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--run", str(run)]) == 0
    text = capsys.readouterr().out
    table = pd.read_csv(run / "evaluation" / "table.csv")
    assert set(table["method"]) == {"copy", "warp", "paper"}
    assert table.groupby("method")["measure"].nunique().eq(6).all()
    # a model that learnt for a second may paint no face at all; its controls always do
    assert table[table["method"] != "paper"]["mean"].notna().all()
    known = table.dropna(subset="mean")
    assert ((known["low"] <= known["mean"]) & (known["mean"] <= known["high"])).all()
    for title in ("copy target", "warp by fused landmarks", "the paper's model"):
        assert title in text
    for name in ("grid", "comparison", "curves", "landmarks", "losses_fusion", "losses_transfer"):
        with Image.open(run / "evaluation" / f"{name}.png") as picture:
            assert picture.width > 200
    pairs = pd.read_csv(run / "evaluation" / "pairs.csv")
    assert (
        pairs.groupby("method")[["source", "target", "truth"]]
        .apply(lambda part: tuple(map(tuple, part.to_numpy())))
        .nunique()
        == 1
    )  # every row on the same pairs
    own = pd.read_csv(run / "evaluation" / "same_person.csv")
    assert len(own) == 3 * 6 and set(own["from"]) & set(own["to"])
    assert "Same person, apart (self-reenactment): 6 transfers" in text
    assert "Table 3 of the paper (CK+)" in text and "split by people" in text
    before = (run / "evaluation" / "pairs.csv").stat().st_mtime_ns
    assert main(["evaluate", "--run", str(run)]) == 0  # finished work is not done again
    assert (run / "evaluation" / "pairs.csv").stat().st_mtime_ns == before
    other = run.parent / "elsewhere"
    assert main(["evaluate", "--run", str(run), "--out", str(other)]) == 0
    assert (other / "table.md").read_text() == (run / "evaluation" / "table.md").read_text()


def test_a_split_by_photos_says_that_it_is_one(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(train_command(small_faces, run, "split=images", "transfer.epoch=pairs")) == 0
    assert main(["evaluate", "--run", str(run)]) == 0
    text = capsys.readouterr().out
    assert "people, whose truths were unseen in training" in text and "split by images" in text
    parts = pd.read_csv(run / "split.csv")
    assert parts["path"].is_unique and parts.groupby("person")["part"].nunique().max() > 1
    truths = pd.read_csv(run / "evaluation" / "pairs.csv")["truth"]
    photos = pd.read_csv(small_faces / "faces.csv")["path"].iloc[truths]
    assert set(parts.set_index("path")["part"][photos.unique()]) == {"test"}


def test_compare_measures_methods_in_a_run_as_it_is(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "--run", str(run), "--methods", "copy,paper", "--jobs", "1"]
    assert main([*command, "--budget", "240images"]) == 0
    told = capsys.readouterr().out
    assert "| copy target |" in told
    assert "| the paper's model |" in told
    assert not (run / "comparison" / "paper-0" / "transfer").exists()  # the run's own was used
    assert (run / "comparison" / "table.tex").is_file()


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--methods", "pixpix", "unknown method 'pixpix'; did you mean pix2pix"),
        ("--methods", "paper*none", "names no number of seeds"),
        ("--budget", "soon", "write it such as 20000images or 3min"),
    ],
)
def test_a_comparison_of_nothing_is_refused(
    run: Path, option: str, value: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in fails(["compare", "--run", str(run), option, value], capsys)


def test_transfer_writes_the_aligned_crop(run: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "result.png"
    assert main(transfer_command(photo, photo, out, run)) == 0
    with Image.open(out) as picture:
        assert picture.size == (64, 64)
        assert picture.mode == "RGB"


@pytest.mark.parametrize("name", ["result.png", "result.jpg", "result.webp"])
def test_what_transfer_writes_says_that_it_is_generated(
    name: str, run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(transfer_command(photo, photo, tmp_path / name, run)) == 0
    assert "without a mark" not in capsys.readouterr().err
    found = provenance_of(tmp_path / name)
    assert found is not None and found.source_type == EDITED_BY_A_MODEL
    assert found.system == "the paper's model"
    weights = file_sha256(run / "transfer" / "model.safetensors")
    assert found.version == f"run {run.name}, weights {weights[:16]}"


def test_transfer_says_when_a_format_takes_no_mark(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(transfer_command(photo, photo, tmp_path / "result.bmp", run)) == 0
    assert "result.bmp does not say that it is generated" in capsys.readouterr().err


def test_run_card_says_what_was_run(run: Path) -> None:
    card = read_json(run / "run.json")
    assert card["settings"]["preset"] == "smoke"
    assert card["settings"]["transfer"]["filters"] == 4
    assert card["versions"]["torch"]
    assert card["device"]
    assert card["threads"] == 1


def test_a_finished_stage_is_not_trained_again(run: Path, small_faces: Path) -> None:
    model = run / "transfer" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert main(train_command(small_faces, run)) == 0
    assert model.stat().st_mtime_ns == before


def test_other_settings_do_not_replace_finished_work(
    run: Path, small_faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = (run / "transfer" / "model.safetensors").read_bytes()
    line = fails(train_command(small_faces, run, "transfer.batch=4"), capsys)
    assert "transfer.batch 8, now 4" in line
    assert "--overwrite" in line
    assert (run / "transfer" / "model.safetensors").read_bytes() == model


def test_settings_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--preset", "paper"]) == 0
    assert "transfer.epochs = 120" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    ["synthesize", "prepare", "train", "evaluate", "transfer", "reproduce", "settings"],
)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert "options" in capsys.readouterr().out


def test_an_unknown_option_ends_with_code_2() -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--runn", "x"])
    assert end.value.code == 2


# --- a killed run


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_and_again_gives_the_same_model(
    blow: signal.Signals, run: Path, small_faces: Path, tmp_path: Path
) -> None:
    slow = ["checkpoint_seconds=0"]
    again = tmp_path / "again"
    arguments = train_command(small_faces, again, *slow)
    command = [sys.executable, "-m", "expr_lib", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = again / "transfer" / CHECKPOINTS
    deadline = time.monotonic() + 120
    while (
        not any(checkpoints.glob("step-*"))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.002)
    process.send_signal(blow)
    assert process.wait() == -blow, "the run ended before it could be killed"
    assert not (again / "transfer" / "model.safetensors").exists()
    # the same command, or only the run's name
    assert (
        main(arguments if blow == signal.SIGKILL else ["train", "transfer", "--run", str(again)])
        == 0
    )
    for stage in ("fusion", "transfer"):
        one, _ = read_tensors(run / stage / "model.safetensors")
        other, _ = read_tensors(again / stage / "model.safetensors")
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)
        csv = [pd.read_csv(r / stage / "metrics.csv").drop(columns="seconds") for r in (run, again)]
        pd.testing.assert_frame_equal(*csv)
    assert not checkpoints.exists()


# --- mistakes


def test_a_run_that_goes_on_keeps_its_settings(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "transfer", "--run", str(run), "--set", "seed=3"]) == 2
    assert "a run goes on with its own settings; give --faces" in capsys.readouterr().err


def bad_file(kind: str, folder: Path, good: Path) -> Path:
    path = folder / "bad.jpg"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no photo at all")
    elif kind == "truncated":
        with Image.open(good) as picture:
            picture.save(path, quality=95)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "no face":
        Image.fromarray(np.full((200, 200, 3), 128, np.uint8)).save(path)
    elif kind == "folder":
        path.mkdir()
    return path  # "missing" makes none


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "no face", "folder", "missing"])
@pytest.mark.parametrize("role", ["source", "target"])
def test_a_bad_photo_is_one_sentence_and_no_file(
    kind: str,
    role: str,
    run: Path,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad, out = bad_file(kind, tmp_path, photo), tmp_path / "out.png"
    pair = (bad, photo) if role == "source" else (photo, bad)
    line = fails(transfer_command(*pair, out, run), capsys)
    assert str(bad) in line
    assert not out.exists()


def two_faces(folder: Path, face: np.ndarray) -> Path:
    canvas = np.full((400, 700, 3), 200, np.uint8)
    large = np.asarray(Image.fromarray(face).resize((380, 380)))
    small = np.asarray(Image.fromarray(face[:, ::-1]).resize((220, 220)))
    canvas[10:390, 10:390] = large
    canvas[90:310, 440:660] = small
    path = folder / "two.png"
    Image.fromarray(canvas).save(path)
    return path


def test_of_several_faces_the_largest_is_taken_aloud(
    run: Path, tmp_path: Path, drawn_face: object, capsys: pytest.CaptureFixture[str]
) -> None:
    both = two_faces(tmp_path, drawn_face.image)  # type: ignore[attr-defined]
    outs = [tmp_path / f"{i}.png" for i in range(3)]
    assert main(transfer_command(both, both, outs[0], run)) == 0
    assert "shows 2 faces, the largest is taken" in capsys.readouterr().err
    assert main(transfer_command(both, both, outs[1], run, "--face", "1")) == 0
    assert main(transfer_command(both, both, outs[2], run, "--face", "2")) == 0
    largest, first, second = (np.asarray(Image.open(out)) for out in outs)
    assert (largest == first).all()
    assert (largest != second).any()
    line = fails(transfer_command(both, both, tmp_path / "3.png", run, "--face", "3"), capsys)
    assert "2 faces" in line


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_face_that_cannot_be_meant(
    number: str, run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    line = fails(transfer_command(photo, photo, out, run, "--face", number), capsys)
    assert "counts from 1" in line


def test_unknown_preset(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["train", "fusion", "--faces", str(small_faces), "--run", str(run)]
    line = fails([*command, "--preset", "lpatop"], capsys)
    assert "unknown preset 'lpatop'" in line
    assert "laptop" in line
    assert not run.exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("transfer.bacth=4", "transfer.batch"),
        ("transfer.batch=0", "greater than or equal to 1"),
        ("transfer.batch=many", "integer"),
        ("transfer.batch", "name=value"),
        ("size=100", "power of two"),
        ("seed=99999999999999999999", "less than"),
    ],
)
def test_a_wrong_setting(
    setting: str,
    said: str,
    small_faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    command = ["train", "fusion", "--faces", str(small_faces), "--run", str(run)]
    line = fails([*command, "--preset", "smoke", "--set", setting], capsys)
    assert said in line
    assert not run.exists()


def test_settings_stand_behind_one_option(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = train_command(small_faces, tmp_path / "run")
    assert "one --set" in fails([*command, "--set", "seed=1"], capsys)


def test_a_model_is_only_measured_on_people_that_it_has_not_seen(
    run: Path, small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    card = read_json(other / "run.json")
    card["faces"] = str(small_faces)
    card["settings"]["fold"] = 1
    write_json(other / "run.json", card)
    line = fails(["evaluate", "--run", str(other)], capsys)
    assert "fold 0, now 1" in line


def test_faces_inside_the_run_folder_stay_what_they_are(small_faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_faces, run / "faces")
    before = (run / "faces" / "card.json").read_bytes()
    assert main(train_command(run / "faces", run)) == 0
    moved = tmp_path / "moved"
    run.rename(moved)
    assert main(["evaluate", "--run", str(moved)]) == 0
    assert (moved / "faces" / "card.json").read_bytes() == before
    assert not (moved / "photos").exists()


def test_one_person_only(
    tmp_path: Path, drawn_face: object, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = tmp_path / "photos", tmp_path / "run"
    (root / "anna").mkdir(parents=True)
    for word in ("neutral", "happy"):
        Image.fromarray(drawn_face.image).save(root / "anna" / f"{word}.png")  # type: ignore[attr-defined]
    command = ["reproduce", "--preset", "smoke", "--source", "folder", "--root", str(root)]
    line = fails([*command, "--run", str(run)], capsys)
    assert "1 person is too few" in line
    assert not (run / "report.html").exists()
    faces = tmp_path / "faces"
    command = ["prepare", "--source", "folder", "--root", str(root), "--size", "64"]
    assert main([*command, "--out", str(faces)]) == 0
    line = fails(train_command(faces, tmp_path / "other"), capsys)
    assert "1 person is too few" in line


def test_a_checkpoint_of_another_size(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    (other / "transfer").mkdir(parents=True)
    model = (run / "transfer" / "model.safetensors").read_bytes()
    (other / "transfer" / "model.safetensors").write_bytes(model)
    card = read_json(run / "run.json")
    card["settings"]["size"] = 128
    write_json(other / "run.json", card)
    out = tmp_path / "out.png"
    line = fails(transfer_command(photo, photo, out, other), capsys)
    assert "64 pixels" in line
    assert "128" in line
    assert not out.exists()


def test_a_damaged_model(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    (other / "transfer").mkdir(parents=True)
    model = (run / "transfer" / "model.safetensors").read_bytes()
    (other / "transfer" / "model.safetensors").write_bytes(model[: len(model) // 2])
    write_json(other / "run.json", read_json(run / "run.json"))
    assert "damaged" in fails(transfer_command(photo, photo, tmp_path / "o.png", other), capsys)


def test_no_run_and_no_faces(
    photo: Path, small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = tmp_path / "nothing"
    assert "no run folder" in fails(["evaluate", "--run", str(nothing)], capsys)
    line = fails(transfer_command(photo, photo, tmp_path / "o.png", nothing), capsys)
    assert "no run folder" in line
    assert "no FaceSet" in fails(train_command(nothing, tmp_path / "run"), capsys)
    stage_1 = tmp_path / "stage1"
    assert main(train_command(small_faces, stage_1, stage="fusion")) == 0
    assert "no finished model" in fails(["evaluate", "--run", str(stage_1)], capsys)


def test_faces_of_a_size_that_does_not_fit(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(train_command(small_faces, tmp_path / "run", "size=128"), capsys)
    assert "--size 128" in line


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.psd"])
def test_an_unknown_picture_format(
    name: str, run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert "use .png" in fails(transfer_command(photo, photo, out, run), capsys)
    assert not out.exists()


def test_wrong_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "faces")
    root = ["--root", str(tmp_path), "--out", out]
    assert "unknown source" in fails(["prepare", "--source", "lodnon", *root], capsys)
    assert "neutral_front" in fails(["prepare", "--source", "london", *root], capsys)
    assert "<person>" in fails(["prepare", "--source", "folder", *root], capsys)
    assert "--root" in fails(["prepare", "--source", "folder", "--out", out], capsys)
    assert "--root" in fails(["reproduce", "--source", "folder"], capsys)


def test_a_second_start_on_a_run_ends_at_once(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with only_one(run / "fusion"):
        line = fails(train_command(small_faces, run), capsys)
    assert "another process is at work" in line
    with only_one(run):
        line = fails(["reproduce", "--preset", "smoke", "--run", str(run)], capsys)
    assert "another process is at work" in line


def test_a_full_disk_loses_nothing(run: Path, photo: Path, tmp_path: Path) -> None:
    """A real limit on file sizes, as a full disk gives it: the old picture stays whole."""
    out = tmp_path / "out.png"
    Image.new("RGB", (8, 8)).save(out)
    before = out.read_bytes()
    arguments = transfer_command(photo, photo, out, run)
    script = (
        "import resource, signal, sys\n"
        "from expr_lib.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"sys.exit(main({arguments!r}))\n"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 1, result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith(f"expr-lib: cannot write {out}")
    assert out.read_bytes() == before
    assert list(tmp_path.glob(".partial*")) == []


def test_a_reader_that_leaves_early_gets_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "expr_lib", "settings"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, b"")
