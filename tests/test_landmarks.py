import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from expr_lib import dlib_models, landmarks
from expr_lib.errors import DlibMissing, ModelFileMissing, NoFaceFound
from expr_lib.landmarks import embed_face, embed_faces, find_landmarks, landmarks_in_box
from expr_lib.photos import read_photo
from expr_lib.points import eye_distance


def true_points(drawn_face, size: int = 256) -> np.ndarray:
    """Landmarks of the face when its picture is resized; pixel 0 has its centre at 0."""
    return (drawn_face.landmarks + 0.5) * (size / 256) - 0.5


def error_percent(points: np.ndarray, truth: np.ndarray) -> float:
    distances = np.linalg.norm(points - truth, axis=-1)
    return float(distances.mean() / eye_distance(truth) * 100)


def scaled(image: np.ndarray, factor: float) -> np.ndarray:
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def pasted(canvas: np.ndarray, image: np.ndarray, left: int, top: int) -> None:
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image


@pytest.fixture(scope="module")
def two_faces(drawn_face) -> np.ndarray:
    """The drawn face on the right at its size, and on the left at 0.6 of it."""
    canvas = np.full((256, 420, 3), 128, np.uint8)
    pasted(canvas, scaled(drawn_face.image, 0.6), 5, 50)
    pasted(canvas, drawn_face.image, 164, 0)
    return canvas


def test_one_face_is_found_where_it_was_drawn(drawn_face):
    detection = find_landmarks(drawn_face.image)
    assert detection.status == "one"
    face = detection.face
    assert face is detection.faces[0]
    assert face.points.shape == (68, 2)
    assert face.points.dtype == np.float32
    assert face.score > 0
    assert error_percent(face.points, true_points(drawn_face)) < 8
    left, top, right, bottom = face.box
    middle = face.points.mean(0)
    assert left < middle[0] < right
    assert top < middle[1] < bottom


def test_no_face_in_noise():
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    detection = find_landmarks(noise)
    assert detection.status == "none"
    assert detection.faces == ()
    assert detection.chosen is None
    with pytest.raises(NoFaceFound, match="no face was found"):
        _ = detection.face
    with pytest.raises(NoFaceFound, match="no face was found"):
        find_landmarks(noise, face=1)


def test_of_several_faces_the_largest_is_chosen_or_the_rank_asked_for(drawn_face, two_faces):
    detection = find_landmarks(two_faces)
    assert detection.status == "several"
    assert len(detection.faces) == 2
    truth = true_points(drawn_face) + np.array([164, 0])
    assert error_percent(detection.face.points, truth) < 8
    assert find_landmarks(two_faces, face=1).chosen == 0
    second = find_landmarks(two_faces, face=2)
    assert second.chosen == 1
    smaller = true_points(drawn_face, round(256 * 0.6)) + np.array([5, 50])
    assert error_percent(second.face.points, smaller) < 10


def test_a_rank_beyond_the_faces_says_how_many_there_are(drawn_face, two_faces):
    with pytest.raises(NoFaceFound, match=r"only 2 faces were found.* no face 3"):
        find_landmarks(two_faces, face=3)
    with pytest.raises(NoFaceFound, match=r"only 1 face was found.* no face 2"):
        find_landmarks(drawn_face.image, face=2)
    with pytest.raises(ValueError, match="counts from 1"):
        find_landmarks(drawn_face.image, face=0)


def test_a_rank_is_looked_for_at_larger_scales_too(drawn_face):
    canvas = np.full((640, 640, 3), 128, np.uint8)
    pasted(canvas, drawn_face.image, 0, 0)
    pasted(canvas, scaled(drawn_face.image, 0.3), 400, 400)  # too small for the first scale
    assert len(find_landmarks(canvas).faces) == 1
    small = find_landmarks(canvas, face=2).face
    assert error_percent(small.points, true_points(drawn_face, 77) + np.array([400, 400])) < 12


def test_a_face_of_60_pixels_is_found_in_a_large_picture(drawn_face):
    box = find_landmarks(drawn_face.image).face.box
    factor = 60 / (box[2] - box[0])
    canvas = np.full((1000, 1000, 3), 90, np.uint8)
    small = scaled(drawn_face.image, factor)
    pasted(canvas, small, 700, 120)
    detection = find_landmarks(canvas)
    assert detection.status == "one"
    truth = true_points(drawn_face, small.shape[0]) + np.array([700, 120])
    assert error_percent(detection.face.points, truth) < 12


@pytest.mark.parametrize("factor", [0.4, 2.7])
def test_landmarks_depend_little_on_the_size_of_the_photo(drawn_face, factor):
    usual = find_landmarks(drawn_face.image).face.points
    other = find_landmarks(scaled(drawn_face.image, factor))
    zoom = round(256 * factor) / 256
    assert error_percent((other.face.points + 0.5) / zoom - 0.5, usual) < 4


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 3), (16, 16), (2, 3000, 3), (3000, 2, 3)])
def test_tiny_and_narrow_pictures_have_no_face_and_raise_nothing(shape):
    assert find_landmarks(np.full(shape, 128, np.uint8)).status == "none"


def test_grey_pictures_are_taken(drawn_face):
    grey = np.array(Image.fromarray(drawn_face.image).convert("L"))
    points = find_landmarks(grey).face.points
    assert error_percent(points, true_points(drawn_face)) < 8


def test_views_that_are_not_contiguous_are_taken(drawn_face):
    mirrored = drawn_face.image[:, ::-1]
    same = find_landmarks(np.ascontiguousarray(mirrored)).face
    np.testing.assert_array_equal(find_landmarks(mirrored).face.points, same.points)
    np.testing.assert_array_equal(
        embed_face(mirrored, same.points),
        embed_face(np.ascontiguousarray(mirrored), same.points),
    )


def test_a_photo_stored_on_its_side_gives_the_points_of_the_upright_one(drawn_face, tmp_path):
    upright = Image.fromarray(drawn_face.image)
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    found = [
        find_landmarks(read_photo(tmp_path / f"{name}.png")).face for name in ("upright", "turned")
    ]
    np.testing.assert_array_equal(found[0].points, found[1].points)


def test_landmarks_in_a_known_box_are_those_of_the_detection(drawn_face):
    face = find_landmarks(drawn_face.image).face
    np.testing.assert_array_equal(landmarks_in_box(drawn_face.image, face.box), face.points)
    for box in ((50, 50, 50, 90), (300, 10, 400, 110), (-200, 0, -120, 80)):
        with pytest.raises(ValueError, match="empty or outside"):
            landmarks_in_box(drawn_face.image, box)


def test_a_box_that_reaches_over_the_edge_is_taken(drawn_face):
    face = find_landmarks(drawn_face.image).face
    left, top, right, bottom = face.box
    cut = drawn_face.image[:, left + 10 :]
    points = landmarks_in_box(cut, (-10, top, right - left - 10, bottom))
    assert error_percent(points + np.array([left + 10, 0]), face.points) < 12


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3, 1), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros(9, np.uint8),
    ],
)
def test_what_is_no_image_is_refused_with_its_shape_and_type(image):
    with pytest.raises(ValueError, match="uint8, not"):
        find_landmarks(image)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (64, 64), (640, 640), (2048, 1536), (9000, 12_000), (2, 60_000)]
)
def test_the_scales_grow_within_their_bounds(height, width):
    scales = landmarks._rungs(height, width)
    assert scales == sorted(scales)
    assert scales[0] <= 1
    assert scales[-1] <= landmarks.LARGEST_UPSAMPLING
    assert height * width * scales[-1] ** 2 <= landmarks.LARGEST_RUNG_PIXELS * 1.001
    assert len(scales) < 12


def test_each_thread_has_a_detector_of_its_own_and_they_agree(drawn_face, two_faces):
    pictures = [drawn_face.image, two_faces] * 4
    alone = [find_landmarks(picture).face.points for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda picture: find_landmarks(picture).face.points, pictures))
        other = pool.submit(dlib_models.detector).result()
    np.testing.assert_array_equal(together, alone)
    assert dlib_models.detector() is dlib_models.detector()
    assert dlib_models.detector() is not other


def test_the_predictor_is_loaded_once(drawn_face):
    find_landmarks(drawn_face.image)
    loaded = dlib_models._load_predictor.cache_info().misses
    find_landmarks(drawn_face.image)
    assert dlib_models._load_predictor.cache_info().misses == loaded


def test_the_embedding_tells_a_smaller_photo_of_one_person_from_another_face(drawn_face):
    points = true_points(drawn_face)
    itself = embed_face(drawn_face.image, points)
    assert itself.shape == (128,)
    assert itself.dtype == np.float32
    half = embed_face(scaled(drawn_face.image, 0.5), (points + 0.5) / 2 - 0.5)
    stretched = np.array(Image.fromarray(drawn_face.image).resize((256, 400)))[:, :, ::-1]
    other = embed_face(stretched, (points + 0.5) * [1, 400 / 256] - 0.5)
    assert np.linalg.norm(half - itself) < 0.2
    assert np.linalg.norm(half - itself) < np.linalg.norm(other - itself)


def test_many_embeddings_are_those_of_each_alone(drawn_face):
    grey = np.array(Image.fromarray(drawn_face.image).convert("L"))
    points = true_points(drawn_face)
    both = embed_faces([drawn_face.image, grey], [points, points + 1])
    assert both.shape == (2, 128)
    np.testing.assert_array_equal(both[1], embed_face(grey, points + 1))
    assert embed_faces([], []).shape == (0, 128)


def test_an_embedding_needs_68_finite_points(drawn_face):
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        embed_face(drawn_face.image, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="finite"):
        embed_face(drawn_face.image, np.full((68, 2), np.nan))
    with pytest.raises(ValueError, match="1 images but 2"):
        embed_faces([drawn_face.image], np.zeros((2, 68, 2)))


def test_an_embedding_needs_pixels_and_not_crop_widths(drawn_face):
    points = true_points(drawn_face)
    for wrong in (points / 256, points + 300):
        with pytest.raises(ValueError, match="in pixels of the image"):
            embed_face(drawn_face.image, wrong)
    assert np.isfinite(embed_face(drawn_face.image, points + 100)).all()  # partly outside


def test_without_dlib_the_error_says_what_to_install(drawn_face, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    for call in (
        lambda: find_landmarks(drawn_face.image),
        lambda: embed_face(drawn_face.image, true_points(drawn_face)),
    ):
        with pytest.raises(DlibMissing, match="pip install dlib-bin"):
            call()


def test_without_its_model_file_the_error_names_it(drawn_face, tmp_path):
    with pytest.raises(ModelFileMissing, match=r"absent\.dat"):
        find_landmarks(drawn_face.image, predictor=tmp_path / "absent.dat")


def test_importing_the_module_imports_no_dlib():
    code = "import sys, expr_lib.landmarks; sys.exit('dlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
