"""FaceSet: aligned crops with their landmarks, made once and memory-mapped ever after."""

import contextlib
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expr_lib.assembling import describe, join_tables, write_faceset
from expr_lib.errors import BadSetting, BrokenFaceSet, NoFaceFound, OutputExists, OutputFailed
from expr_lib.files import only_one, read_json, sweep
from expr_lib.photos import COLUMNS, as_grey
from expr_lib.points import IBUG68, Layout
from expr_lib.preparing import (
    LandmarkSource,
    hash_inputs,
    list_entries,
    make_chunks,
    make_parts,
    one_line,
    read_part,
)
from expr_lib.sources import PhotoSource

_TEXT = {"path": str, "person": str, "expression": str, "gaze": str}


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Aligned faces, as `prepare` writes them.

    folder     where they are
    images     (N, H, W, 3) uint8, memory-mapped, read only
    landmarks  (N, 68, 2) in crop widths
    table      the photo table's rows of these faces in the same order, and `faces`: how many faces
               each photo shows
    card       source, size, counts, versions, content hash
    """

    folder: Path
    images: np.memmap
    landmarks: NDArray[np.float32]
    table: pd.DataFrame
    card: dict[str, Any]

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.table)

    @property
    def size(self) -> int:
        """Side of the crops, pixels."""
        return int(self.images.shape[1])

    @property
    def key(self) -> str:
        """Hash of the content: crops, landmarks and table."""
        return str(self.card["key"])

    @property
    def layout(self) -> Layout:
        """How the 68 landmarks are numbered."""
        return IBUG68

    @property
    def grey(self) -> bool:
        """Whether the photos are grey ones: what is made of them is measured as such [11]."""
        return bool(self.card.get("grey", False))

    @cached_property
    def people(self) -> tuple[str, ...]:
        """The people, sorted."""
        return tuple(sorted(self.table["person"].unique()))

    def photos_at(self, rows: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        """Some crops at another size: each pixel the mean of the square of pixels that it covers.

        rows     (M,) indices
        size     side of the result, pixels; the FaceSet's own size is a multiple of it
        returns  (M, size, size, 3) uint8
        raises   BadSetting when the FaceSet's size is no multiple of `size`
        """
        factor, rest = divmod(self.size, size)
        if rest or not factor:
            raise BadSetting(
                f"the faces in {self.folder} are {self.size} pixels wide, "
                f"which is no multiple of {size}; prepare them with --size {size}"
            )
        if factor == 1:
            return np.array(self.images[rows])
        result = np.empty((len(rows), size, size, 3), np.uint8)
        for i, row in enumerate(rows.tolist()):
            total = np.zeros((size, size, 3), np.uint32)
            for down in range(factor):
                for right in range(factor):
                    total += self.images[row, down::factor, right::factor]
            result[i] = np.rint(total / factor**2)
        return result

    def in_grey(self) -> "FaceSet":
        """The same faces, taken for grey photos [11]."""
        return GreyFaceSet(self.folder, self.images, self.landmarks, self.table, self.card)

    @classmethod
    def load(cls, folder: Path) -> "FaceSet":
        """Open a folder that `prepare` has finished.

        raises  BrokenFaceSet when it is no FaceSet, not finished, or its files do not fit together
        """
        folder = Path(folder)
        card = _read_card(folder)
        try:
            images = np.load(folder / "images.npy", mmap_mode="r")
            landmarks = np.load(folder / "landmarks.npy")
            table = pd.read_csv(folder / "faces.csv", dtype=_TEXT, keep_default_na=False)
        except (OSError, ValueError, EOFError) as error:
            raise BrokenFaceSet(f"{folder}: {one_line(error)}; {_AGAIN}") from error
        if wrong := _what_is_wrong(images, landmarks, table, card):
            raise BrokenFaceSet(f"{folder}: {wrong}; {_AGAIN}")
        return cls(folder, images, landmarks, table, card)


class GreyFaceSet(FaceSet):
    """A FaceSet whose photos are given in grey."""

    @property
    def key(self) -> str:
        """Hash of the content, other than that of the colour photos."""
        return f"{super().key}-grey"

    @property
    def grey(self) -> bool:
        """They are."""
        return True

    def photos_at(self, rows: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        """Some crops in grey; see `FaceSet.photos_at`."""
        return as_grey(super().photos_at(rows, size))


_AGAIN = "delete the folder and prepare it again"


def _read_card(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BrokenFaceSet(
            f"no FaceSet at {folder}: there is no such folder; make it with prepare"
        )
    if not (folder / "card.json").is_file():
        half = (folder / ".parts").is_dir() or (folder / "images.npy").is_file()
        state = (
            "is not finished, run the same prepare again"
            if half
            else "is no FaceSet, make one with prepare"
        )
        raise BrokenFaceSet(f"{folder} {state}: it has no card.json")
    try:
        card = read_json(folder / "card.json")
    except ValueError as error:
        raise BrokenFaceSet(
            f"{folder / 'card.json'} is not JSON ({one_line(error)}); {_AGAIN}"
        ) from error
    missing = {"kind", "size", "faces", "key", "inputs"} - set(
        card if isinstance(card, dict) else ()
    )
    if missing or card["kind"] != "FaceSet":
        raise BrokenFaceSet(
            f"{folder / 'card.json'} is not the card of a FaceSet; "
            "give the folder that prepare wrote"
        )
    return card


def _what_is_wrong(
    images: NDArray[Any], landmarks: NDArray[Any], table: pd.DataFrame, card: dict[str, Any]
) -> str | None:
    """Say what does not fit together, or None when all is well."""
    count, size = card["faces"], card["size"]
    if images.shape != (count, size, size, 3) or images.dtype != np.uint8:
        return f"images.npy is {images.shape} {images.dtype}, not the card's {count} of size {size}"
    if landmarks.shape != (count, 68, 2) or landmarks.dtype != np.float32:
        return f"landmarks.npy is {landmarks.shape} {landmarks.dtype}, the card says {count} faces"
    if not np.isfinite(landmarks).all():
        return "landmarks.npy holds numbers that are not finite"
    if missing := set(COLUMNS) - set(table.columns):
        return f"faces.csv lacks the columns {', '.join(sorted(missing))}"
    if len(table) != count:
        return f"faces.csv has {len(table)} rows, its card says {count}"
    return None


def prepare(
    photos: PhotoSource,
    out: Path,
    *,
    size: int = 256,
    jobs: int = 2,
    landmarks: LandmarkSource = "dlib",
    progress: bool = True,
    overwrite: bool = False,
) -> FaceSet:
    """Make a FaceSet: find each photo's landmarks, align it, write crops, points and table.

    A run that was stopped is taken up where it was; one that is finished is returned as it is.
    Photos that cannot be used are written to skipped.csv with the reason and counted aloud.
    photos     the photos of a source
    size       side of the crops, pixels
    jobs       processes at work
    landmarks  "dlib" finds them, "true" takes those that the source knows
    overwrite  replace another FaceSet in `out`
    raises     BadSetting, NoFaceFound when no photo at all can be used, OutputExists when `out`
               holds another FaceSet, RunBusy when another process is at work in it, OutputFailed
               when the disk is full
    """
    out = Path(out)
    if size < 16:
        raise BadSetting(f"crops of {size} pixels are too small; choose a size of 16 or more")
    if jobs < 1:
        raise BadSetting(f"{jobs} jobs cannot do anything; choose 1 or more")
    entries = list_entries(photos, landmarks)
    inputs = hash_inputs(photos, entries, size, landmarks)
    started = time.monotonic()
    _make_folder(out)
    with only_one(out):
        if (finished := _finished(out, inputs, overwrite)) is not None:
            print(f"{out}: {len(finished)} faces, prepared before, nothing has changed since")
            return finished
        sweep(out)
        chunks = make_chunks(entries, size, out / ".parts", landmarks)
        make_parts(chunks, jobs, progress)
        parts = [read_part(chunk) for chunk in chunks]
        faces, skipped = join_tables(photos.table, chunks, parts)
        if faces.empty:
            raise NoFaceFound(
                f"none of the {len(entries)} photos can be used; the first: "
                f"{skipped['path'][0]}: {skipped['reason'][0]}"
            )
        card = describe(photos, faces, size, landmarks) | {"inputs": inputs}
        write_faceset(out, chunks, parts, faces, skipped, card, started)
        shutil.rmtree(out / ".parts", ignore_errors=True)
        done = FaceSet.load(out)
    _tell(done)
    return done


def _tell(faces: FaceSet) -> None:
    """Say how many faces there are, and aloud what is missing from them."""
    card = faces.card
    print(f"{faces.folder}: {card['faces']} faces of {card['people']} people")
    if card["several_faces"]:
        print(f"several faces in a photo, the largest was taken: {card['several_faces']} times")
    if card["skipped"]:
        where = faces.folder / "skipped.csv"
        print(f"skipped {card['skipped']} of {card['photos']} photos; the reasons are in {where}")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputExists(f"{out} is a file; choose another folder with --out") from error
    except OSError as error:
        raise OutputFailed(
            f"cannot make the folder {out}: {error.strerror}; choose another with --out"
        ) from error


def _finished(out: Path, inputs: str, overwrite: bool) -> FaceSet | None:
    """Return the FaceSet that is in `out` if it is the one wanted, None if there is work to do."""
    if not (out / "card.json").is_file():
        return None
    try:
        same = _read_card(out)["inputs"] == inputs
    except BrokenFaceSet:
        same = False
    if same:
        with contextlib.suppress(BrokenFaceSet):  # the right one, but damaged: it is made again
            return FaceSet.load(out)
    elif not overwrite:
        raise OutputExists(
            f"{out} holds something else, made from other photos or settings; "
            "choose another --out or give --overwrite"
        )
    return None
