"""RaFD's names and folders, without RaFD: names from a grammar, tiny photos, drawn people."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from expr_lib.config import CAMERAS, GAZES, GROUPS
from expr_lib.errors import SourceError
from expr_lib.photos import EXPRESSIONS
from expr_lib.sources import load_photos
from expr_lib.sources.rafd import GENDERS, RafdName, load_rafd, parse_rafd

NAMES = some.builds(
    RafdName,
    camera=some.sampled_from(CAMERAS),
    person=some.integers(0, 99).map("{:02d}".format),
    group=some.sampled_from(GROUPS),
    gender=some.sampled_from(GENDERS),
    expression=some.sampled_from(EXPRESSIONS),
    gaze=some.sampled_from(GAZES),
)


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 3)).save(path, format="JPEG")


def fill(root: Path, people: int = 2, cameras: tuple[str, ...] = CAMERAS) -> None:
    root.mkdir(parents=True, exist_ok=True)
    photo(root / "one.jpg")
    content = (root / "one.jpg").read_bytes()
    (root / "one.jpg").unlink()
    for camera, person, word, gaze in product(cameras, range(1, people + 1), EXPRESSIONS, GAZES):
        name = RafdName(camera, f"{person:02d}", "Caucasian", "female", word, gaze)
        (root / str(name)).write_bytes(content)


@given(NAMES)
def test_every_name_is_read_back(name: RafdName) -> None:
    assert parse_rafd(str(name)) == name
    assert parse_rafd(str(name).upper()) == name
    assert parse_rafd(str(name).lower().replace(".jpg", ".jpeg")) == name


@given(NAMES, some.text(min_size=1, max_size=3), some.data())
def test_a_name_with_something_more_is_none_of_rafd(
    name: RafdName, more: str, data: some.DataObject
) -> None:
    place = data.draw(some.integers(0, len(str(name))))
    text = str(name)[:place] + more + str(name)[place:]
    assert parse_rafd(text) is None or text.lower() == str(parse_rafd(text)).lower()


@pytest.mark.parametrize(
    "name",
    [
        "Rafd060_01_Caucasian_female_angry_frontal.jpg",
        "Rafd090_1_Caucasian_female_angry_frontal.jpg",
        "Rafd090_01_Asian_female_angry_frontal.jpg",
        "Rafd090_01_Caucasian_angry_frontal.jpg",
        "Rafd090_01_Caucasian_female_anger_frontal.jpg",
        "Rafd090_01_Caucasian_female_angry_up.jpg",
        "Rafd090_01_Caucasian_female_angry_frontal.png",
        "._Rafd090_01_Caucasian_female_angry_frontal.jpg",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    assert parse_rafd(name) is None


def test_the_table_says_what_the_names_say(tmp_path: Path) -> None:
    photo(tmp_path / "Kids" / "a" / "RAFD135_63_kid_MALE_contemptuous_left.JPG")
    photos = load_rafd(tmp_path, cameras=("135",))
    row = photos.table.iloc[0]
    told = (row["person"], row["expression"], row["gaze"], row["yaw"], row["intensity"])
    assert told == ("63", "contemptuous", "left", -45.0, 1.0)
    assert photos.name == "rafd" and not photos.grey and photos.landmarks is None


def test_cameras_opposite_each_other_turn_opposite_ways() -> None:
    yaws = [RafdName(camera, "01", "Kid", "male", "sad", "left").yaw for camera in CAMERAS]
    assert yaws == [90.0, 45.0, 0.0, -45.0, -90.0]


def test_the_frontal_camera_is_the_default_and_filters_choose(tmp_path: Path) -> None:
    fill(tmp_path)
    photo(tmp_path / "Rafd090_03_Moroccan_male_happy_frontal.jpg")
    assert len(load_photos("rafd", tmp_path).table) == 2 * 8 * 3 + 1
    assert len(load_rafd(tmp_path, CAMERAS).table) == 2 * 8 * 3 * 5 + 1
    assert len(load_rafd(tmp_path, ("000", "180"), ("left",)).table) == 2 * 8 * 2
    assert set(load_rafd(tmp_path, groups=("Moroccan",)).table["person"]) == {"03"}
    with pytest.raises(SourceError, match=r"no photo in .* is of camera 090, .* and group Kid"):
        load_rafd(tmp_path, groups=("Kid",))


def test_every_difference_from_the_published_set_is_said(tmp_path: Path) -> None:
    fill(tmp_path, cameras=("045", "090"))
    again = "Rafd090_01_Caucasian_female_angry_frontal.jpg"
    photo(tmp_path / "copy" / again)
    (tmp_path / "Rafd045_02_Caucasian_female_sad_left.jpg").write_bytes(b"")
    (tmp_path / "Rafd090_02_Caucasian_female_sad_left.jpg").write_text("no photo")
    photo(tmp_path / "Rafd090_01_Moroccan_female_happy_left.jpg")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "licence.pdf").write_bytes(b"x")
    assert load_rafd(tmp_path).warnings == (
        "2 people, where RaFD has 67",
        "95 photos, where RaFD has 8040",
        "no photo of camera 000, 135, 180",
        "people with fewer than 48 photos of the cameras that are there (1): 02",
        "people whose photos name several groups or genders (1): 01",
        "damaged or empty photos (2): Rafd045_02_Caucasian_female_sad_left.jpg, "
        "Rafd090_02_Caucasian_female_sad_left.jpg",
        f"photos left out because another one has their name (1): {again}",
        "files left out because they are no photo of RaFD (2): .DS_Store, licence.pdf",
    )


def test_the_whole_set_is_listed_without_a_word(tmp_path: Path) -> None:
    fill(tmp_path, people=67)
    photos = load_rafd(tmp_path, CAMERAS)
    assert photos.warnings == ()
    assert len(photos.table) == 8040 and photos.table["person"].nunique() == 67


def test_a_wrong_root_is_told_what_was_expected_and_what_is_there(tmp_path: Path) -> None:
    photo(tmp_path / "anna" / "happy.jpg")
    expected = r"no photo of RaFD in .*expected photos named such as Rafd090_01.*found there: anna/"
    with pytest.raises(SourceError, match=expected):
        load_rafd(tmp_path)
    with pytest.raises(SourceError, match="there is no such folder; expected photos named"):
        load_rafd(tmp_path / "nowhere")
