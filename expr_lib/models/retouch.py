"""The network of `retouch`: it bends the target a little further than the landmarks say, paints
what bending cannot make, and says where."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from expr_lib.flow import Sampling, bend
from expr_lib.models.unet import ResizeConv2d, keep_variance, start_small

WIDTHS = (1, 2, 4, 8, 8)
"""Channels of the layers that halve, in units of `filters`."""

RELUCTANCE = -1.0
"""Bias of the mask's logits at the start: paint little until it is worth it."""


@dataclass(frozen=True)
class Retouched:
    """A picture and what it is made of.

    picture  (N, 3, H, W)  mask · paint + (1 - mask) · bent
    paint    (N, 3, H, W)  the bent target, changed; about -1 to 1, not clamped
    mask     (N, 1, H, W)  from 0 to 1, where the paint shows alone
    flow     (N, 2, H, W)  where the target's pixels come from, crop widths beside their own place
    bent     (N, 3, H, W)  the target bent by the flow
    """

    picture: Tensor
    paint: Tensor
    mask: Tensor
    flow: Tensor
    bent: Tensor


class Retoucher(nn.Module):
    """A U-Net of five halvings that resizes and convolves on its way up, and three small heads.

    filters    channels of layer 1; half as many reach the heads
    norm       `group` takes its statistics from each face alone; `batch` as the paper's network
    reach      the furthest that it moves a pixel along each axis, crop widths; 0 leaves the flow as
               it is given
    can_mask   False paints every pixel
    sampling   of the target, see `bend`
    initial    first weights: `he` as He et al. 2015 draw them, `small` as the paper's networks

    Its `strength`, from 0 to 1, is how much of what it changes is kept: 1 while it learns, 0 gives
    the target bent by the given flow alone.
    """

    strength: Tensor

    def __init__(
        self,
        filters: int = 64,
        norm: Literal["group", "batch"] = "group",
        reach: float = 0.02,
        can_mask: bool = True,
        sampling: Sampling = "bilinear",
        initial: Literal["he", "small"] = "he",
    ) -> None:
        super().__init__()
        self.reach, self.can_mask, self.sampling = reach, can_mask, sampling
        self.register_buffer("strength", torch.ones(()))
        widths = [filters * width for width in WIDTHS]

        def normed(channels: int) -> nn.Module:
            if norm == "batch":
                return nn.BatchNorm2d(channels)
            return nn.GroupNorm(max(1, channels // 16), channels)

        self.down = nn.ModuleList()
        for layer, outputs in enumerate(widths):
            inputs = widths[layer - 1] if layer else 8
            convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
            block = [nn.LeakyReLU(0.2), convolution, normed(outputs)] if layer else [convolution]
            self.down.append(nn.Sequential(*block))
        deepest = widths[-1]
        self.bottleneck = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Conv2d(deepest, deepest, 3, padding=1), normed(deepest)
        )
        self.up = nn.ModuleList()
        for layer in reversed(range(len(widths))):
            outputs = widths[layer - 1] if layer else max(1, filters // 2)
            self.up.append(
                nn.Sequential(
                    nn.ReLU(inplace=True),
                    ResizeConv2d(2 * widths[layer], outputs),
                    normed(outputs),
                )
            )
        self.heads = nn.Conv2d(outputs + 8, 6, 3, padding=1)
        if initial == "he":
            keep_variance(self)
        else:
            self.apply(start_small)
        nn.init.zeros_(self.heads.weight)  # what is untrained gives the warp
        assert self.heads.bias is not None
        with torch.no_grad():
            self.heads.bias[3] = RELUCTANCE

    def forward(self, target: Tensor, flow: Tensor, drawn: Tensor, window: Tensor) -> Retouched:
        """Retouch a target that a flow has bent.

        target  (N, 3, H, W)  P_t in [-1, 1]; H = W, a multiple of 32
        flow    (N, 2, H, W)  that the landmarks ask for, crop widths
        drawn   (N, 2, H, W)  the landmarks to reach and the target's own, drawn, in [-1, 1]
        window  (N, 1, H, W)  in 0..1, where the network may change anything
        """
        proposed = self.propose(target, flow, drawn)
        return self.compose(target, flow, window, proposed, self.strength)

    def propose(self, target: Tensor, flow: Tensor, drawn: Tensor) -> Tensor:
        """What the network would do, (N, 6, H, W): the change, the mask's logit, the second
        flow before its limit."""
        x = torch.cat([target, bend(target, flow, self.sampling), drawn], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        given, skips = x, []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.bottleneck(x)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], dim=1))
        x = torch.cat([x.relu_(), given], dim=1)
        return self.heads(x).float().contiguous()  # each head's planes in one piece

    def compose(
        self,
        target: Tensor,
        flow: Tensor,
        window: Tensor,
        proposed: Tensor,
        strength: Tensor | float,
    ) -> Retouched:
        """The picture in which so much of what was proposed is done."""
        change, logit, move = proposed.split([3, 1, 2], dim=1)
        allowed = strength * window
        if self.reach:
            flow = flow + self.reach * allowed * move.tanh()
        bent = bend(target, flow, self.sampling)
        paint = bent + change
        mask = allowed * (logit.sigmoid() if self.can_mask else torch.ones_like(logit))
        return Retouched(mask * paint + (1 - mask) * bent, paint, mask, flow, bent)
