"""How time and memory grow with the number of faces: FaceSets, splits and samples.

    python benchmarks/growth.py [--faces 100,1000,10000] [--size 64]

Made-up crops, people with eight expressions each. Every number comes from a process of its own: the
median time of three runs of it, and the most memory beyond what the imports hold (Linux's VmHWM;
what is read of a memory-mapped file counts in it, though the system may take it back). The
exponent says how a number grows between two sizes: 0 not at all, 1 as the data does, 2 as its
square. Numbers too small to tell have none.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.faceset import FaceSet, prepare
from expr_lib.photos import EXPRESSIONS, photo_table
from expr_lib.preparing import list_entries, make_chunks
from expr_lib.samples import PairSamples, TransferSamples
from expr_lib.sources import PhotoSource
from expr_lib.splits import Split, refuse_leaks, split_photos

LIMIT, BATCHES, BATCH = 288, 100, 8
RUNS = 3
SECONDS, MIB = 0.005, 1.0
"""Less than this is too little to tell an exponent from."""


def made_up(count: int) -> PhotoSource:
    """Table of photos that need not exist, because their parts do."""
    rows = [
        {"path": f"/photos/{n:06}.png", "person": f"{n // 8:05}", "expression": EXPRESSIONS[n % 8]}
        for n in range(count)
    ]
    return PhotoSource(photo_table(rows), name="folder")


def make_ready_parts(folder: Path, count: int, size: int) -> None:
    """Write the parts that `prepare` would."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0.2, 0.8, (68, 2)).astype(np.float32)
    parts = folder / ".parts"
    parts.mkdir(parents=True)
    for chunk in make_chunks(list_entries(made_up(count), "dlib"), size, parts, "dlib"):
        n = len(chunk.photos)
        np.savez(
            chunk.part,
            images=rng.integers(0, 256, (n, size, size, 3), np.uint8),
            landmarks=np.repeat(points[None], n, axis=0),
            kept=np.arange(n),
            faces=np.ones(n, np.int64),
            reasons=np.empty((0, 2), np.str_),
        )


def assemble(folder: Path, size: int) -> Callable[[], object]:
    """`prepare` where all the parts are ready; it takes them away, so that it runs once."""
    photos = made_up(int(folder.name))
    return lambda: prepare(photos, folder, size=size, jobs=1, progress=False)


def _split(folder: Path) -> Split:
    return split_photos(FaceSet.load(folder).table)


def load(folder: Path, size: int) -> Callable[[], object]:
    """`FaceSet.load`."""
    return lambda: FaceSet.load(folder)


def split(folder: Path, size: int) -> Callable[[], object]:
    """`split_photos`, and the key and the people of its parts."""
    table = FaceSet.load(folder).table

    def work() -> None:
        made = split_photos(table)
        made.key, made.people("test"), made.as_csv()

    return work


def leaks(folder: Path, size: int) -> Callable[[], object]:
    """`refuse_leaks`, which reads every picture."""
    faces = FaceSet.load(folder)
    made = split_photos(faces.table)
    return lambda: refuse_leaks(faces, made)


def pairs(folder: Path, size: int) -> Callable[[], object]:
    """`evaluation_triples` of the test part, a limited number."""
    made = _split(folder)
    return lambda: made.pairs("test", LIMIT, 0)


def truths(folder: Path, size: int) -> Callable[[], object]:
    """`TransferSamples` and its batches."""
    made = _split(folder)
    return lambda: _draw(TransferSamples(made.table, made.train, 0))


def all_pairs(folder: Path, size: int) -> Callable[[], object]:
    """`PairSamples` and its batches."""
    made = _split(folder)
    return lambda: _draw(PairSamples(made.table, made.train, 0))


def _draw(samples: TransferSamples | PairSamples) -> None:
    for step in range(BATCHES):
        samples.draw(step, BATCH)


STEPS: dict[str, Callable[[Path, int], Callable[[], object]]] = {
    "FaceSet of ready parts": assemble,
    "FaceSet.load": load,
    "split_photos": split,
    "refuse_leaks": leaks,
    f"{LIMIT} pairs to measure on": pairs,
    f"TransferSamples, {BATCHES} batches": truths,
    f"PairSamples, {BATCHES} batches": all_pairs,
}


def held_mib(what: str) -> float:
    """VmRSS (now) or VmHWM (at most) of this process, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def run_step(step: str, folder: Path, size: int) -> None:
    """Run one step in this process and print seconds and MiB."""
    work = STEPS[step](folder, size)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    before, times = held_mib("VmRSS"), []
    for _ in range(1 if step == "FaceSet of ready parts" else RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(json.dumps([median(times), max(0.0, held_mib("VmHWM") - before)]))


def measure(step: str, folder: Path, size: int) -> tuple[float, float]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    told = subprocess.run(
        [*command, "--size", str(size)], stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, mib = json.loads(told.stdout.splitlines()[-1])
    return seconds, mib


def exponents(sizes: list[int], values: list[float], least: float) -> str:
    """Exponent between each two sizes."""
    told = []
    for i in range(1, len(sizes)):
        small, large = values[i - 1 : i + 1]
        grown = math.log(max(large, 1e-9) / max(small, 1e-9)) / math.log(sizes[i] / sizes[i - 1])
        told.append(f"{grown:.2f}" if small >= least else "-")
    return ", ".join(told)


MILLION = 1_000_000
CROP_BYTES = 256 * 256 * 3


def tell_million(prepared: float, trained: float, trained_large: float) -> None:
    """Print what a million photos would take, from measured rates.

    prepared       photos a second and core
    trained        photos a second of one GPU, 256 px, batch 8
    trained_large  the same with batch 64
    """
    hour = 3600
    print("What a million photos would take, hours")
    for name, cores in (("2 cores", 2), ("16 cores", 16), ("100 workers of one core", 100)):
        print(f"prepare, {name:26} {MILLION / prepared / cores / hour:8.2f}")
    for name, rate in (("batch 8", trained), ("batch 64", trained_large)):
        epoch = MILLION / rate / hour
        print(f"an epoch, one GPU, {name:16} {epoch:8.2f}; 120 epochs {120 * epoch:8.1f}")
    epoch = MILLION / trained_large / 8 / hour
    print(f"an epoch, 8 GPUs at 8 times that {epoch:10.2f}; 120 epochs {120 * epoch:8.1f}")
    print(f"images.npy {MILLION * CROP_BYTES / 1e9:.0f} GB, ", end="")
    print(f"landmarks.npy {MILLION * 68 * 2 * 4 / 1e9:.1f} GB")


def main() -> None:
    """Print one line a step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faces", default="100,1000,10000")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--million", help="only say what a million photos take at these rates: see tell_million"
    )
    options = parser.parse_args()
    if options.million:
        tell_million(*map(float, options.million.split(",")))
        return
    if options.step:
        run_step(options.step, options.folder, options.size)
        return
    sizes = [int(count) for count in options.faces.split(",")]
    titles = " / ".join(map(str, sizes))
    print(f"{titles} faces of {options.size} px")
    print(f"{'':30}{'seconds':>22}  {'exponents':>12}{'MiB':>22}  {'exponents':>12}")
    with tempfile.TemporaryDirectory() as name:
        for count in sizes:
            make_ready_parts(Path(name) / str(count), count, options.size)
        for step in STEPS:
            found = [measure(step, Path(name) / str(count), options.size) for count in sizes]
            times, peaks = [list(column) for column in zip(*found, strict=True)]
            told = (
                " / ".join(f"{value:.{digits}f}" for value in values)
                for values, digits in ((times, 3), (peaks, 1))
            )
            grown = exponents(sizes, times, SECONDS), exponents(sizes, peaks, MIB)
            line = "".join(f"{a:>22}  {b:>12}" for a, b in zip(told, grown, strict=True))
            print(f"{step:30}{line}", flush=True)


if __name__ == "__main__":
    main()
