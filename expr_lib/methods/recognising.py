"""Learning to paint with a loss for who it is, by a recogniser that learns beside the painters."""

import torch
import torch.nn.functional as F
from torch import Tensor

from expr_lib.methods.painting import PaintingLearner
from expr_lib.models.recogniser import Recogniser


class RecognisingLearner(PaintingLearner):
    """A learner with a network and an optimiser named `recogniser`."""

    def build_recogniser(self) -> Recogniser:
        """The untrained recogniser of the set's people; `persons` says who each face is, (N,)."""
        persons, names = self.faces.table["person"].factorize()
        self.persons = torch.from_numpy(persons).to(self.device)
        return Recogniser(len(names))

    def teach_recogniser(self, photos: Tensor, persons: Tensor) -> Tensor:
        """One step of naming the people (N,) of true photos (N, 3, H, W)."""
        with self.autocast():
            logits = self.modules["recogniser"](photos)
        loss = F.cross_entropy(logits.float(), persons)
        self.update("recogniser", loss)
        return loss

    def unlikeness(self, painted: Tensor, photos: Tensor) -> Tensor:
        """How unlike the people of painted and true photos (N, 3, H, W) are to the recogniser: the
        squared distance of its features, a scalar in 0..4."""
        recogniser = self.modules["recogniser"].eval()  # its statistics are those of true photos
        assert isinstance(recogniser, Recogniser)
        with self.autocast():
            wanted = recogniser.features(photos).detach()
            found = recogniser.features(painted)
        recogniser.train()
        return (found - wanted).square().sum(1).mean()
