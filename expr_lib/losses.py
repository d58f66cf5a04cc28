"""The losses of Eq. 3-9, one function an equation; the weighted sums of Eq. 6 and 9 stand where
they are used."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from expr_lib.metrics import Bands, ssim_map
from expr_lib.models.fusion import EYE_DISTANCE, PIXELS

AdversarialLoss = Literal["logits", "sigmoid"]
GeneratorLoss = Literal["non_saturating", "saturating"]


def _cross_entropy(logits: Tensor, real: bool, form: AdversarialLoss) -> Tensor:
    logits = logits.float()
    wanted = torch.full_like(logits, float(real))
    if form == "logits":
        return F.binary_cross_entropy_with_logits(logits, wanted)
    return F.binary_cross_entropy(torch.sigmoid(logits), wanted)


def discriminator_loss(
    real_logits: Tensor, fake_logits: Tensor, form: AdversarialLoss = "logits"
) -> Tensor:
    """What D minimises in Eq. 3 and Eq. 7: -log D(real) - log(1 - D(fake)), mean over the map.

    real_logits, fake_logits  any shape
    form                      `sigmoid` takes the literal sigmoid and log, `logits` the same
                              function, stable [5]
    returns                   scalar, 2 log 2 when D cannot tell
    """
    return _cross_entropy(real_logits, True, form) + _cross_entropy(fake_logits, False, form)


def generator_loss(
    fake_logits: Tensor,
    form: AdversarialLoss = "logits",
    kind: GeneratorLoss = "non_saturating",
) -> Tensor:
    """The generator's adversarial term of Eq. 3 and Eq. 7.

    kind     `non_saturating` minimises -log D(fake), `saturating` log(1 - D(fake)) as printed [6]
    returns  scalar
    """
    if kind == "non_saturating":
        return _cross_entropy(fake_logits, True, form)
    return -_cross_entropy(fake_logits, False, form)


def landmark_l1(fused: Tensor, truth: Tensor, units: str = "standardised") -> Tensor:
    """Eq. 5, || J_gen - J_o ||_1 as a mean over coordinates, in eye distances (or pixels of a 256
    crop [15]).

    fused, truth  (N, K, 2)  crop widths
    returns       scalar
    """
    scale = 1 / EYE_DISTANCE if units == "standardised" else PIXELS
    return (fused - truth).abs().mean() * scale


def cycle_loss(returned: Tensor, source: Tensor, units: str = "standardised") -> Tensor:
    """Eq. 4: the source's face, after it took the target's expression and got its own back,
    against L_s.

    returned  (N, K, 2)  F(J_gen, F(L_t, L_s)) with F(driver, face) = face + Φ(driver, face) [2],
              crop widths
    source    (N, K, 2)  L_s, crop widths
    returns   scalar, units as in `landmark_l1`
    """
    return landmark_l1(returned, source, units)


def pixel_l1(generated: Tensor, truth: Tensor) -> Tensor:
    """Eq. 8, || I_gen - I_o ||_1 as a mean over pixels and channels.

    generated, truth  (N, 3, H, W)  in [-1, 1]
    returns           scalar in 0..2
    """
    return F.l1_loss(generated.float(), truth.float())


def pixel_l2(generated: Tensor, truth: Tensor) -> Tensor:
    """The mean of squares in place of Eq. 8, which the paper's remark there advises against.

    generated, truth  (N, 3, H, W)  in [-1, 1]
    returns           scalar in 0..4
    """
    return F.mse_loss(generated.float(), truth.float())


def l1_inside(generated: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Eq. 8 in a part of the photo, as a mean over the pixels of all its parts and channels.

    generated, truth  (N, 3, H, W)  in [-1, 1]
    inside            (N, 1, H, W)  1 where a pixel counts, else 0
    returns           scalar in 0..2
    """
    apart = (generated.float() - truth.float()).abs().mean(1, keepdim=True)
    return (apart * inside).sum() / inside.sum().clamp_min(1)


def ssim_loss(generated: Tensor, truth: Tensor, bands: Bands) -> Tensor:
    """1 - SSIM, as `metrics.ssim` measures it, mean over windows and channels.

    generated, truth  (N, 3, H, W)  in [-1, 1]
    bands             of `metrics.ssim_bands`
    returns           scalar in 0..2
    """
    x, y = ((photos.float() + 1) * 127.5 for photos in (generated, truth))
    return 1 - ssim_map(x, y, bands).mean()
