"""Stage 1: training Φ (Eq. 1 and 3-6), and the fitted Φ, with ridge regression beside it or in its
place, that carries expressions from face to face."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from expr_lib.checkpoints import put_weights, read_tensors, save_tensors
from expr_lib.config import FusionSettings, RunSettings
from expr_lib.errors import BrokenCheckpoint
from expr_lib.losses import cycle_loss, discriminator_loss, generator_loss, landmark_l1
from expr_lib.methods.probe import FusionProbe
from expr_lib.methods.ridge import fit_ridge
from expr_lib.metrics import landmark_error
from expr_lib.models.fusion import (
    BlendedFusion,
    Deviation,
    Fusion,
    LandmarkDiscriminator,
    LinearFusion,
)
from expr_lib.points import flip_points
from expr_lib.pointset import Landmarked
from expr_lib.processes import Share, choose_device
from expr_lib.samples import (
    SOURCE,
    TARGET,
    TRUTH,
    strength_of,
)
from expr_lib.splits import Split
from expr_lib.training import follow, memory_named, newness, rate_factor, set_rate, train

MODEL = "model.safetensors"
SHARES = tuple(tenth / 10 for tenth in range(11))
"""What validation people choose among: the share of ridge regression in a blend, and of what the
method `retouch` changes."""
MIX_RANGE = (-0.2, 1.2)
"""Share of the second person in a mixed identity; a little beyond both ends makes new faces."""


def build_fusion(settings: FusionSettings, landmarks: int = 68) -> Deviation:
    """Stage 1 of these settings, not fitted yet: the network Φ, its linear rival, or both.

    landmarks  K
    """
    if settings.model == "ridge":
        return LinearFusion(landmarks)
    network = _network(settings, landmarks)
    if settings.model == "blend":
        return BlendedFusion(network, LinearFusion(landmarks))
    return network


def _network(settings: FusionSettings, landmarks: int) -> Fusion:
    return Fusion(
        landmarks,
        hidden=settings.hidden,
        latent=settings.latent,
        dropout=settings.dropout,
        units=settings.units,
    )


class FusionLearner:
    """One step of Eq. 6: D_J learns to tell real from fused landmarks, then Φ learns from all
    three losses."""

    probes = 10

    def __init__(self, faces: Landmarked, split: Split, settings: RunSettings) -> None:
        self.settings = settings.fusion
        self.batch = self.settings.batch
        self.share = Share(self.batch, "fusion.batch")
        self.seed = settings.seed
        self.samples = split.samples(settings.seed, self.settings.epoch)
        self.epoch = len(self.samples)
        self.steps = self.settings.steps(self.epoch)
        self.device = choose_device()
        self.landmarks = np.array(faces.landmarks)
        self.points = torch.from_numpy(self.landmarks).to(self.device)
        self.layout = faces.layout
        self.looks = FusionProbe(faces, split, settings.seed)
        self.keeps_best = self.settings.keep == "best" and split.can_choose
        self.mates = _Mates(faces, self.samples.rows)

        torch.manual_seed(settings.seed)
        count = self.layout.count
        self.fusion = _network(self.settings, count).to(self.device)
        self.fusion.measure(self.points[self._on_device(self.samples.rows)])
        self.average = copy.deepcopy(self.fusion).requires_grad_(False)
        self.discriminator = LandmarkDiscriminator(
            count, with_target=self.settings.discriminator_sees_target
        ).to(self.device)
        betas = (0.5, 0.999)
        decay = self.settings.weight_decay
        self.optimiser = AdamW(self.fusion.parameters(), betas=betas, weight_decay=decay)
        self.optimiser_d = AdamW(self.discriminator.parameters(), betas=betas, weight_decay=0.0)
        self.modules: Mapping[str, nn.Module] = {
            "fusion": self.fusion,
            "average": self.average,
            "discriminator": self.discriminator,
        }
        self.optimisers: Mapping[str, Optimizer] = {
            "fusion": self.optimiser,
            "discriminator": self.optimiser_d,
        }

    @property
    def trained(self) -> Fusion:
        """The network to use: the running average of the weights when there is one."""
        return self.average if self.settings.ema else self.fusion

    def _on_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source, target, truth, and the face that Eq. 4 returns to: each (N, K, 2)."""
        rng = np.random.default_rng([self.seed, 4, step])
        triples = self.samples.draw(step, self.batch)
        rows = [triples[:, column] for column in (SOURCE, TARGET, TRUTH)]
        base = self.mates.cycle_rows(triples, self.settings.cycle, rng)
        points = [self.points[self._on_device(r)] for r in (*rows, base)]
        if self.settings.mixup:
            mates, share = self.mates.draw(triples, self.settings.cycle, rng)
            for place, (mate, column) in enumerate(mates):
                weight = self._on_device(share[:, column].astype(np.float32))[:, None, None]
                other = self.points[self._on_device(mate)]
                points[place] = torch.lerp(points[place], other, weight)
        if self.settings.flips:
            mirrored = self._on_device(rng.random(self.batch) < 0.5)[:, None, None]
            points = [torch.where(mirrored, flip_points(p, self.layout), p) for p in points]
        mine = [p[self.share.rows] for p in points]
        return mine[0], mine[1], mine[2], mine[3]

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of D_J (Eq. 3) and one of Φ (Eq. 6)."""
        s = self.settings
        factor = rate_factor(step, self.steps, s.schedule)
        set_rate(self.optimiser, s.learning_rate * factor)
        set_rate(self.optimiser_d, s.discriminator_rate * factor)
        source, target, truth, base = self._draw(step)
        self.fusion.train()
        fused = self.fusion.fuse(source, target)  # J_gen, Eq. 1
        losses = {}
        if s.weight_adversarial:
            losses["discriminator"] = self._teach_discriminator(fused.detach(), truth, target)
        l1 = landmark_l1(fused, truth, s.units)
        total = s.weight_l1 * l1
        losses["l1"] = l1
        if s.weight_cycle:
            cycle = cycle_loss(self._return(fused, source, target, base), source, s.units)
            losses["cycle"] = cycle
            total = total + s.weight_cycle * cycle
        if s.weight_adversarial:
            self.discriminator.requires_grad_(False)
            adversarial = generator_loss(self._judge(fused, target))
            self.discriminator.requires_grad_(True)
            losses["adversarial"] = adversarial
            total = total + s.weight_adversarial * adversarial
        self.optimiser.zero_grad(set_to_none=True)
        (total * self.share.weight).backward()
        self.share.average(self.fusion.parameters())
        self.optimiser.step()
        if s.ema:
            follow(self.average, self.fusion, newness(step, s.ema))
        return losses

    def _return(self, fused: Tensor, source: Tensor, target: Tensor, base: Tensor) -> Tensor:
        """The way back of Eq. 4 [2]."""
        if self.settings.cycle == "neutral":
            return self.fusion.fuse(fused, base)
        other = self.fusion.fuse(target, source)  # the source's face with the target's expression
        driver = base if self.settings.cycle == "third_person" else fused
        return self.fusion.fuse(driver, other)

    def _judge(self, points: Tensor, target: Tensor) -> Tensor:
        mean, std = self.fusion.mean, self.fusion.std
        return self.discriminator((points - mean) / std, (target - mean) / std)

    def _teach_discriminator(self, fused: Tensor, truth: Tensor, target: Tensor) -> Tensor:
        loss = discriminator_loss(self._judge(truth, target), self._judge(fused, target))
        self.optimiser_d.zero_grad(set_to_none=True)
        (loss * self.share.weight).backward()
        self.share.average(self.discriminator.parameters())
        self.optimiser_d.step()
        return loss

    def _fuse(self, triples: np.ndarray) -> np.ndarray:
        source, target = (self.landmarks[triples[:, column]] for column in (SOURCE, TARGET))
        return LandmarkFusion(self.trained).fuse(source, target)

    def probe(self) -> dict[str, float]:
        """Landmark errors on validation and test people, see `FusionProbe`."""
        return self.looks.measure(self._fuse)

    def picture(self) -> np.ndarray:
        """Landmarks of a few validation pairs."""
        return self.looks.picture(self._fuse)

    def advice(self, losses: Mapping[str, float]) -> str | None:
        """Nothing: Φ starts as a copy of the target, and D_J changes little."""
        return None

    def worth(self, row: Mapping[str, float]) -> float:
        """The smaller the validation people's error, the better; or the later."""
        return -row["validation_error"] if self.keeps_best else row["step"]


class _Mates:
    """Other photos that go with a triple: of a second person to mix identities, of a base for the
    cycle."""

    def __init__(self, faces: Landmarked, rows: np.ndarray) -> None:
        table = faces.table
        self.person, persons = table["person"].factorize()
        shown = pd.Series(list(zip(table["expression"], strength_of(table), strict=True)))
        self.expression, words = shown.factorize()
        self.grid = np.full((len(persons), len(words)), -1, dtype=np.int64)
        for row in rows[::-1].tolist():
            self.grid[self.person[row], self.expression[row]] = row
        self.people = np.unique(self.person[rows])
        names = [word for word, _ in words]
        self.neutral = names.index("neutral") if "neutral" in names else -1

    def draw(
        self, triples: np.ndarray, cycle: str, rng: np.random.Generator
    ) -> tuple[list[tuple[np.ndarray, int]], np.ndarray]:
        """Rows of a second person with the same expressions, to mix with.

        returns  for source, target, truth (and the cycle's neutral face): rows, and their column of
                 the second result: (N, 2) shares of the second person, 0 where there is none
        """
        share = rng.uniform(*MIX_RANGE, size=(len(triples), 2))
        second = rng.choice(self.people, size=(len(triples), 2))
        source = self.grid[second[:, 0], self.expression[triples[:, SOURCE]]]
        target = self.grid[second[:, 1], self.expression[triples[:, TARGET]]]
        truth = self.grid[second[:, 1], self.expression[triples[:, TRUTH]]]
        mates = [(source, 0), (target, 1), (truth, 1)]
        if cycle == "neutral" and self.neutral >= 0:
            own = self.grid[self.person[triples[:, SOURCE]], self.neutral]
            base = np.where(own >= 0, self.grid[second[:, 0], self.neutral], source)
            mates.append((base, 0))
        for rows, column in mates:
            share[:, column] *= rows >= 0
        return mates, share

    def cycle_rows(self, triples: np.ndarray, cycle: str, rng: np.random.Generator) -> np.ndarray:
        """Rows for Eq. 4: the source's neutral face, a third person with the source's expression,
        or the source."""
        source = triples[:, SOURCE]
        if cycle == "neutral" and self.neutral >= 0:
            rows = self.grid[self.person[source], self.neutral]
        elif cycle == "third_person":
            third = rng.choice(self.people, size=len(triples))
            rows = self.grid[third, self.expression[source]]
        else:
            return source
        return np.where(rows >= 0, rows, source)


def choose_share(blended: BlendedFusion, faces: Landmarked, split: Split, seed: int) -> None:
    """Give the linear part the share of SHARES with the smallest landmark error on validation
    people; a half where these are too few to choose by."""
    if not split.can_choose:
        return
    given = [np.array(faces.landmarks)[rows] for rows in split.pairs("validation", 2000, seed).T]
    errors = []
    for share in SHARES:
        blended.share.fill_(share)
        fused = LandmarkFusion(blended).fuse(given[SOURCE], given[TARGET])
        errors.append(landmark_error(fused, given[TRUTH], faces.layout).mean())
    blended.share.fill_(SHARES[int(np.argmin(errors))])


class LandmarkFusion:
    """The frozen Φ, its linear rival, or both: landmarks in, fused landmarks out."""

    def __init__(self, network: Deviation) -> None:
        self.network = network.eval()

    @torch.no_grad()
    def fuse(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """J_gen of Eq. 1: the targets' faces with the sources' expressions.

        source, target  (N, K, 2)  crop widths
        returns         (N, K, 2) float32, crop widths
        """
        self.network.eval()
        device = self.network.mean.device
        given = (torch.as_tensor(p, dtype=torch.float32, device=device) for p in (source, target))
        return self.network.fuse(*given).cpu().numpy()

    @classmethod
    def fit(
        cls, faces: Landmarked, split: Split, settings: RunSettings, folder: Path, key: str
    ) -> Self:
        """Train Φ on the training people; goes on from a checkpoint in `folder`. Ridge regression
        is solved at once and writes nothing there. Of a blend Φ learns as it does alone."""
        if settings.fusion.model == "ridge":
            return cls(fit_ridge(faces, split, settings))
        lower = f"fusion.batch = {settings.fusion.batch} or fusion.hidden"
        with memory_named("fusion", lower):
            learner = FusionLearner(faces, split, settings)
            train(
                learner,
                steps=learner.steps,
                folder=folder,
                key=key,
                seed=settings.seed,
                title="fusion",
                checkpoint_seconds=settings.checkpoint_seconds,
                keep=settings.checkpoints,
            )
            network: Deviation = learner.trained
            if settings.fusion.model == "blend":
                linear = fit_ridge(faces, split, settings).to(learner.device)
                network = BlendedFusion(learner.trained, linear).to(learner.device)
                choose_share(network, faces, split, settings.seed)
        return cls(network.requires_grad_(False))

    @property
    def alone(self) -> Self | None:
        """Φ without ridge regression, where that is beside it."""
        if not isinstance(self.network, BlendedFusion):
            return None
        return type(self)(self.network.network)

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`. Raises OutputFailed."""
        weights = {k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}
        save_tensors(folder / MODEL, weights, {})

    @classmethod
    def load(cls, folder: Path, settings: RunSettings, landmarks: int = 68) -> Self:
        """Read a trained Φ of so many landmarks. Raises BrokenCheckpoint."""
        tensors, _ = read_tensors(folder / MODEL)
        network = build_fusion(settings.fusion, landmarks)
        put_weights(network, tensors, folder / MODEL)
        if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
            raise BrokenCheckpoint(
                f"{folder / MODEL} holds weights that are not finite; train again"
            )
        return cls(network.requires_grad_(False))
