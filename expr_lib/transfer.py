"""The end user's object: two photos in, one photo out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from expr_lib.alignment import align
from expr_lib.errors import BadSetting, NoFaceFound
from expr_lib.files import file_sha256, whole_file
from expr_lib.landmarks import find_landmarks
from expr_lib.marking import Provenance, mark_options
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import MODEL
from expr_lib.methods.painting import Painter
from expr_lib.photos import read_photo
from expr_lib.runs import Run

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Transfer:
    """One transfer.

    source, target, result        (H, W, 3) uint8, aligned crops at the model's size
    source_points, target_points  (68, 2) landmarks that were found, crop widths
    fused_points                  (68, 2) those that the result should have, Eq. 1
    notes                         what the user should know, such as of a photo of several people
    provenance                    the mark that a file of the result carries
    """

    source: np.ndarray
    target: np.ndarray
    result: np.ndarray
    source_points: np.ndarray
    target_points: np.ndarray
    fused_points: np.ndarray
    notes: tuple[str, ...]
    provenance: Provenance

    def write(self, path: Path) -> None:
        """Write the result with its mark, see `write_picture`. Raises BadSetting, OutputFailed."""
        write_picture(path, self.result, self.provenance)


class ExpressionTransfer:
    """A trained model ready for photos.

    version  what the mark of its pictures says about it: its run, and which weights
    """

    def __init__(self, model: Painter, version: str = "") -> None:
        self.model = model
        self.provenance = Provenance(model.title, version)

    @classmethod
    def load(cls, run: Path = SHIPPED) -> Self:
        """The model of a run folder, or the small one that comes with the library, which has learnt
        from drawn faces alone. Raises BrokenCheckpoint."""
        job = Run.open(run)
        model = job.trained_model()
        # the folder's name without its path: the picture goes to others
        weights = file_sha256(job.folder / "transfer" / MODEL)[:16]
        return cls(model, f"run {job.folder.resolve().name}, weights {weights}")

    def __call__(
        self,
        source: Path,
        target: Path,
        source_face: int | None = None,
        target_face: int | None = None,
    ) -> Transfer:
        """Put the source photo's expression on the target photo's face.

        source_face, target_face  which face when a photo shows several, 1 is the largest; None
                                  takes the largest
        raises                    UnreadablePhoto, NoFaceFound, BadSetting
        """
        one, source_notes = self._face(Path(source), source_face)
        other, target_notes = self._face(Path(target), target_face)
        return Transfer(
            source=one.photos[0],
            target=other.photos[0],
            result=self.model.generate(one, other)[0],
            source_points=one.points[0],
            target_points=other.points[0],
            fused_points=self.model.fuse(one, other)[0],
            notes=(*source_notes, *target_notes),
            provenance=self.provenance,
        )

    def _face(self, path: Path, rank: int | None) -> tuple[FaceBatch, list[str]]:
        if rank is not None and rank < 1:
            raise BadSetting(f"face {rank} cannot be meant: it counts from 1, the largest")
        photo = read_photo(path)
        try:
            detection = find_landmarks(photo, rank)
            face = detection.face
        except NoFaceFound as error:
            raise NoFaceFound(f"{path}: {error}") from None
        notes = []
        if detection.status == "several" and rank is None:
            count = len(detection.faces)
            notes.append(
                f"{path} shows {count} faces, the largest is taken (--face N chooses another)"
            )
        crop, points = align(photo, face.points, self.model.settings.size)
        return FaceBatch(crop[None], points[None].astype(np.float32)), notes


def write_picture(path: Path, photo: np.ndarray, provenance: Provenance | None = None) -> None:
    """Write a photo in one step, in the format of its suffix.

    photo       (H, W, 3) uint8
    provenance  the mark that a PNG, JPEG or WebP file then carries; other formats are written
                without one
    raises      BadSetting, OutputFailed
    """
    picture_format = format_of(path)
    mark = {} if provenance is None else mark_options(picture_format, provenance)
    with whole_file(path) as temporary:
        Image.fromarray(photo).save(temporary, format=picture_format, **mark)


def format_of(path: Path) -> str:
    """The picture format that a file's suffix names. Raises BadSetting when none can be written."""
    suffix = Path(path).suffix
    name = Image.registered_extensions().get(suffix.lower(), "")
    if name not in Image.SAVE:
        raise BadSetting(f"cannot write {path}: no picture format ends in {suffix!r}; use .png")
    return name
