"""What the other readings of the paper's open choices change, each against the same base run.

    python benchmarks/choices.py [--people 40] [--images 8000] [--pairs 160]

Small networks on drawn faces of 64 pixels: every reading is trained anew from the same seed on the
same faces, and measured on the same pairs of test people. A row says by how much the means over
people change, with the 95 % interval of the paired difference; the first rows, the base with
other seeds, say how much means nothing.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import load_settings
from expr_lib.evaluation import compare
from expr_lib.methods.controls import CopyTarget
from expr_lib.metrics import landmark_error
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.statistics import interval_over_people

READINGS = {
    "another seed": ["seed=1"],
    "a third seed": ["seed=2"],
    "[2] cycle back to the neutral face": ["fusion.cycle=neutral"],
    "[2] cycle with a third person": ["fusion.cycle=third_person"],
    "[3] bottleneck of stride 1": ["transfer.bottleneck=stride1"],
    "[4] LeakyReLU everywhere in D": ["transfer.discriminator_activation=leaky"],
    "[5] literal sigmoid": ["transfer.adversarial_loss=sigmoid"],
    "[6] saturating generator loss": ["transfer.generator_loss=saturating"],
    "[7] landmarks as dots": ["transfer.landmark_style=dots"],
    "[9] Ω trains on true landmarks": ["transfer.landmarks=true"],
    "[10] uniform SSIM window": ["evaluation.ssim_window=uniform"],
    "[12] first block as printed": ["transfer.first_block=printed"],
    "[14] an epoch is every pair": ["fusion.epoch=pairs", "transfer.epoch=pairs"],
    "[15] Φ in pixels": ["fusion.units=pixels"],
    "[16] D_J sees the target": ["fusion.discriminator_sees_target=true"],
    "[18] no flips": ["fusion.flips=false", "transfer.flips=false"],
    "[19] resize and convolve": ["transfer.upsampling=resize"],
    "[20] D sees the landmarks": ["transfer.discriminator_sees_landmarks=true"],
    "[22] the last state": ["fusion.keep=last", "transfer.keep=last"],
}
MEASURES = {"ssim": 3, "psnr": 2, "error_truth": 2, "identity": 3, "fused": 2}
TITLES = ("SSIM", "PSNR dB", "landmark error to truth %", "identity distance", "error of Φ %")


def measure(job: Run, triples: np.ndarray) -> pd.DataFrame:
    """Train a run's model and measure it on some pairs: one row a pair, with Φ's own error."""
    model, faces = job.model(), job.faces()
    pairs = compare(faces, triples, [model], model, job.jobs)
    points = faces.landmarks
    fused = model.fusion.fuse(points[triples[:, SOURCE]], points[triples[:, TARGET]])
    return pairs.assign(fused=landmark_error(fused, points[triples[:, TRUTH]]))


def row_of(name: str, values: pd.DataFrame, base: pd.DataFrame | None) -> str:
    """One line of the table: means, or paired differences to the base."""
    cells = []
    for measure_, decimals in MEASURES.items():
        of_pairs = values[measure_] if base is None else values[measure_] - base[measure_]
        found = interval_over_people(of_pairs, values["person"], 2000, 0)
        sign = "" if base is None else "+"
        text = f"{found.mean:{sign}.{decimals}f}"
        if base is not None and (found.low > 0 or found.high < 0):
            text = f"**{text}**"
        cells.append(f"{text} [{found.low:{sign}.{decimals}f}, {found.high:{sign}.{decimals}f}]")
    return f"| {name} | " + " | ".join(cells) + " |"


def by_photos(folder: Path, faces: Path, common: Sequence[str], jobs: int) -> str:
    """The optimistic split [8]: its truths are other photos, so it stands apart, beside copying."""
    means = []
    for how in ("people", "images"):
        settings = load_settings("smoke", [*common, f"split={how}"])
        job = Run(folder / f"split-{how}", settings, faces_at=faces, jobs=jobs)
        model = job.model()
        triples = job.split().pairs("test", settings.evaluation.pairs, settings.seed)
        pairs = compare(job.faces(), triples, [CopyTarget(), model], model, jobs)
        each = pairs.groupby("method")[["ssim", "psnr", "error_truth", "identity"]].mean()
        gain = each.loc["paper"] - each.loc["copy"]
        told = ", ".join(f"{name} {gain[name]:+.3f}" for name in gain.index)
        means.append(f"by {how}: the model minus copying, on the same pairs: {told}")
    return "[8] " + "; ".join(means)


def main() -> None:
    """Print the table as Markdown, line by line as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--images", type=int, default=8000, help="photos that Ω is shown")
    parser.add_argument("--pairs", type=int, default=160, help="pairs that are measured")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    common = [
        f"synthetic.people={options.people}",
        "synthetic.expressions=all",
        "threads=2",
        "fusion.model=network",  # so that its settings show
        "fusion.images=40000",
        "fusion.keep=best",
        f"transfer.images={options.images}",
        "transfer.schedule=linear",
        "transfer.curve_points=6",
        "transfer.curve_pairs=24",
        f"evaluation.pairs={options.pairs}",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base_run = Run(folder / "base", load_settings("smoke", common), jobs=options.jobs)
        faces = base_run.faces().folder
        triples = base_run.split().pairs("test", options.pairs, 0)
        base = measure(base_run, triples)
        print("| reading | " + " | ".join(TITLES) + " |")
        print("|---" * (len(TITLES) + 1) + "|")
        print(row_of("**the defaults** (means)", base, None), flush=True)
        for number, (reading, changes) in enumerate(READINGS.items()):
            settings = load_settings("smoke", [*common, *changes])
            job = Run(folder / str(number), settings, faces_at=faces, jobs=options.jobs)
            print(row_of(reading, measure(job, triples), base), flush=True)
        people = len(base_run.split().people("test"))
        print(f"\n{len(triples)} pairs of {people} test people of {options.people}")
        print(by_photos(folder, faces, common, options.jobs))


if __name__ == "__main__":
    main()
