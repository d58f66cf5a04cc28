"""Ω, the modified U-Net of Table 1: target photo and fused landmarks in, the target with the new
expression out."""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (1, 2, 4, 8)
"""Channels of layers 1-4 in units of `filters`; deeper layers keep the last (Table 1: 64, 128,
256, 512, 512 ...)."""


def _width(layer: int) -> int:
    return WIDTHS[min(layer, len(WIDTHS) - 1)]


def _upsample(inputs: int, outputs: int, how: str, bias: bool) -> nn.Module:
    if how == "transposed":
        # 4 is a multiple of 2, so every output pixel gets the same number of contributions
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    return ResizeConv2d(inputs, outputs, bias)


class ResizeConv2d(nn.Conv2d):
    """Each pixel made four, then a 3 x 3 convolution, which cannot checker (Odena et al. 2016).

    Of the nine pixels that the kernel sees at most four differ. At use the two are therefore one
    transposed convolution, whose 4 x 4 kernel holds sums of the 3 x 3 kernel's weights: four
    products where there were nine, and no enlarged picture between.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        self.folded: tuple[object, Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """Weights that learn, even unseen in a recorded step, are folded anew."""
        self.folded = None if mode else self.folded
        return super().train(mode)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, 2 H, 2 W)."""
        if self.training or torch.is_grad_enabled():  # to fold costs more than it saves there
            return super().forward(F.interpolate(features, scale_factor=2, mode="nearest"))
        return F.conv_transpose2d(features, self._fold(), self.bias, stride=2, padding=1)

    def _fold(self) -> Tensor:
        """The 4 x 4 kernel (inputs, outputs, 4, 4), made once, until the weights are others."""
        state = (self.weight.data_ptr(), self.weight._version)
        if self.folded is None or self.folded[0] != state:
            sums = F.avg_pool2d(self.weight, 2, stride=1, padding=1, divisor_override=1)
            kernel = sums.flip(2, 3).transpose(0, 1)
            self.folded = state, kernel.contiguous(memory_format=torch.channels_last)
        return self.folded[1]


class UNet(nn.Module):
    """The generator of Table 1. Without arguments: 54,414,979 parameters, 256 x 256 in and out.

    size         side of the square input, a power of two from 8 up; the network halves it down to 2
    filters      channels of layer 1; Table 1 has 64
    bottleneck   layer 8 [3]: `pix2pix` goes down to 1 x 1 and up again, `stride1` stays at 2 x 2
    first_block  layer 1 [12]: `plain` is a bare convolution, `printed` puts LeakyReLU before and
                 BatchNorm after it
    upsampling   layers 9-15 [19]: `transposed` convolution, or `resize` then convolution
    dropout      share of features dropped in the widest of layers 9-11 while training: pix2pix's
                 noise
    """

    def __init__(
        self,
        size: int = 256,
        filters: int = 64,
        in_channels: int = 4,
        out_channels: int = 3,
        bottleneck: Literal["pix2pix", "stride1"] = "pix2pix",
        first_block: Literal["plain", "printed"] = "plain",
        upsampling: Literal["transposed", "resize"] = "transposed",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if size < 8 or size & (size - 1):
            raise ValueError(f"size must be a power of two from 8 up, not {size}")
        depth = size.bit_length() - 2  # layers that halve: 7 for 256, down to 2 x 2
        widths = [filters * _width(layer) for layer in range(depth)]

        self.down = nn.ModuleList()
        for layer, outputs in enumerate(widths):
            inputs = in_channels if layer == 0 else widths[layer - 1]
            convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
            if layer == 0 and first_block == "plain":
                self.down.append(convolution)
            else:
                self.down.append(
                    nn.Sequential(nn.LeakyReLU(0.2), convolution, nn.BatchNorm2d(outputs))
                )

        deepest = widths[-1]
        if bottleneck == "pix2pix":
            middle: list[nn.Module] = [
                nn.Conv2d(deepest, deepest, 4, stride=2, padding=1, bias=False),
                nn.ReLU(),
                _upsample(deepest, deepest, upsampling, bias=False),
            ]
        else:
            middle = [nn.Conv2d(deepest, deepest, 3, padding=1, bias=False)]
        self.bottleneck = nn.Sequential(nn.LeakyReLU(0.2), *middle, nn.BatchNorm2d(deepest))

        self.up = nn.ModuleList()
        for layer in reversed(range(depth - 1)):
            block = nn.Sequential(
                nn.ReLU(inplace=True),
                _upsample(2 * widths[layer + 1], widths[layer], upsampling, bias=False),
                nn.BatchNorm2d(widths[layer]),
            )
            if dropout and len(self.up) < 3 and widths[layer] == deepest:
                block.append(nn.Dropout(dropout))
            self.up.append(block)
        self.output = nn.Sequential(
            nn.ReLU(inplace=True),
            _upsample(2 * widths[0], out_channels, upsampling, bias=True),
            nn.Tanh(),
        )
        self.apply(start_small)

    def forward(self, photo_and_landmarks: Tensor) -> Tensor:
        """I_gen = Ω(J_gen, P_t), Eq. 2.

        photo_and_landmarks  (N, 4, H, W)  P_t and J_gen drawn as one channel, in [-1, 1]
        returns              (N, 3, H, W)  I_gen in (-1, 1)
        """
        skips = []
        x = photo_and_landmarks
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.bottleneck(x)
        for block in self.up:
            x = block(_beside(x, skips.pop()))
        return self.output(_beside(x, skips.pop()))


def _beside(features: Tensor, skip: Tensor) -> Tensor:
    """Join a decoder's features (N, C, H, W) and the encoder's along the channels.

    The gradient of `features` comes back as a slice of channels. Where channels lie innermost, that
    is every other piece of memory, over which BatchNorm goes slowly on a CPU: it is packed first.
    """
    packed = torch.channels_last
    if features.requires_grad and features.is_contiguous(memory_format=packed):
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=packed))
    return torch.cat([features, skip], dim=1)


def start_small(module: nn.Module) -> None:
    """DCGAN's initialisation (Radford et al. 2015): weights N(0, 0.02), BatchNorm's N(1, 0.02),
    biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def keep_variance(network: nn.Module) -> None:
    """Weights after He et al. 2015, which keep a signal's size from layer to layer; biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
