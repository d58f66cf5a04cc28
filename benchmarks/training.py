"""How fast stage 2 trains: ours beside a plain loop, which takes turns with it in one run.

    python benchmarks/training.py [--sizes 128,256] [--rounds 3] [--faces FACESET]

The plain loop is what the pix2pix recipe gives: a DataLoader of image files that decodes, flips
and draws each sample on the CPU, float32, PyTorch's default memory layout and Adam, the generator
once a step, the discriminator twice for its own loss and once for the generator's. Networks,
losses, batch, photos and landmarks (fused by the same frozen Φ) are ours. Each part of ours is
also left out alone, to see what it is worth, and torch.compile is added alone.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import RunSettings, load_settings
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss, pixel_l1
from expr_lib.methods.fusion import LandmarkFusion, build_fusion
from expr_lib.methods.paper import TransferLearner
from expr_lib.methods.tensors import PhotoStore, build_generator, join
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import UNet
from expr_lib.points import CLOSED_PARTS, LANDMARK_PARTS, flip_points
from expr_lib.processes import choose_device, choose_threads
from expr_lib.provenance import describe_device
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split, split_photos
from expr_lib.training import rate_factor, set_rate

FILTERS = {128: (32, 16), 256: (64, 64)}
"""Of the generator and the discriminator: the laptop preset's and the paper's."""
PHOTOS_A_TURN: dict[int | str, int] = {128: 96, 256: 16, "cuda": 800}
LIKE = ("transfer.precision=auto", "transfer.images=4000")
WORKERS = min(4, os.cpu_count() or 1)
"""Processes of the plain loop's DataLoader; pix2pix has 4."""
Step = Callable[[], object]


class PhotoFiles(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Target, truth and drawn landmarks of triples, read from image files one by one."""

    def __init__(
        self, folder: Path, triples: np.ndarray, points: np.ndarray, size: int, flips: bool = True
    ) -> None:
        self.folder, self.triples, self.points = folder, triples, points
        self.size, self.flips = size, flips

    def __len__(self) -> int:
        """Return the number of triples."""
        return len(self.triples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """One sample: (3, H, W), (3, H, W) and (1, H, W) in [-1, 1]."""
        points = torch.from_numpy(self.points[index])
        images = [self._read(self.triples[index, column]) for column in (TARGET, TRUTH)]
        if self.flips and np.random.default_rng(index).random() < 0.5:
            points, images = flip_points(points), [image.flip(-1) for image in images]
        return images[0], images[1], self._draw(points.numpy())

    def _read(self, row: int) -> Tensor:
        with Image.open(self.folder / f"{row}.png") as photo:
            pixels = np.asarray(photo.convert("RGB"))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1

    def _draw(self, points: np.ndarray) -> Tensor:
        canvas = Image.new("L", (self.size, self.size))
        pen = ImageDraw.Draw(canvas)
        for part, indices in LANDMARK_PARTS.items():
            path = [*indices, indices[0]] if part in CLOSED_PARTS else list(indices)
            pen.line([tuple(points[i] * self.size) for i in path], fill=255, width=1)
        return torch.from_numpy(np.array(canvas))[None].float() / 127.5 - 1


def plain_steps(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings, folder: Path
) -> tuple[Step, UNet]:
    """The plain loop, ready to go: calling it does one step. And the generator that it trains."""
    torch.manual_seed(settings.seed)
    s, samples, device = settings.transfer, split.samples(settings.seed), choose_device()
    steps = s.steps(len(samples))
    triples = np.concatenate([samples.draw(step, s.batch) for step in range(steps)])
    points = faces.landmarks[triples[:, SOURCE]], faces.landmarks[triples[:, TARGET]]
    for row in samples.rows.tolist() if not any(folder.iterdir()) else []:
        photo = faces.photos_at(np.array([row]), settings.size)[0]
        Image.fromarray(photo).save(folder / f"{row}.png")
    data = PhotoFiles(folder, triples, fusion.fuse(*points), settings.size)
    loader = DataLoader(data, s.batch, num_workers=WORKERS, persistent_workers=True)
    generator = build_generator(settings).to(device).train()
    discriminator = PatchGAN(filters=s.discriminator_filters).to(device)
    adam = Adam(generator.parameters(), s.learning_rate, betas=(0.5, 0.999))
    adam_d = Adam(discriminator.parameters(), s.discriminator_rate, betas=(0.5, 0.999))
    counter = iter(range(10**9))

    def endless() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        factor = rate_factor(min(next(counter), steps), steps, s.schedule)
        set_rate(adam, s.learning_rate * factor)
        set_rate(adam_d, s.discriminator_rate * factor)
        target, truth, drawn = (part.to(device) for part in next(batches))
        painted = generator(torch.cat([target, drawn], 1))
        real = discriminator(torch.cat([target, truth], 1))
        fake = discriminator(torch.cat([target, painted.detach()], 1))
        adam_d.zero_grad()
        discriminator_loss(real, fake).backward()
        adam_d.step()
        discriminator.requires_grad_(False)
        judged = discriminator(torch.cat([target, painted], 1))
        discriminator.requires_grad_(True)
        adam.zero_grad()
        (s.weight_l1 * pixel_l1(painted, truth) + generator_loss(judged)).backward()
        adam.step()

    return step, generator


def our_steps(
    faces: FaceSet,
    split: Split,
    fusion: LandmarkFusion,
    settings: RunSettings,
    without: str = "",
    batch: int = 0,
    compiled: bool = False,
) -> Step:
    """The library's loop, or one without one of its parts; calling it does one step."""
    changes: dict[str, object] = {"precision": "float32"} if without == "bfloat16" else {}
    if batch:
        changes["batch"] = batch
    transfer = settings.transfer.model_copy(update=changes)
    learner = TransferLearner(
        faces, split, fusion, settings.model_copy(update={"transfer": transfer})
    )
    if without == "channels_last":
        for module in learner.modules.values():
            module.to(memory_format=torch.contiguous_format)
    if without == "fused Adam":
        for optimiser in learner.optimisers.values():
            optimiser.param_groups[0]["fused"] = False
    if without == "one generator pass for both steps":
        teach = learner._teach_discriminator

        def generate_again(target: Tensor, truth: Tensor, _: Tensor, drawn: Tensor) -> Tensor:
            with torch.no_grad(), learner._autocast():
                painted = learner.generator(join(target, drawn))
            return teach(target, truth, painted, drawn)

        learner._teach_discriminator = generate_again
    if without == "photos on the device":
        learner.photos = PhotoStore(
            faces, learner.samples.rows, settings.size, learner.device, limit=0
        )
    if without == "a recorded step":
        learner.learn = learner._learn
    if without == "the batch made ahead":
        learner.ahead = None
    if compiled:
        learner.generator.compile()
        learner.discriminator.compile()
    counter = iter(range(10**9))
    return lambda: learner.step(next(counter))


class Loop:
    """A loop that takes turns with others: its step, photos a step, threads, and peak memory."""

    def __init__(self, make: Callable[[], Step], batch: int, threads: int = 0) -> None:
        self.batch, self.threads = batch, threads or torch.get_num_threads()
        before = _memory()
        start = time.perf_counter()
        self.step = make()
        for _ in range(5):
            self.step()
        _wait()
        self.warming, self.memory = time.perf_counter() - start, _memory() - before
        self.seconds: list[float] = []

    def turn(self, photos: int) -> None:
        """Train on about so many photos and note the seconds a photo."""
        steps, before = max(1, round(photos / self.batch)), torch.get_num_threads()
        torch.set_num_threads(self.threads)
        _wait()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        _wait()
        self.seconds.append((time.perf_counter() - start) / steps / self.batch)
        torch.set_num_threads(before)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory() -> int:
    """Bytes that are held at the moment; on a GPU the most since the last call."""
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak if peak > torch.cuda.memory_allocated() else torch.cuda.memory_allocated()
    return int(psutil.Process().memory_info().rss)


def matrix_peak(dtype: torch.dtype) -> float:
    """Measured TFLOP/s of a large matrix product."""
    device, side = choose_device(), 8192 if choose_device().type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = math.inf
    for _ in range(8):
        _wait()
        start = time.perf_counter()
        for _ in range(5):
            one @ other
        _wait()
        best = min(best, (time.perf_counter() - start) / 5)
    return 2 * side**3 / best / 1e12


def count_flops(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
) -> float:
    """Floating-point operations a photo of one training step: convolutions and matrix products."""
    learner = TransferLearner(faces, split, fusion, settings)
    learner.learn = learner._learn
    with FlopCounterMode(display=False) as counter:
        learner.step(0)
    return counter.get_total_flops() / settings.transfer.batch


def compare(
    faces: FaceSet, split: Split, folder: Path, size: int, rounds: int, whole: bool, eager: bool
) -> None:
    """Print the table of one size."""
    filters, judging = FILTERS[size]
    widths = [f"transfer.filters={filters}", f"transfer.discriminator_filters={judging}"]
    settings = load_settings("paper", [f"size={size}", *widths, *LIKE])
    cuda, batch = choose_device().type == "cuda", settings.transfer.batch
    fusion = LandmarkFusion(build_fusion(settings.fusion))
    files = folder / str(size)
    files.mkdir()
    about = (faces, split, fusion, settings)
    left_out = ["bfloat16", "channels_last", "fused Adam", "one generator pass for both steps"]
    left_out += ["photos on the device"]
    left_out += ["a recorded step", "the batch made ahead"] if cuda else []
    left_out = [] if whole else left_out
    flops = count_flops(*about)
    print(
        f"{size} pixels, {filters} and {judging} filters, batch {batch}, {rounds} rounds;", end=" "
    )
    print(f"{flops / 1e9:.1f} GFLOP a photo and step")
    loops = {"plain": Loop(lambda: plain_steps(*about, files)[0], batch)}
    if cuda:
        loops["plain without TF32"] = Loop(
            lambda: without_tf32(plain_steps(*about, files)[0]), batch
        )
    loops["ours"] = Loop(lambda: our_steps(*about), batch)
    for part in left_out:
        loops[f"ours without {part}"] = Loop(
            lambda part=part: our_steps(*about, without=part), batch
        )
    if torch.get_num_threads() > 1 and not cuda and not whole:
        loops["ours with one thread"] = Loop(lambda: our_steps(*about), batch, threads=1)
    if not (whole or eager):
        loops["ours with torch.compile"] = Loop(lambda: our_steps(*about, compiled=True), batch)
    for more in (32, 64) if cuda else (16,):
        loops[f"ours, batch {more}"] = Loop(lambda more=more: our_steps(*about, batch=more), more)
    for _ in range(rounds):
        for loop in loops.values():
            loop.turn(PHOTOS_A_TURN["cuda" if cuda else size])
    head = f"{'loop':46s} {'ms/photo':>9s} {'photos/s':>9s} {'x plain':>8s}"
    print(f"{head} {'MiB':>7s} {'ready s':>8s}")
    for name, loop in loops.items():
        ratios = np.array(loops["plain"].seconds) / np.array(loop.seconds)
        photo = float(np.median(loop.seconds))
        print(
            f"{name:46s} {1000 * photo:9.2f} {1 / photo:9.0f} {np.median(ratios):8.2f} "
            f"{loop.memory / 2**20:7.0f} {loop.warming:8.1f}",
            flush=True,
        )
    peak = matrix_peak(torch.bfloat16)
    for name, loop in loops.items():
        if name.startswith("ours, batch") or name == "ours":
            rate = flops / float(np.median(loop.seconds)) / 1e12
            print(f"{name}: {rate:.2f} TFLOP/s, {rate / peak:.0%} of {peak:.1f} (bf16 products)")


def without_tf32(step: Step) -> Step:
    """The same step with convolutions in full float32 on a GPU."""

    def exact() -> None:
        torch.backends.cudnn.allow_tf32 = False
        step()
        torch.backends.cudnn.allow_tf32 = True

    return exact


def main() -> None:
    """Print one table a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", type=Path, help="a FaceSet of 256 pixels; else one is drawn")
    parser.add_argument("--no-parts", action="store_true", help="only plain, ours, larger batches")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    torch.set_num_threads(choose_threads())
    print(
        f"{describe_device()}, torch {torch.__version__}, threads: {torch.get_num_threads()}, "
        f"TF32 in convolutions of the plain loop: {torch.backends.cudnn.allow_tf32}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.faces:
            faces = FaceSet.load(options.faces)
            split = split_photos(faces.table)
        else:
            drawn = ["size=256", "synthetic.people=10", "synthetic.size=256"]
            run = Run(folder / "run", load_settings("smoke", drawn))
            faces, split = run.faces(), run.split()
        for size in sizes:
            compare(
                faces, split, folder, size, options.rounds, options.no_parts, options.no_compile
            )
            print()


if __name__ == "__main__":
    main()
