"""How long generation and evaluation take, what they hold in memory, and what other ways would.

    python benchmarks/evaluating.py [--sizes 128,256] [--rounds 5] [--steps 40]

Everything of one table is measured in one process, taking turns. Ω is trained for so few steps
that its photos are blurred faces; with more of them the last column of the second table, the
difference that a way of generating makes, is that of a real model. Where dlib is missing, its
rows are left out.
"""

import argparse
import copy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import change_settings, load_settings
from expr_lib.dlib_models import import_dlib
from expr_lib.errors import DlibMissing
from expr_lib.measures import measure
from expr_lib.measuring import embed_all, find_all
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.catalogue import choose
from expr_lib.methods.painting import Painter
from expr_lib.methods.paper import PaperModel
from expr_lib.methods.retouch import Retouch
from expr_lib.methods.tensors import working_precision
from expr_lib.metrics import mouth_box, mouth_psnr, psnr, ssim
from expr_lib.processes import choose_device, choose_threads
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH

FILTERS = {128: 32, 256: 64}
RESULTS = 32  # two chunks of the workers: one would leave all but one of them idle
JOBS = 2
PRECISIONS = ("float32", "bfloat16")
MIB = 2**20


@dataclass(frozen=True)
class Bench:
    """Where the faces and the trained models are, so that another process finds them too."""

    folder: Path
    size: int
    steps: int

    def run(self) -> Run:
        """The run of this size on the common faces."""
        changes = (
            f"size={self.size}",
            f"transfer.filters={FILTERS.get(self.size, 32)}",
            "transfer.batch=8",
            f"transfer.images={8 * self.steps}",
        )
        faces = self.folder / "common" / "faces"
        settings = load_settings("smoke", changes)
        return Run(self.folder / str(self.size), settings, faces_at=faces, jobs=JOBS)

    def ready(self) -> tuple[PaperModel, FaceBatch, FaceBatch, FaceBatch]:
        """The model, trained now unless it was before; sources, targets and truths."""
        run = self.run()
        with redirect_stdout(sys.stderr):
            model = run.model()
        triples = run.split().pairs("test", RESULTS, 0)
        triples = triples[np.arange(RESULTS) % len(triples)]
        source, target, truth = (
            FaceBatch.of(run.faces(), triples[:, c], self.size) for c in (SOURCE, TARGET, TRUTH)
        )
        return model, source, target, truth


def synchronise() -> None:
    """Wait for what the device still does, before the clock is read."""
    device = choose_device().type
    if device != "cpu":
        getattr(torch, device).synchronize()


def take_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, a number a round; the calls take turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            synchronise()
            start = time.perf_counter()
            call()
            synchronise()
            taken[name].append(1000 * (time.perf_counter() - start))
    return taken


def one_by_one(results: np.ndarray, truth: FaceBatch) -> np.ndarray:
    """SSIM, PSNR and mouth PSNR as scikit-image measures them, (N, 3)."""
    original = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    rows = []
    for a, b, points in zip(results, truth.photos, truth.points, strict=True):
        box = mouth_box(points, len(b))
        like = structural_similarity(b, a, data_range=255, channel_axis=2, **original)
        pairs = ((b, a), (b[box], a[box]))
        rows.append([like, *(peak_signal_noise_ratio(*pair, data_range=255) for pair in pairs)])
    return np.array(rows)


def evaluating(bench: Bench, rounds: int, with_dlib: bool) -> None:
    """Print where the time of an evaluation goes."""
    model, source, target, truth = bench.ready()
    results = model.generate(source, target)
    device = model.device

    def ours() -> np.ndarray:
        of_mouth = mouth_psnr(results, truth.photos, truth.points, device)
        alike = ssim(results, truth.photos, device=device), psnr(results, truth.photos, device)
        return np.stack([*alike, of_mouth], axis=1)

    parts: dict[str, Callable[[], object]] = {
        "generation": lambda: model.generate(source, target),
        "SSIM, PSNR, mouth PSNR": ours,
    }
    if with_dlib:
        parts[f"landmarks found again, {JOBS} processes"] = lambda: find_all(truth.photos, JOBS)
        parts[f"identity, {JOBS} processes"] = lambda: embed_all(truth.photos, truth.points, JOBS)
    theirs = "the same, scikit-image one by one"
    taken = take_turns({**parts, theirs: lambda: one_by_one(results, truth)}, rounds)
    each = {name: float(np.median(times)) / RESULTS for name, times in taken.items()}
    whole = sum(each[name] for name in parts)
    print(f"evaluation, {bench.size} pixels, {RESULTS} results, dlib's rows on the true photos")
    print(f"{'part':40s} {'ms a result':>12s} {'of the whole':>13s}")
    for name in parts:
        print(f"{name:40s} {each[name]:12.2f} {each[name] / whole:13.1%}")
    faster = np.median(np.array(taken[theirs]) / np.array(taken["SSIM, PSNR, mouth PSNR"]))
    print(f"{theirs:40s} {each[theirs]:12.2f}   ours is {faster:.1f} times as fast")
    apart = np.abs(ours() - one_by_one(results, truth)).max(0)
    print(
        f"largest difference: SSIM {apart[0]:.1e}, PSNR {apart[1]:.1e} dB, mouth {apart[2]:.1e}\n"
    )


class Contiguous(nn.Module):
    """A network in PyTorch's default memory layout."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor) -> Tensor:
        """The network's answer."""
        return self.network(images.contiguous())


Context = Callable[[], AbstractContextManager[object]]
PLAIN = "float32, contiguous"


def ways(model: PaperModel) -> dict[str, tuple[PaperModel, Context]]:
    """Ways to generate: a model, and in which context it is asked. All but the first are
    channels_last, all but `inference_mode` are under no_grad."""

    def way(precision: str, network: nn.Module) -> PaperModel:
        transfer = model.settings.transfer.model_copy(update={"precision": precision})
        settings = model.settings.model_copy(update={"transfer": transfer})
        return PaperModel(model.fusion, network, settings)  # type: ignore[arg-type]

    ours = model.generator
    plain = Contiguous(copy.deepcopy(ours))
    compiled = {p: torch.compile(copy.deepcopy(ours), dynamic=False) for p in PRECISIONS}
    return {
        PLAIN: (way("float32", plain), nullcontext),
        "float32": (way("float32", ours), nullcontext),
        "float32, inference_mode": (way("float32", ours), torch.inference_mode),
        "bfloat16": (way("bfloat16", ours), nullcontext),
        **{f"{p}, torch.compile": (way(p, compiled[p]), nullcontext) for p in PRECISIONS},
    }


def painter_of(
    method: Painter,
    source: FaceBatch,
    target: FaceBatch,
    count: int,
    context: Context = nullcontext,
) -> Callable[[], np.ndarray]:
    """A call that paints the first few faces as one batch."""
    given = [FaceBatch(b.photos[:count], b.points[:count]) for b in (source, target)]

    def paint() -> np.ndarray:
        with context():
            return method.generate(*given, batch=count)

    return paint


def retouching(bench: Bench, rounds: int) -> None:
    """Print what `retouch` costs beside the paper's model; no cost depends on what was learnt."""
    model, source, target, _ = bench.ready()
    ((row, _),) = choose("retouch")
    ours = Retouch.untrained(model.fusion, change_settings(model.settings, row.settings))
    ours.network.eval()  # as it is when it was trained or loaded
    print(f"generation, {bench.size} pixels: ms a face, and times the paper's model")
    for count in (1, 8):
        calls = {m.name: painter_of(m, source, target, count) for m in (model, ours)}
        taken = {name: np.array(times) for name, times in take_turns(calls, rounds).items()}
        each = {name: np.median(times) / count for name, times in taken.items()}
        times = np.median(taken[ours.name] / taken[model.name])
        print(
            f"batch {count}: paper {each['paper']:.1f}, retouch {each['retouch']:.1f}, {times:.2f}"
        )
    print()


def generating(bench: Bench, rounds: int) -> None:
    """Print what each way of generating costs, and how far its photos are from float32's."""
    model, source, target, _ = bench.ready()

    def painter(way: PaperModel, context: Context, count: int) -> Callable[[], np.ndarray]:
        return painter_of(way, source, target, count, context)

    all_ways, notes = ways(model), []
    for name, way in list(all_ways.items()):
        start = time.perf_counter()
        try:
            for count in (1, 8):
                painter(*way, count)()
        except Exception as error:  # no compiler, or a device without bfloat16
            del all_ways[name]
            notes.append(f"{name}: not here ({type(error).__name__})")
        else:
            if "compile" in name:
                notes.append(f"{name}: {time.perf_counter() - start:.0f} s to warm up")
    calls = {count: {n: painter(*w, count) for n, w in all_ways.items()} for count in (1, 8)}
    taken = {count: take_turns(calls[count], rounds) for count in calls}
    wanted = calls[8][PLAIN]()
    chosen = str(working_precision("auto", model.device)).removeprefix("torch.")
    filters = FILTERS.get(bench.size, 32)
    print(f"generation, {bench.size} pixels, {filters} filters; precision auto is {chosen} here")
    print(
        f"{'way':30s} {'ms, batch 1':>12s} {'times':>6s} {'ms a face, 8':>13s} {'times':>6s}",
        end="",
    )
    print(f" {'dB to float32, worst':>21s}")
    for name in all_ways:
        print(f"{name:30s}", end="")
        for count, width in ((1, 13), (8, 14)):
            times = np.array(taken[count][name])
            faster = np.median(np.array(taken[count][PLAIN]) / times)
            print(f"{np.median(times) / count:{width}.2f} {faster:6.2f}", end="")
        print(f" {psnr(calls[8][name](), wanted).min():21.1f}", flush=True)
    print("\n".join([*notes, ""]))


def peak_of(work: Callable[[], object]) -> tuple[float, float, float]:
    """The most memory that this process, its workers and the GPU hold during some work, MiB."""
    process, over = psutil.Process(), threading.Event()
    mine = workers = 0.0

    def watch() -> None:
        nonlocal mine, workers
        while not over.wait(0.01):
            mine = max(mine, process.memory_info().rss / MIB)
            held = 0.0
            for child in process.children(recursive=True):
                try:
                    held += child.memory_info().rss / MIB
                except psutil.Error:
                    continue  # it has just ended
            workers = max(workers, held)

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        over.set()
        watcher.join()
    on_gpu = torch.cuda.max_memory_allocated() / MIB if torch.cuda.is_available() else 0.0
    return mine, workers, on_gpu


def remembering(bench: Bench, with_dlib: bool) -> None:
    """Print the peaks of generation and evaluation; asked for in a process of its own, so that
    nothing else is in its memory."""
    model, source, target, truth = bench.ready()
    print(f"peak memory, {bench.size} pixels, MiB")
    print(f"{'work':30s} {'process':>10s} {'workers':>10s} {'GPU':>10s}")

    def show(title: str, work: Callable[[], object]) -> None:
        print(f"{title:30s} " + " ".join(f"{peak:10.0f}" for peak in peak_of(work)), flush=True)

    show("at rest", lambda: time.sleep(0.1))
    show("generation, batch 1", lambda: model.generate(source, target, 1))
    show("generation, batch 8", lambda: model.generate(source, target, 8))
    show("SSIM", lambda: ssim(source.photos, truth.photos, device=model.device))
    if with_dlib:
        given = (truth.photos, truth, np.zeros((RESULTS, 128)), truth.points)
        show("evaluation", lambda: measure(*given, device=model.device, jobs=JOBS))


def main() -> None:
    """Print four tables a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of training Ω")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import_dlib()
        with_dlib = True
    except DlibMissing:
        with_dlib = False
        print("dlib is missing: landmarks found again and identity are left out")
    if options.memory_of:
        remembering(Bench(options.memory_of, int(options.sizes), options.steps), with_dlib)
        return
    torch.set_num_threads(choose_threads())
    print(f"{choose_device()}, threads: {torch.get_num_threads()}, {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = ["size=256", "synthetic.people=10", "synthetic.size=256", "landmarks=true"]
        Run(folder / "common", load_settings("smoke", drawn), jobs=JOBS).faces()
        for size in (int(each) for each in options.sizes.split(",")):
            bench = Bench(folder, size, options.steps)
            bench.ready()
            print()
            evaluating(bench, options.rounds, with_dlib)
            generating(bench, options.rounds)
            retouching(bench, options.rounds)
            again = [sys.executable, __file__, "--memory-of", name, "--sizes", str(size)]
            subprocess.run([*again, "--steps", str(options.steps)], check=True)


if __name__ == "__main__":
    main()
