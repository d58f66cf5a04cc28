"""FReeNet's unified landmark converter (Zhang et al., CVPR 2020) and its two discriminators.

FReeNet's own, from its code: two encoders of six layers of 512, a decoder of 1024, 512 and the
landmarks, LeakyReLU(0.2) between all, no normalisation, Xavier-normal weights, biases 0; the output
is the target's neutral face plus the network's flow; the shapes of both discriminators. Our
reading: points are standardised per coordinate and the flow is in eye distances, as in Φ, because
raw pixels, which FReeNet feeds, train worse [15].
"""

import torch
from torch import Tensor, nn

from expr_lib.models.fusion import Deviation, perceptron


def start_xavier(module: nn.Module) -> None:
    """Xavier-normal weights and zero biases in all linear layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)


class LandmarkConverter(Deviation):
    """The converter: a face with the wanted expression, and the target's neutral face, to the
    flow that is added to the second."""

    def __init__(self, landmarks: int = 68) -> None:
        super().__init__(landmarks)
        width = 2 * landmarks
        self.encoder_source = perceptron((width, *[512] * 6))
        self.encoder_neutral = perceptron((width, *[512] * 6))
        self.decoder = perceptron((1024, 1024, 512, width))
        start_xavier(self)

    def forward(self, source: Tensor, neutral: Tensor) -> Tensor:
        """The flow.

        source   (N, K, 2)  anyone with the wanted expression, crop widths
        neutral  (N, K, 2)  the target's neutral face, crop widths
        returns  (N, K, 2)  crop widths
        """
        codes = (
            self.encoder_source(self.standardise(source)),
            self.encoder_neutral(self.standardise(neutral)),
        )
        return self.decoder(torch.cat(codes, dim=1)).view_as(neutral) * self.unit


class FaceDiscriminator(nn.Module):
    """Whether landmarks are those of a real face: one number, 1 for real (least squares)."""

    def __init__(self, landmarks: int = 68) -> None:
        super().__init__()
        self.net = perceptron((2 * landmarks, 512, 512, 512, 512, 64, 1))
        start_xavier(self)

    def forward(self, points: Tensor) -> Tensor:
        """Numbers (N, 1) of standardised vectors (N, 2 K)."""
        return self.net(points)


class PersonDiscriminator(nn.Module):
    """Whether two faces are one person's: one number, 1 for the same (least squares)."""

    def __init__(self, landmarks: int = 68) -> None:
        super().__init__()
        self.first = perceptron((2 * landmarks, 512, 512, 64))
        self.second = perceptron((2 * landmarks, 512, 512, 64))
        self.joint = perceptron((128, 128, 32, 1))
        start_xavier(self)

    def forward(self, points: Tensor, other: Tensor) -> Tensor:
        """Numbers (N, 1) of two standardised vectors (N, 2 K) each."""
        return self.joint(torch.cat([self.first(points), self.second(other)], dim=1))
