"""Where a set of drawn photos lies on disk, and reading it back."""

from pathlib import Path

import numpy as np
import pandas as pd

from expr_lib.errors import SourceError
from expr_lib.photos import COLUMNS
from expr_lib.sources.synthetic.canonical import Array

PHOTOS = "photos"
"""Folder of the pictures, e.g. photos/p0007_happy.png."""
CARDS = "people"
"""Folder of one JSON file a finished person: settings, landmarks and checksums of the photos."""
TABLE = "photos.csv"
LANDMARKS = "landmarks.npy"
SETTINGS = "settings.json"


def person_name(number: int) -> str:
    """Name of the person with a running number: p0007."""
    return f"p{number:04d}"


def photo_path(person: str, expression: str) -> str:
    """Path of a photo, relative to the set's folder."""
    return f"{PHOTOS}/{person}_{expression}.png"


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
        table = pd.read_csv(root / TABLE, dtype={"path": str, "person": str, "expression": str})
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
