"""The benchmark of stage 1 on 106 landmarks: how it numbers and aligns faces."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from expr_lib.config import load_settings
from expr_lib.points import Layout, eye_centres, eye_distance

ROOT = Path(__file__).resolve().parents[1]
RAFD = ROOT.parent / "shared" / "data" / "rafd_landmarks" / "rafd_frontal_106.npz"
needs_rafd = pytest.mark.skipif(not RAFD.is_file(), reason="no ../shared/data/rafd_landmarks here")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rafd", ROOT / "benchmarks" / "fusion_rafd.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up_faces(eyes: tuple[tuple[int, int], tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Faces (40, 106, 2) around a symmetric one, and its mirror (106,)."""
    rng = np.random.default_rng(0)
    order = [i for i in rng.permutation(106) if i not in (*eyes[0], *eyes[1])]
    right, left, middle = order[:48], order[48:96], order[96:]
    mirror = np.arange(106)
    mirror[right], mirror[left] = left, right
    mirror[[*eyes[0], *eyes[1]]] = [*eyes[1][::-1], *eyes[0][::-1]]
    face = np.zeros((106, 2))
    grid = np.stack(np.meshgrid(np.linspace(0.05, 0.4, 6), np.linspace(0.45, 0.95, 8)), -1)
    face[right] = grid.reshape(-1, 2)
    face[list(eyes[0])] = (0.3, 0.39), (0.42, 0.39)
    face[middle] = np.stack([np.full(len(middle), 0.5), np.linspace(0.4, 0.9, len(middle))], -1)
    others = [*left, *eyes[1]]
    face[others] = face[mirror[others]] * [-1, 1] + [1, 0]
    return face + rng.normal(0, 0.004, (40, 106, 2)), mirror


def test_the_mirror_is_found_from_the_mean_face(benchmark: ModuleType) -> None:
    faces, mirror = made_up_faces(benchmark.EYES)
    layout = benchmark.layout_of(benchmark.align(faces))
    assert list(layout.mirror) == mirror.tolist()


def test_aligned_faces_have_their_eyes_in_one_place(benchmark: ModuleType) -> None:
    faces, mirror = made_up_faces(benchmark.EYES)
    turned = faces @ np.array([[0.9, 0.4], [-0.4, 0.9]]) * 300 + [50, 80]
    aligned = benchmark.align(turned)
    layout = Layout(106, tuple(mirror.tolist()), benchmark.EYES, {})
    wanted = np.broadcast_to(benchmark.WANTED, (40, 2, 2))
    np.testing.assert_allclose(eye_centres(aligned, layout), wanted, atol=1e-5)
    np.testing.assert_allclose(aligned, benchmark.align(faces), atol=1e-5)
    np.testing.assert_allclose(eye_distance(aligned, layout), 70 / 256, atol=1e-6)


@needs_rafd
def test_rafds_landmarks_mirror_onto_the_other_side(benchmark: ModuleType) -> None:
    faces = benchmark.load(RAFD)
    mirror = np.array(faces.layout.mirror)
    assert (mirror[:33] == np.arange(32, -1, -1)).all()
    assert (mirror[[52, 55, 104, 43, 98]] == [61, 58, 105, 43, 98]).all()
    for name in ("mouth", "brows", "eyes", "jaw"):
        part = faces.layout.parts[name]
        assert set(mirror[list(part)]) == set(part)


@needs_rafd
def test_a_fold_keeps_its_people_apart_and_measures_those_who_look_ahead(
    benchmark: ModuleType,
) -> None:
    some, split = benchmark.parts_of(benchmark.load(RAFD), 1)
    gaze = some.table["gaze"].to_numpy()
    assert set(gaze[split.train]) == {"left", "frontal", "right"}
    assert set(gaze[split.test]) == set(gaze[split.validation]) == {"frontal"}
    people = len(split.people("test"))
    triples = split.pairs("test", 10**9, 0)
    assert len(triples) == people * (people - 1) * 8 * 7
    again = benchmark.RepeatShot(benchmark.load(RAFD), "left").fuse(some, triples[:50])
    assert np.isfinite(again).all()
    assert (again != some.landmarks[triples[:50, 2]]).any((1, 2)).all()


@needs_rafd
def test_fewer_people_to_learn_from_leave_those_to_be_measured_alike(
    benchmark: ModuleType,
) -> None:
    faces = benchmark.load(RAFD)
    _, whole = benchmark.parts_of(faces, 1)
    _, some = benchmark.parts_of(faces, 1, people=8)
    assert len(some.people("train")) == 8
    assert set(some.people("train")) < set(whole.people("train"))
    assert some.people("test") == whole.people("test")
    assert some.people("validation") == whole.people("validation")
    with pytest.raises(ValueError, match="not 99"):
        benchmark.parts_of(faces, 1, people=99)


@needs_rafd
def test_more_people_to_learn_from_help_ridge_regression(benchmark: ModuleType) -> None:
    settings = load_settings("smoke", ["threads=1", "fusion.epochs=1"])
    table = benchmark.growth(benchmark.load(RAFD), settings, [0], [6, 30], 1)
    few, many = (line.split("|")[2].split()[0] for line in table.splitlines()[2:])
    assert float(many) < float(few) - 0.3


@needs_rafd
@pytest.mark.parametrize(
    ("people", "told"),
    [("8,99", "not 99"), ("many", "invalid whole_numbers"), ("1", "at least two people")],
)
def test_numbers_of_people_that_there_cannot_be_are_told(people: str, told: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fusion_rafd.py"), "--people", people]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert told in done.stderr and "Traceback" not in done.stderr


def test_it_says_aloud_what_is_missing(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "fusion_rafd.py"
    command = [sys.executable, str(script), "--landmarks", str(tmp_path / "none.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no landmarks at" in done.stderr and "--landmarks" in done.stderr
