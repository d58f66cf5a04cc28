"""Data sources: each turns a folder of photos into the photo table, and nothing after it knows
which one it was."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from expr_lib.config import PhotoSettings
from expr_lib.errors import BadSetting, SourceError

SOURCES = ("synthetic", "london", "folder", "rafd", "ckplus")
"""Names of the data sources."""

_SHOWN = 6


@dataclass(frozen=True)
class PhotoSource:
    """The photos of a source, and what is known about them.

    table      the photo table (`expr_lib.photos.photo_table`) with absolute paths
    landmarks  (N, 68, 2)  the true landmarks in the table's order, pixel indices of each photo,
               NaN where nobody knows; None when nobody knows any
    warnings   one sentence each, for the user to read: what was left out and why
    name       the source's name
    grey       the photos are taken for grey ones, whatever colour some have
    """

    table: pd.DataFrame
    landmarks: NDArray[np.floating] | None = None
    warnings: tuple[str, ...] = ()
    name: str = ""
    grey: bool = False


def load_photos(source: str, root: Path | None, choice: PhotoSettings | None = None) -> PhotoSource:
    """List the photos of a source.

    source   one of SOURCES
    root     folder that holds them; None lets a source that can be downloaded (london) do so into
             the cache
    choice   which photos of RaFD and CK+; None is the default
    raises   BadSetting for an unknown source or a missing root, SourceError when the folder is not
             what it should be
    """
    if source not in SOURCES:
        raise BadSetting(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    if source == "london":
        from expr_lib.sources.london import load_london

        return load_london(root)
    if root is None:
        raise BadSetting(f"the source {source!r} needs the folder of its photos: give --root")
    if source == "synthetic":
        return _load_synthetic(root)
    choice = choice or PhotoSettings()
    if source == "rafd":
        from expr_lib.sources.rafd import load_rafd

        return load_rafd(root, choice.cameras, choice.gazes, choice.groups)
    if source == "ckplus":
        from expr_lib.sources.ckplus import load_ckplus

        return load_ckplus(root, choice.frames)
    from expr_lib.sources.folder import load_folder

    return load_folder(root)


def _load_synthetic(root: Path) -> PhotoSource:
    from expr_lib.sources.synthetic import load_synthetic

    table, landmarks = load_synthetic(root)
    return PhotoSource(table, landmarks, name="synthetic")


def found_in(folder: Path) -> str:
    """Say in a few words what a folder holds, for error messages: its first entries and their
    number."""
    if not folder.exists():
        return "there is no such folder"
    if not folder.is_dir():
        return "that is a file, not a folder"
    names = sorted(
        entry.name + ("/" if entry.is_dir() else "")
        for entry in folder.iterdir()
        if not entry.name.startswith(".")
    )
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "found there: " + ", ".join(names[:_SHOWN]) + more


def walk(root: Path) -> Iterator[tuple[str, str]]:
    """Give the folder and the name of every file under a folder, in one order, hidden ones too."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            yield folder, name


def looks_like_a_photo(path: str) -> bool:
    """Whether a file begins as a photo does; its pixels are not read."""
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def left_out(findings: Iterable[tuple[str, list[str]]]) -> list[str]:
    """One sentence for each kind of thing that was found: what, how many, and the first names."""
    return [f"{what} ({len(names)}): {first_few(names)}" for what, names in findings if names]


def first_few(names: list[str]) -> str:
    """Join the first names of a list and say how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def require_folder(root: Path, layout: str) -> Path:
    """Return the absolute path of a folder that must exist.

    layout   what is expected in it, for the message
    raises   SourceError saying what was expected and what is there
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise SourceError(f"{root}: {found_in(root)}; expected {layout}")
    return root.resolve()
