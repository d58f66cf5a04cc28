"""Whether speed costs quality: stage 2 trained by the plain loop and by ours, on equal photos.

    python benchmarks/quality.py --pictures FOLDER [--faces FACESET] [--seeds 3]
        [--set transfer.images=20000 ...]

Both start from the laptop's settings, the same photos, split, seeds and Φ, and see equally many
photos in the same order; `batch 32` takes four times larger steps at twice the rate. What they make
of pairs of unseen people is kept in FOLDER, and what is there is not trained again. The table has
means, and differences to the plain loop with 95 % intervals over people. Landmark errors need dlib;
where it is missing they are left out, and a second call with the same folder adds them.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from training import plain_steps

from expr_lib.config import RunSettings, load_settings
from expr_lib.errors import DlibMissing
from expr_lib.faceset import FaceSet
from expr_lib.files import whole_file
from expr_lib.measuring import find_again
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.paper import PaperModel
from expr_lib.metrics import landmark_error, mouth_psnr, psnr, ssim
from expr_lib.processes import choose_device, choose_threads
from expr_lib.provenance import describe_device
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split, split_photos
from expr_lib.statistics import interval_over_people

PAIRS = 120
MEASURES = {"SSIM": 4, "PSNR dB": 3, "PSNR mouth dB": 3, "landmark error %": 3}
Trainer = Callable[[FaceSet, Split, LandmarkFusion, RunSettings, Path], PaperModel]


def train_plainly(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings, folder: Path
) -> PaperModel:
    """The reference: float32, image files, PyTorch's defaults."""
    step, generator = plain_steps(faces, split, fusion, settings, folder)
    for _ in range(settings.transfer.steps(len(split.samples(settings.seed)))):
        step()
    return PaperModel(fusion, generator, settings)


def train_as_we_do(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings, folder: Path
) -> PaperModel:
    """The library's own loop."""
    model = PaperModel.untrained(fusion, settings)
    model.fit(faces, split, settings, folder)
    return model


def train_in_large_steps(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings, folder: Path
) -> PaperModel:
    """The library's loop with four times the batch and twice the rates."""
    s = settings.transfer
    larger = {
        "batch": 4 * s.batch,
        "learning_rate": 2 * s.learning_rate,
        "discriminator_rate": 2 * s.discriminator_rate,
    }
    changed = settings.model_copy(update={"transfer": s.model_copy(update=larger)})
    return train_as_we_do(faces, split, fusion, changed, folder)


LOOPS: dict[str, Trainer] = {
    "plain": train_plainly,
    "ours": train_as_we_do,
    "ours, batch 32": train_in_large_steps,
}


def paint(
    name: str, faces: FaceSet, split: Split, settings: RunSettings, pictures: Path
) -> np.ndarray:
    """Pictures (M, H, W, 3) of the pairs by a loop, trained unless they are in the folder."""
    path = pictures / f"{name.replace(', ', '-').replace(' ', '-')}-{settings.seed}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return kept["pictures"]
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        fusion = LandmarkFusion.fit(faces, split, settings, Path(place) / "fusion", "")
        start = time.perf_counter()
        (Path(place) / "stage").mkdir()
        model = LOOPS[name](faces, split, fusion, settings, Path(place) / "stage")
    print(f"{name}, seed {settings.seed}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    triples = split.pairs("test", PAIRS, 0)
    given = [FaceBatch.of(faces, triples[:, c], settings.size) for c in (SOURCE, TARGET)]
    painted = model.generate(*given)
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, pictures=painted)
    return painted


def measure(results: np.ndarray, truth: FaceBatch) -> dict[str, list[float]]:
    """Every measure of some results, NaN where dlib finds no face or is missing."""
    cases = list(zip(results, truth.photos, truth.points, strict=True))
    rows = [(ssim(r, t), psnr(r, t), mouth_psnr(r, t, p), error_of(r, p)) for r, t, p in cases]
    return {name: [row[i] for row in rows] for i, name in enumerate(MEASURES)}


def error_of(result: np.ndarray, points: np.ndarray) -> float:
    """Landmark error to the truth, % of the eye distance; NaN without a face or dlib."""
    try:
        found = find_again(result)
    except DlibMissing:
        return float("nan")
    return float("nan") if found is None else float(landmark_error(found, points))


def main() -> None:
    """Train what is missing, measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--faces", type=Path, help="a FaceSet; else the laptop's is drawn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--loops", default=";".join(LOOPS), help="names with ; between them")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    options.pictures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(choose_threads())
    settings = [
        load_settings("laptop", ["transfer.keep=last", *options.set, f"seed={seed}"])
        for seed in range(options.seeds)
    ]
    run = Run(options.pictures / "run", settings[0])
    faces = FaceSet.load(options.faces) if options.faces else run.faces()
    split = split_photos(faces.table)
    triples = split.pairs("test", PAIRS, 0)
    truth = FaceBatch.of(faces, triples[:, TRUTH], settings[0].size)
    people = faces.table["person"].to_numpy()[triples[:, TARGET]].tolist()
    print(
        f"{describe_device()}, {choose_device()}; {settings[0].transfer.images} photos, "
        f"{settings[0].size} pixels, {options.seeds} seeds, {len(triples)} pairs of "
        f"{len(set(people))} unseen people"
    )
    plain: dict[str, list[float]] = {}
    for name in options.loops.split(";"):
        painted = [paint(name, faces, split, each, options.pictures) for each in settings]
        measured: dict[str, list[float]] = {measure_: [] for measure_ in MEASURES}
        for pictures in painted:
            for measure_, values in measure(pictures, truth).items():
                measured[measure_] += values
        plain = plain or measured
        for measure_, decimals in MEASURES.items():
            values = np.array(measured[measure_])
            if np.isnan(values).all():
                continue
            difference = (values - np.array(plain[measure_])).tolist()
            apart = interval_over_people(difference, people * len(painted), 2000, 0)
            low, high = f"{apart.low:+.{decimals}f}", f"{apart.high:+.{decimals}f}"
            print(
                f"{name:16s} {measure_:18s} {np.nanmean(values):8.{decimals}f}, minus plain "
                f"{apart.mean:+.{decimals}f} [{low}, {high}]"
            )


if __name__ == "__main__":
    main()
