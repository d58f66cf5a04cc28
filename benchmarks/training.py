"""How fast stage 2 trains: ours beside a plain loop, which takes turns with it in one run.

    python benchmarks/training.py [--sizes 128,256] [--rounds 3]

The plain loop is what the pix2pix recipe gives: a DataLoader of image files that decodes, flips
and draws each sample on the CPU, float32, PyTorch's default memory layout and Adam, the generator
once a step, the discriminator twice for its own loss and once for the generator's. Networks,
losses, batch, photos and landmarks (fused by the same frozen Φ) are ours. Each part of ours is
also left out alone, to see what it is worth.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import RunSettings, load_settings
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss, pixel_l1
from expr_lib.methods.fusion import LandmarkFusion, build_fusion
from expr_lib.methods.paper import TransferLearner
from expr_lib.methods.tensors import build_generator
from expr_lib.models.patchgan import PatchGAN
from expr_lib.points import CLOSED_PARTS, LANDMARK_PARTS, flip_points
from expr_lib.runs import Run
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import Split
from expr_lib.training import choose_device, choose_threads

FILTERS = {128: 32, 256: 64}
STEPS = {128: 12, 256: 4}
"""Steps of one turn."""
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
) -> Step:
    """The plain loop, ready to go: calling it does one step."""
    torch.manual_seed(0)
    samples, batch, device = split.samples(0), settings.transfer.batch, choose_device()
    triples = np.concatenate([samples.draw(step, batch) for step in range(400)])
    points = faces.landmarks[triples[:, SOURCE]], faces.landmarks[triples[:, TARGET]]
    for row in samples.rows.tolist():
        photo = faces.photos_at(np.array([row]), settings.size)[0]
        Image.fromarray(photo).save(folder / f"{row}.png")
    data = PhotoFiles(folder, triples, fusion.fuse(*points), settings.size)
    loader = DataLoader(data, batch, num_workers=2, persistent_workers=True)
    generator = build_generator(settings).to(device).train()
    discriminator = PatchGAN(filters=settings.transfer.discriminator_filters).to(device)
    adam = Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    adam_d = Adam(discriminator.parameters(), 1e-4, betas=(0.5, 0.999))

    def endless() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
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
        (100 * pixel_l1(painted, truth) + generator_loss(judged)).backward()
        adam.step()

    return step


def our_steps(
    faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings, without: str = ""
) -> Step:
    """The library's loop, or one without one of its parts; calling it does one step."""
    if without == "bfloat16":
        transfer = settings.transfer.model_copy(update={"precision": "float32"})
        settings = settings.model_copy(update={"transfer": transfer})
    learner = TransferLearner(faces, split, fusion, settings)
    if without == "channels_last":
        for module in learner.modules.values():
            module.to(memory_format=torch.contiguous_format)
    if without == "fused Adam":
        for optimiser in learner.optimisers.values():
            optimiser.param_groups[0]["fused"] = False
    counter = iter(range(10**9))
    return lambda: learner.step(next(counter))


def take_turns(loops: dict[str, Step], steps: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a step of each loop, a number a round; the loops take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():
        step()
        step()
    for _ in range(rounds):
        for name, step in loops.items():
            _wait()
            start = time.perf_counter()
            for _ in range(steps):
                step()
            _wait()
            seconds[name].append((time.perf_counter() - start) / steps)
    return seconds


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(run: Run, folder: Path, size: int, rounds: int) -> None:
    """Print the table of one size."""
    settings = load_settings(
        "paper", [f"size={size}", f"transfer.filters={FILTERS[size]}", "transfer.precision=auto"]
    )
    faces, split = run.faces(), run.split()
    fusion = LandmarkFusion(build_fusion(settings.fusion))
    files = folder / str(size)
    files.mkdir()
    loops = {"plain": plain_steps(faces, split, fusion, settings, files)}
    for without in ("", "bfloat16", "channels_last", "fused Adam"):
        name = f"ours without {without}" if without else "ours"
        loops[name] = our_steps(faces, split, fusion, settings, without)
    batch = settings.transfer.batch
    print(f"{size} pixels, {FILTERS[size]} filters, batch {batch}, {rounds} rounds")
    print(f"{'loop':28s} {'ms a photo':>10s} {'times plain':>12s}")
    taken = take_turns(loops, STEPS[size], rounds)
    for name, seconds in taken.items():
        ratios = np.array(taken["plain"]) / np.array(seconds)
        photo = 1000 * float(np.median(seconds)) / batch
        print(f"{name:28s} {photo:10.1f} {np.median(ratios):12.2f}", flush=True)


def main() -> None:
    """Print one table a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    print(f"{choose_device()}, threads: {choose_threads()}")
    torch.set_num_threads(choose_threads())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = ["size=256", "synthetic.people=10", "synthetic.size=256"]
        run = Run(folder / "run", load_settings("smoke", drawn))
        run.faces()
        for size in sizes:
            compare(run, folder, size, options.rounds)
            print()


if __name__ == "__main__":
    main()
