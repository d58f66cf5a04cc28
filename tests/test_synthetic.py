"""Drawn faces: the same every time, faces to dlib, with true landmarks, and resumable on disk."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import keep_drawn
from expr_lib.errors import BadSetting, OutputExists, SourceError
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import COLUMNS, EXPRESSIONS
from expr_lib.sources.synthetic import (
    EXPRESSION_UNITS,
    Light,
    Person,
    Rendered,
    expression_units,
    load_synthetic,
    render,
    synthesize,
)
from expr_lib.sources.synthetic import dataset as dataset_module
from expr_lib.sources.synthetic.layout import GAZE_DEGREES, Shot

WORDS = ["happy", "neutral"]
SIZE = 64
"""Side of the sets' photos, pixels."""
SIDE = 128
"""Side of single photos, pixels."""
UPPER_SEAM, LOWER_SEAM = [61, 62, 63], [67, 66, 65]
GRID = {"yaws": (-45.0, 0.0), "gazes": ("left", "frontal"), "intensities": (0.5, 1.0)}


@pytest.fixture(scope="module")
def person() -> Person:
    return Person(7)


@pytest.fixture(scope="module")
def drawn(person: Person) -> dict[str, Rendered]:
    return {word: render(person, expression_units(word), size=SIDE) for word in EXPRESSIONS}


@pytest.fixture(scope="module", params=[7, 101])
def rest(request: pytest.FixtureRequest) -> tuple[Person, Rendered]:
    """A person, and the photo of their relaxed face."""
    someone = Person(request.param)
    return someone, render(someone, {}, size=SIDE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    synthesize(folder, 2, WORDS, size=SIZE, jobs=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    synthesize(folder, 2, WORDS, size=SIZE, jobs=1, progress=False, **GRID)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns(".lock"))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))


def moved(rest: tuple[Person, Rendered], units: dict[str, float]) -> np.ndarray:
    """Way of each landmark from the relaxed face, eye distances."""
    person, relaxed = rest
    photo = render(person, units, size=SIDE)
    return (photo.landmarks - relaxed.landmarks) / eye_distance(relaxed.landmarks)


def eye_boxes(points: np.ndarray, margin: int = 0) -> list[tuple[slice, slice]]:
    """Rows and columns of both eyes."""
    boxes = []
    for eye in (points[36:42], points[42:48]):
        left, top = np.floor(eye.min(0)).astype(int) - margin
        right, bottom = np.ceil(eye.max(0)).astype(int) + margin + 1
        boxes.append((slice(top, bottom), slice(left, right)))
    return boxes


def middle_of_the_dark(picture: np.ndarray) -> float:
    """Column of the centre of what is dark in an eye, pixels."""
    grey = picture.astype(float).mean(-1)
    weight = (grey.max() - grey).sum(0)
    return float((weight * np.arange(len(weight))).sum() / weight.sum())


def test_every_expression_has_its_action_units() -> None:
    assert tuple(EXPRESSION_UNITS) == EXPRESSIONS
    assert expression_units("neutral") == {}
    half, full = expression_units("sad", 0.5), expression_units("sad")
    assert half == {unit: weight / 2 for unit, weight in full.items()}


def test_unknown_expression_names_the_eight() -> None:
    with pytest.raises(BadSetting, match="'bored'") as caught:
        expression_units("bored")
    assert all(word in str(caught.value) for word in EXPRESSIONS)


def test_a_picture_is_what_it_promises(drawn: dict[str, Rendered]) -> None:
    photo = drawn["happy"]
    assert photo.image.shape == (SIDE, SIDE, 3) and photo.image.dtype == np.uint8
    assert photo.image.flags.c_contiguous
    assert photo.landmarks.shape == (68, 2) and photo.landmarks.dtype == np.float32
    assert photo.mask.shape == (SIDE, SIDE) and photo.mask.dtype == np.float32
    assert 0 == photo.mask.min() < photo.mask.max() == 1
    columns, rows = np.round(photo.landmarks[17:]).astype(int).T
    assert (photo.mask[rows, columns] == 1).all()


@pytest.mark.parametrize("yaw", [0, 45])
def test_the_face_is_skin_inside_the_mask(person: Person, yaw: float) -> None:
    photo = render(person, {}, size=SIDE, yaw=yaw)
    assert photo.face.shape == (SIDE, SIDE) and photo.face.dtype == np.float32
    assert photo.face.min() == 0 and photo.face.max() == 1
    column, row = np.round(photo.landmarks[30]).astype(int)
    assert photo.face[row, column] == 1
    assert (photo.face[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert (photo.face <= photo.mask + 1e-6).all()
    assert photo.face.sum() < 0.8 * photo.mask.sum()  # hair, ears, neck and clothes are no face


def test_the_seed_decides_the_picture(person: Person, drawn: dict[str, Rendered]) -> None:
    again = pickle.loads(pickle.dumps(person))
    assert again == person and again is not person
    photo = render(again, expression_units("happy"), size=SIDE)
    np.testing.assert_array_equal(photo.image, drawn["happy"].image)
    np.testing.assert_array_equal(photo.landmarks, drawn["happy"].landmarks)


@pytest.mark.parametrize("seed", keep_drawn.SHOWN)
def test_a_seed_is_the_same_person_on_every_machine(seed: int) -> None:
    who, photo = keep_drawn.draw(seed)
    kept = json.loads((keep_drawn.KEPT / f"{seed}.json").read_text())
    assert who == kept["who"]
    np.testing.assert_allclose(photo.landmarks, kept["landmarks"], atol=0.01)
    with Image.open(keep_drawn.KEPT / f"{seed}.png") as picture:
        levels = np.abs(photo.image.astype(float) - np.asarray(picture, float))
    assert levels.mean() < 1


def test_another_seed_is_another_person(person: Person, drawn: dict[str, Rendered]) -> None:
    other = Person(8)
    assert other != person
    for name in ("years", "tone", "races", "weight", "style"):
        assert getattr(other, name) != getattr(person, name), name
    for name in ("vertices", "skin_colour", "texture", "iris"):
        assert not np.array_equal(getattr(other, name), getattr(person, name)), name
    photo = render(other, expression_units("happy"), size=SIDE)
    assert np.abs(photo.landmarks - drawn["happy"].landmarks).max() > 1


def test_a_person_cannot_be_changed(person: Person) -> None:
    with pytest.raises(AttributeError):
        person.age = 0.5  # type: ignore[misc]


def test_landmarks_stay_inside_the_picture(drawn: dict[str, Rendered]) -> None:
    for photo in drawn.values():
        assert photo.landmarks.min() > 0 and photo.landmarks.max() < SIDE - 1


def test_landmarks_do_not_depend_on_size(person: Person) -> None:
    small = render(person, {"12": 1.0}, size=64, yaw=20).landmarks
    for supersampling in (1, 2, 4):
        large = render(person, {"12": 1.0}, size=128, yaw=20, supersampling=supersampling).landmarks
        np.testing.assert_allclose((small + 0.5) * 2, large + 0.5, atol=0.01)


def test_expressions_move_what_they_should(drawn: dict[str, Rendered]) -> None:
    neutral = drawn["neutral"].landmarks
    way = {
        word: (photo.landmarks - neutral) / eye_distance(neutral) for word, photo in drawn.items()
    }
    inner_brows, corners = [21, 22], [48, 54]
    assert way["surprised"][66, 1] - way["surprised"][62, 1] > 0.2  # the mouth opens
    assert (way["surprised"][17:27, 1] < -0.03).all()
    assert (way["surprised"][18:26, 1] < -0.05).all()
    assert way["happy"][54, 0] - way["happy"][48, 0] > 0.08
    assert (way["happy"][corners, 1] < -0.03).all()
    assert (way["sad"][corners, 1] > 0.03).all()
    assert (way["sad"][inner_brows, 1] < -0.03).all()
    assert (way["angry"][inner_brows, 1] > 0.03).all()
    assert way["disgusted"][51, 1] < -0.03
    assert abs(way["contemptuous"][48, 1]) > 3 * abs(way["contemptuous"][54, 1])  # one-sided


def test_units_mix_in_proportion(rest: tuple[Person, Rendered]) -> None:
    half, whole = moved(rest, {"12": 0.5}), moved(rest, {"12": 1.0})
    assert np.abs(whole[[48, 54]]).max() > 0.1
    # perspective alone bends the way: a nearer point moves a little more; and the upper lip may
    # cover the lower one's inner edge
    free = np.delete(np.arange(68), LOWER_SEAM)
    np.testing.assert_allclose(half[free], whole[free] / 2, atol=1e-3)
    brows, both = moved(rest, {"4": 0.5}), moved(rest, {"4": 0.5, "12": 0.5})
    np.testing.assert_allclose(both[free], (half + brows)[free], atol=1e-3)


@pytest.mark.parametrize("roll", [0, 25, -90])
def test_lips_that_overlap_meet_in_the_seam_that_is_seen(person: Person, roll: float) -> None:
    down = np.array([-np.sin(np.radians(roll)), np.cos(np.radians(roll))])
    gaps = []
    for units in ({}, {"17": 0.8, "23": 1.0}, {"27": 1.0}):
        marks = render(person, units, size=SIDE, roll=roll, supersampling=1).landmarks
        gaps.append((marks[LOWER_SEAM] - marks[UPPER_SEAM]) @ down / eye_distance(marks))
    rest, pressed, open_wide = gaps
    assert (rest >= -1e-5).all() and (rest < 0.035).all()
    np.testing.assert_allclose(pressed, 0, atol=1e-5)
    assert (open_wide > 0.3).all()


@pytest.mark.parametrize(("unit", "corner", "other"), [("12R", 48, 54), ("12L", 54, 48)])
def test_a_one_sided_unit_moves_one_mouth_corner(
    rest: tuple[Person, Rendered], unit: str, corner: int, other: int
) -> None:
    way = np.linalg.norm(moved(rest, {unit: 1.0}), axis=1)
    assert way[corner] > 0.1
    assert way[other] < 0.01


def test_unit_43_closes_the_eyes(rest: tuple[Person, Rendered]) -> None:
    person, relaxed = rest
    upper, lower = [37, 38, 43, 44], [41, 40, 47, 46]
    unit = eye_distance(relaxed.landmarks)
    opened = (relaxed.landmarks[lower, 1] - relaxed.landmarks[upper, 1]) / unit
    photo = render(person, {"43": 1.0}, size=SIDE)
    closed = (photo.landmarks[lower, 1] - photo.landmarks[upper, 1]) / unit
    assert (opened > 0.06).all()
    assert (np.abs(closed) < 0.6 * opened).all()


def test_a_turned_head_moves_its_nose(rest: tuple[Person, Rendered]) -> None:
    person, relaxed = rest
    unit = eye_distance(relaxed.landmarks)
    for yaw in (-30, 30):
        turned = render(person, {}, size=SIDE, yaw=yaw).landmarks
        tip, bridge = turned[30, 0], turned[27:30, 0]
        assert np.sign(yaw) * (tip - relaxed.landmarks[30, 0]) > 0.2 * unit
        assert (np.sign(yaw) * (tip - bridge) > 0).all()


def test_gaze_changes_the_eyes_and_moves_no_landmark(rest: tuple[Person, Rendered]) -> None:
    person, straight = rest
    left, right = (render(person, {}, size=SIDE, gaze=gaze) for gaze in (-25.0, 25.0))
    for aside in (left, right):
        np.testing.assert_array_equal(straight.landmarks, aside.landmarks)
        np.testing.assert_array_equal(straight.mask, aside.mask)
        change = np.abs(straight.image.astype(int) - aside.image).max(-1)
        for box in eye_boxes(straight.landmarks, margin=1):
            assert change[box].max() > 40
            change[box] = 0
        assert change.max() < 20  # the grain of the picture, another in each
    for box in eye_boxes(straight.landmarks):
        assert middle_of_the_dark(right.image[box]) > middle_of_the_dark(left.image[box]) + 0.2


def test_an_eye_turns_no_further_than_eyes_do(rest: tuple[Person, Rendered]) -> None:
    person, _ = rest
    far, further = (render(person, {"61": w}, size=SIDE, gaze=35.0) for w in (0.0, 1.0))
    assert np.abs(far.image.astype(int) - further.image).max() < 20  # the grain


def test_light_changes_pixels_but_no_landmark(rest: tuple[Person, Rendered]) -> None:
    person, studio = rest
    from_left = render(person, {}, size=SIDE, light=Light(direction=(-1.0, -0.2, 0.6)))
    from_right = render(person, {}, size=SIDE, light=Light(direction=(1.0, -0.2, 0.6)))
    np.testing.assert_array_equal(from_left.landmarks, studio.landmarks)
    difference = from_left.image.astype(int).sum(-1) - from_right.image.astype(int).sum(-1)
    middle = round(float(studio.landmarks[27:31, 0].mean()))
    on_face = studio.face == 1
    assert difference[:, :middle][on_face[:, :middle]].mean() > 0
    assert difference[:, middle:][on_face[:, middle:]].mean() < 0


def test_dlib_finds_each_face_where_it_is() -> None:
    errors = []
    for seed in (7, 101, 102):
        person = Person(seed)
        for word in ("neutral", "happy", "surprised", "disgusted"):
            photo = render(person, expression_units(word))
            detection = find_landmarks(photo.image)
            assert detection.status == "one", (seed, word)
            distance = np.linalg.norm(detection.face.points - photo.landmarks, axis=1).mean()
            errors.append(100 * distance / eye_distance(photo.landmarks))
    assert np.median(errors) < 5


@pytest.mark.parametrize(
    ("units", "options", "message"),
    [
        ({"99": 1.0}, {}, "unknown action unit '99'"),
        ({12: 1.0}, {}, "units are texts: choose among 1, 2, 2L, 2R, 4"),
        ({"12": float("nan")}, {}, "weight of action unit 12 is nan"),
        ({"12": float("inf")}, {}, "weight of action unit 12 is inf"),
        ({"12": "1"}, {}, "weight of action unit 12 is '1'"),
        ({"12": 5.0}, {}, "weight of action unit 12 is 5.0"),
        ({}, {"yaw": 91}, "yaw is 91; give degrees from -90 to 90"),
        ({}, {"yaw": float("nan")}, "yaw is nan"),
        ({}, {"pitch": -60}, "pitch is -60"),
        ({}, {"gaze": 200}, "gaze is 200; give degrees from -35 to 35"),
        ({}, {"roll": float("inf")}, "roll is inf"),
        ({}, {"size": 256.0}, "size 256.0"),
        ({}, {"size": 62}, "size 62"),
        ({}, {"size": 101}, "size 101"),
        ({}, {"supersampling": 0}, "supersampling 0"),
        ({}, {"supersampling": 3}, "supersampling 3"),
    ],
)
def test_render_refuses_nonsense(
    person: Person, units: dict[str, float], options: dict[str, float], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        render(person, units, **options)  # type: ignore[arg-type]


def test_a_set_reads_back_as_it_was_drawn(finished: Path) -> None:
    table, landmarks = load_synthetic(finished)
    assert tuple(table.columns) == COLUMNS and len(table) == 4
    assert list(table["person"]) == ["p0000", "p0000", "p0001", "p0001"]
    assert list(table["expression"]) == ["happy", "neutral"] * 2
    assert landmarks.shape == (4, 68, 2) and landmarks.dtype == np.float32
    photo = render(Person(1), expression_units("happy"), size=SIZE)
    assert table["path"][2] == str(finished.resolve() / "photos" / "p0001_happy.png")
    np.testing.assert_array_equal(np.asarray(Image.open(table["path"][2])), photo.image)
    np.testing.assert_array_equal(landmarks[2], photo.landmarks)
    stored = pd.read_csv(finished / "photos.csv")
    assert stored["path"][0] == "photos/p0000_happy.png"


@pytest.mark.parametrize("intensity", [-0.1, 1.5, float("nan")])
def test_an_intensity_out_of_range_is_refused(intensity: float) -> None:
    with pytest.raises(BadSetting, match="intensity is"):
        expression_units("happy", intensity)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_seed_that_is_no_seed_is_refused(seed: float) -> None:
    with pytest.raises(BadSetting, match="seed is"):
        Person(seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("yaw", [-90, 90])
def test_the_nape_is_no_cave(yaw: float) -> None:
    """What is hidden from the front is not as dark and red as the inside of a nostril."""
    photo = render(Person(37), {}, size=256, yaw=yaw)
    behind = slice(0, 108) if yaw > 0 else slice(148, 256)
    red, green, _ = photo.image[150:, behind].astype(int).transpose(2, 0, 1)
    assert not (red > 2.2 * green + 20).any()


def test_an_interrupted_set_is_finished_to_the_same_bytes(finished: Path, copy: Path) -> None:
    kept = copy / "photos" / "p0000_neutral.png"
    before = kept.stat().st_mtime_ns
    (copy / "photos" / "p0000_happy.png").unlink()
    (copy / "photos" / "p0001_happy.png").write_bytes(b"cut short")
    (copy / "people" / "p0001.json").unlink()
    (copy / "photos" / ".partial-1.png").write_bytes(b"half")
    (copy / "photos.csv").unlink()
    synthesize(copy, 2, WORDS, size=SIZE, jobs=1, progress=False)
    assert contents(copy) == contents(finished)
    assert kept.stat().st_mtime_ns == before


def test_a_set_grows_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, 1, WORDS, size=SIZE, jobs=1, progress=False)
    table = synthesize(tmp_path, 2, WORDS[::-1], size=SIZE, jobs=1, progress=False)
    assert len(table) == 4
    assert contents(tmp_path) == contents(finished)


def test_processes_draw_the_same_bytes_and_compile_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def counted(*arguments: object, **options: object) -> Rendered:
        sizes.append(options["size"])
        return render(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset_module, "render", counted)
    for _ in range(2):  # the second time there is nothing to draw, nor to compile
        synthesize(tmp_path, 2, WORDS, size=SIZE + 2, jobs=2, progress=False)
        assert sizes == [64]
    alone = tmp_path / "alone"
    synthesize(alone, 2, WORDS, size=SIZE + 2, jobs=1, progress=False)
    assert sizes == [64] + 4 * [SIZE + 2]
    assert contents(alone) == {
        name: data for name, data in contents(tmp_path).items() if not name.startswith("alone")
    }


def test_every_combination_is_a_row(grid: Path) -> None:
    table, landmarks = load_synthetic(grid)
    assert len(table) == 2 * (2 * 2 * 2 + 2 * 2)  # neutral has one intensity
    rows = list(table[["person", "expression", "intensity", "gaze", "yaw"]].itertuples(index=False))
    assert len(set(rows)) == len(rows)
    assert {tuple(row[1:]) for row in rows} == {
        (word, intensity, gaze, yaw)
        for word, intensity in (("happy", 0.5), ("happy", 1.0), ("neutral", 1.0))
        for gaze in GRID["gazes"]
        for yaw in GRID["yaws"]
    }
    assert (table["frame"] == 0).all()
    names = {Path(path).name for path in table["path"]}
    assert {"p0001_happy.png", "p0001_neutral_y-45.png", "p0001_happy_50_y-45_left.png"} <= names
    person = Person(1)
    for row, points in zip(table.itertuples(), landmarks, strict=True):
        if row.person == "p0001":
            units = expression_units(row.expression, row.intensity)
            photo = render(person, units, size=SIZE, yaw=row.yaw, gaze=GAZE_DEGREES[row.gaze])
            np.testing.assert_array_equal(np.asarray(Image.open(row.path)), photo.image)
            np.testing.assert_array_equal(points, photo.landmarks)


def test_left_is_the_left_of_the_image() -> None:
    assert GAZE_DEGREES["left"] < GAZE_DEGREES["frontal"] == 0 < GAZE_DEGREES["right"]


@pytest.mark.parametrize(
    ("shot", "name"),
    [
        (Shot("happy"), "happy"),
        (Shot("happy", 0.5, -45.0, "left"), "happy_50_y-45_left"),
        (Shot("sad", 0.125, 22.5), "sad_12.5_y22.5"),
        (Shot("sad", 0.07, 90.0, "right"), "sad_7_y90_right"),
        (Shot("sad", 1e-7), "sad_0.00001"),
    ],
)
def test_a_photo_is_named_after_what_it_shows(shot: Shot, name: str) -> None:
    assert shot.name == name


def test_an_interrupted_grid_is_finished_to_the_same_bytes(grid: Path, tmp_path: Path) -> None:
    reordered = {
        "yaws": [0, -45, -0.0],
        "gazes": ["frontal", "left"],
        "intensities": np.array([1, 0.5]),
    }
    synthesize(tmp_path, 1, WORDS, size=SIZE, jobs=1, progress=False, **reordered)  # type: ignore[arg-type]
    kept = tmp_path / "photos" / "p0000_happy_50.png"
    before = kept.stat().st_mtime_ns
    (tmp_path / "photos" / "p0000_happy_50_left.png").unlink()
    (tmp_path / "photos" / "p0000_neutral_y-45.png").write_bytes(b"cut short")
    (tmp_path / "photos.csv").unlink()
    synthesize(tmp_path, 2, WORDS, size=SIZE, jobs=1, progress=False, **GRID)  # type: ignore[arg-type]
    assert contents(tmp_path) == contents(grid)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 80}, "size 64, not 80"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"expressions": ["sad"]}, "expressions"),
        ({"people": 1}, "2 people"),
        ({"yaws": [-45, 0]}, r"yaws \[0\.0\], not \[-45\.0, 0\.0\]"),
        ({"gazes": ["left"]}, r"gazes \['frontal'\], not \['left'\]"),
        ({"intensities": [0.5, 1]}, r"intensities \[1\.0\], not \[0\.5, 1\.0\]"),
    ],
)
def test_other_settings_do_not_overwrite_a_set(
    copy: Path, settings: dict[str, object], message: str
) -> None:
    before = contents(copy)
    wanted = {"people": 2, "expressions": WORDS, "size": SIZE, "progress": False} | settings
    with pytest.raises(OutputExists, match=message) as caught:
        synthesize(copy, **wanted)  # type: ignore[arg-type]
    assert "choose another folder" in str(caught.value)
    assert contents(copy) == before


def test_a_folder_of_other_photos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(OutputExists, match="no drawn set"):
        synthesize(tmp_path, 1, WORDS, size=SIZE, progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"people": 0}, "people is 0"),
        ({"size": 62}, "size 62"),
        ({"size": 65}, "size 65"),
        ({"expressions": ["happy", "smug"]}, "'smug'"),
        ({"expressions": []}, "give a list"),
        ({"expressions": "happy"}, "give a list"),
        ({"jobs": 0}, "jobs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"yaws": [0, 91]}, "yaw 91 is out of range"),
        ({"yaws": [float("nan")]}, "yaw nan"),
        ({"yaws": ["45"]}, "yaw '45'"),
        ({"yaws": []}, "yaws is .*give a list with degrees"),
        ({"yaws": 45.0}, "yaws is 45.0; give a list"),
        ({"gazes": ["up"]}, "unknown gaze 'up'; choose among left, frontal, right"),
        ({"gazes": "left"}, "gazes is 'left'; give a list"),
        ({"gazes": []}, "give a list"),
        ({"intensities": [0]}, "intensity 0 is out of range"),
        ({"intensities": [1.01]}, "intensity 1.01"),
        ({"intensities": [float("nan")]}, "intensity nan"),
        ({"intensities": ()}, "give a list"),
    ],
)
def test_bad_settings_are_refused_before_drawing(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        synthesize(tmp_path / "new", **({"people": 1} | settings))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_what_is_no_set_is_said(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"photos\.csv.*no such folder"):
        load_synthetic(tmp_path / "nowhere")
    np.save(copy / "landmarks.npy", np.zeros((3, 68, 2), np.float32))
    with pytest.raises(SourceError, match=r"\(4, 68, 2\).*found \(3, 68, 2\)"):
        load_synthetic(copy)
    (copy / "landmarks.npy").write_bytes(b"no array")
    with pytest.raises(SourceError, match="damaged"):
        load_synthetic(copy)


def test_missing_photos_are_counted(copy: Path) -> None:
    (copy / "photos" / "p0001_happy.png").unlink()
    with pytest.raises(SourceError, match=r"1 are missing, photos/p0001_happy\.png"):
        load_synthetic(copy)
