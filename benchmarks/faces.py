"""How good the drawn faces are: measures them in one table against their bars and real photos.

    python benchmarks/faces.py [--first 5000] [--people 60] [--jobs 2] [--sheet FILE]
        [--misnamed FILE] [--detail]

Each person is drawn with the eight expressions, frontal and turned, 256 pixels wide, and looked at
as the library looks at any photo: `find_landmarks` enlarges a picture in which it finds no face;
what the detector finds without that is told below the table. Landmark errors are in % of the
distance between the true outer eye corners. Expressions are named by dlib's points and people by
its embedding, from frontal photos; those without a face are left out there, and counted aloud.

The real photos are the London set's, reduced until the eyes are as far apart as in the drawn faces.
A bar that is missed is marked; the exit code is 0 all the same.
"""

import argparse
import operator
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.special import log_softmax
from scipy.stats import rankdata
from skimage.color import xyz2lab

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.dlib_models import detector, resized
from expr_lib.embedding import embed_face
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import EXPRESSIONS, read_photo
from expr_lib.points import LANDMARK_PARTS, MIRROR, eye_distance
from expr_lib.sources import load_photos
from expr_lib.sources.synthetic import Person, expression_units, render
from expr_lib.workers import in_processes

Array = NDArray[np.floating]
Result = TypeVar("Result")
Row = tuple[str, str, float, float | None, float | None]
SIZE, TILE = 256, 192
YAWS = (0, -22, 22, -45, 45)
FOLDS = 5
SRGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
L2 = 1.0  # weight of the squares against the sum of the photos' losses
TIMED_PEOPLE = 10
FACE_PARTS = {
    part: [i for name in LANDMARK_PARTS if word in name for i in LANDMARK_PARTS[name]]
    for part, word in {"jaw": "jaw", "brows": "brow", "nose": "nose", "eyes": "eye"}.items()
} | {"mouth": list(range(48, 68))}


@dataclass(frozen=True)
class Photo:
    """What dlib makes of one photo.

    person, expression, yaw  who, which word, degrees
    one, at_once             whether exactly one face is found, and without enlarging the photo
    points, embedding        (68, 2) pixels and (128,); None without a face, or when it is turned
    truth, tile              a frontal drawn face's true points and its small picture
    """

    person: str
    expression: str
    yaw: int
    one: bool
    at_once: bool
    points: Array | None = None
    embedding: Array | None = None
    truth: Array | None = None
    tile: NDArray[np.uint8] | None = None


def look_at(
    image: NDArray[np.uint8], person: str, word: str, yaw: int = 0, **more: Array | None
) -> Photo:
    """Find the face of a photo, and of a frontal one its points and its embedding."""
    found = find_landmarks(image)
    if found.faces and not yaw:
        points = found.face.points
        more |= {"points": points, "embedding": embed_face(image, points)}
    at_once = len(detector().run(image, 0, 0.0)[0]) == 1
    return Photo(person, word, yaw, found.status == "one", at_once, **more)


def draw_person(seed: int, tiles: bool) -> list[Photo]:
    """Draw one person with all expressions and yaws, and look at the photos."""
    person, photos = Person(seed), []
    for word in EXPRESSIONS:
        for yaw in YAWS:
            drawn = render(person, expression_units(word), size=SIZE, yaw=yaw)
            more = {} if yaw else {"truth": drawn.landmarks}
            if tiles and not yaw:
                more["tile"] = resized(drawn.image, (TILE, TILE))
            photos.append(look_at(drawn.image, str(seed), word, yaw, **more))
    return photos


def describe(seed: int) -> tuple[float, bool, float]:
    """A drawn person's years, whether male, and the individual typology angle of the skin."""
    person = Person(seed)
    linear = np.clip(person.skin_colour, 0, 1)
    light, _, yellow = xyz2lab(linear @ SRGB_TO_XYZ.T)
    return person.years, person.male, float(np.degrees(np.arctan2(light - 50, yellow)))


def print_variety(seeds: Sequence[int], jobs: int) -> None:
    """Print who the drawn people are."""
    who = list(in_processes(describe, seeds, jobs, title="variety", unit="person"))
    years, male, angle = (np.array(column) for column in zip(*who, strict=True))
    print(
        f"people: {np.sum(~male)} women and {np.sum(male)} men, {years.min():.0f} to "
        f"{years.max():.0f} years (median {np.median(years):.0f}); skin's typology angle "
        f"{angle.max():.0f} (light) to {angle.min():.0f} degrees (dark), "
        f"median {np.median(angle):.0f}"
    )


def look_at_real(photo: tuple[str, str, str], eyes: float) -> Photo:
    """Look at a real photo (path, person, expression), reduced until its eyes are so far apart."""
    path, person, expression = photo
    image = read_photo(path)
    found = find_landmarks(image)
    if found.faces:
        zoom = min(1.0, eyes / float(eye_distance(found.face.points)))
        image = resized(image, (round(image.shape[1] * zoom), round(image.shape[0] * zoom)))
    return look_at(image, person, expression)


def real_photos(folder: Path, eyes: float, jobs: int) -> list[Photo]:
    """Look at the London set's photos; none, said aloud, when the folder is not there."""
    if not folder.is_dir():
        print(f"SKIPPED, the comparison with real photos: no London set at {folder}, see --london")
        return []
    table = load_photos("london", folder).table
    rows = [(row.path, row.person, row.expression) for row in table.itertuples()]
    look = partial(look_at_real, eyes=eyes)
    return list(in_processes(look, rows, jobs, title="real photos", unit="photo"))


def found_once(photos: Sequence[Photo], yaw: int = 0, at_once: bool = False) -> float:
    """Share of the photos at this yaw, of either sign, with exactly one face found, %."""
    chosen = [photo for photo in photos if abs(photo.yaw) == yaw]
    return 100 * float(np.mean([photo.at_once if at_once else photo.one for photo in chosen]))


def auc(higher: Array, lower: Array) -> float:
    """Share of pairs in which the first group's value is above the second's; a tie counts half."""
    ranks = rankdata(np.concatenate([higher, lower]))[: len(higher)].sum()
    return float((ranks / len(higher) - (len(higher) + 1) / 2) / len(lower))


def told_apart(photos: Sequence[Photo]) -> tuple[float, float]:
    """Tell people apart by their embeddings: AUC of all pairs of different people's photos against
    all pairs of one person's, and the share of the former that are further apart than 0.6, %."""
    apart = pdist(np.array([photo.embedding for photo in photos], np.float64))
    people = np.array([photo.person for photo in photos])
    first, second = np.triu_indices(len(photos), 1)  # the order of pdist
    same = people[first] == people[second]
    return auc(apart[~same], apart[same]), 100 * float(np.mean(apart[~same] > 0.6))


def _aligned(points: Array, mean: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Put faces (N, 68, 2) on a centred mean face in least squares; x + iy, so that a turn with a
    change of size is one factor."""
    shapes = np.asarray(points, np.float64) @ np.array([1, 1j])
    shapes -= shapes.mean(1, keepdims=True)
    return shapes * (shapes.conj() @ mean / (np.abs(shapes) ** 2).sum(1))[:, None]


def _mean_face(points: Array) -> NDArray[np.complexfloating]:
    """Average faces after aligning them with each other; centred, of length 1."""
    mean = points[0].astype(np.float64) @ np.array([1, 1j])
    mean -= mean.mean()
    for _ in range(5):
        mean = _aligned(points, mean / np.linalg.norm(mean)).mean(0)
    return mean / np.linalg.norm(mean)


def train(points: Array, labels: NDArray[np.int64]) -> Callable[[Array], Array]:
    """Fit a multinomial logistic regression on aligned, standardised points; returns what gives
    faces (N, 68, 2) their scores (N, classes)."""
    mean, wanted = _mean_face(points), np.eye(labels.max() + 1)[labels]

    def flat(faces: Array) -> Array:
        shapes = _aligned(faces, mean)
        return np.concatenate([shapes.real, shapes.imag], 1)

    middle, spread = flat(points).mean(0), flat(points).std(0)

    def features(faces: Array) -> Array:
        return np.hstack([(flat(faces) - middle) / spread, np.ones((len(faces), 1))])

    inputs = features(points)

    def loss(values: Array) -> tuple[float, Array]:
        weights = values.reshape(inputs.shape[1], -1)
        penalised = np.vstack([weights[:-1], 0 * weights[-1:]])
        logs = log_softmax(inputs @ weights, axis=1)
        slope = inputs.T @ (np.exp(logs) - wanted) + L2 * penalised
        return -(wanted * logs).sum() + L2 / 2 * (penalised**2).sum(), slope.ravel()

    start = np.zeros(inputs.shape[1] * wanted.shape[1])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return lambda faces: features(faces) @ best.reshape(inputs.shape[1], -1)


def name_expressions(photos: Sequence[Photo], true: bool = False) -> list[str]:
    """Name each photo's expression by dlib's points, or the true ones, trained on other people."""
    points = np.array([photo.truth if true else photo.points for photo in photos])
    labels = np.array([EXPRESSIONS.index(photo.expression) for photo in photos])
    fold = np.unique([photo.person for photo in photos], return_inverse=True)[1] % FOLDS
    answers = np.empty_like(labels)
    for test in (fold == number for number in range(FOLDS)):
        answers[test] = train(points[~test], labels[~test])(points[test]).argmax(1)
    return [EXPRESSIONS[answer] for answer in answers]


def share_named(photos: Sequence[Photo], names: Sequence[str]) -> float:
    """Share of the photos named by their true word, %."""
    pairs = zip(photos, names, strict=True)
    return 100 * float(np.mean([photo.expression == name for photo, name in pairs]))


def smile_auc(drawn: Sequence[Photo], real: Sequence[Photo]) -> float:
    """Learn neutral against happy from drawn faces and tell real ones apart by it."""
    chosen = [photo for photo in drawn if photo.expression in ("neutral", "happy")]
    labels = np.array([int(photo.expression == "happy") for photo in chosen])
    classify = train(np.array([photo.points for photo in chosen]), labels)
    scores = classify(np.array([photo.points for photo in real])) @ [-1, 1]
    smiling = np.array([photo.expression == "happy" for photo in real])
    return auc(scores[smiling], scores[~smiling])


def offsets(photos: Sequence[Photo]) -> Array:
    """Measure dlib's points minus the true ones (N, 68, 2), % of the outer eyes' distance."""
    truth = np.array([photo.truth for photo in photos], np.float64)
    corners = np.linalg.norm(truth[:, 45] - truth[:, 36], axis=1)
    found = np.array([photo.points for photo in photos], np.float64)
    return 100 * (found - truth) / corners[:, None, None]


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Give a result and the seconds that this process, in all its threads, computed for it."""
    start = time.process_time()
    return work(), time.process_time() - start


def speed(seeds: Sequence[int]) -> tuple[float, list[str]]:
    """Time drawing in this process: images a second at SIZE, and lines that say more."""
    for size in (SIZE // 2, SIZE):  # what is made once is made here
        find_landmarks(render(Person(0), {}, size=size).image)
    people, making = _timed(lambda: [Person(seed) for seed in seeds])
    photos = [(person, expression_units(word)) for person in people for word in EXPRESSIONS]
    large, drawing = _timed(lambda: [render(*photo, size=SIZE) for photo in photos])
    _, small = _timed(lambda: [render(*photo, size=SIZE // 2) for photo in photos])
    _, finding = _timed(lambda: [find_landmarks(face.image) for face in large])
    drawing, small, finding = (1000 * one / len(photos) for one in (drawing, small, finding))
    making *= 1000 / len(seeds)
    lines = [
        f"CPU time of one process, {len(photos)} photos of {len(seeds)} people: {SIZE} px "
        f"{drawing:.0f} ms, {SIZE // 2} px {small:.0f} ms ({1000 / small:.1f} images/s), "
        f"a new person {making / 1000:.2f} s",
        f"  as multiples of dlib's detector and landmarks on the same pictures ({finding:.0f} ms): "
        f"{drawing / finding:.2f}, {small / finding:.2f}, {making / finding:.1f}",
    ]
    return 1000 / drawing, lines


def print_table(rows: Sequence[Row]) -> None:
    """Print rows of what, how to compare, bar, measured and real; a missed bar is marked."""
    lines = [("what", "bar", "measured", "real photos (London)")]
    for what, sign, bar, *values in rows:
        drawn, real = ("-" if value is None else f"{value:.4g}" for value in values)
        reached = {">=": operator.ge, "<=": operator.le}[sign]
        missed = values[0] is not None and not reached(values[0], bar)
        lines.append((what, f"{sign} {bar:g}", drawn + " MISSED" * missed, real))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for line in lines:
        print(" | ".join(f"{cell:{width}s}" for cell, width in zip(line, widths, strict=True)))


def print_errors(photos: Sequence[Photo], detail: bool) -> None:
    """Print the landmark error by expression and by part, and the mean offset of each point."""
    off = offsets(photos)
    error = np.linalg.norm(off, axis=2)
    words = np.array([photo.expression for photo in photos])
    named = [f"{w} {np.median(error[words == w].mean(1)):.2f}" for w in EXPRESSIONS if w in words]
    print("landmark error, median over photos, %: " + ", ".join(named))
    named = [f"{part} {np.median(error[:, i].mean(1)):.2f}" for part, i in FACE_PARTS.items()]
    print("  by part: " + ", ".join(named))
    if detail:
        print_offsets(off.mean(0), np.mean([photo.truth for photo in photos], axis=0))


def print_offsets(off: Array, truth: Array) -> None:
    """Print each point's mean offset (68, 2), mirror images together."""
    print("mean offset, dlib minus truth, %: x (to the middle of the face in a pair), y (down)")
    for point, other in enumerate(MIRROR):
        x, y = (off[point] + off[other] * (-1, 1)) / 2
        if point == other:
            print(f"  {point:2d}      {off[point, 0]:+6.2f} {y:+6.2f}")
        elif truth[point, 0] < truth[other, 0]:
            print(f"  {point:2d}, {other:2d}  {x:+6.2f} {y:+6.2f}")


def save_sheet(photos: Sequence[Photo], file: Path) -> None:
    """Save the drawn faces as one picture, a row a person."""
    tiles = np.array([photo.tile for photo in photos])
    rows = tiles.reshape(-1, len(EXPRESSIONS), TILE, TILE, 3)
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(-1, len(EXPRESSIONS) * TILE, 3)
    Image.fromarray(sheet).save(file, quality=92)
    print(f"sheet of {len(rows)} people: {file}")


def save_misnamed(photos: Sequence[Photo], names: Sequence[str], file: Path) -> None:
    """Save the photos that got another word than theirs as one picture, with both words and the
    person's seed, dlib's points in orange and the true ones in green."""
    pairs = [(p, name) for p, name in zip(photos, names, strict=True) if p.expression != name]
    columns = len(EXPRESSIONS)
    rows = max(1, -(-len(pairs) // columns))
    figure = Figure(figsize=(1.9 * columns, 2.15 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (photo, name) in zip(grid.flat, pairs, strict=False):
        axes.imshow(photo.tile)
        for points, colour in ((photo.truth, "#009E73"), (photo.points, "#D55E00")):
            axes.plot(*(points.T * TILE / SIZE), ".", color=colour, markersize=2)
        axes.set_title(f"{photo.expression} → {name}\n{photo.person}", fontsize=7)
    figure.savefig(file, dpi=110)
    print(f"{len(pairs)} photos that got another word than theirs: {file}")


def main() -> None:
    """Print the table and the lines below it."""
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--first", type=int, default=5000, help="first person's seed")
    parser.add_argument("--people", type=int, default=60, help=f"drawn people, at least {FOLDS}")
    parser.add_argument("--jobs", type=int, default=2, help="processes at work")
    parser.add_argument("--london", type=Path, default=root.parent / "shared" / "data" / "london")
    parser.add_argument("--sheet", type=Path, help="PNG or JPEG to which all faces are drawn")
    parser.add_argument(
        "--misnamed", type=Path, help="PNG or JPEG of the faces whose expression got another name"
    )
    parser.add_argument("--detail", action="store_true", help="offsets of points, confusions")
    options = parser.parse_args()
    if options.people < FOLDS:
        parser.error(f"--people is at least {FOLDS}, one for each fold")
    pictures = [file for file in (options.sheet, options.misnamed) if file is not None]
    if any(file.suffix.lower() not in (".png", ".jpg", ".jpeg") for file in pictures):
        parser.error("--sheet and --misnamed are files that end in .png, .jpg or .jpeg")

    seeds = range(options.first, options.first + options.people)
    images_a_second, speed_lines = speed(seeds[:TIMED_PEOPLE])
    draw = partial(draw_person, tiles=bool(pictures))
    people = in_processes(draw, seeds, options.jobs, title="drawn people", unit="person")
    photos = [photo for person in people for photo in person]
    frontal = [photo for photo in photos if photo.yaw == 0]
    if options.sheet:
        save_sheet(frontal, options.sheet)
    eyes = float(np.mean([eye_distance(photo.truth) for photo in frontal]))
    real = real_photos(options.london, eyes, options.jobs)

    drawn, shown = ([one for one in group if one.points is not None] for group in (frontal, real))
    error = np.linalg.norm(offsets(drawn), axis=2).mean(1)
    names = name_expressions(drawn)
    drawn_auc, drawn_apart = told_apart(drawn)
    real_found, real_auc, real_apart, smile = (
        (found_once(real), *told_apart(shown), smile_auc(drawn, shown)) if real else (None,) * 4
    )
    rows: list[Row] = [
        ("exactly one face found, frontal, %", ">=", 99.5, found_once(photos), real_found),
        ("exactly one face found, yaw -22 and +22, %", ">=", 99, found_once(photos, 22), None),
        ("exactly one face found, yaw -45 and +45, %", ">=", 92, found_once(photos, 45), None),
        ("landmark error, % of outer eye corners: median", "<=", 3, np.median(error), None),
        ("landmark error: 95th percentile", "<=", 5, np.percentile(error, 95), None),
        ("one person against different people: AUC", ">=", 0.99, drawn_auc, real_auc),
        ("different people further apart than 0.6, %", ">=", 60, drawn_apart, real_apart),
        ("one of 8 expressions by dlib's points, %", ">=", 92, share_named(drawn, names), None),
        ("smile learnt here, told on London: AUC", ">=", 0.93, smile, None),
        (f"images per second and core, {SIZE} px", ">=", 15, images_a_second, None),
    ]
    print_table(rows)

    at_once = [found_once(photos, yaw, at_once=True) for yaw in (0, 22, 45)]
    print(
        f"\ndrawn: seeds {seeds[0]} to {seeds[-1]}, {len(frontal)} frontal photos "
        f"({len(frontal) - len(drawn)} without a face), eyes {eyes:.1f} px apart\n"
        f"real: {len(real)} photos ({len(real) - len(shown)} without a face), "
        "reduced until the eyes are as far apart\n"
        f"exactly one face found without enlarging: frontal {at_once[0]:.2f} %, "
        f"22 degrees {at_once[1]:.2f} %, 45 degrees {at_once[2]:.2f} %"
    )
    print_variety(seeds, options.jobs)
    print("\n".join(speed_lines))
    print_errors(drawn, options.detail)
    exact = share_named(drawn, name_expressions(drawn, true=True))
    print(f"one of 8 expressions by the true points: {exact:.2f} %")
    if options.misnamed:
        save_misnamed(drawn, names, options.misnamed)
    if options.detail:
        print("expressions (down) and what they were taken for (across):")
        true = pd.Categorical([photo.expression for photo in drawn], EXPRESSIONS)
        taken = pd.Categorical(names, EXPRESSIONS)
        print(pd.crosstab(true, taken, dropna=False).to_string(index_names=False))


if __name__ == "__main__":
    main()
