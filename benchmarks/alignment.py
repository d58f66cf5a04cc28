"""Which points to align faces by: recomputes the template, and compares choices of points in one
table.

    python benchmarks/alignment.py [--london FOLDER] [--people 8]

Two measurements, both against what an expression must not change:

- drawn faces of one true size: by how much the size that a fit finds varies between one person's
  eight expressions (standard deviation in % of the size, mean over the people), with landmarks
  found by dlib and with the true ones;
- London, real photos: how equal a person's neutral and smiling crops are above the eyebrows
  (forehead, hair, background), where nothing has moved: SSIM and PSNR, mean over the people.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.transform import SimilarityTransform

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib import alignment
from expr_lib.landmarks import find_landmarks
from expr_lib.photos import EXPRESSIONS, read_photo
from expr_lib.points import eye_centres, flip_points
from expr_lib.sources import load_photos
from expr_lib.sources.synthetic import Person, expression_units, render

Points = NDArray[np.float64]
EYES = np.array([(93, 100), (163, 100)]) / 256
UPPER = 72 / 256  # height of the strip above the eyebrows, in crop widths
SIZE = 128
CORNERS, BRIDGE, NOSE_BASE = (36, 39, 42, 45), (27, 28, 29, 30), (31, 32, 33, 34, 35)
JAW_ENDS = (0, 1, 2, 14, 15, 16)
CHOICES: dict[str, tuple[int, ...]] = {
    "eye centres": (),
    "eye corners, bridge": CORNERS + BRIDGE,
    "eye corners, bridge, nose base, jaw 0 1 15 16": CORNERS + BRIDGE + NOSE_BASE + (0, 1, 15, 16),
    "eye corners, jaw ends": CORNERS + JAW_ENDS,
    "eye corners, bridge, jaw ends": CORNERS + BRIDGE + JAW_ENDS,
    "jaw ends": JAW_ENDS,
    "all 68": tuple(range(68)),
}


def chosen(points: Points, choice: tuple[int, ...]) -> Points:
    """Pick the points of a choice; the empty one means the two eye centres."""
    return points[list(choice)] if choice else eye_centres(points)


def mean_face(faces: list[Points], choice: tuple[int, ...]) -> Points:
    """Average faces after fitting them on each other by the chosen points; symmetric, eye centres
    at EYES."""
    mean = _put_eyes(faces[0])
    for _ in range(6):
        fits = [_fit(face, mean, choice)(face) for face in faces]
        mean = _put_eyes(np.mean(fits, axis=0))
    return mean


def _put_eyes(face: Points) -> Points:
    placed = SimilarityTransform.from_estimate(eye_centres(face), EYES)(face)
    return (placed + flip_points(placed)) / 2


def _fit(face: Points, template: Points, choice: tuple[int, ...]) -> SimilarityTransform:
    return SimilarityTransform.from_estimate(chosen(face, choice), chosen(template, choice))


def size_jitter(people: list[list[Points]], template: Points, choice: tuple[int, ...]) -> float:
    """How much the fitted size varies within a person, %: standard deviation over mean, mean over
    the people."""
    scales = [[float(_fit(face, template, choice).scale) for face in faces] for faces in people]
    return float(np.mean([100 * np.std(one) / np.mean(one) for one in scales]))


def upper_likeness(
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    points: list[tuple[Points, Points]],
    template: Points,
    choice: tuple[int, ...],
) -> tuple[float, float]:
    """SSIM and PSNR between two expressions' crops above the eyebrows, mean over the people."""
    rows = round(UPPER * SIZE)
    scores = []
    for photos, marks in zip(pairs, points, strict=True):
        one, other = (
            _crop(photo, face, template, choice)[:rows]
            for photo, face in zip(photos, marks, strict=True)
        )
        ssim = structural_similarity(
            one,
            other,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        scores.append((ssim, peak_signal_noise_ratio(one, other)))
    return tuple(np.mean(scores, axis=0))


def _crop(
    photo: NDArray[np.uint8], face: Points, template: Points, choice: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Cut a crop by another choice of points, with the library's own resampling: it is given a face
    that its fit maps exactly as the choice wants."""
    to_photo = _fit(face, template, choice).inverse
    stand_in = to_photo(template)
    stand_in[list(alignment.FIXED_POINTS)] = to_photo(alignment.TEMPLATE)
    return alignment.align(photo, stand_in - 0.5, SIZE)[0]


def main() -> None:
    """Print the template and the table."""
    root = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--london", type=Path, default=root.parent / "shared" / "data" / "london")
    parser.add_argument("--people", type=int, default=8, help="drawn people")
    options = parser.parse_args()
    if not options.london.is_dir():
        sys.exit(f"no London set at {options.london}: give its folder with --london")

    table = load_photos("london", options.london).table
    both = table.pivot(index="person", columns="expression", values="path").dropna()
    pairs = [(read_photo(row.neutral), read_photo(row.happy)) for row in both.itertuples()]
    # pixel indices plus a half are distances from the photo's edge, in which templates are fitted
    marks = [tuple(_found(photo) for photo in pair) for pair in pairs]
    neutral = [pair[0] for pair in marks]
    drawn = [
        [render(Person(seed), expression_units(word), size=256) for word in EXPRESSIONS]
        for seed in range(options.people)
    ]
    by_dlib = [[_found(face.image) for face in person] for person in drawn]
    true = [[face.landmarks + 0.5 for face in person] for person in drawn]

    template = mean_face(neutral, alignment.FIXED_POINTS)
    print(f"template, the mean of {len(neutral)} neutral faces:")
    for index, (x, y) in zip(
        alignment.FIXED_POINTS, chosen(template, alignment.FIXED_POINTS), strict=True
    ):
        print(f"  {index:2d}  ({x:.4f}, {y:.4f})")
    off = np.abs(chosen(template, alignment.FIXED_POINTS) - alignment.TEMPLATE).max()
    print(f"largest difference from the library's: {off:.4f} crop widths\n")

    print(
        f"{'aligned by':46s} {'jitter dlib %':>13s} {'true %':>7s} {'London %':>9s} "
        f"{'SSIM above':>11s} {'PSNR above':>11s}"
    )
    for name, choice in CHOICES.items():
        own = mean_face(neutral, choice)
        jitter = [
            size_jitter(people, own, choice)
            for people in (by_dlib, true, [list(pair) for pair in marks])
        ]
        ssim, psnr = upper_likeness(pairs, marks, own, choice)
        print(
            f"{name:46s} {jitter[0]:13.2f} {jitter[1]:7.2f} {jitter[2]:9.2f} "
            f"{ssim:11.4f} {psnr:11.2f}"
        )


def _found(photo: NDArray[np.uint8]) -> Points:
    return find_landmarks(photo).face.points.astype(float) + 0.5


if __name__ == "__main__":
    main()
