"""A reader's own photos: one folder a person, each photo named after its expression."""

from pathlib import Path
from typing import Any

from expr_lib.errors import SourceError
from expr_lib.photos import EXPRESSIONS, photo_table
from expr_lib.sources import PhotoSource, found_in, left_out, require_folder

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""File endings taken for photos, in upper or lower case."""

LAYOUT = (
    "<person>/<expression>*.jpg, such as anna/happy_2.jpg, "
    f"with the expressions {', '.join(EXPRESSIONS)}"
)
"""The layout, in words."""


def load_folder(root: Path) -> PhotoSource:
    """List the photos under `<root>/<person>/<expression>*`; several of one expression are numbered
    in `frame`.

    raises  SourceError when the folder is missing or holds no such photo
    """
    root = require_folder(root, LAYOUT)
    rows: list[dict[str, Any]] = []
    nameless: list[str] = []
    people = [
        entry
        for entry in sorted(root.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    for person in people:
        repeats: dict[str, int] = {}
        for photo in sorted(person.iterdir()):
            if (
                photo.name.startswith(".")
                or photo.suffix.lower() not in SUFFIXES
                or not photo.is_file()
            ):
                continue
            expression = expression_of(photo.stem)
            if expression is None:
                nameless.append(f"{person.name}/{photo.name}")
                continue
            frame = repeats.get(expression, 0)
            repeats[expression] = frame + 1
            rows.append(
                {
                    "path": str(photo),
                    "person": person.name,
                    "expression": expression,
                    "frame": frame,
                }
            )
    if not rows:
        raise SourceError(
            f"no photo with a known expression in {root}: expected {LAYOUT}; "
            f"{_what_is_there(root, people)}"
        )
    return PhotoSource(photo_table(rows), warnings=_warnings(root, nameless), name="folder")


def expression_of(stem: str) -> str | None:
    """Return the longest of EXPRESSIONS that a file name starts with, in any case; None when there
    is none."""
    known = [word for word in EXPRESSIONS if stem.lower().startswith(word)]
    return max(known, key=len, default=None)


def _what_is_there(root: Path, people: list[Path]) -> str:
    """What the folder holds, and what its first person's folder holds, since that is where names go
    wrong."""
    inside = f"; in {people[0].name}/: {found_in(people[0])}" if people else ""
    return found_in(root) + inside


def _warnings(root: Path, nameless: list[str]) -> tuple[str, ...]:
    loose = [
        entry.name
        for entry in sorted(root.iterdir())
        if entry.is_file() and entry.suffix.lower() in SUFFIXES
    ]
    return tuple(
        left_out(
            (
                ("photos left out because their names start with no known expression", nameless),
                ("photos left out because they are in no person's folder", loose),
            )
        )
    )
