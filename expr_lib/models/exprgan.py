"""ExprGAN's networks (Ding et al., AAAI 2018): a conditional adversarial autoencoder whose decoder
is told the expression and how strong it is at every layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expr_lib.models.unet import keep_variance

IDENTITY = 50
"""Numbers that say who it is."""
ENTRIES = 5
"""Entries of the code an expression."""


def _halvings(size: int) -> int:
    return size.bit_length() - 3  # down to 4 x 4


class ExprEncoder(nn.Module):
    """5 x 5 convolutions that halve down to 4 x 4, then 50 numbers in (-1, 1).

    size     side of the photos, pixels, a power of two from 8 up
    filters  channels of the first layer, doubled up to 16 times; 64 in the publication
    """

    def __init__(self, size: int, filters: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for layer in range(_halvings(size)):
            width = filters * min(2**layer, 16)
            layers += [nn.Conv2d(inputs, width, 5, stride=2, padding=2), nn.ReLU()]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * inputs, IDENTITY))
        keep_variance(self)

    def forward(self, photos: Tensor) -> Tensor:
        """Codes (N, 50) in (-1, 1) of photos (N, 3, H, W) in [-1, 1]."""
        return torch.tanh(self.layers(photos))


class ExprDecoder(nn.Module):
    """A linear layer to 4 x 4, then nearest upsampling and 3 x 3 convolutions; the code of the
    expression is put beside the features before each.

    labels  number of expressions; the code has 5 entries each
    """

    def __init__(self, size: int, labels: int, filters: int = 64) -> None:
        super().__init__()
        code = labels * ENTRIES
        steps = _halvings(size)
        widths = [filters * min(2**layer, 16) for layer in range(steps)][::-1]
        self.first = nn.Linear(IDENTITY + code, 16 * widths[0])
        outputs = [*widths[1:], max(widths[-1] // 2, 8)]
        self.blocks = nn.ModuleList(
            nn.Conv2d(inputs + code, width, 3, padding=1)
            for inputs, width in zip(widths, outputs, strict=True)
        )
        self.last = nn.Conv2d(outputs[-1] + code, 3, 3, padding=1)
        keep_variance(self)

    def forward(self, identity: Tensor, code: Tensor) -> Tensor:
        """A photo (N, 3, H, W) in (-1, 1).

        identity  (N, 50)
        code      (N, 5 labels), see `expression_code`
        """
        x = F.relu(self.first(torch.cat([identity, code], dim=1))).view(len(code), -1, 4, 4)
        for block in self.blocks:
            x = F.relu(block(_with_code(F.interpolate(x, scale_factor=2), code)))
        return torch.tanh(self.last(_with_code(x, code)))


def _with_code(features: Tensor, code: Tensor) -> Tensor:
    planes = code[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.cat([features, planes.to(features.dtype)], dim=1)


def expression_code(labels: Tensor, count: int, strength: Tensor) -> Tensor:
    """The code of expressions: 5 entries each, +strength in the shown one's place, -strength in all
    others.

    labels    (N,) long
    strength  (N, 5 count) in 0..1
    returns   (N, 5 count)
    """
    signs = F.one_hot(labels, count).float() * 2 - 1
    return signs.repeat_interleave(ENTRIES, dim=1) * strength


class PhotoDiscriminator(nn.Module):
    """5 x 5 convolutions that halve, told the label as planes after the first; says real or not,
    and reads the code of the expression back (Q)."""

    def __init__(self, size: int, labels: int, filters: int = 16) -> None:
        super().__init__()
        self.labels = labels
        self.first = nn.Conv2d(3, filters, 5, stride=2, padding=2)
        layers: list[nn.Module] = []
        inputs, width = filters + labels, 2 * filters
        for _ in range(3):
            layers += [nn.Conv2d(inputs, width, 5, stride=2, padding=2, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            inputs, width = width, 2 * width
        side = size // 16
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(inputs * side * side, 1024), nn.LeakyReLU(0.2)
        )
        self.real = nn.Linear(1024, 1)
        self.code = nn.Sequential(nn.Linear(1024, 128), nn.LeakyReLU(0.2))
        self.each = nn.Linear(128, labels * ENTRIES)

    def forward(self, photos: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 1), positive for real, and the code (N, 5 labels) in (-1, 1).

        photos  (N, 3, H, W) in [-1, 1]
        labels  (N,) long
        """
        features = F.leaky_relu(self.first(photos), 0.2)
        planes = F.one_hot(labels, self.labels).to(features.dtype)
        x = self.layers(_with_code(features, planes))
        return self.real(x), torch.tanh(self.each(self.code(x)))


class CodeDiscriminator(nn.Module):
    """64, 32, 16 and one logit: whether 50 numbers were drawn evenly from (-1, 1), or encoded."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((IDENTITY, 64), (64, 32), (32, 16)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(16, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Logits (N, 1), positive for drawn."""
        return self.layers(codes)
