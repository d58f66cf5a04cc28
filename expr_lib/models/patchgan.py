"""D_I, the Markov (PatchGAN) discriminator of Table 2."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from expr_lib.models.unet import start_small


class PatchGAN(nn.Module):
    """The discriminator of Table 2 on the pair (P_t, photo): one logit for each 70 x 70 patch, 30
    x 30 at 256 px.

    in_channels  6 for the pair; 7 when it sees the landmark image too [20]
    filters      channels of layer 1; Table 2 has 64
    activation   `table` as printed: ReLU in layers 2-3, LeakyReLU in 1 and 4; `leaky` everywhere
                 [4]
    norm         `spectral` of the weights in layers 2-4, as printed; `batch` is pix2pix's
    """

    def __init__(
        self,
        in_channels: int = 6,
        filters: int = 64,
        activation: Literal["table", "leaky"] = "table",
        norm: Literal["spectral", "batch"] = "spectral",
    ) -> None:
        super().__init__()
        widths = [filters, 2 * filters, 4 * filters, 8 * filters]
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        ]
        for row, (inputs, outputs) in enumerate(pairwise(widths), start=2):
            stride, bias = 2 if row < 4 else 1, norm == "spectral"
            convolution = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=bias)
            start_small(convolution)
            if norm == "spectral":
                layers.append(spectral_norm(convolution))
            else:
                layers += [convolution, nn.BatchNorm2d(outputs)]
                start_small(layers[-1])
            rectified = row < 4 and activation == "table"
            layers.append(nn.ReLU() if rectified else nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(widths[-1], 1, 4, stride=1, padding=1))
        start_small(layers[0])
        start_small(layers[-1])
        self.layers = nn.Sequential(*layers)

    def forward(self, pair: Tensor) -> Tensor:
        """Logits (N, 1, P, P), positive for real; the sigmoid of Table 2 is in the loss [5].

        pair  (N, 6, H, W)  P_t and a real or generated photo, in [-1, 1]; H, W at least 32
        """
        return self.layers(pair)
