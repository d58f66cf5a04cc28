"""ExprGAN (Ding et al., AAAI 2018): who it is becomes 50 numbers, and a decoder paints that person
anew with the expression that a label names.

Our reading where it departs: of its three stages of training the first two, in which codes and
photos are learnt, are one, and the third, in which photos are also to look real, is the last third
of the steps; the features of VGG-Face in its identity loss, whose weights are not at hand, are
those of a small recogniser that learns beside the others; at use the strength of the expression is
full.
"""

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expr_lib.config import RunSettings
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.painting import Painter, label_codes
from expr_lib.methods.recognising import RecognisingLearner
from expr_lib.methods.tensors import LAYOUT, build_adam, to_tensor
from expr_lib.models.exprgan import (
    ENTRIES,
    CodeDiscriminator,
    ExprDecoder,
    ExprEncoder,
    PhotoDiscriminator,
    expression_code,
)
from expr_lib.photos import EXPRESSIONS
from expr_lib.processes import choose_device
from expr_lib.samples import TRUTH
from expr_lib.splits import Split

LABELS = len(EXPRESSIONS)
PHOTO, CODE, SMOOTH = 0.01, 0.01, 0.001
"""Weights of both adversarial terms and of the total variation, as published; that of the pixels
is 1."""
IDENTITY, READ = 0.03, 0.1
"""Weights of the recogniser's features and of the code that is read back. Published are 1 and 1, of
other features and a much longer training; so heavy, they drowned the pixels here."""
REFINED_FROM = 2 / 3
"""Share of the steps after which photos and codes are judged, and the total variation counts."""


class ExprLearner(RecognisingLearner):
    """An autoencoder that must hide who it is, and nothing else, in its 50 numbers."""

    def build(self) -> None:
        """Encoder, decoder, both discriminators, and the recogniser."""
        self.codes = torch.from_numpy(label_codes(self.words)).to(self.device)
        networks = {
            **_networks(self.run),
            "discriminator_photo": PhotoDiscriminator(
                self.run.size, LABELS, self.settings.discriminator_filters
            ),
            "discriminator_code": CodeDiscriminator(),
            "recogniser": self.build_recogniser(),
        }
        self.modules = {name: self.on_device(network) for name, network in networks.items()}
        self.optimisers = {
            "generator": build_adam(self._parameters(("encoder", "decoder")), self.device),
            "discriminators": build_adam(
                self._parameters(("discriminator_photo", "discriminator_code")), self.device
            ),
            "recogniser": build_adam(self._parameters(("recogniser",)), self.device),
        }

    def rates(self) -> dict[str, float]:
        """One rate for all, as published."""
        return dict.fromkeys(self.optimisers, self.settings.learning_rate)

    def example(self, triples: np.ndarray, mirrored: Tensor) -> tuple[Tensor, ...]:
        """A photo, its expression (N,), who it is (N,)."""
        rows = torch.from_numpy(triples[:, TRUTH]).to(self.device)
        return self.photo(triples[:, TRUTH], mirrored), self.codes[rows], self.persons[rows]

    def _draw(self, step: int) -> tuple[Tensor, ...]:
        refined = torch.tensor(float(step >= REFINED_FROM * self.steps), device=self.device)
        return *super()._draw(step), refined

    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        photos, labels, persons, refined = batch
        strength = torch.rand(len(labels), LABELS * ENTRIES, device=self.device)
        code = expression_code(labels, LABELS, strength)
        with self.autocast():
            hidden = self.modules["encoder"](photos)
            painted = self.modules["decoder"](hidden, code)
        hidden, painted = hidden.float(), painted.float()
        losses = {
            "discriminator": self._teach_discriminators(
                photos, painted, labels, hidden, code, refined
            ),
            "recogniser": self.teach_recogniser(photos, persons),
        }
        judges = [self.modules[n] for n in self.modules if n not in ("encoder", "decoder")]
        for judge in judges:
            judge.requires_grad_(False)
        with self.autocast():
            logits, read = self.modules["discriminator_photo"](painted, labels)
            told = self.modules["discriminator_code"](hidden)
        real, drawn = generator_loss(logits), generator_loss(told)
        losses |= {
            "l1": F.l1_loss(painted, photos),
            "identity": self.unlikeness(painted, photos),
            "code": F.mse_loss(read.float(), code),
            "adversarial": real + drawn,
            "variation": _variation(painted),
        }
        look = PHOTO * real + CODE * drawn + SMOOTH * losses["variation"]
        total = losses["l1"] + IDENTITY * losses["identity"] + READ * losses["code"]
        total = total + refined * look
        self.update("generator", total, "encoder", "decoder")
        for judge in judges:
            judge.requires_grad_(True)
        return losses

    def _teach_discriminators(
        self,
        photos: Tensor,
        painted: Tensor,
        labels: Tensor,
        hidden: Tensor,
        code: Tensor,
        refined: Tensor,
    ) -> Tensor:
        """Teach what is real, once photos are refined, and all the time to read the code back."""
        drawn = torch.rand_like(hidden) * 2 - 1
        judge, code_judge = (self.modules[f"discriminator_{n}"] for n in ("photo", "code"))
        with self.autocast():
            real, _ = judge(photos, labels)
            fake, read = judge(painted.detach(), labels)
            of_codes = discriminator_loss(code_judge(drawn), code_judge(hidden.detach()))
        loss = discriminator_loss(real, fake)
        total = F.mse_loss(read.float(), code) + refined * (loss + of_codes)
        self.update("discriminators", total, "discriminator_photo", "discriminator_code")
        return loss

    def painter(self) -> "ExprGAN":
        """Encoder and decoder as they are now."""
        networks = {name: self.modules[name] for name in ("encoder", "decoder")}
        return ExprGAN(LandmarkFusion(self.fusion), networks, self.run)


def _variation(photos: Tensor) -> Tensor:
    """Mean difference of neighbouring pixels."""
    across = (photos[..., 1:] - photos[..., :-1]).abs().mean()
    return across + (photos[..., 1:, :] - photos[..., :-1, :]).abs().mean()


def _networks(settings: RunSettings) -> dict[str, nn.Module]:
    filters = settings.transfer.filters
    return {
        "encoder": ExprEncoder(settings.size, filters),
        "decoder": ExprDecoder(settings.size, LABELS, filters),
    }


class ExprGAN(Painter):
    """The target's identity and the name of the source's expression in, a new photo out."""

    name = "exprgan"
    title = "ExprGAN (our reading)"
    needs = "the source's label"

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """Networks that have learnt nothing yet."""
        torch.manual_seed(settings.seed)
        device = choose_device()
        networks = {
            name: network.to(device).to(memory_format=LAYOUT)  # type: ignore[call-overload]
            for name, network in _networks(settings).items()
        }
        return cls(fusion, networks, settings)

    @classmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> ExprLearner:
        """What trains the autoencoder."""
        return ExprLearner(faces, split, fusion, settings)

    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """The targets, painted anew with the expressions that the sources' labels name."""
        labels = torch.from_numpy(label_codes(source.words)).to(self.device)
        strength = torch.ones(len(labels), LABELS * ENTRIES, device=self.device)
        hidden = self.networks["encoder"](to_tensor(target.photos, self.device))
        return self.networks["decoder"](hidden, expression_code(labels, LABELS, strength))
