"""The paper's model: landmarks fused by the frozen Φ, then the U-Net Ω of stage 2 (Eq. 2 and
7-9)."""

from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from expr_lib.config import RunSettings
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss, pixel_l1, pixel_l2
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.painting import Painter, PaintingLearner, label_planes
from expr_lib.methods.tensors import (
    LAYOUT,
    build_adam,
    build_discriminator,
    build_generator,
    join,
    to_tensor,
)
from expr_lib.models.unet import UNet
from expr_lib.processes import choose_device
from expr_lib.splits import Split


class TransferLearner(PaintingLearner):
    """One step of Eq. 9: the generator paints once; D_I learns from it (Eq. 7), then the generator
    learns."""

    generator: nn.Module

    def build(self) -> None:
        """Ω and D_I."""
        self.generator = self.on_device(build_generator(self.run))
        self.discriminator = self.on_device(build_discriminator(self.settings))
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.optimisers = {
            name: build_adam(module.parameters(), self.device)
            for name, module in self.modules.items()
        }

    def _pair(self, target: Tensor, photo: Tensor, told: Tensor) -> Tensor:
        parts = [target, photo]
        if self.settings.discriminator_sees_landmarks:
            parts.append(told)
        return torch.cat(parts, dim=1)

    def paint(self, *batch: Tensor) -> Tensor:
        """I_gen of Eq. 2, (N, 3, H, W), of a batch as `example` gave it."""
        target, _, told = batch
        with self.autocast():
            return self.generator(join(target, told))

    def compare(self, painted: Tensor, *batch: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The losses that set the painting beside its truth, and their weighted sum."""
        s = self.settings
        difference = pixel_l1 if s.pixel_loss == "l1" else pixel_l2
        loss = difference(painted, batch[1])
        return {s.pixel_loss: loss}, s.weight_l1 * loss

    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        """One step of D_I (Eq. 7) and one of Ω (Eq. 9)."""
        target, truth, told = batch[:3]
        s = self.settings
        painted = self.paint(*batch)
        losses, total = self.compare(painted, *batch)
        if s.weight_adversarial:
            losses["discriminator"] = self._teach_discriminator(target, truth, painted, told)
            self.discriminator.requires_grad_(False)
            with self.autocast():
                logits = self.discriminator(self._pair(target, painted, told))
            self.discriminator.requires_grad_(True)
            adversarial = generator_loss(logits, s.adversarial_loss, s.generator_loss)
            losses["adversarial"] = adversarial
            total = total + s.weight_adversarial * adversarial
        self.update("generator", total)
        return losses

    def _teach_discriminator(
        self, target: Tensor, truth: Tensor, painted: Tensor, told: Tensor
    ) -> Tensor:
        real = self._pair(target, truth, told)
        fake = self._pair(target, painted.detach().to(truth.dtype), told)
        with self.autocast():
            if self.settings.discriminator_norm == "batch":  # each with statistics of its own
                real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
            else:  # one pass over both is the same as two
                real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        loss = discriminator_loss(real_logits, fake_logits, self.settings.adversarial_loss)
        self.update("discriminator", loss)
        return loss

    def painter(self) -> Painter:
        """Φ and Ω as they are now."""
        assert isinstance(self.generator, UNet)
        return PaperModel(LandmarkFusion(self.fusion), self.generator, self.run)


class PaperModel(Painter):
    """Φ and Ω together: two aligned faces in, one photo out."""

    name = "paper"
    title = "the paper's model"

    def __init__(self, fusion: LandmarkFusion, generator: UNet, settings: RunSettings) -> None:
        super().__init__(fusion, {"generator": generator}, settings)

    @property
    def generator(self) -> UNet:
        """Ω."""
        return cast(UNet, self.networks["generator"])  # or what wraps it

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A frozen Φ and an Ω that has learnt nothing yet."""
        torch.manual_seed(settings.seed)
        generator = build_generator(settings).to(choose_device()).to(memory_format=LAYOUT)
        return cls(fusion, generator, settings)

    @classmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> TransferLearner:
        """What trains Ω."""
        return TransferLearner(faces, split, fusion, settings)

    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """I_gen of Eq. 2."""
        if self.settings.transfer.condition == "label":
            told = label_planes(source.words, self.settings.size, self.device)
        else:
            told = self.drawn(points)
        return self.generator(join(to_tensor(target.photos, self.device), told))
