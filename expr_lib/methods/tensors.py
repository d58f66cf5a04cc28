"""Photos as tensors and back, the memory layout and the precision that the networks work in."""

import numpy as np
import torch
from torch import Tensor

from expr_lib.config import RunSettings
from expr_lib.models.unet import UNet

LAYOUT = torch.channels_last
"""Memory layout of photos and weights: the faster one for convolutions, on CPU and GPU."""


def build_generator(settings: RunSettings) -> UNet:
    """The untrained Ω of these settings."""
    s = settings.transfer
    return UNet(
        size=settings.size,
        filters=s.filters,
        bottleneck=s.bottleneck,
        first_block=s.first_block,
        upsampling=s.upsampling,
    )


def to_tensor(photos: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Photos (N, H, W, 3) uint8 as (N, 3, H, W) in [-1, 1] on a device."""
    given = torch.as_tensor(photos).to(device).permute(0, 3, 1, 2)
    return (given.float() / 127.5 - 1).contiguous(memory_format=LAYOUT)


def join(photos: Tensor, drawn: Tensor) -> Tensor:
    """Photos (N, 3, H, W) and landmark images (N, 1, H, W) as Table 1's input (N, 4, H, W)."""
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
