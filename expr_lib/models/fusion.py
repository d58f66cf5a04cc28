"""Φ, the landmark fusion network (Eq. 1, Figure 2), and D_J, its discriminator (Eq. 3)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EYE_DISTANCE = 70 / 256
"""Distance between the eye centres of the mean aligned face, in crop widths: the unit of the
losses [15]."""

PIXELS = 256.0
"""Crop width in pixels, for the reading of the paper that feeds raw pixels [15]."""


def perceptron(sizes: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with LeakyReLU(0.2), and dropout, between them; `sizes` are the widths from
    input to output."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


class Deviation(nn.Module):
    """What every network of stage 1 is: from two faces, the deviation that is added to the second
    (Eq. 1).

    The statistics that standardise the input are part of the weights, so points go in and come out
    in crop widths.

    landmarks  K
    units      standardised, or pixels of a 256 crop [15]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, landmarks: int = 68, units: str = "standardised") -> None:
        super().__init__()
        self.standardised = units == "standardised"
        self.unit = EYE_DISTANCE if self.standardised else 1 / PIXELS
        self.register_buffer("mean", torch.zeros(landmarks, 2))
        self.register_buffer("std", torch.full((landmarks, 2), self.unit))

    def measure(self, points: Tensor) -> None:
        """Take mean and standard deviation per coordinate from the training points (M, K, 2), crop
        widths."""
        if self.standardised:
            self.mean.copy_(points.mean(0))
            self.std.copy_(points.std(0).clamp_min(1e-4))

    def standardise(self, points: Tensor) -> Tensor:
        """The vectors (N, 2 K) of points (N, K, 2) in crop widths."""
        return ((points - self.mean) / self.std).flatten(1)

    def fuse(self, source: Tensor, target: Tensor) -> Tensor:
        """J_gen = L_t + Φ(L_s, L_t), Eq. 1: all (N, K, 2), crop widths."""
        return target + self(source, target)


class Fusion(Deviation):
    """Φ: two encoders and one decoder on landmark vectors; the output is a deviation (Eq. 1)."""

    def __init__(
        self,
        landmarks: int = 68,
        hidden: int = 512,
        latent: int = 256,
        dropout: float = 0.0,
        units: str = "standardised",
    ) -> None:
        super().__init__(landmarks, units)
        width = 2 * landmarks
        self.encoder_source = perceptron((width, hidden, hidden, latent), dropout)
        self.encoder_target = perceptron((width, hidden, hidden, latent), dropout)
        self.decoder = perceptron((2 * latent, hidden, hidden, width), dropout)
        last = self.decoder[-1]
        assert isinstance(last, nn.Linear)
        # an untrained Φ copies the target
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Φ(L_s, L_t) of Eq. 1: the deviation that carries the source's expression to the target's
        face.

        source   (N, K, 2)  L_s, crop widths
        target   (N, K, 2)  L_t, crop widths
        returns  (N, K, 2)  deviation, crop widths
        """
        code = torch.cat(
            [
                self.encoder_source(self.standardise(source)),
                self.encoder_target(self.standardise(target)),
            ],
            dim=1,
        )
        return self.decoder(code).view_as(target) * self.unit


class LinearFusion(Deviation):
    """The linear rival of Φ: the deviation as a linear map of the standardised vectors of source
    and target. Its weights are buffers: a closed form finds them, no optimiser."""

    weight: Tensor
    bias: Tensor

    def __init__(self, landmarks: int = 68) -> None:
        super().__init__(landmarks)
        width = 2 * landmarks
        self.register_buffer("weight", torch.zeros(width, 2 * width))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The deviation (N, K, 2) of source and target (N, K, 2), all in crop widths."""
        given = torch.cat([self.standardise(source), self.standardise(target)], dim=1)
        return F.linear(given, self.weight, self.bias).view_as(target) * self.unit


class BlendedFusion(Deviation):
    """Φ and its linear rival together: a deviation between theirs.

    `share` is the weight of the linear one, 0 to 1; a buffer, which validation people choose.
    """

    share: Tensor

    def __init__(self, network: Fusion, linear: LinearFusion) -> None:
        super().__init__(len(network.mean), "standardised" if network.standardised else "pixels")
        self.network, self.linear = network, linear
        self.mean.copy_(network.mean)
        self.std.copy_(network.std)
        self.register_buffer("share", torch.tensor(0.5))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The deviation (N, K, 2) of source and target (N, K, 2), all in crop widths."""
        return torch.lerp(self.network(source, target), self.linear(source, target), self.share)


class LandmarkDiscriminator(nn.Module):
    """D_J of Eq. 3: a small MLP with two hidden layers that gives one logit for a set of landmarks
    [16].

    with_target  True lets it see the target's landmarks beside the ones it judges
    """

    def __init__(self, landmarks: int = 68, hidden: int = 256, with_target: bool = False) -> None:
        super().__init__()
        self.with_target = with_target
        self.net = perceptron((2 * landmarks * (2 if with_target else 1), hidden, hidden // 4, 1))

    def forward(self, points: Tensor, target: Tensor) -> Tensor:
        """Logits (N, 1), positive for real.

        points  (N, K, 2)  real or fused landmarks, standardised
        target  (N, K, 2)  L_t, standardised; used with `with_target` only
        """
        if self.with_target:
            points = torch.cat([points, target], dim=1)
        return self.net(points.flatten(1))
