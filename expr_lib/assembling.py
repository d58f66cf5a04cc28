"""The last step of `prepare`: the parts become one FaceSet, written whole or not at all."""

import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from expr_lib import __version__
from expr_lib.alignment import ALIGNMENT
from expr_lib.files import digest, file_sha256, whole_file, write_json
from expr_lib.preparing import Chunk, Part, package_version, read_crops
from expr_lib.sources import PhotoSource


def join_tables(
    table: pd.DataFrame, chunks: list[Chunk], parts: list[Part]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the parts together in the photo table's order.

    returns  the rows with a face and their column `faces`, and path and reason of the photos
             without
    """
    rows: list[int] = []
    numbers: list[int] = []
    skipped: list[tuple[str, str]] = []
    start = 0
    for chunk, part in zip(chunks, parts, strict=True):
        rows += [start + position for position in part.kept]
        numbers += part.faces
        skipped += [(chunk.photos[position].path, why) for position, why in part.reasons.items()]
        start += len(chunk.photos)
    faces = table.iloc[rows].reset_index(drop=True).assign(faces=np.array(numbers, np.int64))
    return faces, pd.DataFrame(skipped, columns=["path", "reason"])


def describe(photos: PhotoSource, faces: pd.DataFrame, size: int, landmarks: str) -> dict[str, Any]:
    """Make the card: source, settings, counts and versions."""
    words = faces["expression"].value_counts().sort_index()
    packages = ("dlib", "numpy", "pillow", "scikit-image")
    return {
        "kind": "FaceSet",
        "source": photos.name,
        "size": size,
        "grey": photos.grey,
        "landmarks": landmarks,
        "alignment": ALIGNMENT,
        "photos": len(photos.table),
        "faces": len(faces),
        "skipped": len(photos.table) - len(faces),
        "several_faces": int((faces["faces"] > 1).sum()),
        "people": int(faces["person"].nunique()),
        "expressions": {str(word): int(count) for word, count in words.items()},
        "versions": {"expr_lib": __version__} | {name: package_version(name) for name in packages},
    }


def write_faceset(
    out: Path,
    chunks: list[Chunk],
    parts: list[Part],
    faces: pd.DataFrame,
    skipped: pd.DataFrame,
    card: dict[str, Any],
    started: float,
) -> None:
    """Write the files of a FaceSet under temporary names and rename them, the card last.

    What was in `out` before stays whole until every byte is on the disk; from then on, until the
    new card is there, the folder has no card and nobody takes it for finished.
    started  time.monotonic() at which the work began
    raises   OutputFailed when the disk is full
    """
    landmarks = np.concatenate([part.landmarks for part in parts])
    with ExitStack() as files:
        new = {
            name: files.enter_context(whole_file(out / name))
            for name in ("images.npy", "landmarks.npy", "faces.csv", "skipped.csv")
        }
        with new["images.npy"].open("wb") as stream:
            _write_images(stream, chunks, len(faces), int(card["size"]))
        with new["landmarks.npy"].open("wb") as stream:
            np.save(stream, landmarks)
        faces.to_csv(new["faces.csv"], index=False)
        skipped.to_csv(new["skipped.csv"], index=False)
        content = [file_sha256(new[name]) for name in ("images.npy", "landmarks.npy")]
        content.append(faces.drop(columns="path").to_csv(index=False))  # photos may move
        for path in new.values():
            _settle(path)
        (out / "card.json").unlink(missing_ok=True)
    times = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(out / "card.json", card | {"key": digest(*content)} | times)


def _write_images(stream: BinaryIO, chunks: list[Chunk], count: int, size: int) -> None:
    """Write images.npy part by part, so that memory holds one part at a time.

    Plain writes, not a memory map: a disk that fills up under a map ends the process without a
    word.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(stream, header)
    for crops in read_crops(chunks):
        stream.write(crops.tobytes())


def _settle(path: Path) -> None:
    """Wait until a file is on the disk, where a full one says so at the latest."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
