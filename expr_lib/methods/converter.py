"""FReeNet's landmark converter as a rival of Φ: how it is trained, and used.

FReeNet's own (Zhang et al., CVPR 2020, and its code): the generator first, then both
discriminators, in every step; losses 100 L1 to the truth, 10 L1 of the cycle, 10 L1 of the identity
(a face given with its own neutral face stays itself), 0.1 and 0.1 least-squares adversarial; the
person discriminator's own loss counts 0.1, the face discriminator's 1; Adam with betas 0.99 and
0.999, rate 3e-4, a tenth of it after every 60 of 200 epochs; batches of 16; sources of any gaze, a
neutral face that looks ahead, maybe the source's own.

Our reading: the budget is a number of faces shown, and the rate falls after 3/10, 6/10 and 9/10 of
it; losses are in eye distances and points standardised, as in Φ, where FReeNet has pixels of its
512 crop; faces are aligned as everywhere here, not cropped by their bounding box.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from expr_lib.checkpoints import put_weights, read_tensors, save_tensors
from expr_lib.errors import TooFewPeople
from expr_lib.losses import landmark_l1
from expr_lib.methods.fusion import MODEL, LandmarkFusion
from expr_lib.methods.landmark_controls import FusionMethod
from expr_lib.methods.probe import FusionProbe
from expr_lib.models.converter import FaceDiscriminator, LandmarkConverter, PersonDiscriminator
from expr_lib.pointset import Landmarked, find_photos, points_of
from expr_lib.processes import Share, choose_device
from expr_lib.samples import SOURCE, TARGET, strength_of
from expr_lib.splits import Split
from expr_lib.training import set_rate, train

BATCH = 16
RATE = 3e-4
BETAS = (0.99, 0.999)


class ConverterSamples:
    """What FReeNet learns from: a source, its own neutral face, a neutral face of anyone, that
    person's truth and another photo of the same person.

    raises  TooFewPeople when no training person shows a neutral face and something else
    """

    def __init__(self, table: pd.DataFrame, rows: NDArray[np.int64], seed: int) -> None:
        self.seed = seed
        shown = table.iloc[rows].assign(row=rows, strength=strength_of(table.iloc[rows]))
        neutral = shown[shown["expression"] == "neutral"]
        same = ["person", "gaze", "yaw"]
        own = find_photos(neutral, shown[same])
        self._own_neutral = np.full(len(table), -1)
        self._own_neutral[rows[own >= 0]] = neutral["row"].to_numpy()[own[own >= 0]]
        ahead = neutral[neutral["gaze"] == "frontal"].drop_duplicates(same)
        pairs = ahead[[*same, "row"]].merge(shown, on=same, suffixes=("_neutral", ""))
        kinds = ["expression", "strength"]
        self._pairs = {
            kind: some[["row_neutral", "row"]].to_numpy(np.int64)
            for kind, some in pairs.groupby(kinds)
        }
        self._kind = dict(
            zip(rows.tolist(), shown[kinds].itertuples(index=False, name=None), strict=True)
        )
        self._photos = {person: some["row"].to_numpy() for person, some in shown.groupby("person")}
        self._person = table["person"].to_numpy()
        self._sources = np.array(
            [r for r in rows if self._own_neutral[r] >= 0 and self._kind[r] in self._pairs],
            np.int64,
        )
        if len(self._sources) == 0:
            raise TooFewPeople("no training person shows a neutral face that looks ahead")

    def __len__(self) -> int:
        """Number of photos that can be a source: one epoch."""
        return len(self._sources)

    def draw(self, step: int, batch: int) -> NDArray[np.int64]:
        """The examples of one step, a pure function of (seed, step): each source once an epoch.

        returns  (batch, 5): rows of source, its neutral face, the target's neutral face, truth, and
                 another photo of the target's person
        """
        epochs, places = np.divmod(step * batch + np.arange(batch), len(self))
        orders = {
            epoch: np.random.default_rng([self.seed, 7, epoch]).permutation(len(self))
            for epoch in set(epochs.tolist())
        }
        rng = np.random.default_rng([self.seed, 8, step])
        examples = np.empty((batch, 5), np.int64)
        for i, (epoch, place) in enumerate(zip(epochs.tolist(), places.tolist(), strict=True)):
            source = self._sources[orders[epoch][place]]
            neutral, truth = rng.choice(self._pairs[self._kind[source]])
            other = rng.choice(self._photos[self._person[neutral]])
            examples[i] = source, self._own_neutral[source], neutral, truth, other
        return examples


class ConverterLearner:
    """One step: the converter learns from all five losses, then both discriminators."""

    probes = 10
    batch = BATCH

    def __init__(self, faces: Landmarked, split: Split, images: int, seed: int) -> None:
        self.samples = ConverterSamples(split.table, split.train, seed)
        self.faces, self.epoch = faces, len(self.samples)
        self.steps = max(1, round(images / BATCH))
        self.share = Share(BATCH)
        self.device = choose_device()
        self.points = torch.from_numpy(np.array(faces.landmarks)).to(self.device)
        self.looks = FusionProbe(faces, split, seed)
        self.chooses = split.can_choose
        torch.manual_seed(seed)
        count = faces.layout.count
        self.converter = LandmarkConverter(count).to(self.device)
        self.converter.measure(self.points[torch.from_numpy(split.train).to(self.device)])
        self.face, self.person = FaceDiscriminator(count), PersonDiscriminator(count)
        self.modules: Mapping[str, nn.Module] = {
            "converter": self.converter,
            "face": self.face.to(self.device),
            "person": self.person.to(self.device),
        }
        self.optimisers: Mapping[str, Optimizer] = {
            name: Adam(module.parameters(), lr=RATE, betas=BETAS, fused=True)
            for name, module in self.modules.items()
        }

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of the converter, and one of each discriminator."""
        rate = RATE * 0.1 ** (step * 200 // self.steps // 60)
        for optimiser in self.optimisers.values():
            set_rate(optimiser, rate)
        rows = self.samples.draw(step, BATCH)[self.share.rows]
        given = self.points[torch.from_numpy(rows).to(self.device)]
        source, own, neutral, truth, other = given.unbind(1)  # each (N, K, 2)
        converter, vector = self.converter, self.converter.standardise
        # two of the three passes side by side: on CPUs reading the weights is what takes the time
        fused, same = converter.fuse(source.repeat(2, 1, 1), torch.cat([neutral, own])).chunk(2)
        losses = {
            "l1": landmark_l1(fused, truth),
            "cycle": landmark_l1(converter.fuse(fused, own), source),
            "identity": landmark_l1(same, source),
            "face": _wanted(self.face(vector(fused)), 1),
            "person": _wanted(self.person(vector(fused), vector(other)), 1),
        }
        weights = {"l1": 100, "cycle": 10, "identity": 10, "face": 0.1, "person": 0.1}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        self._update("converter", total)
        false, real, other = vector(fused.detach()), vector(truth), vector(other)
        person = _wanted(self.person(real, other), 1) + _wanted(self.person(false, other), 0)
        self._update("person", 0.1 * 0.5 * person)
        face = _wanted(self.face(real), 1) + _wanted(self.face(false), 0)
        self._update("face", 0.5 * face)
        return {**losses, "face_d": face, "person_d": person}

    def _update(self, name: str, loss: Tensor) -> None:
        optimiser, parameters = self.optimisers[name], list(self.modules[name].parameters())
        optimiser.zero_grad(set_to_none=True)
        (loss * self.share.weight).backward(inputs=parameters)
        self.share.average(parameters)
        optimiser.step()

    def _fuse(self, triples: NDArray[np.int64]) -> np.ndarray:
        return Converter(self.converter).fuse(self.faces, triples)

    def probe(self) -> dict[str, float]:
        """Landmark errors on validation and test people, see `FusionProbe`."""
        return self.looks.measure(self._fuse)

    def picture(self) -> np.ndarray:
        """Landmarks of a few validation pairs."""
        return self.looks.picture(self._fuse)

    def advice(self, losses: Mapping[str, float]) -> str | None:
        """Nothing."""
        return None

    def worth(self, row: Mapping[str, float]) -> float:
        """The smaller the validation people's error, the better; or the later."""
        known = self.chooses and np.isfinite(row["validation_error"])
        return -row["validation_error"] if known else row["step"]


def _wanted(numbers: Tensor, label: float) -> Tensor:
    """Least-squares adversarial loss (Mao et al., ICCV 2017)."""
    return (numbers - label).square().mean()


class Converter(FusionMethod):
    """The trained converter. It is given the target's neutral face, not the target."""

    name, title = "freenet", "FReeNet's converter"
    needs = "the target's neutral face"
    missing = "no photo shows a target's person with a neutral face"

    def __init__(self, network: LandmarkConverter) -> None:
        self.network = network.eval()

    def fuse(self, faces: Landmarked, triples: NDArray[np.int64]) -> np.ndarray:
        """The neutral faces of the targets' people, with their gaze and camera, plus the flow."""
        wanted = faces.table[["person", "gaze", "yaw"]].iloc[triples[:, TARGET]]
        wanted = wanted.assign(expression="neutral")
        neutral = points_of(faces, wanted)
        known = np.isfinite(neutral).all((1, 2))
        fused = np.full(neutral.shape, np.nan, np.float32)
        if known.any():
            source = faces.landmarks[triples[known, SOURCE]]
            fused[known] = LandmarkFusion(self.network).fuse(source, neutral[known])
        return fused

    @classmethod
    def fit(
        cls, faces: Landmarked, split: Split, images: int, seed: int, folder: Path, key: str
    ) -> Self:
        """Train on the training people; goes on from a checkpoint in `folder`.

        images  faces that it is shown
        raises  TooFewPeople when there are no neutral faces
        """
        learner = ConverterLearner(faces, split, images, seed)
        title = "converter"
        train(learner, steps=learner.steps, folder=folder, key=key, seed=seed, title=title)
        return cls(learner.converter.requires_grad_(False))

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`. Raises OutputFailed."""
        weights = {k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}
        save_tensors(folder / MODEL, weights, {})

    @classmethod
    def load(cls, folder: Path, landmarks: int = 68) -> Self:
        """Read a trained converter of so many landmarks. Raises BrokenCheckpoint."""
        tensors, _ = read_tensors(folder / MODEL)
        network = LandmarkConverter(landmarks)
        put_weights(network, tensors, folder / MODEL)
        return cls(network.requires_grad_(False))
