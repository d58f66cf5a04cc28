"""FaceSets: what prepare writes, what it does with bad photos, and that nothing half-done is taken
for whole."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from expr_lib import assembling, preparing
from expr_lib.alignment import FIXED_POINTS, TEMPLATE
from expr_lib.errors import (
    BadSetting,
    BrokenFaceSet,
    ModelFileMissing,
    NoFaceFound,
    OutputExists,
    OutputFailed,
    RunBusy,
)
from expr_lib.faceset import FaceSet, prepare
from expr_lib.files import only_one
from expr_lib.photos import photo_table
from expr_lib.points import eye_distance
from expr_lib.sources import PhotoSource, load_photos
from expr_lib.sources.synthetic import synthesize

ROOT = Path(__file__).parents[1]
LONDON = ROOT.parent / "shared" / "data" / "london"
needs_london = pytest.mark.skipif(not LONDON.is_dir(), reason="no ../shared/data/london here")


def _made_up(folder: Path, people: int = 4, photos: int = 3) -> PhotoSource:
    """Photos of noise with landmarks said to be true: all that prepare does, without looking for
    faces."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows, points = [], []
    for person in range(people):
        for number in range(photos):
            path = folder / f"{person:03}_{number}.png"
            Image.fromarray(rng.integers(0, 256, (80, 60, 3), dtype=np.uint8)).save(path)
            expression = ("neutral", "happy", "sad")[number % 3]
            rows.append({"path": str(path), "person": f"{person:03}", "expression": expression})
    for _ in rows:
        face = rng.uniform(0.3, 0.8, (68, 2))
        face[list(FIXED_POINTS)] = TEMPLATE
        points.append(face * rng.uniform(40, 60) + rng.uniform(0, 10, 2))
    return PhotoSource(photo_table(rows), np.array(points), name="synthetic")


def _prepare(photos: PhotoSource, out: Path, **changed: object) -> FaceSet:
    settings = {"size": 32, "jobs": 1, "landmarks": "true", "progress": False} | changed
    return prepare(photos, out, **settings)  # type: ignore[arg-type]


def _content(folder: Path) -> dict[str, object]:
    """All files byte by byte, the card without its times."""
    content: dict[str, object] = {
        name: (folder / name).read_bytes()
        for name in ("images.npy", "landmarks.npy", "faces.csv", "skipped.csv")
    }
    card = FaceSet.load(folder).card
    return content | {"card": {k: v for k, v in card.items() if k not in ("made", "seconds")}}


def _left_over(folder: Path) -> set[str]:
    finished = {"images.npy", "landmarks.npy", "faces.csv", "skipped.csv", "card.json", ".lock"}
    return {path.name for path in folder.iterdir()} - finished


# --- what is written


def test_a_faceset_holds_the_table_in_its_order(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos")
    faces = _prepare(photos, tmp_path / "set")
    assert isinstance(faces.images, np.memmap)
    assert faces.images.shape == (12, 32, 32, 3)
    assert faces.images.dtype == np.uint8
    assert faces.landmarks.dtype == np.float32
    assert faces.landmarks.shape == (12, 68, 2)
    assert faces.people == ("000", "001", "002", "003")
    assert (len(faces), faces.size) == (12, 32)
    pd.testing.assert_frame_equal(faces.table.drop(columns="faces"), photos.table)
    np.testing.assert_allclose(
        faces.landmarks[:, list(FIXED_POINTS)], np.broadcast_to(TEMPLATE, (12, 10, 2)), atol=1e-5
    )
    assert faces.card["expressions"] == {"happy": 4, "neutral": 4, "sad": 4}
    assert not _left_over(tmp_path / "set")


def test_the_result_depends_neither_on_jobs_nor_on_the_folder(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=6, photos=6)
    _prepare(photos, tmp_path / "one", jobs=1)
    _prepare(photos, tmp_path / "two", jobs=2)
    assert _content(tmp_path / "one") == _content(tmp_path / "two")


def test_the_key_follows_the_content(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    first = _prepare(photos, tmp_path / "one")
    path = Path(photos.table["path"][0])
    Image.fromarray(np.zeros((80, 60, 3), np.uint8)).save(path)
    assert _prepare(photos, tmp_path / "two").key != first.key


def test_a_second_prepare_of_the_same_photos_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    first = _prepare(photos, tmp_path / "set")
    monkeypatch.setattr(preparing, "make_part", lambda chunk: pytest.fail("worked again"))
    assert _prepare(photos, tmp_path / "set").card == first.card
    assert "prepared before" in capsys.readouterr().out


def test_workers_start_without_torch() -> None:
    code = "import sys, expr_lib.faceset, expr_lib.preparing; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_photos_at_another_size_are_means_of_squares(tmp_path: Path) -> None:
    faces = _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set")
    small = faces.photos_at(np.array([2, 0]), 8)
    assert small.shape == (2, 8, 8, 3)
    assert small[0, 1, 2, 0] == round(float(faces.images[2, 4:8, 8:12, 0].mean()))
    np.testing.assert_array_equal(faces.photos_at(np.array([1]), 32)[0], faces.images[1])
    with pytest.raises(BadSetting, match="no multiple of 20"):
        faces.photos_at(np.array([0]), 20)


def test_a_damaged_faceset_is_made_again(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    first = _prepare(photos, tmp_path / "set")
    (tmp_path / "set" / "landmarks.npy").write_bytes(b"")
    assert _prepare(photos, tmp_path / "set").key == first.key


# --- settings and folders that cannot be


def test_other_work_is_not_replaced_unasked(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    first = _prepare(photos, tmp_path / "set")
    with pytest.raises(OutputExists, match=r"--out.*--overwrite"):
        _prepare(photos, tmp_path / "set", size=48)
    assert FaceSet.load(tmp_path / "set").key == first.key
    assert _prepare(photos, tmp_path / "set", size=48, overwrite=True).size == 48


def test_a_stranger_s_card_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "card.json").write_text('{"name": "something else"}')
    with pytest.raises(OutputExists, match="something else"):
        _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set")


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    with only_one(tmp_path / "set"), pytest.raises(RunBusy):
        _prepare(photos, tmp_path / "set")


def test_an_output_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with pytest.raises(OutputExists, match="is a file"):
        _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"size": 3}, "16 or more"),
        ({"jobs": 0}, "1 or more"),
        ({"landmarks": "mediapipe"}, "dlib or true"),
    ],
)
def test_impossible_settings_are_refused(
    tmp_path: Path, changed: dict[str, object], match: str
) -> None:
    with pytest.raises(BadSetting, match=match):
        _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set", **changed)


def test_true_landmarks_need_a_source_that_knows_them(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    with pytest.raises(BadSetting, match="does not know the true landmarks"):
        _prepare(PhotoSource(photos.table, name="folder"), tmp_path / "set")


# --- bad photos


def _spoil(photos: PhotoSource) -> set[str]:
    """Make five of the photos bad, each in another way."""
    empty, truncated, text, missing, strange = (Path(path) for path in photos.table["path"][:5])
    empty.write_bytes(b"")
    truncated.write_bytes(truncated.read_bytes()[:900])
    text.write_text("no photo\n")
    missing.unlink()
    photos.landmarks[list(photos.table["path"]).index(str(strange))] = np.nan
    return {str(path) for path in (empty, truncated, text, missing, strange)}


def test_bad_photos_are_skipped_with_a_reason_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = _made_up(tmp_path / "photos")
    bad = _spoil(photos)
    faces = _prepare(photos, tmp_path / "set")
    assert list(faces.table["path"]) == [path for path in photos.table["path"] if path not in bad]
    with (tmp_path / "set" / "skipped.csv").open(newline="") as stream:
        skipped = list(csv.DictReader(stream))
    expected = [path for path in photos.table["path"] if path in bad]
    assert [row["path"] for row in skipped] == expected
    assert all(row["reason"] and "\n" not in row["reason"] for row in skipped)
    assert (faces.card["photos"], faces.card["faces"], faces.card["skipped"]) == (12, 7, 5)
    said = capsys.readouterr().out
    assert "skipped 5 of 12 photos" in said
    assert str(tmp_path / "set" / "skipped.csv") in said


def test_photos_without_a_face_are_skipped(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1, photos=2)
    with pytest.raises(NoFaceFound, match="has no photo"):
        _prepare(PhotoSource(photos.table[:0], photos.landmarks[:0]), tmp_path / "set")
    with pytest.raises(NoFaceFound, match=r"none of the 2 photos.*no face"):
        _prepare(photos, tmp_path / "set", landmarks="dlib")
    with pytest.raises(BrokenFaceSet):
        FaceSet.load(tmp_path / "set")


def test_a_failure_that_is_no_photo_s_fault_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(image: object) -> None:
        raise ModelFileMissing("no predictor")

    monkeypatch.setattr(preparing, "find_landmarks", missing)
    with pytest.raises(ModelFileMissing):
        _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set", landmarks="dlib")


def test_an_unforeseen_error_costs_one_photo_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    read = preparing.read_photo

    def sometimes(path: str, longest_side: int) -> np.ndarray:
        if path == photos.table["path"][1]:
            raise RuntimeError("a bug\nin a library")
        return read(path, longest_side)

    monkeypatch.setattr(preparing, "read_photo", sometimes)
    assert len(_prepare(photos, tmp_path / "set")) == 2
    assert "RuntimeError: a bug in a library" in (tmp_path / "set" / "skipped.csv").read_text()


# --- interrupted work


def test_stopped_work_is_taken_up_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_CHUNK", 2)
    photos = _made_up(tmp_path / "photos")
    _prepare(photos, tmp_path / "whole")
    read, seen = preparing.read_photo, []

    def until_stopped(path: str, longest_side: int) -> np.ndarray:
        seen.append(path)
        if len(seen) == 8:
            raise KeyboardInterrupt
        return read(path, longest_side)

    monkeypatch.setattr(preparing, "read_photo", until_stopped)
    with pytest.raises(KeyboardInterrupt):
        _prepare(photos, tmp_path / "set")
    with pytest.raises(BrokenFaceSet, match="not finished"):
        FaceSet.load(tmp_path / "set")
    _prepare(photos, tmp_path / "set")
    assert len(seen) == 8 + 6  # three chunks of two were done
    assert _content(tmp_path / "set") == _content(tmp_path / "whole")
    assert not _left_over(tmp_path / "set")


_SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_faceset
from expr_lib import preparing
read = preparing.read_photo
def slowly(path, longest_side):
    time.sleep(0.1)
    return read(path, longest_side)
preparing.read_photo = slowly
preparing._CHUNK = 2
folder = Path(sys.argv[2])
test_faceset._prepare(test_faceset._made_up(folder / "photos"), folder / "set")
"""


def test_a_killed_prepare_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", _SLOW, str(ROOT / "tests"), str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("set/.parts/[!.]*.npz"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(preparing, "_CHUNK", 2)
    made_before = len(list(tmp_path.glob("set/.parts/[!.]*.npz")))
    assert made_before < 6
    (tmp_path / "set" / ".partial-images.npy").write_bytes(b"left by the killed process")
    photos, made = _known(tmp_path / "photos"), []
    make = preparing.make_part
    monkeypatch.setattr(preparing, "make_part", lambda chunk: made.append(chunk) or make(chunk))
    _prepare(photos, tmp_path / "set")
    assert len(made) == 6 - made_before
    assert not _left_over(tmp_path / "set")
    _prepare(photos, tmp_path / "whole")
    assert _content(tmp_path / "set") == _content(tmp_path / "whole")


def _known(folder: Path) -> PhotoSource:
    """The photos that `_made_up` wrote, untouched: the files there keep their time of change."""
    again = _made_up(folder.parent / "again")
    table = again.table.assign(path=[str(folder / Path(path).name) for path in again.table["path"]])
    return PhotoSource(table, again.landmarks, name=again.name)


@pytest.mark.parametrize("stage", ["part", "images", "landmarks", "disk"])
def test_a_full_disk_leaves_the_earlier_faceset_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    _prepare(photos, tmp_path / "set")
    before = _content(tmp_path / "set")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    where = {
        "part": (np, "savez"),
        "images": (np.lib.format, "write_array_header_1_0"),
        "landmarks": (np, "save"),
        "disk": (assembling, "_settle"),
    }[stage]
    with monkeypatch.context() as patch:
        patch.setattr(*where, full)
        with pytest.raises(OutputFailed, match="No space left"):
            _prepare(photos, tmp_path / "set", size=48, overwrite=True)
    assert _content(tmp_path / "set") == before
    assert _left_over(tmp_path / "set") == {".parts"}
    assert len(list((tmp_path / "set" / ".parts").iterdir())) == (0 if stage == "part" else 1)
    assert _prepare(photos, tmp_path / "set", size=48, overwrite=True).size == 48


# --- folders that are no FaceSet


@pytest.mark.parametrize("name", ["images.npy", "landmarks.npy", "faces.csv"])
def test_a_missing_or_cut_file_is_found_on_loading(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "set"
    _prepare(_made_up(tmp_path / "photos"), folder)
    whole = (folder / name).read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        (folder / name).write_bytes(content)
        with pytest.raises(BrokenFaceSet, match=r"set: .*prepare it again"):
            FaceSet.load(folder)
    (folder / name).unlink()
    with pytest.raises(BrokenFaceSet, match=name):
        FaceSet.load(folder)


@pytest.mark.parametrize(
    "wrong",
    [
        np.full((12, 68, 2), np.nan, np.float32),
        np.zeros((12, 68, 2)),
        np.zeros((11, 68, 2), np.float32),
    ],
)
def test_landmarks_that_do_not_fit_are_found_on_loading(tmp_path: Path, wrong: np.ndarray) -> None:
    _prepare(_made_up(tmp_path / "photos"), tmp_path / "set")
    np.save(tmp_path / "set" / "landmarks.npy", wrong)
    with pytest.raises(BrokenFaceSet, match=r"landmarks\.npy"):
        FaceSet.load(tmp_path / "set")


def test_folders_that_are_no_faceset_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BrokenFaceSet, match="no such folder"):
        FaceSet.load(tmp_path / "nowhere")
    with pytest.raises(BrokenFaceSet, match="is no FaceSet"):
        FaceSet.load(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(BrokenFaceSet, match="not JSON"):
        FaceSet.load(tmp_path)
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(BrokenFaceSet, match="not the card of a FaceSet"):
        FaceSet.load(tmp_path)


# --- drawn and real faces


def test_dlib_and_the_truth_agree_on_drawn_faces(tmp_path: Path) -> None:
    synthesize(
        tmp_path / "drawn", people=4, expressions=["neutral", "happy"], size=160, seed=3, jobs=1
    )
    photos = load_photos("synthetic", tmp_path / "drawn")
    assert photos.landmarks is not None
    true = prepare(photos, tmp_path / "true", size=64, landmarks="true", progress=False)
    found = prepare(photos, tmp_path / "found", size=64, landmarks="dlib", progress=False)
    assert list(true.table["expression"]) == ["happy", "neutral"] * 4
    assert len(found) == 8
    # both are aligned by their own points; what is left is how far dlib is off, in eye distances
    off = (
        np.linalg.norm(found.landmarks - true.landmarks, axis=-1)
        / eye_distance(true.landmarks)[:, None]
    )
    assert off.mean() < 0.07
    assert off.mean(axis=1).max() < 0.15


@needs_london
def test_real_photos_are_found_aligned_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everyone = load_photos("london", LONDON)
    some = everyone.table[everyone.table["person"].isin(sorted(set(everyone.table["person"]))[:2])]
    rows = some.reset_index(drop=True).to_dict("records")
    two = tmp_path / "two.jpg"
    photos = [Image.open(row["path"]) for row in rows[:2]]
    Image.fromarray(np.concatenate([np.asarray(photo) for photo in photos], axis=1)).save(two)
    rows.append({"path": str(two), "person": "two", "expression": "neutral"})
    source = PhotoSource(photo_table(rows), name="london")
    faces = prepare(source, tmp_path / "set", size=64, jobs=2, progress=False)
    assert sorted(faces.table["faces"]) == [1, 1, 1, 1, 2]
    assert "several faces in a photo, the largest was taken: 1" in capsys.readouterr().out
    eyes = faces.landmarks[:, [36, 39, 42, 45]].reshape(-1, 2, 2, 2).mean(axis=2)
    wanted = np.array([(93, 100), (163, 100)]) / 256
    np.testing.assert_allclose(eyes.mean(axis=0), wanted, atol=0.03)
    assert faces.landmarks.min() > 0
    assert faces.landmarks.max() < 1
