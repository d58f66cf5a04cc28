"""Drawn faces in the layouts of RaFD and CK+, read back by the loaders of those."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from expr_lib.__main__ import main
from expr_lib.config import CAMERAS, GAZES, PhotoSettings
from expr_lib.errors import BadSetting, OutputExists, OutputFailed
from expr_lib.faceset import prepare
from expr_lib.files import file_sha256
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import EXPRESSIONS, read_photo
from expr_lib.points import eye_distance
from expr_lib.sources import load_photos
from expr_lib.sources.synthetic import Person, expression_units, render
from expr_lib.sources.synthetic.published import draw_as_published

SIZE = 128


@pytest.fixture(scope="module")
def rafd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rafd") / "set"
    assert draw_as_published("rafd", root, 2, size=64) == 2 * 120
    return root


@pytest.fixture(scope="module")
def ckplus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ckplus") / "set"
    draw_as_published("ckplus", root, 5, size=SIZE)
    return root


def test_rafds_layout_is_read_whole(rafd: Path) -> None:
    photos = load_photos("rafd", rafd, PhotoSettings(cameras=CAMERAS))
    assert photos.warnings == (
        "2 people, where RaFD has 67",
        "240 photos, where RaFD has 8040",
    )
    kinds = Counter(photos.table[["expression", "gaze", "yaw"]].itertuples(index=False, name=None))
    yaws = (-90.0, -45.0, 0.0, 45.0, 90.0)
    assert kinds == {(word, gaze, yaw): 2 for word in EXPRESSIONS for gaze in GAZES for yaw in yaws}


def test_a_photo_in_rafds_layout_shows_what_its_row_says(rafd: Path) -> None:
    table = load_photos("rafd", rafd, PhotoSettings(cameras=CAMERAS)).table
    row = table[
        (table["person"] == "02") & (table["yaw"] == 45) & (table["gaze"] == "left")
    ].set_index("expression")
    drawn = render(Person(1), expression_units("happy"), size=64, yaw=45, gaze=-25)
    difference = np.abs(read_photo(row.loc["happy", "path"]).astype(int) - drawn.image)
    assert difference.mean() < 5  # JPEG
    other = np.abs(read_photo(row.loc["surprised", "path"]).astype(int) - drawn.image)
    assert other.mean() > 1.5 * difference.mean()


def test_ckplus_layout_is_read_whole(ckplus: Path) -> None:
    photos = load_photos("ckplus", ckplus)
    assert photos.warnings[:3] == (
        "5 people, where CK+ has 123",
        "35 sequences, where CK+ has 593",
        "24 labels, where CK+ has 327",
    )
    assert len(photos.warnings) == 4 and "because they have no label (11)" in photos.warnings[3]
    assert len(photos.table) == 2 * 24
    every = load_photos("ckplus", ckplus, PhotoSettings(frames="all")).table
    assert len(every) > len(photos.table)
    for _, frames in every.groupby(every["path"].map(lambda path: Path(path).parent)):
        steps = frames.sort_values("frame")
        last = len(steps) - 1
        assert steps["frame"].tolist() == list(range(last + 1))
        assert steps["intensity"].tolist() == [1.0] + [k / last for k in range(1, last + 1)]
        assert steps["expression"].tolist()[0] == "neutral"
        assert steps["expression"].nunique() == 2


def test_own_landmarks_lie_where_dlib_finds_them(ckplus: Path) -> None:
    photos = load_photos("ckplus", ckplus)
    assert photos.landmarks is not None
    errors = []
    for path, points in list(zip(photos.table["path"], photos.landmarks, strict=True))[:8]:
        found = find_landmarks(read_photo(path)).face.points
        errors.append(np.linalg.norm(found - points, axis=1).mean() / eye_distance(points))
    assert np.mean(errors) < 0.07


def test_colour_becomes_grey_when_ckplus_is_prepared(ckplus: Path, tmp_path: Path) -> None:
    photos = load_photos("ckplus", ckplus)
    modes = Counter(Image.open(path).mode for path in photos.table["path"])
    assert modes["L"] > modes["RGB"] > 0
    faces = prepare(photos, tmp_path, size=64, jobs=1, landmarks="true", progress=False)
    assert faces.card["grey"] is True and len(faces) == len(photos.table)
    assert (faces.images == faces.images[..., :1]).all()


def test_a_frame_without_own_landmarks_is_skipped_with_the_reason(
    ckplus: Path, tmp_path: Path
) -> None:
    photos = load_photos("ckplus", ckplus)
    assert photos.landmarks is not None
    photos.landmarks[3] = np.nan
    faces = prepare(photos, tmp_path, size=64, jobs=1, landmarks="true", progress=False)
    assert len(faces) == len(photos.table) - 1
    assert "the source has no landmarks of" in (tmp_path / "skipped.csv").read_text()


def test_the_same_seed_gives_the_same_files(ckplus: Path, tmp_path: Path) -> None:
    draw_as_published("ckplus", tmp_path / "again", 1, size=SIZE, jobs=1)
    files = [path for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert files
    for path in files:
        twin = ckplus / path.relative_to(tmp_path / "again")
        assert file_sha256(path) == file_sha256(twin)


def test_wrong_wishes_are_refused_and_nothing_is_written(rafd: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputExists, match="not empty; choose a new folder"):
        draw_as_published("rafd", rafd, 1)
    for people, size, word in ((0, 64, "people is 0"), (100, 64, "names no more"), (1, 63, "63")):
        with pytest.raises(BadSetting, match=word):
            draw_as_published("rafd", tmp_path / "new", people, size=size)
    assert not (tmp_path / "new").exists()


def test_the_command_lists_a_partial_set_and_refuses_a_wrong_root(
    rafd: Path, ckplus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "photos.csv"
    command = ["photos", "--source", "rafd", "--root", str(rafd), "--csv", str(table)]
    assert main([*command, "--set", "photos.cameras=000,180", "photos.gazes=all"]) == 0
    said = capsys.readouterr()
    assert "rafd: photos 96, people 2" in said.out and "yaw: -90.0 48, 90.0 48" in said.out
    assert "note: 240 photos, where RaFD has 8040" in said.err
    assert len(pd.read_csv(table)) == 96
    assert main(["photos", "--source", "ckplus", "--root", str(ckplus)]) == 0
    assert "ckplus: photos 48, people 5" in capsys.readouterr().out
    assert main(["photos", "--source", "rafd", "--root", str(ckplus)]) == 2
    assert "expected photos named such as Rafd090" in capsys.readouterr().err
    assert main(["photos", "--source", "rafd"]) == 2
    assert main([*command, "--set", "photos.cameras=060"]) == 2
    assert "'060' is none of 000, 045, 090, 135, 180" in capsys.readouterr().err
    assert main([*command[:5], "--set", "photos.frames=0"]) == 2


def test_a_folder_that_cannot_be_written_keeps_what_it_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExists):
        draw_as_published("ckplus", tmp_path / "file", 1, size=64)
    with pytest.raises(OutputFailed):
        draw_as_published("ckplus", tmp_path / "file" / "below", 1, size=64)
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
