"""The networks: Tables 1 and 2 of the paper, layer by layer, and Φ of Eq. 1."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from expr_lib.models.fusion import EYE_DISTANCE, Fusion, LandmarkDiscriminator, perceptron
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import ResizeConv2d, UNet

TABLE_1 = {
    "down": [(64, 128), (128, 64), (256, 32), (512, 16), (512, 8), (512, 4), (512, 2)],
    "bottleneck": [(512, 2)],
    "up": [(512, 4), (512, 8), (512, 16), (256, 32), (128, 64), (64, 128)],
    "output": [(3, 256)],
}
"""Channels and side of what layers 1-7, 8, 9-14 and 15 give."""

TABLE_2 = [(64, 128), (128, 64), (256, 32), (512, 31), (1, 30)]


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def printed_unet() -> UNet:
    return UNet()


def _convolutions(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def _outputs(network: nn.Module, layers: list[nn.Module], x: Tensor) -> list[tuple[int, int]]:
    """(channels, side) that each layer gives, in the order in which they ran."""
    sizes: list[tuple[int, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert output.shape[-1] == output.shape[-2]
        sizes.append((output.shape[1], output.shape[-1]))

    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return sizes


# --- Table 1


def test_every_layer_of_table_1(printed_unet) -> None:
    net = printed_unet
    layers = [*net.down, net.bottleneck, *net.up, net.output]
    assert len(layers) == 15
    got = _outputs(net, layers, torch.rand(1, 4, 256, 256))
    assert got == [size for part in TABLE_1.values() for size in part]


def test_the_unet_has_54_414_979_parameters(printed_unet) -> None:
    assert sum(p.numel() for p in printed_unet.parameters()) == 54_414_979


def test_every_kernel_is_4_by_4_and_only_the_last_layer_has_a_bias(printed_unet) -> None:
    convolutions = _convolutions(printed_unet)
    assert {c.kernel_size for c in convolutions} == {(4, 4)}
    assert {c.stride for c in convolutions} == {(2, 2)}
    assert [c.bias is not None for c in convolutions] == [False] * 15 + [True]


def test_activations_and_norms_of_table_1(printed_unet) -> None:
    def kinds(block: nn.Module) -> list[str]:
        leaves = [m for m in block.modules() if not list(m.children())]
        return [type(m).__name__ for m in leaves]

    net = printed_unet
    assert kinds(net.down[0]) == ["Conv2d"]
    for block in net.down[1:]:
        assert kinds(block) == ["LeakyReLU", "Conv2d", "BatchNorm2d"]
    assert kinds(net.bottleneck) == [
        *("LeakyReLU", "Conv2d", "ReLU", "ConvTranspose2d", "BatchNorm2d")
    ]
    for block in net.up:
        assert kinds(block) == ["ReLU", "ConvTranspose2d", "BatchNorm2d"]
    assert kinds(net.output) == ["ReLU", "ConvTranspose2d", "Tanh"]
    slopes = {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.2}


def test_weights_start_small(printed_unet) -> None:
    weights = torch.cat([c.weight.flatten()[:5000] for c in _convolutions(printed_unet)])
    assert weights.mean().abs() < 1e-3
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert (printed_unet.output[1].bias == 0).all()


def test_skips_carry_what_the_bottleneck_lost() -> None:
    """Cut the deep path off: the picture still reaches the output, at full detail."""
    net = UNet(size=64, filters=8).eval()
    x = torch.randn(1, 4, 64, 64)
    net.bottleneck.register_forward_hook(lambda *given: torch.zeros_like(given[-1]))
    changed = x.clone()
    changed[..., 20, 20] += 1
    with torch.no_grad():
        difference = (net(changed) - net(x)).abs().sum(1)[0]
    assert difference[20, 20] > 0
    assert difference[20, 20] > 10 * difference[60, 60]


@pytest.mark.parametrize("options", list(product(("pix2pix", "stride1"), ("plain", "printed"))))
@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_option_variants_of_the_unet(options, upsampling) -> None:
    bottleneck, first_block = options
    net = UNet(64, 8, bottleneck=bottleneck, first_block=first_block, upsampling=upsampling)
    x = torch.rand(2, 4, 64, 64) * 2 - 1
    y = net(x)
    assert y.shape == (2, 3, 64, 64)
    assert y.abs().max() < 1
    assert _outputs(net, [net.down[-1], net.bottleneck], x) == [(64, 2), (64, 2)]
    assert len(net.up) == len(net.down) - 1 == 4
    norms = [m for m in net.down[0].modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == (first_block == "printed")
    transposed = [m for m in net.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(transposed) == (0 if upsampling == "resize" else 5 + (bottleneck == "pix2pix"))
    y.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_all_variants_count_as_their_layers_say() -> None:
    """stride1: one 3 x 3 convolution for two of 4 x 4; resize: kernels of 9 for kernels of 16."""

    def count(**options: str) -> int:
        return sum(p.numel() for p in UNet(64, 8, **options).parameters())

    plain, deepest = count(), 64
    assert plain - count(bottleneck="stride1") == deepest**2 * (2 * 16 - 9)
    assert count(first_block="printed") - plain == 2 * 8
    pairs = [(64, 64), (128, 64), (128, 32), (64, 16), (32, 8), (16, 3)]
    assert plain - count(upsampling="resize") == sum(a * b * (16 - 9) for a, b in pairs)


def test_resizing_and_convolving_is_the_same_folded_into_one() -> None:
    layer = ResizeConv2d(6, 5)
    x = torch.randn(2, 6, 7, 9)
    larger = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    expected = nn.functional.conv2d(larger, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
        assert layer.folded is not None and layer.folded[1].shape == (6, 5, 4, 4)
        layer.weight *= 2  # what was folded is no longer right
        layer.bias *= 2
        torch.testing.assert_close(layer(x), 2 * expected)
        layer.weight.data.mul_(2)  # as a recorded step of training does, which nobody counts
        layer.bias.data.mul_(2)
        layer.train()
        torch.testing.assert_close(layer.eval()(x), 4 * expected)
    layer(x).sum().backward()  # at use, too, a gradient reaches the weights
    assert layer.weight.grad is not None and layer.weight.grad.abs().min() > 0


@pytest.mark.parametrize("size", [8, 16, 32, 128])
def test_other_sizes(size) -> None:
    net = UNet(size, 4)
    x = torch.rand(1, 4, size, size)
    assert net(x).shape == (1, 3, size, size)
    assert _outputs(net, [net.down[-1]], x)[0][1] == 2


@pytest.mark.parametrize("size", [0, -64, 4, 48, 100, 255])
def test_a_size_that_cannot_be_halved_down_to_2(size) -> None:
    with pytest.raises(ValueError, match=f"power of two.*{size}"):
        UNet(size)


def test_in_use_one_photo_does_not_depend_on_the_others() -> None:
    net = UNet(64, 8)
    with torch.no_grad():
        for _ in range(5):  # BatchNorm takes its statistics
            net(torch.randn(4, 4, 64, 64))
        net.eval()
        x = torch.randn(3, 4, 64, 64)
        together, alone = net(x), net(x[:1])
        x[1:] *= 5
        beside_others = net(x)
    assert torch.isfinite(alone).all()
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(beside_others[:1], alone, rtol=0, atol=1e-5)
    assert (together[1:] - beside_others[1:]).abs().max() > 1e-3


# --- Table 2


def test_every_layer_of_table_2() -> None:
    net = PatchGAN()
    convolutions = _convolutions(net)
    got = _outputs(net, convolutions, torch.rand(1, 6, 256, 256))
    assert got == TABLE_2
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]


@pytest.mark.parametrize(("size", "patches"), [(256, 30), (128, 14), (64, 6), (32, 2)])
def test_patches(size, patches) -> None:
    assert PatchGAN(filters=4)(torch.rand(2, 6, size, size)).shape == (2, 1, patches, patches)


def test_spectral_norm_is_on_the_three_middle_layers_and_works() -> None:
    net = PatchGAN(filters=8)
    convolutions = _convolutions(net)
    assert [is_parametrized(c) for c in convolutions] == [False, True, True, True, False]
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for c in convolutions[1:4]:
            c.parametrizations.weight.original *= 50  # as training may
        for _ in range(30):
            net(torch.randn(1, 6, 32, 32))
        largest = [torch.linalg.matrix_norm(c.weight.flatten(1), 2) for c in convolutions[1:4]]
    assert [value.item() for value in largest] == pytest.approx([1, 1, 1], rel=0.02)


def test_activations_of_table_2() -> None:
    for name, slopes in (("table", [0.2, 0, 0, 0.2]), ("leaky", [0.2] * 4)):
        rectifiers = [
            m for m in PatchGAN(filters=4, activation=name).layers if not isinstance(m, nn.Conv2d)
        ]
        assert [getattr(m, "negative_slope", 0) for m in rectifiers] == slopes


def test_a_logit_sees_70_by_70_pixels() -> None:
    net = PatchGAN(filters=8, activation="leaky").eval()
    x = torch.randn(1, 6, 256, 256, requires_grad=True)
    net(x)[0, 0, 15, 15].backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    for axis in (0, 1):
        places = seen.any(axis).nonzero().flatten()
        assert places[-1] - places[0] + 1 == 70
        assert 120 <= places.float().mean() <= 140  # in the middle of the picture


def test_the_discriminator_may_see_the_landmarks_too() -> None:
    assert PatchGAN(in_channels=7, filters=4)(torch.rand(1, 7, 64, 64)).shape == (1, 1, 6, 6)


# --- Φ and D_J


def _faces(count: int) -> Tensor:
    return 0.5 + 0.2 * torch.randn(count, 68, 2)


@pytest.mark.parametrize("units", ["standardised", "pixels"])
def test_an_untrained_fusion_copies_the_target(units) -> None:
    phi = Fusion(hidden=32, latent=8, units=units)
    source, target = _faces(5), _faces(5)
    assert torch.equal(phi.fuse(source, target), target)
    assert (phi(source, target) == 0).all()


def test_it_learns_from_both_encoders_at_the_second_step_at_the_latest() -> None:
    phi = Fusion(hidden=32, latent=8)
    phi.measure(_faces(50))
    optimiser = torch.optim.SGD(phi.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (phi.fuse(_faces(8), _faces(8)) - _faces(8)).abs().mean().backward()
        optimiser.step()
    for encoder in (phi.encoder_source, phi.encoder_target):
        assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())
    source, target = _faces(2), _faces(2)
    assert not torch.allclose(phi(source, target), phi(target, target), atol=1e-9)
    assert not torch.allclose(phi(source, target), phi(source, source), atol=1e-9)


def _seen_by_the_encoders(phi: Fusion, points: Tensor) -> Tensor:
    seen = []
    hook = phi.encoder_source.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    phi(points, points)
    hook.remove()
    return seen[0]


def test_measure_standardises_every_coordinate() -> None:
    phi = Fusion(hidden=16, latent=4)
    points = _faces(200) * torch.linspace(0.5, 2, 68)[:, None] + 3
    phi.measure(points)
    seen = _seen_by_the_encoders(phi, points)
    assert seen.shape == (200, 136)
    torch.testing.assert_close(seen.mean(0), torch.zeros(136), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen.std(0), torch.ones(136), rtol=1e-3, atol=0)


def test_a_point_that_never_moves_is_no_division_by_zero() -> None:
    phi = Fusion(hidden=16, latent=4)
    points = _faces(20)
    points[:, 7] = 0.25
    phi.measure(points)
    assert torch.isfinite(_seen_by_the_encoders(phi, points)).all()


def test_in_pixels_the_encoders_see_pixels_of_a_256_crop() -> None:
    phi = Fusion(hidden=16, latent=4, units="pixels")
    points = _faces(20)
    phi.measure(points)  # changes nothing
    torch.testing.assert_close(_seen_by_the_encoders(phi, points), points.flatten(1) * 256)


@pytest.mark.parametrize(("units", "one"), [("standardised", EYE_DISTANCE), ("pixels", 1 / 256)])
def test_one_out_of_the_decoder_is_one_unit(units, one) -> None:
    phi = Fusion(hidden=16, latent=4, units=units)
    phi.measure(_faces(20))
    nn.init.ones_(phi.decoder[-1].bias)
    torch.testing.assert_close(phi(_faces(3), _faces(3)), torch.full((3, 68, 2), one))


def test_the_statistics_travel_with_the_weights() -> None:
    phi, other = Fusion(hidden=16, latent=4), Fusion(hidden=16, latent=4)
    phi.measure(_faces(20))
    nn.init.normal_(phi.decoder[-1].weight)
    other.load_state_dict(phi.state_dict())
    points = _faces(3)
    assert torch.equal(phi.fuse(points, points.flip(0)), other.fuse(points, points.flip(0)))


def test_dropout_only_while_training() -> None:
    phi = Fusion(hidden=64, latent=8, dropout=0.5)
    nn.init.normal_(phi.decoder[-1].weight)
    points = _faces(4)
    assert not torch.equal(phi(points, points), phi(points, points))
    phi.eval()
    assert torch.equal(phi(points, points), phi(points, points))
    assert not [m for m in Fusion().modules() if isinstance(m, nn.Dropout)]


def test_the_perceptron_ends_in_a_bare_linear_layer() -> None:
    kinds = [type(m).__name__ for m in perceptron((4, 8, 8, 2))]
    assert kinds == ["Linear", "LeakyReLU", "Linear", "LeakyReLU", "Linear"]
    kinds = [type(m).__name__ for m in perceptron((4, 8, 2), dropout=0.1)]
    assert kinds == ["Linear", "LeakyReLU", "Dropout", "Linear"]


def test_the_landmark_discriminator_and_the_target() -> None:
    points, target = _faces(5), _faces(5)
    for sees in (False, True):
        judge = LandmarkDiscriminator(hidden=16, with_target=sees)
        logits = judge(points, target)
        assert logits.shape == (5, 1)
        assert torch.equal(logits, judge(points, _faces(5))) != sees
        assert not torch.equal(logits, judge(_faces(5), target))
