"""The work of `prepare`, chunk by chunk: read photos, find their landmarks, align them.

Each chunk's result is a part: one file, named after everything that decides what is in it. A run
that was stopped finds the parts it has made and makes only the others. Nothing here imports torch,
so that worker processes start quickly.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expr_lib.alignment import ALIGNMENT, align
from expr_lib.errors import (
    BadSetting,
    DlibMissing,
    ExprLibError,
    ModelFileMissing,
    NoFaceFound,
    OutputFailed,
    UnreadablePhoto,
)
from expr_lib.files import digest, whole_file
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import as_grey, read_photo
from expr_lib.sources import PhotoSource
from expr_lib.workers import in_processes

LandmarkSource = Literal["dlib", "true"]
"""Where landmarks come from: found by dlib, or known because the face was drawn."""

FORMAT = f"1, {ALIGNMENT}"
"""Version of what a part holds; it changes whenever this code would make other crops or points."""

_CHUNK = 16  # photos a part: small enough to lose little, large enough for few files
_ANY_SIZE = 1 << 20  # true landmarks are in the photo's own pixels, so that it must not be reduced


@dataclass(frozen=True)
class Photo:
    """One photo to work on: its path, its true landmarks (68, 2) in pixel indices or None, and
    whether it is taken for a grey one."""

    path: str
    points: NDArray[np.floating] | None
    grey: bool = False

    def fingerprint(self) -> tuple[object, ...]:
        """What tells this photo from another or a changed one, without reading it."""
        try:
            state = os.stat(self.path)
            file: tuple[int, int] | None = (state.st_size, state.st_mtime_ns)
        except OSError:
            file = None
        points = None if self.points is None else digest(np.asarray(self.points, float).tobytes())
        return (self.path, file, points, "grey") if self.grey else (self.path, file, points)


@dataclass(frozen=True)
class Chunk:
    """Some photos, the side of their crops in pixels, and the file that the result goes to.

    dlib    version that its landmarks shall be found with; None where there is no dlib
    absent  paths of the photos that did not exist when the chunks were made
    """

    photos: tuple[Photo, ...]
    size: int
    part: Path
    dlib: str | None = None
    absent: frozenset[str] = frozenset()


def list_entries(photos: PhotoSource, landmarks: str) -> list[Photo]:
    """Pair each photo of a source with its true landmarks, if those are wanted.

    landmarks  "dlib" or "true"
    raises     BadSetting for another word, or when the source does not know the true ones;
               NoFaceFound when the source has no photo
    """
    if landmarks not in ("dlib", "true"):
        raise BadSetting(f"unknown landmarks {landmarks!r}; choose dlib or true")
    if landmarks == "true" and photos.landmarks is None:
        raise BadSetting(
            f"the source {photos.name!r} does not know the true landmarks; choose landmarks dlib"
        )
    if photos.table.empty:
        raise NoFaceFound(f"the source {photos.name!r} has no photo; give a folder that has some")
    points = photos.landmarks if landmarks == "true" else None
    return [
        Photo(path, None if points is None else points[row], photos.grey)
        for row, path in enumerate(photos.table["path"])
    ]


def hash_inputs(photos: PhotoSource, entries: list[Photo], size: int, landmarks: str) -> str:
    """Hash everything that decides the result, the photos by their size and time of change."""
    table = photos.table.to_csv(index=False)
    files = [entry.fingerprint() for entry in entries]
    return digest(FORMAT, size, landmarks, photos.name, table, files)


def make_chunks(
    photos: list[Photo], size: int, folder: Path, landmarks: LandmarkSource
) -> list[Chunk]:
    """Cut the photos into chunks; each one's part in `folder` is named by what decides it."""
    dlib = package_version("dlib")
    version = f"{landmarks}, dlib {dlib}"
    chunks = []
    for start in range(0, len(photos), _CHUNK):
        some = tuple(photos[start : start + _CHUNK])
        prints = [photo.fingerprint() for photo in some]
        key = digest(FORMAT, version, size, prints)
        absent = frozenset(str(path) for path, file, *_ in prints if file is None)
        chunks.append(Chunk(some, size, folder.absolute() / f"{key}.npz", dlib, absent))
    return chunks


def package_version(package: str) -> str | None:
    """Version of an installed package, or None; dlib comes under either of two names."""
    for name in (package, f"{package}-bin"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def make_parts(chunks: list[Chunk], jobs: int, progress: bool) -> None:
    """Make the parts that are missing, in `jobs` processes.

    raises  OutputFailed when a part cannot be written, a process dies, or the workers are on other
            machines and do not share the folder; finished parts stay
    """
    missing = [chunk for chunk in chunks if not chunk.part.is_file()]
    total = sum(len(chunk.photos) for chunk in chunks)
    done = total - sum(len(chunk.photos) for chunk in missing)
    made = in_processes(
        make_part,
        missing,
        jobs,
        title="prepare",
        unit="photo",
        weight=lambda chunk: len(chunk.photos),
        done=done,
        progress=progress,
    )
    for _ in made:
        pass
    if missing:
        folder = missing[0].part.parent
        there = set(os.listdir(folder) if folder.is_dir() else ())  # unlike is_file never a memory
        lost = sum(chunk.part.name not in there for chunk in missing)
        if lost:
            raise OutputFailed(
                f"{lost} parts that workers have written are not in {folder}: all workers must "
                "share that folder; choose one that they share, and run the same command again"
            )


def make_part(chunk: Chunk) -> int:
    """Work on one chunk and write its part; a bad photo is noted with its reason and stops nothing.

    returns  the number of photos worked on
    raises   OutputFailed when the part cannot be written, or when this machine is another than the
             one that made the chunk and has not its dlib or its photos; ModelFileMissing without
             dlib's models
    """
    _refuse_strange_worker(chunk)
    crops, points, kept, faces, reasons = [], [], [], [], []
    for position, photo in enumerate(chunk.photos):
        try:
            image, marks, number = _read(photo)
            crop, placed = align(image, marks, chunk.size)
        except (DlibMissing, ModelFileMissing, MemoryError):
            raise  # not this photo's fault: every other one would fail as well
        except Exception as error:  # whatever else is wrong with one photo must not stop the others
            reasons.append((str(position), one_line(error)))
        else:
            crops.append(crop)
            points.append(placed)
            kept.append(position)
            faces.append(number)
    side = chunk.size
    with whole_file(chunk.part) as temporary:
        np.savez(
            temporary,
            images=np.array(crops, np.uint8).reshape(-1, side, side, 3),
            landmarks=np.array(points, np.float32).reshape(-1, 68, 2),
            kept=np.array(kept, np.int64),
            faces=np.array(faces, np.int64),
            reasons=np.array(reasons, np.str_).reshape(-1, 2),
        )
    return len(chunk.photos)


def _refuse_strange_worker(chunk: Chunk) -> None:
    """Raise OutputFailed where the part would not hold what its name says."""
    here = socket.gethostname()
    looks = any(photo.points is None for photo in chunk.photos)
    if looks and (dlib := package_version("dlib")) != chunk.dlib:
        raise OutputFailed(
            f"a worker on {here} has dlib {dlib}, but landmarks of {chunk.dlib} are wanted; "
            "install the same version everywhere"
        )
    seen = {photo.path for photo in chunk.photos} - chunk.absent
    for folder in sorted({os.path.dirname(os.path.abspath(path)) for path in seen}):
        if not os.path.isdir(folder):
            raise OutputFailed(
                f"a worker on {here} has no folder {folder}, in which there are photos; all "
                "workers must see the photos under the same paths"
            )


def _read(photo: Photo) -> tuple[NDArray[np.uint8], NDArray[np.floating], int]:
    """Read a photo and its landmarks in pixel indices; the last value is how many faces are in
    it."""
    if photo.points is not None:
        if not np.isfinite(photo.points).all():
            raise UnreadablePhoto(f"the source has no landmarks of {photo.path}")
        image, points = read_photo(photo.path, longest_side=_ANY_SIZE), photo.points
        return as_grey(image) if photo.grey else image, points, 1
    image = read_photo(photo.path)
    image = as_grey(image) if photo.grey else image
    detection = find_landmarks(image)
    return image, detection.face.points, len(detection.faces)


def one_line(error: Exception) -> str:
    """An error's message on one line, with its type when it is no message for a user."""
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, ExprLibError | ValueError) else f"{type(error).__name__}: {text}"
    )


@dataclass(frozen=True)
class Part:
    """What a part holds, without its crops.

    landmarks  (n, 68, 2) in crop widths
    kept       places in the chunk of the photos that have a face
    faces      how many faces each of them shows
    reasons    place in the chunk -> why that photo was left out
    """

    landmarks: NDArray[np.float32]
    kept: list[int]
    faces: list[int]
    reasons: dict[int, str]


def read_part(chunk: Chunk) -> Part:
    """Read a part without its crops."""
    with np.load(chunk.part) as stored:
        return Part(
            landmarks=stored["landmarks"],
            kept=stored["kept"].tolist(),
            faces=stored["faces"].tolist(),
            reasons={int(position): str(reason) for position, reason in stored["reasons"]},
        )


def read_crops(chunks: list[Chunk]) -> Iterator[NDArray[np.uint8]]:
    """Read the crops (n, size, size, 3), one part after the other."""
    for chunk in chunks:
        with np.load(chunk.part) as stored:
            yield stored["images"]
