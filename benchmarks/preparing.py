"""How fast `prepare` is: photos a second beside a bare serial loop that does the same work.

    python benchmarks/preparing.py [--photos 256] [--rounds 3] [--jobs 2] [--wait 60]

The loop reads a photo with Pillow, gives it to dlib's detector, finds the 68 points of the box,
aligns the face and writes its crop, with nothing around it; its crops are compared with those of
`prepare`. As many such loops at once as there are jobs, each with all photos, show what the machine
itself takes away when more than one of its cores works: they share nothing, so no way of sharing
work can be faster. The three take turns, each turn in a process of its own that works twice: the
first time holds everything (Python, imports, worker processes, dlib's model), the second has its
workers and its model already. Where other work keeps cores busy, two jobs lose more than one loop
does; so the third row leaves out the time in which a process was ready and got no core (Linux's
schedstat, mean of the workers), and the fourth counts core time alone. Peak memory is Linux's
VmHWM.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, median

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

WORDS = ("neutral", "happy", "surprised", "angry")
PEOPLE = 6
SIDE, CROP = 512, 256
"""Sides of the photos and of the crops, pixels."""
QUIET = 0.2
"""So many cores may be busy when a turn begins."""
CORES = len(os.sched_getaffinity(0))
Turn = Callable[[Path, Path, int, float], dict[str, float]]


def draw_photos(folder: Path, count: int) -> None:
    """Write JPEGs <person>/<word>_<n>.jpg: drawn faces, each again and again at other places."""
    from expr_lib.sources.synthetic import Person, expression_units, render

    rng = np.random.default_rng(0)
    for n in range(PEOPLE):
        person, place = Person(n), folder / f"{n:02}"
        place.mkdir(parents=True)
        for k, word in enumerate(WORDS):
            image = render(person, expression_units(word), size=SIDE).image
            for copy in range(n * len(WORDS) + k, count, PEOPLE * len(WORDS)):
                moved = np.roll(image, rng.integers(-16, 17, 2), (0, 1))
                Image.fromarray(moved).save(place / f"{word}_{copy:05}.jpg", quality=92)


def serial(photos: Path, out: Path) -> None:
    """Do the work of `prepare` in a plain loop."""
    import dlib

    from expr_lib.alignment import align
    from expr_lib.landmarks import landmarks_in_box

    detector = dlib.get_frontal_face_detector()
    out.mkdir(parents=True)
    for path in sorted(photos.glob("*/*.jpg")):
        image = np.array(Image.open(path).convert("RGB"))
        box = max(detector(image), key=lambda found: found.area())
        edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
        crop, _ = align(image, landmarks_in_box(image, edges), CROP)
        np.save(out / f"{path.parent.name}_{path.stem}.npy", crop)


def in_parallel(photos: Path, out: Path, jobs: int) -> None:
    """Run `prepare`."""
    from expr_lib.faceset import prepare
    from expr_lib.sources import load_photos

    found = load_photos("folder", photos)
    prepare(found, out, size=CROP, jobs=jobs, progress=False)


def peak_mib(process: int) -> float:
    """Most memory that a process has held, MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def core_seconds() -> float:
    """Core time that this process and its workers have used."""
    own = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (own, *own.children(recursive=True)))


def waited_seconds() -> dict[int, float]:
    """How long this process and its workers have been ready without getting a core."""
    own = psutil.Process()
    return {
        one.pid: int(Path(f"/proc/{one.pid}/schedstat").read_text().split()[1]) / 1e9
        for one in (own, *own.children(recursive=True))
    }


def work_twice(photos: Path, out: Path, jobs: int) -> None:
    """Take one turn in this process, and print what it took; 0 jobs are the serial loop."""
    for name in ("first", "second"):
        start, used, waited = time.perf_counter(), core_seconds(), waited_seconds()
        if jobs:
            in_parallel(photos, out / name, jobs)
        else:
            serial(photos, out / name)
        if name == "first":
            print("first", flush=True)
    told = {"second": time.perf_counter() - start, "core": core_seconds() - used}
    now = waited_seconds()
    lost = {pid: now[pid] - waited.get(pid, 0.0) for pid in now}
    own = lost.pop(os.getpid())
    told["free"] = told["second"] - (sum(lost.values()) / jobs if jobs else own)
    children = [child.pid for child in psutil.Process().children(recursive=True)]
    told |= {"peak": peak_mib(os.getpid()), "worker": max(map(peak_mib, children), default=0.0)}
    print(json.dumps(told))


def busy_cores(patience: float) -> float:
    """How many cores other work keeps busy, after waiting up to so many seconds for a quiet one."""
    until = time.monotonic() + patience
    while (busy := psutil.cpu_percent(2) / 100 * CORES) > QUIET and time.monotonic() < until:
        pass
    return busy


def loops_at_once(photos: Path, out: Path, jobs: int, patience: float) -> dict[str, float]:
    """Let so many serial loops take a turn together; times are theirs by what all have done."""
    with ThreadPoolExecutor(jobs) as pool:
        turns = pool.map(lambda n: turn(photos, out / str(n), 0, patience), range(jobs))
        told = list(turns)
    means = {name: mean(one[name] for one in told) for name in told[0]}
    shares = {name: means[name] / jobs for name in ("first", "second", "free")}
    return means | shares


def turn(photos: Path, out: Path, jobs: int, patience: float) -> dict[str, float]:
    """Let a process of its own take a turn."""
    busy = busy_cores(patience)
    command = [sys.executable, __file__, "--turn", str(photos), str(out), "--jobs", str(jobs)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        next(line for line in lines if line == "first\n")
        first = time.perf_counter() - start
        told: dict[str, float] = json.loads([line for line in lines if line.startswith("{")][-1])
    if process.returncode:
        raise SystemExit(process.returncode)
    return told | {"first": first, "busy": busy}


def compare(photos: Path, one: Path, two: Path) -> None:
    """See that both have made the same crops."""
    from expr_lib.faceset import FaceSet

    faces = FaceSet.load(two)
    paths = [Path(path) for path in faces.table["path"]]
    assert len(paths) == len(list(photos.glob("*/*.jpg")))
    for path, image in zip(paths, faces.images, strict=True):
        crop = np.load(one / f"{path.parent.name}_{path.stem}.npy")
        assert np.array_equal(crop, image), path


def show(turns: dict[str, list[dict[str, float]]], photos: int, jobs: int) -> None:
    """Print the table: medians over the rounds, and the ratios of the turns of each round."""
    print(f"{'':32}{''.join(f'{who:>14}' for who in turns)}   / (jobs x serial), each round")
    rows = (
        ("photos a second, everything", "first", jobs),
        ("photos a second, second time", "second", jobs),
        ("  had its cores been free", "free", jobs),
        ("photos a core second", "core", 1),
    )
    for title, name, share in rows:
        rates = {who: [photos / told[name] for told in all_] for who, all_ in turns.items()}
        line = "".join(f"{median(all_):14.2f}" for all_ in rates.values())
        for who in list(turns)[1:]:
            pairs = zip(rates["serial"], rates[who], strict=True)
            ratios = [other / one / share for one, other in pairs]
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            line += f"   {who} {median(ratios):.3f} ({each})"
        print(f"{title:32}{line}")
    for title, name in (("peak memory, MiB", "peak"), ("  of a worker", "worker")):
        peaks = "".join(f"{max(told[name] for told in all_):14.0f}" for all_ in turns.values())
        print(f"{title:32}{peaks}")
    busy = [f"{told['busy']:.1f}" for some in zip(*turns.values(), strict=True) for told in some]
    print(f"cores busy with other work before each turn: {', '.join(busy)}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=CORES)
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait for quiet, a turn")
    parser.add_argument("--turn", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        work_twice(*options.turn, options.jobs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_photos(folder / "photos", options.photos)
        print(
            f"{options.photos} photos of {SIDE} px, {options.jobs} jobs on {CORES} cores",
            flush=True,
        )
        takers: dict[str, tuple[Turn, int]] = {
            "serial": (turn, 0),
            "loops": (loops_at_once, options.jobs),
            "prepare": (turn, options.jobs),
        }
        turns: dict[str, list[dict[str, float]]] = {who: [] for who in takers}
        for number in range(options.rounds):
            for who in takers if number % 2 == 0 else reversed(takers):
                take, jobs = takers[who]
                told = take(folder / "photos", folder / f"{who}{number}", jobs, options.wait)
                print(f"round {number + 1}, {who}: {told['second']:.1f} s", flush=True)
                turns[who].append(told)
        compare(folder / "photos", folder / "serial0" / "first", folder / "prepare0" / "second")
    show(turns, options.photos, options.jobs)


if __name__ == "__main__":
    main()
