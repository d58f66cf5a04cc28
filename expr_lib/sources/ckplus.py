"""The Extended Cohn-Kanade Dataset, CK+ (Lucey et al. 2010): 593 sequences of 123 people, each from
neutral to the peak of an expression.

Licensed: nobody gets it with the project. Four folders, all named alike below:

    cohn-kanade-images/S005/001/S005_001_00000011.png
    Emotion/S005/001/S005_001_00000011_emotion.txt          one number, for 327 sequences
    FACS/S005/001/S005_001_00000011_facs.txt                units and intensities of the peak
    Landmarks/S005/001/S005_001_00000011_landmarks.txt      68 points of every frame
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expr_lib.errors import SourceError
from expr_lib.photos import photo_table
from expr_lib.sources import (
    PhotoSource,
    found_in,
    left_out,
    looks_like_a_photo,
    require_folder,
    walk,
)

IMAGES, EMOTION, FACS, LANDMARKS = FOLDERS = ("cohn-kanade-images", "Emotion", "FACS", "Landmarks")
"""The published folders; each may lie in a folder of its own, as its archive unpacks."""
LAYOUT = (
    f"the folders {IMAGES} (with S005/001/S005_001_00000011.png) and {EMOTION} (with "
    f"S005/001/S005_001_00000011_emotion.txt), {FACS} and {LANDMARKS} beside them"
)
"""The layout, in words."""
PEOPLE, SEQUENCES, LABELS = 123, 593, 327
"""Published numbers."""
EMOTIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "sad", "surprised")
"""Emotion labels 1 to 7 in RaFD's words."""

_FRAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})\.png", re.IGNORECASE | re.ASCII)
_DEEP = 2  # levels below the root at which a published folder is looked for


@dataclass
class Sequence:
    """One sequence: its frames by number, and the expression of its label, None without one."""

    person: str
    number: str
    frames: dict[int, str] = field(default_factory=dict)
    expression: str | None = None

    @property
    def name(self) -> str:
        """Such as S005_001."""
        return f"{self.person}_{self.number}"


def parse_emotion(text: str) -> str | None:
    """Expression of an emotion file's text, such as `   3.0000000e+00`; None when it is no label.

    0, neutral, labels no published sequence and is none here either.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    known = number.is_integer() and 1 <= number <= len(EMOTIONS)
    return EMOTIONS[int(number) - 1] if known else None


def parse_landmarks(text: str) -> NDArray[np.float32] | None:
    """Points (68, 2) of a landmark file's text, 68 lines of x and y in pixels; None when it is
    something else."""
    try:
        rows = [[float(word) for word in line.split()] for line in text.split("\n") if line.strip()]
        points = np.array(rows, np.float32)
    except ValueError:  # a word, or lines of different lengths
        return None
    return points if points.shape == (68, 2) and np.isfinite(points).all() else None


def load_ckplus(root: Path, frames: str = "peak") -> PhotoSource:
    """List CK+'s labelled sequences.

    The first frame is neutral, the last the full expression; the intensity rises linearly in
    between.
    frames   peak: the first and the last frame; all; or a number: the first and the last so many
    returns  the photo table (`frame` counts from 0 in each sequence), CK+'s own landmarks, and a
             warning for every difference from what was published
    raises   SourceError when the folder is not as published, or no sequence has a label
    """
    root = require_folder(root, LAYOUT)
    places = _find_folders(root)
    if IMAGES not in places:
        raise SourceError(f"no {IMAGES} in {root}: expected {LAYOUT}; {found_in(root)}")
    sequences, other, damaged = _list_frames(places[IMAGES])
    if not sequences:
        raise SourceError(
            f"no frame of CK+ in {places[IMAGES]}: expected S005/001/S005_001_00000011.png and so "
            f"on; {found_in(places[IMAGES])}"
        )
    if EMOTION not in places:
        raise SourceError(
            f"no {EMOTION} in {root}, so that no sequence has a label: expected {LAYOUT}; "
            f"{found_in(root)}"
        )
    unread = _read_labels(places[EMOTION], sequences)
    labelled = [s for s in sequences.values() if s.expression is not None]
    short = sorted(s.name for s in labelled if len(s.frames) < 2)
    rows = [row for s in labelled if len(s.frames) > 1 for row in _rows(s, frames)]
    if not rows:
        raise SourceError(
            f"none of the {len(sequences)} sequences in {root} has a label in {EMOTION}; "
            f"{found_in(places[EMOTION])}"
        )
    table = photo_table(rows)
    landmarks, pointless = _read_landmarks(places.get(LANDMARKS), table["path"].tolist())
    warnings = _what_is_missing(sequences, places)
    silent = sorted(s.name for s in sequences.values() if s.expression is None)
    warnings += left_out(
        (
            ("sequences left out because they have no label", silent),
            ("sequences left out because they have one frame alone", short),
            ("label files that could not be read, or that no sequence belongs to", unread),
            ("damaged or empty frames", damaged),
            (f"frames without landmarks in {LANDMARKS}, or with damaged ones", pointless),
            (f"files in {IMAGES} left out because they are no frame", other),
        )
    )
    return PhotoSource(table, landmarks, tuple(warnings), "ckplus", grey=True)


def _find_folders(root: Path) -> dict[str, Path]:
    """The published folders, wherever their archives were unpacked."""
    found: dict[str, Path] = {}
    level = [root]
    for _ in range(_DEEP + 1):
        level = [
            entry
            for folder in level
            for entry in sorted(folder.iterdir())
            if entry.is_dir() and not re.fullmatch(r"S\d{3}", entry.name)
        ]
        for entry in level:
            for name in FOLDERS:
                # an archive's folder may have the name of the one that it holds
                inner = (entry / name).is_dir()
                if entry.name.lower() == name.lower() and not inner:
                    found.setdefault(name, entry)
    return found


def _list_frames(folder: Path) -> tuple[dict[str, Sequence], list[str], list[str]]:
    """Sequences by name, other files' names, and damaged frames' names."""
    sequences: dict[str, Sequence] = {}
    other: list[str] = []
    damaged: list[str] = []
    for place, file in walk(folder):
        match = _FRAME.fullmatch(file)
        if match is None:
            other.append(file)
        elif not looks_like_a_photo(f"{place}/{file}"):
            damaged.append(file)
        else:
            person, number = match[1].upper(), match[2]
            sequence = sequences.setdefault(f"{person}_{number}", Sequence(person, number))
            sequence.frames[int(match[3])] = f"{place}/{file}"
    return sequences, other, damaged


def _texts(folder: Path, ending: str) -> Iterator[tuple[str, Path]]:
    """Name of the frame, such as S005_001_00000011, and path of every file of that ending."""
    for place, file in walk(folder):
        if file.lower().endswith(ending) and not file.startswith("."):
            yield file[: -len(ending)], Path(place) / file


def _read_labels(folder: Path, sequences: dict[str, Sequence]) -> list[str]:
    """Give sequences their expressions; returns the files that are no label of one."""
    unread = []
    for frame, path in _texts(folder, "_emotion.txt"):
        name, _, _ = frame.upper().rpartition("_")
        try:
            expression = parse_emotion(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError):
            expression = None
        if name in sequences and expression is not None:
            sequences[name].expression = expression
        else:
            unread.append(path.name)
    return unread


def _rows(sequence: Sequence, frames: str) -> list[dict[str, Any]]:
    ordered = [sequence.frames[number] for number in sorted(sequence.frames)]
    last = len(ordered) - 1
    wanted = {"peak": 1, "all": last}.get(frames) or int(frames)
    rows = []
    for frame, path in enumerate(ordered):
        if frame == 0:
            word, intensity = "neutral", 1.0
        elif frame > last - wanted:
            word, intensity = str(sequence.expression), frame / last
        else:
            continue
        row = {"path": path, "person": sequence.person, "expression": word}
        rows.append(row | {"intensity": intensity, "frame": frame})
    return rows


def _read_landmarks(
    folder: Path | None, photos: list[str]
) -> tuple[NDArray[np.float32] | None, list[str]]:
    """CK+'s points (N, 68, 2) of the frames, NaN where there are none, and the names of those."""
    if folder is None:
        return None, []
    points = np.full((len(photos), 68, 2), np.nan, np.float32)
    pointless = []
    for row, photo in enumerate(map(Path, photos)):
        person, number = photo.parts[-3:-1]
        file = folder / person / number / f"{photo.stem}_landmarks.txt"
        try:
            read = parse_landmarks(file.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError):
            read = None
        if read is None:
            pointless.append(photo.name)
        else:
            points[row] = read
    return (None if len(pointless) == len(photos) else points), pointless


def _what_is_missing(sequences: dict[str, Sequence], places: dict[str, Path]) -> list[str]:
    """Differences from the published numbers, one sentence each."""
    people = len({sequence.person for sequence in sequences.values()})
    labels = sum(sequence.expression is not None for sequence in sequences.values())
    warnings = [
        f"{found} {what}, where CK+ has {published}"
        for found, what, published in (
            (people, "people", PEOPLE),
            (len(sequences), "sequences", SEQUENCES),
            (labels, "labels", LABELS),
        )
        if found != published
    ]
    if absent := [name for name in FOLDERS if name not in places]:
        warnings.append(f"folders that are not there: {', '.join(absent)}")
    if FACS in places:
        coded = {frame.upper().rpartition("_")[0] for frame, _ in _texts(places[FACS], "_facs.txt")}
        warnings += left_out([(f"sequences without {FACS}", sorted(sequences.keys() - coded))])
    return warnings
