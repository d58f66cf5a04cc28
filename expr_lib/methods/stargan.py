"""StarGAN (Choi et al., CVPR 2018): one generator for all expressions, told the wanted one by its
name. It needs no pairs: it learns from photos and their labels alone."""

from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam

from expr_lib.config import RunSettings
from expr_lib.faceset import FaceSet
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.painting import (
    Painter,
    PaintingLearner,
    code_planes,
    label_codes,
    label_planes,
)
from expr_lib.methods.tensors import join, to_tensor
from expr_lib.models.stargan import StarDiscriminator, StarGenerator, gradient_penalty
from expr_lib.photos import EXPRESSIONS
from expr_lib.processes import choose_device
from expr_lib.samples import SOURCE, TARGET
from expr_lib.splits import Split

RATE = 1e-4
PENALTY, CLASSES, CYCLE = 10.0, 1.0, 10.0
"""Weights of gradient penalty, classification and cycle, as published."""
CRITIC_STEPS = 5
"""The critic learns from so many batches before the generator learns from one, as published."""


class StarLearner(PaintingLearner):
    """WGAN-GP with a classifier in the critic, and a cycle back to the photo's own expression."""

    can_record: ClassVar[bool] = False  # the penalty is a gradient of a gradient
    batches: ClassVar[int] = CRITIC_STEPS

    def build(self) -> None:
        """Generator and critic."""
        self.generator = _generator(self.run).to(self.device)
        self.critic = StarDiscriminator(
            self.run.size, len(EXPRESSIONS), self.settings.discriminator_filters
        ).to(self.device)
        self.modules = {"generator": self.generator, "discriminator": self.critic}
        self.optimisers = {
            name: Adam(module.parameters(), lr=0.0, betas=(0.5, 0.999))
            for name, module in self.modules.items()
        }
        self.codes = torch.from_numpy(label_codes(self.words)).to(self.device)

    def rates(self) -> dict[str, float]:
        """As published."""
        return dict.fromkeys(self.optimisers, RATE)

    def example(self, triples: np.ndarray, mirrored: Tensor) -> tuple[Tensor, ...]:
        """The target's photo, and the expressions that it shows and that are wanted, (N,)."""
        rows = torch.from_numpy(triples).to(self.device)
        return (
            self.photo(triples[:, TARGET], mirrored),
            self.codes[rows[:, TARGET]],
            self.codes[rows[:, SOURCE]],
        )

    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        parts = list(zip(*(each.chunk(CRITIC_STEPS) for each in batch), strict=True))
        told: list[dict[str, Tensor]] = [self._teach_critic(*part) for part in parts]
        means = {name: torch.stack([each[name] for each in told]).mean() for name in told[0]}
        return means | self._teach_generator(*parts[-1])

    def _paint(self, photos: Tensor, wanted: Tensor) -> Tensor:
        with self.autocast():
            return self.generator(join(photos, code_planes(wanted, self.run.size))).float()

    def _teach_critic(self, photos: Tensor, shown: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self._paint(photos, wanted)
        value, logits = self.critic(photos)
        fake_value, _ = self.critic(fake)
        distance = fake_value.mean() - value.mean()
        penalty = gradient_penalty(self.critic, photos, fake)
        named = F.cross_entropy(logits, shown)
        self.update("discriminator", distance + PENALTY * penalty + CLASSES * named)
        told = {"critic": distance, "penalty": penalty, "named": named}
        return {name: loss.detach() for name, loss in told.items()}

    def _teach_generator(self, photos: Tensor, shown: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        self.critic.requires_grad_(False)
        fake = self._paint(photos, wanted)
        value, logits = self.critic(fake)
        named = F.cross_entropy(logits, wanted)
        cycle = F.l1_loss(self._paint(fake, shown), photos)
        self.update("generator", -value.mean() + CLASSES * named + CYCLE * cycle)
        self.critic.requires_grad_(True)
        return {"adversarial": -value.mean(), "fake_named": named, "cycle": cycle}

    def painter(self) -> "StarGAN":
        """The generator as it is now."""
        return StarGAN(LandmarkFusion(self.fusion), {"generator": self.generator}, self.run)


def _generator(settings: RunSettings) -> StarGenerator:
    # half as wide as the U-Net, or a step takes many times as long
    return StarGenerator(len(EXPRESSIONS), max(1, settings.transfer.filters // 2))


class StarGAN(Painter):
    """The target's photo and the name of the source's expression in, one photo out."""

    name = "stargan"
    title = "StarGAN"
    needs = "the source's label"

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A generator that has learnt nothing yet."""
        torch.manual_seed(settings.seed)
        return cls(fusion, {"generator": _generator(settings).to(choose_device())}, settings)

    @classmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> StarLearner:
        """What trains the generator."""
        return StarLearner(faces, split, fusion, settings)

    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """The targets with the expressions that the sources' labels name."""
        photos = to_tensor(target.photos, self.device)
        planes = label_planes(source.words, self.settings.size, self.device)
        return self.networks["generator"](join(photos, planes))
