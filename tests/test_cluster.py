"""Preparing on a Dask cluster: the same FaceSet, and what is said when the cluster fails."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import distributed
import joblib
import pytest

from expr_lib import cluster, preparing
from expr_lib.__main__ import main
from expr_lib.cluster import on_cluster
from expr_lib.errors import BrokenFaceSet, DistributedMissing, ExprLibError, OutputFailed
from expr_lib.faceset import FaceSet, prepare
from expr_lib.preparing import Chunk, make_part
from expr_lib.sources import PhotoSource, load_photos
from expr_lib.workers import in_processes
from test_faceset import ROOT, _content, _left_over, _made_up, _prepare


def _cluster(count: int) -> distributed.LocalCluster:
    # a worker may die once during a task: so often Dask tries it again
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        return distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a cluster with two processes at work."""
    with _cluster(2) as running:
        yield running.scheduler_address


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four photos of one drawn face, and one file that is no photo."""
    folder = tmp_path_factory.mktemp("album")
    content = (ROOT / "tests" / "drawn" / "7.png").read_bytes()
    for person in ("anna", "bela"):
        (folder / person).mkdir()
        for word in ("happy", "sad"):
            (folder / person / f"{word}.png").write_bytes(content)
    (folder / "anna" / "neutral.png").write_bytes(content[:1000])
    return folder


def test_a_cluster_makes_the_same_faceset(
    tmp_path: Path,
    scheduler: str,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(preparing, "_CHUNK", 2)
    photos = load_photos("folder", album)
    here = prepare(photos, tmp_path / "here", size=64, jobs=1, progress=False)
    assert (len(here), here.card["skipped"]) == (4, 1)
    # faces are looked for there and not here, where nothing is patched there
    monkeypatch.setattr(preparing, "find_landmarks", lambda image: pytest.fail("worked here"))
    with distributed.Client(scheduler), joblib.parallel_config(backend="dask"):
        there = prepare(photos, tmp_path / "there", size=64, jobs=1)
    assert there.key == here.key
    assert _content(tmp_path / "there") == _content(tmp_path / "here")
    assert not _left_over(tmp_path / "there")
    assert "5/5" in capsys.readouterr().err
    command = ["prepare", "--source", "folder", "--root", str(album), "--size", "64"]
    told = ["--out", str(tmp_path / "told"), "--scheduler", scheduler]
    assert main(command + told) == 0
    assert FaceSet.load(tmp_path / "told").key == here.key


def _deadly(chunk: Chunk) -> int:
    """`make_part`, which ends its process at one part while there is a file called deadly."""
    if (
        Path(chunk.photos[0].path).stem.startswith("001")
        and (chunk.part.parents[2] / "deadly").exists()
    ):
        os._exit(1)
    return make_part(chunk)


def test_what_is_done_is_kept_when_the_cluster_gives_up(
    tmp_path: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "_CHUNK", 3)
    photos = _made_up(tmp_path / "photos")
    _prepare(photos, tmp_path / "whole")
    (tmp_path / "deadly").touch()
    monkeypatch.setattr(preparing, "make_part", _deadly)
    with on_cluster(scheduler):
        with pytest.raises(OutputFailed, match=r"the cluster gave up.*died.*run the same command"):
            _prepare(photos, tmp_path / "set")
        with pytest.raises(BrokenFaceSet, match="not finished"):
            FaceSet.load(tmp_path / "set")
        (tmp_path / "deadly").unlink()
        before = {path.name for path in (tmp_path / "set" / ".parts").glob("[!.]*.npz")}
        assert 1 <= len(before) <= 3  # all but the deadly one may be there
        _prepare(photos, tmp_path / "set")
    assert _content(tmp_path / "set") == _content(tmp_path / "whole")
    assert not _left_over(tmp_path / "set")


def _dies_once(item: tuple[Path, int]) -> tuple[int, int]:
    mark, number = item
    if number == 2 and not mark.exists():
        mark.touch()
        os._exit(1)
    return number, os.getpid()


def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path, scheduler: str) -> None:
    with on_cluster(scheduler):
        items = [(tmp_path / "dead", number) for number in range(9)]
        told = list(in_processes(_dies_once, items, 1, title="t", unit="u", progress=False))
    assert (tmp_path / "dead").exists()
    assert [number for number, _ in told] == list(range(9))
    assert os.getpid() not in {process for _, process in told}


def _refuse(number: int) -> int:
    raise BrokenFaceSet(f"number {number} is broken")


def test_the_function_s_own_error_comes_back_as_it_is(scheduler: str) -> None:
    with on_cluster(scheduler), pytest.raises(BrokenFaceSet, match=r"^number 0 is broken$"):
        list(in_processes(_refuse, [0], 1, title="t", unit="u", progress=False))


def test_a_cluster_without_workers_is_told(tmp_path: Path) -> None:
    photos = _made_up(tmp_path / "photos", people=1)
    with (
        _cluster(0) as running,
        distributed.Client(running.scheduler_address),
        joblib.parallel_config(backend="dask", wait_for_workers_timeout=0.2),
        pytest.raises(OutputFailed, match=r"has no worker.*`dask worker`"),
    ):
        _prepare(photos, tmp_path / "set")


# --- addresses and installations


def _prepare_told(album: Path, out: Path, scheduler: str) -> int:
    command = ["prepare", "--source", "folder", "--root", str(album), "--out", str(out)]
    return main([*command, "--scheduler", scheduler])


@pytest.mark.parametrize("address", ["nonsense", "tcp://localhost", "http://localhost:80", "dead"])
def test_a_wrong_address_is_one_sentence(
    tmp_path: Path,
    album: Path,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
    address = closed if address == "dead" else address
    assert _prepare_told(album, tmp_path / "set", address) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"expr-lib: no Dask scheduler answers at {address!r} (")
    assert "such as tcp://host:8786" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "set").exists()


def test_somebody_who_never_answers_is_not_waited_for(
    tmp_path: Path,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        assert _prepare_told(album, tmp_path / "set", address) == 2
    said = capfd.readouterr().err
    assert "no Dask scheduler answers" in said
    assert said.count("\n") == 1


def test_a_missing_package_is_one_sentence(
    tmp_path: Path,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DistributedMissing), on_cluster("tcp://127.0.0.1:8786"):
        pass
    assert _prepare_told(album, tmp_path / "set", "tcp://127.0.0.1:8786") == 2
    said = capfd.readouterr().err
    assert "pip install 'expr_lib[cluster]'" in said
    assert said.count("\n") == 1


def test_nobody_needs_the_package_without_a_cluster() -> None:
    code = (
        "import sys; sys.modules['distributed'] = sys.modules['dask'] = None\n"
        "from expr_lib.workers import in_processes\n"
        "found = list(in_processes(abs, [-1, -2], 1, title='t', unit='u', progress=False))\n"
        "sys.exit(found != [1, 2])"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- workers on other machines


def _one_chunk(photos: PhotoSource, folder: Path) -> Chunk:
    entries = preparing.list_entries(photos, "dlib")
    return preparing.make_chunks(entries, 32, folder, "dlib")[0]


def test_a_worker_with_another_dlib_or_without_the_photos_makes_nothing(tmp_path: Path) -> None:
    chunk = _one_chunk(_made_up(tmp_path / "photos", people=1), tmp_path / "parts")
    elsewhere = replace(chunk.photos[0], path="/not/mounted/here/0.png")
    for strange, match in (
        (replace(chunk, dlib="0.1"), r"has dlib .*landmarks of 0\.1 are"),
        (replace(chunk, photos=(elsewhere,)), "no folder /not/mounted/here"),
    ):
        with pytest.raises(OutputFailed, match=match):
            make_part(strange)
    assert not chunk.part.exists()
    assert make_part(chunk) == 3


def test_parts_that_went_elsewhere_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "make_part", lambda chunk: len(chunk.photos))
    with pytest.raises(ExprLibError, match=r"1 parts .* must share that folder"):
        _prepare(_made_up(tmp_path / "photos", people=1), tmp_path / "set")
