"""Photos as tensors and back, the memory layout and the precision that the networks work in."""

from collections.abc import Iterable

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.optim import Adam

from expr_lib.config import RunSettings, TransferSettings
from expr_lib.faceset import FaceSet
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import UNet
from expr_lib.photos import EXPRESSIONS

LAYOUT = torch.channels_last
"""Memory layout of photos and weights: the faster one for convolutions, on CPU and GPU."""


def build_generator(settings: RunSettings) -> UNet:
    """The untrained Ω of these settings."""
    s = settings.transfer
    return UNet(
        size=settings.size,
        in_channels=3 + _told(s),
        filters=s.filters,
        bottleneck=s.bottleneck,
        first_block=s.first_block,
        upsampling=s.upsampling,
        dropout=s.dropout,
    )


def build_discriminator(settings: TransferSettings) -> PatchGAN:
    """The untrained D_I of these settings."""
    return PatchGAN(
        in_channels=6 + (_told(settings) if settings.discriminator_sees_landmarks else 0),
        filters=settings.discriminator_filters,
        activation=settings.discriminator_activation,
        norm=settings.discriminator_norm,
    )


def _told(settings: TransferSettings) -> int:
    """Channels of what the networks are told beside photos."""
    return len(EXPRESSIONS) if settings.condition == "label" else 1


def build_adam(parameters: Iterable[nn.Parameter], device: torch.device) -> Adam:
    """pix2pix's Adam, in one kernel where there is one; the rate is set by the schedule."""
    cuda = device.type == "cuda"
    return Adam(
        parameters,
        # a recorded step reads the rate from the GPU
        lr=torch.zeros((), device=device) if cuda else 0.0,
        betas=(0.5, 0.999),
        fused=cuda or device.type == "cpu",
        capturable=cuda,
    )


def to_tensor(photos: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Photos (N, H, W, 3) uint8 as (N, 3, H, W) in [-1, 1] on a device."""
    given = torch.as_tensor(photos).to(device).permute(0, 3, 1, 2)
    return (given.float() / 127.5 - 1).contiguous(memory_format=LAYOUT)


class PhotoStore:
    """Photos of a FaceSet to draw batches from: on the device where they fit, else each batch is
    read from the memory-mapped file.

    rows   (M,) the rows that may be asked for
    size   side of the photos, pixels
    limit  bytes that may lie on the device; None is half of its free memory
    """

    def __init__(
        self,
        faces: FaceSet,
        rows: np.ndarray,
        size: int,
        device: torch.device,
        limit: int | None = None,
    ) -> None:
        self.faces, self.size, self.device = faces, size, device
        self.resident: Tensor | None = None
        if len(rows) * size * size * 3 <= (_free_bytes(device) // 2 if limit is None else limit):
            self.resident = torch.from_numpy(faces.photos_at(rows, size)).to(device)
            self.place = np.full(len(faces), -1)
            self.place[rows] = np.arange(len(rows))

    def take(self, rows: np.ndarray) -> Tensor:
        """Photos (N, H, W, 3) uint8 of some rows, on the device."""
        if self.resident is None:
            return torch.from_numpy(self.faces.photos_at(rows, self.size)).to(self.device)
        return self.resident[torch.from_numpy(self.place[rows]).to(self.device)]


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def join(photos: Tensor, drawn: Tensor) -> Tensor:
    """Photos (N, 3, H, W) and landmark images (N, 1, H, W) as Table 1's input (N, 4, H, W); or with
    the planes of a label."""
    return torch.cat([photos, drawn], dim=1).contiguous(memory_format=LAYOUT)


def to_photos(images: Tensor) -> np.ndarray:
    """Tensors (N, 3, H, W) in [-1, 1] as photos (N, H, W, 3) uint8."""
    scaled = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())


def working_precision(wanted: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes with it natively and `wanted` is auto or bfloat16, else
    float32."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    else:
        native = False
    return torch.bfloat16 if native else torch.float32
