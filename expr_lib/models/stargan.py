"""StarGAN's networks (Choi et al., CVPR 2018): a residual generator told the wanted expression as
planes, and a discriminator that also names the expression."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3 x 3 convolutions with instance norm, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to features of the same shape."""
        return features + self.layers(features)


class StarGenerator(nn.Module):
    """7 x 7 convolution, two that halve, six residual blocks, two transposed that double, 7 x 7 to
    a photo; zero padding. 8.44 million parameters with 64 filters and 8 labels.

    labels   number of expressions
    filters  channels of the first layer; 64 in the publication
    """

    def __init__(self, labels: int = 8, filters: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            *_normed(nn.Conv2d(3 + labels, filters, 7, padding=3, bias=False), filters)
        ]
        width = filters
        for _ in range(2):
            convolution = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
            width *= 2
            layers += _normed(convolution, width)
        layers += [Residual(width) for _ in range(6)]
        for _ in range(2):
            grown = nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False)
            width //= 2
            layers += _normed(grown, width)
        layers += [nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, photo_and_label: Tensor) -> Tensor:
        """The photo with another expression.

        photo_and_label  (N, 3 + labels, H, W), H and W multiples of 4
        returns          (N, 3, H, W) in (-1, 1)
        """
        return self.layers(photo_and_label)


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]


class StarDiscriminator(nn.Module):
    """4 x 4 convolutions that halve down to 2 x 2, without any norm, and two heads: real or not a
    place, and which expression. 44.8 million parameters at 128 pixels with 64 filters, 8 labels.

    size     side of the photos, pixels, a power of two from 8 up
    labels   number of expressions
    filters  channels of the first layer, doubled in each further one; 64 in the publication
    """

    def __init__(self, size: int, labels: int = 8, filters: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, width = 3, filters
        for _ in range(size.bit_length() - 2):
            layers += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            inputs, width = width, 2 * width
        self.layers = nn.Sequential(*layers)
        self.real = nn.Conv2d(inputs, 1, 3, padding=1, bias=False)
        self.expression = nn.Conv2d(inputs, labels, 2, bias=False)

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Critic's values (N, 1, 2, 2), higher for real; logits of the expressions (N, labels).

        photos  (N, 3, size, size) in [-1, 1]
        """
        features = self.layers(photos)
        return self.real(features), self.expression(features).flatten(1)


def gradient_penalty(critic: StarDiscriminator, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP's (Gulrajani et al. 2017): (|gradient| - 1)² of the critic between real and fake
    photos (N, 3, H, W), mean over the batch; in float32."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(fake.detach(), real, share).requires_grad_(True)
    value, _ = critic(between)
    (gradient,) = torch.autograd.grad(value.sum(), between, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
