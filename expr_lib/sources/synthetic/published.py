"""Drawn faces under the names and in the folders of RaFD and CK+, which nobody gets with the
project: what reads those can be tried on these."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from expr_lib.config import CAMERAS, GAZES
from expr_lib.errors import BadSetting, OutputExists, OutputFailed
from expr_lib.files import only_one
from expr_lib.photos import EXPRESSIONS
from expr_lib.sources.ckplus import EMOTION, EMOTIONS, FACS, IMAGES, LANDMARKS
from expr_lib.sources.rafd import RafdName
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.dataset import PEOPLE_PER_SEED
from expr_lib.sources.synthetic.layout import GAZE_DEGREES
from expr_lib.sources.synthetic.person import Person
from expr_lib.sources.synthetic.render import check_size, render
from expr_lib.sources.synthetic.units import expression_units
from expr_lib.workers import in_processes

MOST = {"rafd": 99, "ckplus": 899}
"""Most people that the names of a set have room for."""
_FRAMES = (4, 5, 6)
"""Lengths of the sequences."""
_COLOURED = 5
"""Of so many people, one has colour photos in CK+'s layout, as a few of the published ones do."""


def draw_as_published(
    layout: str, folder: Path, people: int, *, size: int = 256, seed: int = 0, jobs: int = 2
) -> int:
    """Draw people with names and folders as of RaFD or CK+.

    rafd    all cameras, expressions and gazes of each; groups and genders after who is drawn
    ckplus  all seven emotions of each as sequences of 4 to 6 frames, grey ones and a few in colour;
            every third has no label; the landmarks are the true ones
    folder  made whole or not at all; must be new or empty
    people  person number k, from 0, is Person(seed * 100,000 + k)
    size    side of the photos, pixels (the published ones are not square)
    returns the number of photos
    raises  BadSetting, OutputExists, OutputFailed
    """
    check_size(size)
    if not 1 <= people <= MOST[layout]:
        raise BadSetting(f"people is {people}; ask for 1 to {MOST[layout]}, {layout} names no more")
    if jobs < 1 or seed < 0:
        raise BadSetting(f"jobs is {jobs}, seed {seed}; give at least 1 job, and a seed from 0 up")
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputExists(f"{folder} is there and not empty; choose a new folder for the photos")
    partial_folder = folder.with_name(f".partial-{folder.name}")
    draw: Callable[[Path, int, int, int], int] = {"rafd": _draw_rafd, "ckplus": _draw_ckplus}[
        layout
    ]
    try:
        with only_one(partial_folder):
            for left_over in partial_folder.iterdir():  # of a run that was killed
                if left_over.is_dir():
                    shutil.rmtree(left_over)
            inside = partial_folder / "set"
            inside.mkdir()
            work = partial(draw, inside, seed, size)
            count = sum(
                in_processes(work, range(people), jobs, title=f"draw {layout}", unit="person")
            )
            if folder.is_dir():
                folder.rmdir()
            inside.rename(folder)
        shutil.rmtree(partial_folder)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another "
            "folder"
        ) from error
    return count


def _draw_rafd(folder: Path, seed: int, size: int, number: int) -> int:
    person = Person(seed * PEOPLE_PER_SEED + number)
    group = "Kid" if person.years < 14 else "Moroccan" if person.tone > 0.4 else "Caucasian"
    gender = "male" if person.male else "female"
    names = [
        RafdName(camera, f"{number + 1:02d}", group, gender, word, gaze)
        for camera in CAMERAS
        for word in EXPRESSIONS
        for gaze in GAZES
    ]
    for name in names:
        units = expression_units(name.expression)
        gaze = GAZE_DEGREES[name.gaze]
        drawn = render(person, units, size=size, yaw=name.yaw, gaze=gaze)
        Image.fromarray(drawn.image).save(folder / str(name), quality=95)
    return len(names)


def _draw_ckplus(folder: Path, seed: int, size: int, number: int) -> int:
    person, count = Person(seed * PEOPLE_PER_SEED + number), 0
    subject = f"S{number + 100:03d}"
    for k, word in enumerate(EMOTIONS):
        sequence = f"{subject}/{k + 1:03d}"
        length = _FRAMES[(number + k) % len(_FRAMES)]
        for frame in range(length):
            units = expression_units(word, frame / (length - 1))
            drawn = render(person, units, size=size)
            name = f"{subject}_{k + 1:03d}_{frame + 1:08d}"
            picture = Image.fromarray(drawn.image)
            if number % _COLOURED != _COLOURED - 1:
                picture = picture.convert("L")
            path = _place(folder, IMAGES, sequence, f"{name}.png")
            picture.save(path)
            _write_numbers(
                _place(folder, LANDMARKS, sequence, f"{name}_landmarks.txt"), drawn.landmarks
            )
            count += 1
        coded = [[float(unit.rstrip("LR")), 0.0] for unit in sorted(expression_units(word))]
        _write_numbers(_place(folder, FACS, sequence, f"{name}_facs.txt"), np.array(coded))
        if (number + k) % 3 != 2:
            label = np.array([[EMOTIONS.index(word) + 1.0]])
            _write_numbers(_place(folder, EMOTION, sequence, f"{name}_emotion.txt"), label)
    return count


def _place(folder: Path, part: str, sequence: str, name: str) -> Path:
    path = folder / part / sequence / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_numbers(path: Path, rows: Array) -> None:
    """Write rows as CK+ does: `   3.0000000e+00`."""
    lines = ["".join(f"   {number:.7e}" for number in row) for row in rows.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
