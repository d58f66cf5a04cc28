"""Diagrams show what a live network is."""

import torch
from torch import nn

from expr_lib.diagrams import (
    chain_diagram,
    fusion_diagram,
    patchgan_blocks,
    unet_blocks,
    unet_diagram,
    watch,
)
from expr_lib.models.fusion import Fusion
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import UNet


def test_table_1_is_read_off_the_network() -> None:
    network = UNet()
    blocks = unet_blocks(network, 256)
    down = [(64, 128), (128, 64), (256, 32), (512, 16), (512, 8), (512, 4), (512, 2)]
    up = [(512, 2), (512, 4), (512, 8), (512, 16), (256, 32), (128, 64), (64, 128), (3, 256)]
    assert [block.shape for block in blocks] == [(c, s, s) for c, s in [(4, 256), *down, *up]]
    assert sum(block.parameters for block in blocks) == 54_414_979


def test_table_2_is_read_off_the_network() -> None:
    shapes = [block.shape for block in patchgan_blocks(PatchGAN(6, 64), 256)]
    rows = [(6, 256), (64, 128), (128, 64), (256, 32), (512, 31), (1, 30)]
    assert shapes == [(channels, side, side) for channels, side in rows]


def test_watching_leaves_a_network_as_it_was() -> None:
    network = UNet(size=16, filters=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    unet_diagram(network, 16)
    assert network.training
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_part_that_works_twice_is_noted_twice() -> None:
    shared = nn.Linear(3, 3)
    blocks = watch(nn.Sequential(shared, shared), {"shared": shared}, torch.zeros(1, 3))
    assert [(block.name, block.shape, block.parameters) for block in blocks] == [
        ("shared", (3,), 12)
    ] * 2


def test_figures_say_the_sizes_of_the_network() -> None:
    texts = [text.get_text() for text in fusion_diagram(Fusion(hidden=16, latent=5)).axes[0].texts]
    assert "side by side\n10" in texts
    assert texts.count("$L_s$\n68 x 2") == 1
    drawn = chain_diagram(patchgan_blocks(PatchGAN(6, 8), 64), "D")
    assert "5\n6 x 6 x 1\n1,025" in [text.get_text() for text in drawn.axes[0].texts]
