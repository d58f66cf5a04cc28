"""What a set of drawn photos holds, where it lies on disk, and reading it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from expr_lib.errors import BadSetting, SourceError
from expr_lib.photos import COLUMNS, EXPRESSIONS
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.units import expression_units

PHOTOS = "photos"
"""Folder of the pictures, e.g. photos/p0007_happy.png."""
CARDS = "people"
"""Folder of one JSON file a finished person: settings, landmarks and checksums of the photos."""
TABLE = "photos.csv"
LANDMARKS = "landmarks.npy"
SETTINGS = "settings.json"

RAFD_YAWS = (-90.0, -45.0, 0.0, 45.0, 90.0)
"""The head as RaFD's five cameras see it, degrees; above 0 the nose points to the image's right."""
GAZE_DEGREES = MappingProxyType({"left": -25.0, "frontal": 0.0, "right": 25.0})
"""How far each gaze turns the eyes in the head, degrees, positive to the image's right.

Left is RaFD's: in its frontal photos named left the pupils lie towards the image's left, so the
sitter looks to their own right. Frontal is straight ahead of the head, wherever that is turned."""


@dataclass(frozen=True)
class Shot:
    """What one photo of a person shows, in the photo table's words.

    intensity  above 0, up to 1
    yaw        the head's, degrees
    """

    expression: str
    intensity: float = 1.0
    yaw: float = 0.0
    gaze: str = "frontal"

    @property
    def name(self) -> str:
        """The photo's name behind the person's: happy, or happy_50_y-45_left (half as strong,
        turned by -45 degrees, looking left); what is full or frontal is not said."""
        parts = [self.expression]
        if self.intensity != 1:
            parts.append(_digits(Decimal(repr(self.intensity)) * 100))
        if self.yaw:
            parts.append("y" + _digits(Decimal(repr(self.yaw))))
        if self.gaze != "frontal":
            parts.append(self.gaze)
        return "_".join(parts)


def _digits(number: Decimal) -> str:
    return f"{number.normalize():f}"


def check_shots(
    expressions: Sequence[str],
    yaws: Sequence[float],
    gazes: Sequence[str],
    intensities: Sequence[float],
) -> None:
    """Raise BadSetting when no set can be drawn so."""
    for name, values, choice in (
        ("expressions", expressions, f"some of {', '.join(EXPRESSIONS)}"),
        ("yaws", yaws, "degrees from -90 to 90"),
        ("gazes", gazes, f"some of {', '.join(GAZE_DEGREES)}"),
        ("intensities", intensities, "numbers above 0, up to 1"),
    ):
        if isinstance(values, (str, Real)) or len(values) == 0:
            raise BadSetting(f"{name} is {values!r}; give a list with {choice}")
    for expression in expressions:
        expression_units(expression)
    for yaw in yaws:
        if not isinstance(yaw, Real) or not -90 <= yaw <= 90:
            raise BadSetting(f"yaw {yaw!r} is out of range; give degrees from -90 to 90")
    for gaze in gazes:
        if gaze not in GAZE_DEGREES:
            raise BadSetting(f"unknown gaze {gaze!r}; choose among {', '.join(GAZE_DEGREES)}")
    for intensity in intensities:
        if not isinstance(intensity, Real) or not 0 < intensity <= 1:
            raise BadSetting(
                f"intensity {intensity!r} is out of range; give numbers above 0, up to 1"
            )


def shots_of(settings: dict[str, Any]) -> list[Shot]:
    """Every photo of a person, in one order."""
    strengths = [
        (word, intensity)
        for word in settings["expressions"]
        for intensity in ([1.0] if word == "neutral" else settings["intensities"])
    ]
    return [
        Shot(word, intensity, yaw, gaze)
        for word, intensity in strengths
        for yaw in settings["yaws"]
        for gaze in settings["gazes"]
    ]


def person_name(number: int) -> str:
    """Name of the person with a running number: p0007."""
    return f"p{number:04d}"


def photo_path(person: str, shot: str) -> str:
    """Path of a photo, relative to the set's folder; `shot` is the name of a Shot."""
    return f"{PHOTOS}/{person}_{shot}.png"


def load_synthetic(root: Path) -> tuple[pd.DataFrame, Array]:
    """Read a set that `synthesize` has made.

    returns  the photo table with absolute paths, and landmarks (N, 68, 2) float32, pixels of the
             photos, in the table's order
    raises   SourceError when the folder holds no finished set
    """
    root = Path(root).resolve()
    advice = "; run synthesize on this folder to make or finish it"
    for name in (TABLE, LANDMARKS):
        if not (root / name).is_file():
            found = "there is none" if root.is_dir() else "there is no such folder"
            raise SourceError(f"expected {name} of a drawn set in {root}, but {found}{advice}")
    try:
        words = dict.fromkeys(("path", "person", "expression", "gaze"), str)
        table = pd.read_csv(root / TABLE, dtype=words)
        landmarks = np.load(root / LANDMARKS, allow_pickle=False)
    except (ValueError, EOFError, pd.errors.ParserError) as error:
        raise SourceError(f"{TABLE} or {LANDMARKS} in {root} is damaged: {error}{advice}") from None
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise SourceError(
            f"expected the columns {', '.join(COLUMNS)} in {root / TABLE}, "
            f"found none named {missing[0]}{advice}"
        )
    if landmarks.shape != (len(table), 68, 2):
        raise SourceError(
            f"expected landmarks of shape ({len(table)}, 68, 2) in {root / LANDMARKS}, one row a "
            f"line of {TABLE}, found {landmarks.shape}{advice}"
        )
    absent = [path for path in table["path"] if not (root / path).is_file()]
    if absent:
        raise SourceError(
            f"expected {len(table)} photos in {root}, {len(absent)} are missing, "
            f"{absent[0]} the first{advice}"
        )
    table["path"] = [str(root / path) for path in table["path"]]
    return table[list(COLUMNS)], landmarks.astype(np.float32)
