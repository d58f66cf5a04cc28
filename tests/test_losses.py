"""The losses of Eq. 3-9 against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from expr_lib.losses import (
    cycle_loss,
    discriminator_loss,
    generator_loss,
    l1_inside,
    landmark_l1,
    pixel_l1,
    ssim_loss,
)
from expr_lib.methods.tensors import to_tensor
from expr_lib.metrics import ssim, ssim_bands
from expr_lib.models.fusion import EYE_DISTANCE

# sigmoid(log 3) = 3/4
QUARTERS = torch.tensor([math.log(3.0), -math.log(3.0)]).view(2, 1, 1, 1)


def test_a_discriminator_that_cannot_tell_loses_two_log_two() -> None:
    nothing = torch.zeros(3, 1, 30, 30)
    for form in ("logits", "sigmoid"):
        assert discriminator_loss(nothing, nothing, form).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("form", ["logits", "sigmoid"])
def test_the_discriminator_by_hand(form) -> None:
    # real: D = 3/4, fake: D = 1/4, so -log 3/4 - log 3/4; the other way round -log 1/4 - log 1/4
    right = discriminator_loss(QUARTERS[:1], QUARTERS[1:], form)
    wrong = discriminator_loss(QUARTERS[1:], QUARTERS[:1], form)
    assert right.item() == pytest.approx(-2 * math.log(3 / 4), rel=1e-5)
    assert wrong.item() == pytest.approx(-2 * math.log(1 / 4), rel=1e-5)


@pytest.mark.parametrize("form", ["logits", "sigmoid"])
def test_the_generator_by_hand_is_a_mean_over_the_map(form) -> None:
    # D = 3/4 and 1/4: -mean log D against mean log(1 - D)
    wanted = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    assert generator_loss(QUARTERS, form).item() == pytest.approx(wanted, rel=1e-5)
    saturating = generator_loss(QUARTERS, form, "saturating")
    assert saturating.item() == pytest.approx(-wanted, rel=1e-5)


def test_logits_and_sigmoid_are_one_function_with_one_gradient() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(2, 4, 1, 6, 6)
    gradients = []
    for form in ("logits", "sigmoid"):
        a, b = real.clone().requires_grad_(), fake.clone().requires_grad_()
        loss = discriminator_loss(a, b, form) + generator_loss(b, form)
        loss += generator_loss(b, form, "saturating")
        loss.backward()
        gradients.append((loss.item(), a.grad, b.grad))
    (loss_1, *first), (loss_2, *second) = gradients
    assert loss_1 == pytest.approx(loss_2, rel=1e-5)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_both_generator_losses_push_the_same_way_but_one_fades() -> None:
    gradient = {}
    for kind in ("non_saturating", "saturating"):
        sure_fake = torch.full((1, 1), -8.0, requires_grad=True)
        generator_loss(sure_fake, kind=kind).backward()
        gradient[kind] = sure_fake.grad.item()
    assert gradient["non_saturating"] == pytest.approx(-1, abs=1e-3)
    assert -1e-3 < gradient["saturating"] < 0


def test_losses_on_logits_stay_finite_and_count_in_float32() -> None:
    far = torch.tensor([[-1e4], [1e4]])
    assert torch.isfinite(discriminator_loss(far, -far))
    assert generator_loss(torch.zeros(2, 1, dtype=torch.bfloat16)).dtype == torch.float32
    pictures = torch.zeros(1, 3, 4, 4, dtype=torch.bfloat16)
    assert pixel_l1(pictures, pictures).dtype == torch.float32


def test_landmarks_one_eye_distance_off_cost_one() -> None:
    points = torch.rand(5, 68, 2)
    assert landmark_l1(points + EYE_DISTANCE, points).item() == pytest.approx(1, rel=1e-5)
    assert landmark_l1(points - EYE_DISTANCE, points).item() == pytest.approx(1, rel=1e-5)
    one_coordinate = points.clone()
    one_coordinate[..., 0] += EYE_DISTANCE
    assert landmark_l1(one_coordinate, points).item() == pytest.approx(0.5, rel=1e-5)


def test_landmarks_in_pixels_of_a_256_crop() -> None:
    points = torch.rand(5, 68, 2)
    assert landmark_l1(points + 3 / 256, points, "pixels").item() == pytest.approx(3, rel=1e-4)


def test_a_cycle_that_comes_home_costs_nothing() -> None:
    source = torch.rand(4, 68, 2)
    assert cycle_loss(source.clone(), source).item() == 0
    for units in ("standardised", "pixels"):
        moved = cycle_loss(source + 0.1, source, units).item()
        assert moved == pytest.approx(landmark_l1(source + 0.1, source, units).item())
        assert moved > 0


def test_pixels_by_hand() -> None:
    black, white = torch.full((2, 3, 4, 4), -1.0), torch.ones(2, 3, 4, 4)
    assert pixel_l1(black, white).item() == 2
    half = white.clone()
    half[0] = -1  # one of two pictures
    assert pixel_l1(half, white).item() == 1


def test_l1_inside_counts_the_pixels_inside_alone() -> None:
    truth, painted = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    painted[..., :2] = 0.5
    inside = torch.zeros(2, 1, 4, 4)
    assert l1_inside(painted, truth, inside).item() == 0  # no pixel, no loss, no NaN
    inside[0, :, :, 1] = 1  # four pixels of 0.5
    assert l1_inside(painted, truth, inside).item() == pytest.approx(0.5)
    inside[1, :, :, 2] = 1  # and four of 1
    assert l1_inside(painted, truth, inside).item() == pytest.approx(0.75)


def test_the_ssim_loss_is_what_the_metric_measures() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    painted = np.clip(truth + rng.integers(-60, 60, truth.shape), 0, 255).astype(np.uint8)
    cpu = torch.device("cpu")
    given, wanted = (to_tensor(photos, cpu) for photos in (painted, truth))
    bands = ssim_bands(32, 32, "gaussian", cpu)
    loss = ssim_loss(given, wanted, bands)
    assert loss.item() == pytest.approx(1 - ssim(painted, truth).mean(), abs=1e-5)
    assert ssim_loss(wanted, wanted, bands).item() == pytest.approx(0, abs=1e-6)
    given.requires_grad_()
    ssim_loss(given, wanted, bands).backward()
    stepped = given.detach() - 20 * given.grad
    assert ssim_loss(stepped, wanted, bands) < loss
