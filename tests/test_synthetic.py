"""Drawn faces: the same every time, faces to dlib, with true landmarks, and resumable on disk."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from expr_lib.errors import BadSetting, OutputExists, SourceError
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import COLUMNS, EXPRESSIONS
from expr_lib.sources.synthetic import (
    EXPRESSION_UNITS,
    Person,
    Rendered,
    expression_units,
    load_synthetic,
    render,
    synthesize,
)

WORDS = ["happy", "neutral"]
SIZE = 64


@pytest.fixture(scope="module")
def person() -> Person:
    return Person(7)


@pytest.fixture(scope="module")
def drawn(person: Person) -> dict[str, Rendered]:
    return {word: render(person, expression_units(word)) for word in EXPRESSIONS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    synthesize(folder, 2, WORDS, size=SIZE, jobs=1, progress=False)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    for path in finished.rglob("*.*"):
        if path.is_file() and path.name != ".lock":
            target = folder / path.relative_to(finished)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))


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
    assert photo.image.shape == (256, 256, 3) and photo.image.dtype == np.uint8
    assert photo.image.flags.c_contiguous
    assert photo.landmarks.shape == (68, 2) and photo.landmarks.dtype == np.float32
    assert photo.mask.shape == (256, 256) and photo.mask.dtype == np.float32
    assert 0 == photo.mask.min() < photo.mask.max() == 1
    columns, rows = np.round(photo.landmarks[17:]).astype(int).T
    assert (photo.mask[rows, columns] == 1).all()


def test_the_seed_decides_the_picture(person: Person, drawn: dict[str, Rendered]) -> None:
    again = pickle.loads(pickle.dumps(person))
    assert again == person and again is not person
    photo = render(again, expression_units("happy"))
    np.testing.assert_array_equal(photo.image, drawn["happy"].image)
    np.testing.assert_array_equal(photo.landmarks, drawn["happy"].landmarks)
    other = render(Person(8), expression_units("happy"))
    assert np.abs(other.landmarks - photo.landmarks).max() > 1


def test_a_person_cannot_be_changed(person: Person) -> None:
    with pytest.raises(AttributeError):
        person.age = 0.5  # type: ignore[misc]


def test_landmarks_stay_inside_the_picture(drawn: dict[str, Rendered]) -> None:
    for photo in drawn.values():
        assert photo.landmarks.min() > 0 and photo.landmarks.max() < 255


def test_landmarks_do_not_depend_on_size(person: Person) -> None:
    small = render(person, {}, size=64).landmarks
    large = render(person, {}, size=128, supersampling=1.0).landmarks
    np.testing.assert_allclose((small + 0.5) * 2, large + 0.5, atol=1e-3)


def test_expressions_move_what_they_should(drawn: dict[str, Rendered]) -> None:
    neutral = drawn["neutral"].landmarks
    unit = eye_distance(neutral)
    happy, surprised = drawn["happy"].landmarks, drawn["surprised"].landmarks
    mouth_opening = surprised[66, 1] - surprised[62, 1]
    assert mouth_opening > 0.2 * unit
    assert neutral[66, 1] - neutral[62, 1] < 0.02 * unit
    assert happy[54, 0] - happy[48, 0] > neutral[54, 0] - neutral[48, 0] + 0.08 * unit
    assert (surprised[17:27, 1] < neutral[17:27, 1] - 0.05 * unit).all()
    contempt = drawn["contemptuous"].landmarks - neutral
    assert abs(contempt[48, 1]) > 3 * abs(contempt[54, 1])  # one-sided


def test_a_turned_head_moves_its_nose(person: Person) -> None:
    ahead, right = render(person, {}).landmarks, render(person, {}, yaw=30).landmarks
    assert right[30, 0] - right[27:31, 0].min() >= 0
    assert right[30, 0] > ahead[30, 0] + 0.2 * eye_distance(ahead)


def test_gaze_and_light_change_pixels_but_no_landmark(person: Person) -> None:
    straight, aside = render(person, {}), render(person, {}, gaze=(25.0, 0.0))
    np.testing.assert_array_equal(straight.landmarks, aside.landmarks)
    eyes = straight.landmarks[36:48].round().astype(int)
    rows, columns = slice(*eyes[:, 1][[1, 4]]), slice(eyes[0, 0], eyes[-3, 0])
    change = np.abs(straight.image.astype(int) - aside.image)
    assert change[rows, columns].max() > 60


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
    assert np.median(errors) < 6


@pytest.mark.parametrize(
    ("units", "options", "message"),
    [
        ({"99": 1.0}, {}, "unknown action unit '99'"),
        ({"12": float("nan")}, {}, "not finite"),
        ({}, {"size": 32}, "size 32 is too small"),
        ({}, {"supersampling": 9.0}, "supersampling 9.0"),
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


def test_a_set_grows_in_parallel_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, 1, WORDS, size=SIZE, jobs=1, progress=False)
    table = synthesize(tmp_path, 2, WORDS[::-1], size=SIZE, jobs=2, progress=False)
    assert len(table) == 4
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 80}, "size 64, not 80"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"expressions": ["sad"]}, "expressions"),
        ({"people": 1}, "2 people"),
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
        ({"size": 63}, "size 63"),
        ({"expressions": ["happy", "smug"]}, "'smug'"),
        ({"expressions": []}, "give a list"),
        ({"expressions": "happy"}, "give a list"),
        ({"jobs": 0}, "jobs is 0"),
        ({"seed": -1}, "seed is -1"),
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
