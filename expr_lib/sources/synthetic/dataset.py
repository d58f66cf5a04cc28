"""Drawing a set of people, expressions and views to disk: in parallel, resumable at any moment."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from expr_lib.errors import BadSetting, OutputExists
from expr_lib.files import digest, file_sha256, only_one, read_json, whole_file, write_json
from expr_lib.photos import EXPRESSIONS, photo_table
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.layout import (
    CARDS,
    GAZE_DEGREES,
    LANDMARKS,
    PHOTOS,
    SETTINGS,
    TABLE,
    Shot,
    check_shots,
    load_synthetic,
    person_name,
    photo_path,
    shots_of,
)
from expr_lib.sources.synthetic.person import Person
from expr_lib.sources.synthetic.render import SMALLEST, check_size, render
from expr_lib.sources.synthetic.units import expression_units
from expr_lib.workers import in_processes

PEOPLE_PER_SEED = 100_000
"""Person number k of a set is Person(seed * PEOPLE_PER_SEED + k)."""
MOST_PEOPLE = 10_000
RENDERER = 5
"""Raised whenever the pictures change, so that no set is half of one renderer, half of another."""


def synthesize(
    folder: Path,
    people: int,
    expressions: Sequence[str] = EXPRESSIONS,
    size: int = 256,
    seed: int = 0,
    jobs: int = 2,
    progress: bool = True,
    *,
    yaws: Sequence[float] = (0.0,),
    gazes: Sequence[str] = ("frontal",),
    intensities: Sequence[float] = (1.0,),
) -> pd.DataFrame:
    """Draw a set of photos with the true landmarks: every person with every expression, at every
    intensity, from every side, with every gaze.

    A person who is already drawn whole is kept, so a killed run goes on where it stopped, and a
    finished set grows when it is asked for more people; the files are the same bytes as of one run.

    folder       gets photos/p0007_happy.png ... (photos/p0007_happy_50_y-45_left.png at intensity
                 0.5, yaw -45, gaze left), photos.csv (the photo table, paths relative to it) and
                 landmarks.npy (float32 (N, 68, 2), pixels, in the table's order)
    people       1 to 10,000; person number k, from 0, is Person(seed * 100,000 + k)
    expressions  some of RaFD's eight words
    size         side of the photos, pixels, even and at least 64
    jobs         worker processes
    progress     show a progress bar
    yaws         turns of the head, -90 to 90 degrees; above 0 the nose points to the
                 image's right
    gazes        some of left, frontal and right; GAZE_DEGREES says what they mean
    intensities  of the expressions, above 0, up to 1; neutral is drawn once, as 1
    returns      the photo table with absolute paths
    raises       BadSetting, RunBusy, OutputFailed, and OutputExists when the folder holds a set of
                 other settings
    """
    _check(people, size, seed, jobs)
    check_shots(expressions, yaws, gazes, intensities)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputExists(f"{folder} is a file; choose a folder for the drawn photos")
    settings: dict[str, Any] = {
        "renderer": RENDERER,
        "seed": seed,
        "size": size,
        "expressions": sorted(set(expressions), key=EXPRESSIONS.index),
        "yaws": sorted({float(yaw) + 0.0 for yaw in yaws}),  # + 0.0 makes -0.0 a plain 0
        "gazes": sorted(set(gazes), key=list(GAZE_DEGREES).index),
        "intensities": sorted({float(intensity) for intensity in intensities}),
    }
    with only_one(folder):
        _claim(folder, settings, people)
        missing = [n for n in range(people) if _missing_photos(folder, n, settings)]
        if min(jobs, len(missing)) > 1:
            _compile(missing[0], settings)
        if missing:
            draw = partial(_draw_person, folder, settings=settings)
            done = people - len(missing)
            drawing = in_processes(
                draw, missing, jobs, title="draw", unit="person", done=done, progress=progress
            )
            for _ in drawing:
                pass
        drawn = [_landmarks_of(folder, number, settings) for number in range(people)]
        _write_table(folder, drawn, settings)
    return load_synthetic(folder)[0]


def _check(people: int, size: int, seed: int, jobs: int) -> None:
    if not 1 <= people <= MOST_PEOPLE:
        raise BadSetting(f"people is {people}; ask for 1 to {MOST_PEOPLE}")
    check_size(size)
    if seed < 0:
        raise BadSetting(f"seed is {seed}; give a whole number from 0 up")
    if jobs < 1:
        raise BadSetting(f"jobs is {jobs}; give the number of worker processes, 1 or more")


def _claim(folder: Path, settings: dict[str, Any], people: int) -> None:
    """Write down what the folder is for, or check that it is for the same."""
    path = folder / SETTINGS
    if not path.is_file() and ((folder / TABLE).exists() or (folder / PHOTOS).exists()):
        raise OutputExists(f"{folder} holds photos that are no drawn set; choose another folder")
    if path.is_file():
        kept = _read_settings(path)
        before = kept["people"]
        differing = [name for name in settings if kept.get(name) != settings[name]]
        if differing:
            name = differing[0]
            raise OutputExists(
                f"{folder} holds a drawn set with {name} {kept.get(name)}, not {settings[name]}; "
                "choose another folder, or delete this one"
            )
        if people < before:
            raise OutputExists(
                f"{folder} holds a drawn set of {before} people, more than {people}; ask for "
                f"{before} or more, choose another folder, or delete this one"
            )
        for partial in (*folder.glob(".partial-*"), *folder.glob("*/.partial-*")):
            partial.unlink(missing_ok=True)  # what a killed run left behind
    write_json(path, {**settings, "people": people})


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        kept = read_json(path)
        if isinstance(kept["people"], int):
            return kept
    except (ValueError, KeyError, TypeError):
        pass
    raise OutputExists(f"{path} is damaged; choose another folder, or delete this one")


def _person(number: int, settings: dict[str, Any]) -> Person:
    return Person(settings["seed"] * PEOPLE_PER_SEED + number)


def _compile(number: int, settings: dict[str, Any]) -> None:
    """Have the renderer's loops compiled and cached, so that not every worker compiles them."""
    render(_person(number, settings), {}, size=SMALLEST)


def _draw_person(folder: Path, number: int, settings: dict[str, Any]) -> None:
    """Draw a person's missing photos, and write their card."""
    name = person_name(number)
    card = _read_card(folder, number, settings)
    person = _person(number, settings)
    for shot in _missing_photos(folder, number, settings):
        drawn = render(
            person,
            expression_units(shot.expression, shot.intensity),
            size=settings["size"],
            yaw=shot.yaw,
            gaze=GAZE_DEGREES[shot.gaze],
        )
        path = folder / photo_path(name, shot.name)
        with whole_file(path) as temporary:
            # level 1 is four times as fast as the default and an eighth larger
            Image.fromarray(drawn.image).save(temporary, format="PNG", compress_level=1)
        landmarks = drawn.landmarks.tolist()
        card["photos"][shot.name] = {"sha256": file_sha256(path), "landmarks": landmarks}
    card["photos"] = {shot.name: card["photos"][shot.name] for shot in shots_of(settings)}
    write_json(folder / CARDS / f"{name}.json", card)


def _missing_photos(folder: Path, number: int, settings: dict[str, Any]) -> list[Shot]:
    """Photos of a person that are not drawn yet, or are not what was drawn."""
    card = _read_card(folder, number, settings)
    name = person_name(number)
    return [shot for shot in shots_of(settings) if not _is_whole(folder, name, shot.name, card)]


def _landmarks_of(folder: Path, number: int, settings: dict[str, Any]) -> dict[str, Array]:
    """A drawn person's landmarks: name of the shot -> (68, 2)."""
    photos = _read_card(folder, number, settings)["photos"]
    return {shot: np.array(entry["landmarks"], np.float32) for shot, entry in photos.items()}


def _read_card(folder: Path, number: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The card of a person drawn before, or an empty one."""
    path, made_with = folder / CARDS / f"{person_name(number)}.json", digest(settings, number)
    if path.is_file():
        try:
            card = read_json(path)
            if card["settings"] == made_with and isinstance(card["photos"], dict):
                return card
        except (ValueError, KeyError, TypeError):
            pass  # a damaged card: the person is drawn again
    return {"settings": made_with, "photos": {}}


def _is_whole(folder: Path, name: str, shot: str, card: dict[str, Any]) -> bool:
    path = folder / photo_path(name, shot)
    entry = card["photos"].get(shot)
    return entry is not None and path.is_file() and file_sha256(path) == entry["sha256"]


def _write_table(folder: Path, drawn: list[dict[str, Array]], settings: dict[str, Any]) -> None:
    rows, landmarks = [], {}
    for number, points in enumerate(drawn):
        name = person_name(number)
        for shot in shots_of(settings):
            path = photo_path(name, shot.name)
            rows.append({"path": path, "person": name, **asdict(shot)})
            landmarks[path] = points[shot.name]
    table = photo_table(rows)
    with whole_file(folder / LANDMARKS) as temporary:
        np.save(temporary, np.stack([landmarks[path] for path in table["path"]]))
    with whole_file(folder / TABLE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
