"""What several tests share: drawn faces, so that no photo of a person is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# the same examples every time, however slow the machine is
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")

# Several test processes that each use every core wait for one another; read when torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

if TYPE_CHECKING:
    from expr_lib.sources.synthetic import Rendered


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def drawn_face() -> Rendered:
    """Person 3, happy, at 256 px."""
    from expr_lib.sources.synthetic import Person, expression_units, render

    return render(Person(3), expression_units("happy"), size=256)


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a drawn set: 10 people x neutral, happy and surprised, 128 px."""
    from expr_lib.sources.synthetic import synthesize

    folder = tmp_path_factory.mktemp("drawn")
    synthesize(folder, 10, ("neutral", "happy", "surprised"), size=128, jobs=2, progress=False)
    return folder


@pytest.fixture(scope="session")
def small_faces(drawn_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a FaceSet of those photos, 64 px."""
    from expr_lib.faceset import prepare
    from expr_lib.sources import load_photos

    folder = tmp_path_factory.mktemp("faces") / "faces"
    prepare(load_photos("synthetic", drawn_photos), folder, size=64, jobs=2, progress=False)
    return folder
