"""A small network that tells people apart, for losses that keep who somebody is where no weights of
a face recogniser that gradients can pass through are at hand."""

import torch.nn.functional as F
from torch import Tensor, nn


class Recogniser(nn.Module):
    """Five 3 x 3 convolutions that halve, with BatchNorm, a mean over the places, and a linear
    layer for the people.

    people   number of people to tell apart
    filters  channels of the first layer, doubled up to 8 times
    """

    def __init__(self, people: int, filters: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for layer in range(5):
            width = filters * min(2**layer, 8)
            layers += [nn.Conv2d(inputs, width, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.people = nn.Linear(inputs, people)

    def features(self, photos: Tensor) -> Tensor:
        """Features (N, 8 filters) of length 1 of photos (N, 3, H, W) in [-1, 1]."""
        return F.normalize(self.layers(photos).mean((2, 3)).float(), dim=1)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits (N, people); sharpened, since features have length 1."""
        return self.people(10 * self.features(photos))
