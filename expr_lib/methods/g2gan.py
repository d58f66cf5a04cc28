"""G2-GAN (Song et al., ACM MM 2018): a generator that removes an expression and one that makes it,
each guided by landmarks and judged by a discriminator of its own; together they close a cycle
through the neutral face.

No code was published and layers and weights are not known to us, so this is our reading: both
generators are the U-Net of Table 1 and both discriminators the PatchGAN of Table 2, so that
architecture does not decide the comparison; the face recogniser of the identity loss (Light-CNN
there) is a small one that learns from the training photos beside them; landmarks are drawn as for
all methods here, where theirs are heat maps; those that are reached are the ones that Φ fuses, as
for the paper's model.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from expr_lib.config import RunSettings
from expr_lib.errors import TooFewPeople
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss, pixel_l1
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import LandmarkFusion
from expr_lib.methods.painting import Painter
from expr_lib.methods.recognising import RecognisingLearner
from expr_lib.methods.tensors import LAYOUT, build_adam, build_generator, join, to_tensor
from expr_lib.models.patchgan import PatchGAN
from expr_lib.pointset import find_photos
from expr_lib.processes import choose_device
from expr_lib.samples import TRUTH
from expr_lib.splits import Split

CYCLE, IDENTITY = 10.0, 10.0
"""Weights of the cycle, and of the recogniser's features; pixels and adversarial terms have the
settings' weights. Our choice: the cycle's is CycleGAN's."""


def neutral_rows(faces: FaceSet, rows: np.ndarray) -> np.ndarray:
    """For each face of the set the row of the same person's neutral one, to the same camera with
    the same gaze if there is one, among some rows; -1 where there is none. (N,) int64."""
    table, rows = faces.table, np.sort(rows)
    known = table.iloc[rows]
    found = np.full(len(table), -1, np.int64)
    for columns in (["person"], ["person", "yaw"], ["person", "yaw", "gaze"]):
        place = find_photos(known, table[columns].assign(expression="neutral"))
        found = np.where(place < 0, found, rows[place])
    return found


class G2Learner(RecognisingLearner):
    """Both pairs learn together from the true photo and the same person's neutral one."""

    def build(self) -> None:
        """Two generators, two discriminators, and the recogniser."""
        self.neutral = neutral_rows(self.faces, self.samples.rows)
        if (self.neutral[self.samples.rows] < 0).any():
            raise TooFewPeople(
                "G2-GAN learns through neutral faces, and some training people have none; add them"
            )
        filters = self.settings.discriminator_filters
        networks = {
            "synthesis": build_generator(self.run),
            "removal": build_generator(self.run),
            "discriminator_synthesis": PatchGAN(4, filters),
            "discriminator_removal": PatchGAN(4, filters),
            "recogniser": self.build_recogniser(),
        }
        self.modules = {name: self.on_device(network) for name, network in networks.items()}
        groups = {
            "generators": ("synthesis", "removal"),
            "discriminators": ("discriminator_synthesis", "discriminator_removal"),
            "recogniser": ("recogniser",),
        }
        self.groups = groups
        self.optimisers = {
            name: build_adam(self._parameters(group), self.device) for name, group in groups.items()
        }

    def example(self, triples: np.ndarray, mirrored: Tensor) -> tuple[Tensor, ...]:
        """The truth, the same person's neutral photo, the drawn landmarks to reach and the truth's
        own, and who it is (N,)."""
        truth = triples[:, TRUTH]
        return (
            self.photo(truth, mirrored),
            self.photo(self.neutral[truth], mirrored),
            self.draw(self.reach(triples, mirrored)),
            self.draw(self.marks(truth, mirrored)),
            self.persons[torch.from_numpy(truth).to(self.device)],
        )

    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        shown, neutral, wanted, own, persons = batch
        synthesis, removal = self.modules["synthesis"], self.modules["removal"]
        with self.autocast():
            made = synthesis(join(neutral, wanted)).float()
            cleared = removal(join(shown, own)).float()
        real = {"synthesis": (shown, wanted), "removal": (neutral, own)}
        fake = {"synthesis": (made, wanted), "removal": (cleared, own)}
        losses = {"discriminator": self._teach_discriminators(real, fake)}
        losses["recogniser"] = self.teach_recogniser(
            torch.cat([shown, neutral]), torch.cat([persons, persons])
        )
        for name in (*self.groups["discriminators"], "recogniser"):
            self.modules[name].requires_grad_(False)
        with self.autocast():
            cleared_again = removal(join(made, wanted)).float()
            made_again = synthesis(join(cleared, wanted)).float()
        losses |= {
            "l1": pixel_l1(made, shown) + pixel_l1(cleared, neutral),
            "cycle": pixel_l1(cleared_again, neutral) + pixel_l1(made_again, shown),
            "identity": self.unlikeness(torch.cat([made, cleared]), torch.cat([shown, neutral])),
            "adversarial": self._deceive(fake),
        }
        s = self.settings
        total = s.weight_l1 * losses["l1"] + s.weight_adversarial * losses["adversarial"]
        total = total + CYCLE * losses["cycle"] + IDENTITY * losses["identity"]
        self.update("generators", total, *self.groups["generators"])
        for name in (*self.groups["discriminators"], "recogniser"):
            self.modules[name].requires_grad_(True)
        return losses

    def _judge(self, name: str, photo: Tensor, drawn: Tensor) -> Tensor:
        with self.autocast():
            return self.modules[f"discriminator_{name}"](torch.cat([photo, drawn], dim=1))

    def _teach_discriminators(
        self, real: dict[str, tuple[Tensor, Tensor]], fake: dict[str, tuple[Tensor, Tensor]]
    ) -> Tensor:
        each = []
        for name, (photo, drawn) in real.items():
            painted = fake[name][0].detach()
            logits = self._judge(name, torch.cat([photo, painted]), torch.cat([drawn, drawn]))
            real_logits, fake_logits = logits.chunk(2)
            each.append(discriminator_loss(real_logits, fake_logits))
        loss = torch.stack(each).mean()
        self.update("discriminators", loss, *self.groups["discriminators"])
        return loss

    def _deceive(self, fake: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        return torch.stack(
            [generator_loss(self._judge(n, *pair)) for n, pair in fake.items()]
        ).sum()

    def painter(self) -> "G2GAN":
        """Both generators as they are now."""
        networks = {name: self.modules[name] for name in self.groups["generators"]}
        return G2GAN(LandmarkFusion(self.fusion), networks, self.run)


class G2GAN(Painter):
    """Removes the target's expression, then makes the one that the fused landmarks show."""

    name = "g2gan"
    title = "G2-GAN (our reading)"
    needs = "neutral photos of the training people"

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A frozen Φ and two generators that have learnt nothing yet."""
        torch.manual_seed(settings.seed)
        device = choose_device()
        networks = {
            name: build_generator(settings).to(device).to(memory_format=LAYOUT)
            for name in ("synthesis", "removal")
        }
        return cls(fusion, dict(networks), settings)

    @classmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> G2Learner:
        """What trains both pairs."""
        return G2Learner(faces, split, fusion, settings)

    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """Through the target's neutral face to the wanted expression."""
        photos = to_tensor(target.photos, self.device)
        neutral = self.networks["removal"](join(photos, self.drawn(target.points))).float()
        return self.networks["synthesis"](join(neutral, self.drawn(points)))
