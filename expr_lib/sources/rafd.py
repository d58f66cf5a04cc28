"""The Radboud Faces Database (Langner et al. 2010): 67 people, eight expressions, three gazes, five
cameras.

Licensed: nobody gets it with the project. Its file names say everything about a photo, such as
`Rafd090_01_Caucasian_female_angry_frontal.jpg`: camera, person, group, gender, expression, gaze.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expr_lib.config import CAMERAS, GAZES, GROUPS
from expr_lib.errors import SourceError
from expr_lib.photos import EXPRESSIONS, photo_table
from expr_lib.sources import (
    PhotoSource,
    found_in,
    left_out,
    looks_like_a_photo,
    require_folder,
    walk,
)

LAYOUT = (
    "photos named such as Rafd090_01_Caucasian_female_angry_frontal.jpg, flat or in folders below"
)
"""The layout, in words."""
PEOPLE, PHOTOS = 67, 8040
"""Published: people, and photos of all cameras, expressions and gazes."""
GENDERS = ("female", "male")
_PER_PERSON = len(CAMERAS) * len(EXPRESSIONS) * len(GAZES)


@dataclass(frozen=True)
class RafdName:
    """What the name of a RaFD photo says, in RaFD's words."""

    camera: str
    person: str
    group: str
    gender: str
    expression: str
    gaze: str

    def __str__(self) -> str:
        """The file name, ending in .jpg."""
        parts = (self.person, self.group, self.gender, self.expression, self.gaze)
        return f"Rafd{self.camera}_{'_'.join(parts)}.jpg"

    @property
    def yaw(self) -> float:
        """How the head is turned in the picture, degrees, above 0 the nose to the image's right.

        The sign is not measured: camera 045 is taken to show a face that is turned to the image's
        right, as a published program names it. Pairs and flips are the same with the other sign.
        """
        return 90.0 - float(self.camera)


_WORDS = {
    "camera": CAMERAS,
    "person": (r"\d\d",),
    "group": GROUPS,
    "gender": GENDERS,
    "expression": EXPRESSIONS,
    "gaze": GAZES,
}
_NAME = re.compile(
    "Rafd"
    + "_".join(f"(?P<{part}>{'|'.join(words)})" for part, words in _WORDS.items())
    + r"\.jpe?g",
    re.IGNORECASE | re.ASCII,
)


def parse_rafd(name: str) -> RafdName | None:
    """Read a file name, in any case; None when it is none of RaFD's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    values = {part: text.lower() for part, text in match.groupdict().items()}
    return RafdName(**values | {"group": values["group"].capitalize()})


def load_rafd(
    root: Path,
    cameras: Sequence[str] = ("090",),
    gazes: Sequence[str] = GAZES,
    groups: Sequence[str] = GROUPS,
) -> PhotoSource:
    """List RaFD's photos under a folder, however deep.

    cameras, gazes, groups  those that are wanted; what is missing is counted among all
    returns  the photo table with yaws as `RafdName.yaw` says, persons such as 01, and a warning for
             every difference from what was published
    raises   SourceError when there is no such photo
    """
    root = require_folder(root, LAYOUT)
    photos: dict[RafdName, str] = {}
    other: list[str] = []
    twice: list[str] = []
    damaged: list[str] = []
    for folder, file in walk(root):
        path = f"{folder}/{file}"
        if (name := parse_rafd(file)) is None:
            other.append(file)
        elif name in photos:
            twice.append(file)
        elif looks_like_a_photo(path):
            photos[name] = path
        else:
            damaged.append(file)
    if not photos:
        raise SourceError(f"no photo of RaFD in {root}: expected {LAYOUT}; {found_in(root)}")
    rows = [
        {
            "path": path,
            "person": name.person,
            "expression": name.expression,
            "gaze": name.gaze,
            "yaw": name.yaw,
        }
        for name, path in photos.items()
        if name.camera in cameras and name.gaze in gazes and name.group in groups
    ]
    if not rows:
        raise SourceError(
            f"no photo in {root} is of camera {', '.join(cameras)}, gaze {', '.join(gazes)} and "
            f"group {', '.join(groups)}, among {len(photos)} of RaFD; choose other ones"
        )
    warnings = _what_is_missing(list(photos))
    warnings += left_out(
        (
            ("damaged or empty photos", damaged),
            ("photos left out because another one has their name", twice),
            ("files left out because they are no photo of RaFD", other),
        )
    )
    return PhotoSource(photo_table(rows), warnings=tuple(warnings), name="rafd")


def _what_is_missing(names: list[RafdName]) -> list[str]:
    """Differences from the published numbers, one sentence each."""
    people = Counter(name.person for name in names)
    warnings = []
    if len(people) != PEOPLE:
        warnings.append(f"{len(people)} people, where RaFD has {PEOPLE}")
    if len(names) != PHOTOS:
        warnings.append(f"{len(names)} photos, where RaFD has {PHOTOS}")
        seen = Counter(name.camera for name in names)
        if absent := [camera for camera in CAMERAS if not seen[camera]]:
            warnings.append(f"no photo of camera {', '.join(absent)}")
        share = _PER_PERSON // len(CAMERAS) * (len(CAMERAS) - len(absent))
        partial = sorted(person for person, count in people.items() if count < share)
        what = f"people with fewer than {share} photos of the cameras that are there"
        warnings += left_out([(what, partial)])
    kinds = {(name.person, name.group, name.gender) for name in names}
    mixed = sorted(who for who, n in Counter(person for person, *_ in kinds).items() if n > 1)
    return warnings + left_out([("people whose photos name several groups or genders", mixed)])
