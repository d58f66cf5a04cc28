"""What all methods that paint with a network share: how they learn by the one loop, and how they
are saved, loaded and asked for pictures."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from expr_lib.checkpoints import put_weights, read_tensors, save_tensors
from expr_lib.config import RunSettings, TransferSettings
from expr_lib.cuda import Ahead, Batch, Recorded
from expr_lib.drawing import draw_landmarks
from expr_lib.errors import BadSetting, BrokenCheckpoint
from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.fusion import MODEL, LandmarkFusion, build_fusion
from expr_lib.methods.tensors import LAYOUT, PhotoStore, to_photos, to_tensor, working_precision
from expr_lib.metrics import mouth_psnr, psnr, ssim
from expr_lib.photos import EXPRESSIONS, as_grey
from expr_lib.points import flip_points
from expr_lib.processes import Share, choose_device, share_statistics, team
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import PARTS, Split
from expr_lib.training import TrainingCollapsed, memory_named, rate_factor, set_rate, train
from expr_lib.watching import sample_grid

WON = 0.02
"""Loss of a discriminator (1.39 when it cannot tell) below which it has won."""
ENOUGH = 1_000
"""Photos that an untrained generator, whose pictures are all grey, has to see before that is
odd."""
CONSTANT = 0.02
"""Spread of generated pictures over that of the true ones below which they are all the same."""


def autocast(precision: torch.dtype, device: torch.device) -> AbstractContextManager[None]:
    """Let networks compute in `working_precision`."""
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)


def label_planes(words: np.ndarray | None, size: int, device: torch.device) -> Tensor:
    """Expressions as one-hot images (N, 8, size, size): 1 in the plane of the expression, else -1.

    words   (N,) expressions
    raises  BadSetting when they are unknown
    """
    return code_planes(torch.from_numpy(label_codes(words)).to(device), size)


def code_planes(codes: Tensor, size: int) -> Tensor:
    """The same of places (N,) int64 among the eight."""
    planes = F.one_hot(codes, len(EXPRESSIONS)).float() * 2 - 1
    return planes[:, :, None, None].expand(-1, -1, size, size)


def label_codes(words: np.ndarray | None) -> np.ndarray:
    """Places (N,) of expressions among the eight. Raises BadSetting for one that is unknown."""
    if words is None:
        raise BadSetting(
            "this method must be told the source's expression, and nobody has named it; choose a "
            "method that sees it in the landmarks, such as the paper's"
        )
    if strange := sorted(set(words.tolist()) - set(EXPRESSIONS)):
        raise BadSetting(f"expression {strange[0]!r} is none of {', '.join(EXPRESSIONS)}")
    return np.array([EXPRESSIONS.index(word) for word in words], np.int64)


def model_of(run: str | Path) -> Path:
    """The file of a run's finished model. Raises BadSetting when there is none."""
    path = Path(run) / "transfer" / MODEL
    if not path.is_file():
        raise BadSetting(f"transfer.start = {run}: there is no finished model; train it first")
    return path


class Painter(Method):
    """A learned method: two aligned faces in, one photo out, by networks behind a frozen Φ.

    networks  those that paint, by name; they are what is saved
    """

    networks: dict[str, nn.Module]

    def __init__(
        self, fusion: LandmarkFusion, networks: dict[str, nn.Module], settings: RunSettings
    ) -> None:
        self.fusion, self.networks, self.settings = fusion, networks, settings
        self.device = next(next(iter(networks.values())).parameters()).device
        self.precision = working_precision(settings.transfer.precision, self.device)
        self.fusion.network.to(self.device)

    @classmethod
    @abstractmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A frozen Φ and networks that have learnt nothing yet, on the device."""

    @classmethod
    @abstractmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> "PaintingLearner":
        """What trains such a method."""

    @abstractmethod
    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1] of a few faces, for landmarks (N, 68, 2) to reach."""

    def fit(
        self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path, key: str = ""
    ) -> None:
        """Train on the training people with the frozen Φ; goes on from a checkpoint in `folder`.

        raises  BadSetting when there is nothing to start from; BrokenCheckpoint when it is of other
                settings
        """
        lower = f"transfer.batch = {settings.transfer.batch}, transfer.filters or size"
        with memory_named("transfer", lower):
            learner = self.learner(faces, split, self.fusion, settings)
            if settings.transfer.start is not None:
                learner.start_from(model_of(settings.transfer.start))
            train(
                learner,
                steps=learner.steps,
                folder=folder,
                key=key,
                seed=settings.seed,
                title="transfer",
                checkpoint_seconds=settings.checkpoint_seconds,
                keep=settings.checkpoints,
            )
        self.networks = {n: network.eval() for n, network in learner.painter().networks.items()}

    @torch.no_grad()
    def generate(
        self,
        source: FaceBatch,
        target: FaceBatch,
        batch: int = 8,
        points: np.ndarray | None = None,
    ) -> np.ndarray:
        """I_gen (N, H, W, 3) uint8; BatchNorm uses its running statistics, and nothing is dropped.

        points  (N, 68, 2) landmarks to reach, crop widths; those of `reach` by default
        """
        points = self.reach(source, target) if points is None else points
        training = {name: network.training for name, network in self.networks.items()}
        for network in self.networks.values():
            network.eval()
        results = []
        for start in range(0, len(target), batch):
            some = slice(start, start + batch)
            with autocast(self.precision, self.device):
                painted = self.paint(source[some], target[some], points[some])
            results.append(to_photos(painted))
        for name, network in self.networks.items():
            network.train(training[name])
        return np.concatenate(results)

    def fuse(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """J_gen of Eq. 1, (N, 68, 2) crop widths."""
        return self.fusion.fuse(source.points, target.points)

    def reach(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """Landmarks that the networks are shown, (N, 68, 2) crop widths: J_gen, or the source's own
        without fusion."""
        if self.settings.transfer.landmarks == "source":
            return source.points
        return self.fuse(source, target)

    def drawn(self, points: np.ndarray) -> Tensor:
        """Landmarks (N, 68, 2) as images (N, 1, H, W), in the run's style."""
        style = self.settings.transfer.landmark_style
        given = torch.as_tensor(points, dtype=torch.float32, device=self.device)
        return draw_landmarks(given, self.settings.size, style=style)

    def save(self, folder: Path, half: bool = False) -> None:
        """Write Φ and the networks as one `model.safetensors`. Raises OutputFailed.

        half  weights in half precision, half the size: the pictures differ by what nobody sees
        """
        tensors = {
            f"{part}/{name}": value.detach().cpu().contiguous()
            for part, module in (("fusion", self.fusion.network), *self.networks.items())
            for name, value in module.state_dict().items()
        }
        if half:  # not the statistics of BatchNorm, which may be large
            tensors = {n: v.half() if v.ndim > 1 else v for n, v in tensors.items()}
        save_tensors(folder / MODEL, tensors, {"size": json.dumps(self.settings.size)})

    @classmethod
    def load(cls, folder: Path, settings: RunSettings) -> Self:
        """Read a trained method. Raises BrokenCheckpoint when it is damaged or made for another
        size."""
        path = folder / MODEL
        tensors, metadata = read_tensors(path)
        size = json.loads(metadata.get("size", "null"))
        if size != settings.size:
            raise BrokenCheckpoint(
                f"{path} was made for photos of {size} pixels, but the run is set to "
                f"{settings.size}; set size={size}, or train again in another run folder"
            )
        fusion = build_fusion(settings.fusion)
        method = cls.untrained(LandmarkFusion(fusion), settings)
        for part, module in (("fusion", fusion), *method.networks.items()):
            prefix = f"{part}/"
            put_weights(
                module,
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
                path,
            )
            module.eval()
        return method


class PaintingLearner(ABC):
    """Everything about learning to paint but the networks and their losses: batches, rates, looks
    at validation and test people.

    can_record  whether a step never asks for a value and is the same every time, see `Recorded`
    batches     how many batches a step takes
    """

    can_record: ClassVar[bool] = True
    batches: ClassVar[int] = 1

    def __init__(
        self, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> None:
        self.run = settings
        self.settings = s = settings.transfer
        self.batch, self.probes = s.batch * self.batches, s.curve_points
        self.share = Share(self.batch, "transfer.batch")
        self.device = choose_device()
        self.precision = working_precision(s.precision, self.device)
        self.samples = split.samples(settings.seed, s.epoch)
        self.epoch = len(self.samples)
        self.steps = max(1, round(s.steps(self.epoch) / self.batches))
        self.faces = faces
        self.photos = PhotoStore(faces, self.photo_rows(), settings.size, self.device)
        self.points = torch.from_numpy(np.array(faces.landmarks)).to(self.device)
        self.words = faces.table["expression"].to_numpy()
        self.fusion = fusion.network.to(self.device).eval()
        self.grey = faces.grey
        self.seen = 0  # photos
        self.modules: Mapping[str, nn.Module] = {}
        self.optimisers: Mapping[str, Optimizer] = {}
        torch.manual_seed(settings.seed)
        self.build()
        for module in self.modules.values():
            share_statistics(module)
        self.ahead: Ahead | None = None
        self.learn: Callable[..., dict[str, Tensor]] = self._learn
        if self.device.type == "cuda":
            self.ahead = Ahead(self._draw)
            if team().num_processes == 1 and self.can_record:
                self.learn = Recorded(self._learn)
        self.keeps_best = s.keep == "best" and split.can_choose
        self.probed = {}
        for part in PARTS[1:]:
            triples = split.pairs(part, s.curve_pairs, settings.seed)
            batches = [FaceBatch.of(faces, triples[:, i], settings.size) for i in range(3)]
            self.probed[part] = batches

    @abstractmethod
    def build(self) -> None:
        """Make `modules` and `optimisers`, untrained."""

    def start_from(self, path: Path) -> None:
        """Take the networks that paint from a finished model; those that judge begin anew. Raises
        BrokenCheckpoint when they are others."""
        tensors, _ = read_tensors(path)
        for name in self.painter().networks:
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            put_weights(self.modules[name], own, path)

    @abstractmethod
    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        """Learn from one batch, as `example` gave it, and return the losses."""

    @abstractmethod
    def painter(self) -> Painter:
        """The networks as they are now, as a method."""

    def rates(self) -> Mapping[str, float]:
        """Learning rate of each optimiser before the schedule."""
        s = self.settings
        return {
            name: s.discriminator_rate if name.startswith("discriminator") else s.learning_rate
            for name in self.optimisers
        }

    def photo_rows(self) -> np.ndarray:
        """Rows of the faces whose photos may be asked for."""
        return self.samples.rows

    def on_device(self, module: nn.Module) -> nn.Module:
        """A network where and how it computes fastest."""
        return module.to(self.device).to(memory_format=LAYOUT)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the working precision."""
        return autocast(self.precision, self.device)

    # --- batches

    def _draw(self, step: int) -> Batch:
        triples = self.samples.draw(step, self.batch)[self.share.rows]
        mirrored = np.zeros(len(triples), bool)
        if self.settings.flips:
            flips = np.random.default_rng([self.run.seed, 5, step]).random(self.batch) < 0.5
            mirrored = flips[self.share.rows]
        return self.example(triples, torch.from_numpy(mirrored).to(self.device))

    def example(self, triples: np.ndarray, mirrored: Tensor) -> Batch:
        """P_t and I_o (N, 3, H, W) and the condition of Ω (N, C, H, W), all in [-1, 1].

        triples   (N, 3) rows of source, target and truth
        mirrored  (N,) bool on the device, which of them are flipped left to right
        """
        target, truth = (self.photo(triples[:, c], mirrored) for c in (TARGET, TRUTH))
        return target, truth, self.condition(triples, mirrored)

    def photo(self, rows: np.ndarray, mirrored: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1]."""
        photos = to_tensor(self.photos.take(rows), self.device)
        if not self.settings.flips:
            return photos
        return torch.where(mirrored[:, None, None, None], photos.flip(-1), photos)

    def marks(self, rows: np.ndarray, mirrored: Tensor) -> Tensor:
        """Landmarks (N, 68, 2), crop widths."""
        points = self.points[torch.from_numpy(rows).to(self.device)]
        if not self.settings.flips:
            return points
        return torch.where(mirrored[:, None, None], flip_points(points), points)

    def reach(self, triples: np.ndarray, mirrored: Tensor) -> Tensor:
        """Landmarks that the networks learn with [9], (N, 68, 2) crop widths."""
        wanted = self.settings.landmarks
        if wanted == "fused":
            source, target = (self.marks(triples[:, c], mirrored) for c in (SOURCE, TARGET))
            with torch.no_grad():
                return self.fusion.fuse(source, target)
        return self.marks(triples[:, TRUTH if wanted == "true" else SOURCE], mirrored)

    def draw(self, points: Tensor) -> Tensor:
        """Landmarks as images (N, 1, H, W), in the run's style."""
        return draw_landmarks(points, self.run.size, style=self.settings.landmark_style)

    def condition(self, triples: np.ndarray, mirrored: Tensor) -> Tensor:
        """What Ω is told beside the photo: the drawn landmarks, or the planes of the label."""
        if self.settings.condition == "label":
            words = self.words[triples[:, SOURCE]]
            return label_planes(words, self.run.size, self.device)
        return self.draw(self.reach(triples, mirrored))

    # --- the loop

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of all networks, see `_learn`."""
        factor = rate_factor(step, self.steps, self.settings.schedule)
        for name, rate in self.rates().items():
            set_rate(self.optimisers[name], rate * factor)
        self.seen = (step + 1) * self.batch
        for module in self.modules.values():
            module.train()
        if self.ahead is None:
            return self.learn(*self._draw(step))
        losses = self.learn(*self.ahead.take(step))
        self.ahead.prepare(step + 1)
        return losses

    def update(self, name: str, loss: Tensor, *modules: str) -> None:
        """One step of an optimiser down its loss, a mean over this process's part of the batch.

        modules  the networks that it changes; the one of its own name by default
        """
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        (loss * self.share.weight).backward()
        self.share.average(self._parameters(modules or (name,)))
        optimiser.step()

    def _parameters(self, modules: tuple[str, ...]) -> Iterator[nn.Parameter]:
        for name in modules:
            yield from self.modules[name].parameters()

    def probe(self) -> dict[str, float]:
        """SSIM, PSNR and mouth PSNR (dB) on a few transfers between validation and test people:
        Figures 5 and 6."""
        method = self.painter()
        window = self.run.evaluation.ssim_window
        row: dict[str, float] = {}
        for part, (source, target, truth) in self.probed.items():
            results = method.generate(source, target)
            if self.seen >= ENOUGH:
                _stop_if_constant(results, truth.photos, self.settings)
            results = as_grey(results) if self.grey else results
            measured = {
                "ssim": ssim(results, truth.photos, window, self.device),
                "psnr": psnr(results, truth.photos, self.device),
                "psnr_mouth": mouth_psnr(results, truth.photos, truth.points, self.device),
            }
            row |= {f"{part}_{name}": float(np.mean(each)) for name, each in measured.items()}
        return row

    def advice(self, losses: Mapping[str, float]) -> str | None:
        """Say that D tells nearly every photo from every painting: it teaches nothing then."""
        if losses.get("discriminator", 1.0) > WON:
            return None
        return (
            f"the discriminator wins everything (its loss is {losses['discriminator']:.4f}); if "
            f"the pictures get no better, lower transfer.discriminator_rate = "
            f"{self.settings.discriminator_rate:g} or transfer.discriminator_filters = "
            f"{self.settings.discriminator_filters}, in a new run folder"
        )

    def picture(self) -> np.ndarray:
        """Up to six transfers between validation people: source, target, result and truth."""
        source, target, truth = (batch[:6] for batch in self.probed["validation"])
        return sample_grid(
            {
                "source": source.photos,
                "target": target.photos,
                "result": self.painter().generate(source, target),
                "truth": truth.photos,
            }
        )

    def worth(self, row: Mapping[str, float]) -> float:
        """The higher the validation people's SSIM, the better; or the later."""
        return row["validation_ssim"] if self.keeps_best else row["step"]


def _stop_if_constant(results: np.ndarray, truths: np.ndarray, settings: TransferSettings) -> None:
    """Raise TrainingCollapsed when pictures (N, H, W, 3) uint8 hardly differ, but their truths
    do."""
    apart, wanted = (float(photos.std(axis=0).mean()) for photos in (results, truths))
    if apart < CONSTANT * wanted:
        raise TrainingCollapsed(
            f"transfer: the generator gives one picture for all faces (they differ by {apart:.2f} "
            f"of 255, the true ones by {wanted:.2f}); lower transfer.learning_rate = "
            f"{settings.learning_rate:g} or raise transfer.weight_l1 = {settings.weight_l1:g}, in "
            "a new run folder"
        )
