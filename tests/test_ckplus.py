"""CK+'s folders and files, without CK+: as Lucey et al. describe them, with what real copies
lack."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from PIL import Image

from expr_lib.errors import SourceError
from expr_lib.sources import load_photos
from expr_lib.sources.ckplus import EMOTIONS, load_ckplus, parse_emotion, parse_landmarks


def frame(root: Path, person: str, number: str, frame: int) -> Path:
    path = root / "cohn-kanade-images" / person / number / f"{person}_{number}_{frame:08d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 3)).save(path)
    return path


def label(root: Path, person: str, number: str, frame: int, text: str) -> Path:
    name = f"{person}_{number}_{frame:08d}_emotion.txt"
    path = root / "Emotion" / person / number / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def points_of(root: Path, photo: Path, value: float = 1.5) -> Path:
    path = root / "Landmarks" / Path(*photo.parts[-3:-1]) / f"{photo.stem}_landmarks.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"   {value + i:.7e}   {value:.7e}\n" for i in range(68)))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people; the first has a labelled sequence of five frames, the second none."""
    for number in range(1, 6):
        points_of(tmp_path, frame(tmp_path, "S005", "001", number))
    label(tmp_path, "S005", "001", 5, "   3.0000000e+00\n")
    for number in (1, 2, 3):
        frame(tmp_path, "S010", "002", number)
    return tmp_path


@given(some.integers(1, 7), some.sampled_from(["   {:.7e}\n", "{:.1f}", "{}", "\t{:e}  "]))
def test_labels_are_read_in_any_way_of_writing_a_number(number: int, form: str) -> None:
    assert parse_emotion(form.format(number)) == EMOTIONS[number - 1]


@given(
    some.one_of(
        some.floats().filter(lambda x: x not in range(1, 8)).map(str),
        some.text(some.characters(exclude_categories=("Nd",)), max_size=5),
    )
)
def test_anything_else_is_no_label(text: str) -> None:
    assert parse_emotion(text) is None


def test_the_numbers_mean_what_lucey_says() -> None:
    words = ["angry", "contemptuous", "disgusted", "fearful", "happy", "sad", "surprised"]
    assert [parse_emotion(str(number)) for number in range(1, 8)] == words


@given(arrays.arrays(np.float32, (68, 2), elements=some.floats(-10, 1000, width=32)))
def test_landmarks_are_read_back(points: np.ndarray) -> None:
    text = "".join(f"   {x:.7e}   {y:.7e}\n" for x, y in points.tolist())
    for written in (text, text + "\n", text.replace("\n", "\r\n")):
        read = parse_landmarks(written)
        assert read is not None
        np.testing.assert_allclose(read, points, rtol=1e-6)


@pytest.mark.parametrize("text", ["", "1 2\n" * 67, "1 2\n" * 69, "1\n" * 68, "1 2 3\n" * 68])
def test_other_shapes_are_no_landmarks(text: str) -> None:
    assert parse_landmarks(text) is None
    assert parse_landmarks(("1 2\n" * 67) + "1 nan\n") is None
    assert parse_landmarks(("1 2\n" * 67) + "1 x\n") is None


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        ("peak", [("neutral", 0, 1.0), ("disgusted", 4, 1.0)]),
        ("2", [("neutral", 0, 1.0), ("disgusted", 3, 0.75), ("disgusted", 4, 1.0)]),
        (
            "all",
            [("neutral", 0, 1.0)] + [("disgusted", i, i / 4) for i in (1, 2, 3, 4)],
        ),
        (
            "99",
            [("neutral", 0, 1.0)] + [("disgusted", i, i / 4) for i in (1, 2, 3, 4)],
        ),
    ],
)
def test_a_sequence_rises_from_neutral_to_its_label(
    root: Path, frames: str, wanted: list[tuple[str, int, float]]
) -> None:
    photos = load_ckplus(root, frames)
    table = photos.table.sort_values("frame")
    assert list(zip(table["expression"], table["frame"], table["intensity"], strict=True)) == wanted
    assert set(table["person"]) == {"S005"} and photos.grey
    for path, number in zip(table["path"], table["frame"], strict=True):
        assert path.endswith(f"S005_001_{number + 1:08d}.png")


def test_frames_count_by_their_numbers_not_their_names_alone(root: Path) -> None:
    for number in (18, 17, 9):
        frame(root, "S005", "003", number)
    label(root, "S005", "003", 18, "7")
    table = load_ckplus(root).table
    ends = {Path(path).name[9:17]: word for path, word in table[["path", "expression"]].to_numpy()}
    assert ends["00000009"] == "neutral" and ends["00000018"] == "surprised"


def test_own_landmarks_come_in_the_tables_order(root: Path) -> None:
    points_of(root, frame(root, "S005", "001", 5), value=40.0)
    photos = load_ckplus(root)
    assert photos.landmarks is not None
    peak = photos.table["expression"].to_numpy() == "disgusted"
    np.testing.assert_allclose(photos.landmarks[peak][0, :3], [[40, 40], [41, 40], [42, 40]])
    np.testing.assert_allclose(photos.landmarks[~peak][0, 0], [1.5, 1.5])


def test_every_difference_from_the_published_set_is_said(root: Path) -> None:
    frame(root, "S005", "004", 1)
    label(root, "S005", "004", 1, "5")
    label(root, "S010", "002", 3, "sad")
    label(root, "S999", "001", 3, "5")
    frame(root, "S010", "002", 2).write_bytes(b"")
    (root / "cohn-kanade-images" / ".DS_Store").write_bytes(b"x")
    (root / "Landmarks/S005/001/S005_001_00000005_landmarks.txt").write_text("1 2\n")
    assert load_ckplus(root).warnings == (
        "2 people, where CK+ has 123",
        "3 sequences, where CK+ has 593",
        "2 labels, where CK+ has 327",
        "folders that are not there: FACS",
        "sequences left out because they have no label (1): S010_002",
        "sequences left out because they have one frame alone (1): S005_004",
        "label files that could not be read, or that no sequence belongs to (2): "
        "S010_002_00000003_emotion.txt, S999_001_00000003_emotion.txt",
        "damaged or empty frames (1): S010_002_00000002.png",
        "frames without landmarks in Landmarks, or with damaged ones (1): S005_001_00000005.png",
        "files in cohn-kanade-images left out because they are no frame (1): .DS_Store",
    )


def test_folders_may_lie_where_their_archives_unpack(root: Path) -> None:
    for archive, folder in (
        ("extended-cohn-kanade-images", "cohn-kanade-images"),
        ("Emotion_labels", "Emotion"),
        ("Landmarks", "Landmarks"),
    ):
        (root / "moved").mkdir()
        shutil.move(root / folder, root / "moved" / folder)
        (root / "moved").rename(root / archive)
    photos = load_ckplus(root)
    assert len(photos.table) == 2 and photos.landmarks is not None


def test_without_landmarks_there_are_none(root: Path) -> None:
    shutil.rmtree(root / "Landmarks")
    photos = load_ckplus(root)
    assert photos.landmarks is None
    assert "folders that are not there: FACS, Landmarks" in photos.warnings


def test_a_wrong_root_is_told_what_was_expected_and_what_is_there(root: Path) -> None:
    with pytest.raises(SourceError, match=r"no Emotion in .*no sequence has a label"):
        shutil.move(root / "Emotion", root / "emotions")
        load_ckplus(root)
    with pytest.raises(SourceError, match=r"no cohn-kanade-images in .*expected the folders cohn"):
        load_photos("ckplus", root / "Landmarks")
    with pytest.raises(SourceError, match="there is no such folder; expected the folders cohn"):
        load_ckplus(root / "nowhere")


def test_labels_for_none_of_the_sequences_are_an_error(root: Path) -> None:
    (root / "Emotion/S005/001/S005_001_00000005_emotion.txt").unlink()
    with pytest.raises(SourceError, match=r"none of the 2 sequences in .* has a label in Emotion"):
        load_ckplus(root)
