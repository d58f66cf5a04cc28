"""Pictures of networks, drawn from the live modules: the sizes are those that come out of them, the
parameters those that they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import Tensor, nn

from expr_lib.figures import BLUE, GREEN, ORANGE, plot_landmarks
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.painting import Painter
from expr_lib.methods.tensors import to_photos
from expr_lib.models.fusion import Fusion
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import UNet

GREY = "#555555"


@dataclass(frozen=True)
class Block:
    """A part of a network, as it was seen at work.

    shape       of what comes out of it, without the batch: (C, H, W) or (D,)
    parameters  numbers that it learns
    """

    name: str
    shape: tuple[int, ...]
    parameters: int


def watch(network: nn.Module, parts: Mapping[str, nn.Module], *example: Tensor) -> list[Block]:
    """Show an example to a network and note what comes out of some of its parts, in the order in
    which they work. The network stays as it is."""
    blocks: list[Block] = []

    def note(name: str, part: nn.Module, result: Tensor) -> None:
        count = sum(p.numel() for p in part.parameters())
        blocks.append(Block(name, tuple(result.shape[1:]), count))

    handles = [
        part.register_forward_hook(lambda module, _, result, name=name: note(name, module, result))
        for name, part in parts.items()
    ]
    training = network.training
    try:
        network.eval()
        with torch.no_grad():
            network(*example)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return blocks


def unet_blocks(network: UNet, size: int) -> list[Block]:
    """The layers of Table 1 as they are in a network for photos of `size` pixels, input first."""
    parts: dict[str, nn.Module] = {f"{i + 1}": block for i, block in enumerate(network.down)}
    parts[f"{len(parts) + 1}"] = network.bottleneck
    for block in [*network.up, network.output]:
        parts[f"{len(parts) + 1}"] = block
    first = next(network.parameters())
    example = torch.zeros(1, first.shape[1], size, size, device=first.device)
    given = Block("in", tuple(example.shape[1:]), 0)
    return [given, *watch(network, parts, example)]


def unet_diagram(network: UNet, size: int) -> Figure:
    """Table 1 as a picture: a box a layer, as high as its pictures are large and as wide as they
    have channels (both on a logarithmic scale); arcs are skip connections."""
    blocks = unet_blocks(network, size)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.add_subplot()
    down = len(network.down)
    left, middles = 0.0, []
    for number, block in enumerate(blocks):
        channels, side = block.shape[0], block.shape[1]
        width, height = 0.25 + 0.09 * np.log2(channels), 0.35 + 0.42 * np.log2(side)
        colour = GREY if number == 0 else BLUE if number <= down else GREEN
        colour = ORANGE if number == down + 1 else colour
        _box(axes, left, height, width, colour)
        label = f"{side}²\n{channels}"
        below = (left + width / 2, -height / 2 - 0.12)
        axes.text(*below, label, ha="center", va="top", fontsize=7)
        axes.text(left + width / 2, 0, block.name, ha="center", va="center", fontsize=7, color="w")
        middles.append((left + width / 2, height / 2))
        left += width + 0.28
    for layer in range(1, down + 1):
        other = 2 * down + 1 - layer  # the block that is fed what layer `layer` gave
        start, end = middles[layer], middles[other + 1]
        bend = -0.18 - 0.01 * (end[0] - start[0])
        axes.add_patch(_arrow(start, end, f"arc3,rad={bend}", GREY))
    total = sum(block.parameters for block in blocks)
    axes.set_title(
        f"{total:,} parameters; below each layer: side of its picture, channels", fontsize=9
    )
    return _framed(figure, axes)


def _box(axes: Axes, left: float, height: float, width: float, colour: str) -> None:
    axes.add_patch(Rectangle((left, -height / 2), width, height, color=colour, alpha=0.85))


def _arrow(
    start: tuple[float, float], end: tuple[float, float], style: str, colour: str
) -> FancyArrowPatch:
    return FancyArrowPatch(
        start,
        end,
        connectionstyle=style,
        arrowstyle="-|>",
        mutation_scale=8,
        color=colour,
        linewidth=0.8,
        shrinkA=0,
        shrinkB=0,
    )


def _framed(figure: Figure, axes: Axes) -> Figure:
    axes.relim()
    axes.autoscale_view()
    axes.margins(0.03)
    axes.axis("off")
    return figure


def patchgan_blocks(network: PatchGAN, size: int) -> list[Block]:
    """The rows of Table 2 as they are in a network for photos of `size` pixels, input first."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    example = torch.zeros(
        1, layers[0].in_channels, size, size, device=next(network.parameters()).device
    )
    parts = {f"{i + 1}": layer for i, layer in enumerate(layers)}
    given = Block("in", tuple(example.shape[1:]), 0)
    return [given, *watch(network, parts, example)]


def chain_diagram(blocks: Sequence[Block], title: str = "") -> Figure:
    """Parts that work one after the other, each with what comes out of it."""
    figure = Figure(figsize=(1.6 * len(blocks), 1.7), layout="constrained")
    axes = figure.add_subplot()
    for number, block in enumerate(blocks):
        shape = " x ".join(str(n) for n in (*block.shape[1:], block.shape[0]))
        text = f"{block.name}\n{shape}" + (f"\n{block.parameters:,}" if block.parameters else "")
        _labelled(axes, (2.0 * number, 0.0), text, BLUE if block.parameters else GREY)
        if number:
            axes.add_patch(_arrow((2.0 * number - 1.25, 0), (2.0 * number - 0.75, 0), "arc3", GREY))
    axes.set_title(title, fontsize=9)
    axes.set_xlim(-1, 2.0 * len(blocks) - 1)
    axes.set_ylim(-0.6, 0.6)
    axes.axis("off")
    return figure


def _labelled(axes: Axes, middle: tuple[float, float], text: str, colour: str) -> None:
    x, y = middle
    axes.add_patch(
        FancyBboxPatch(
            (x - 0.65, y - 0.32),
            1.3,
            0.64,
            boxstyle="round,pad=0.05",
            facecolor=colour,
            edgecolor="none",
            alpha=0.85,
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white")


def fusion_diagram(network: Fusion) -> Figure:
    """Figure 2: two encoders, one decoder, and the addition of Eq. 1, with the widths of a live
    Φ."""
    points = torch.zeros(1, *network.mean.shape, device=network.mean.device)
    parts = {
        "encoder": network.encoder_source,
        "encoder ": network.encoder_target,
        "decoder": network.decoder,
    }
    source, target, decoder = watch(network, parts, points, points)
    landmarks = f"{network.mean.shape[0]} x 2"
    figure = Figure(figsize=(9.5, 2.6), layout="constrained")
    axes = figure.add_subplot()
    places: dict[str, tuple[tuple[float, float], str, str]] = {
        "source": ((0, 0.6), f"$L_s$\n{landmarks}", GREY),
        "target": ((0, -0.6), f"$L_t$\n{landmarks}", GREY),
        "one": ((2, 0.6), f"encoder\n{source.shape[0]}\n{source.parameters:,}", BLUE),
        "other": ((2, -0.6), f"encoder\n{target.shape[0]}\n{target.parameters:,}", BLUE),
        "both": ((4, 0), f"side by side\n{source.shape[0] + target.shape[0]}", GREY),
        "decoder": ((6, 0), f"decoder\n{decoder.shape[0]}\n{decoder.parameters:,}", GREEN),
        "sum": ((8, 0), f"+ $L_t$ = $J_{{gen}}$\n{landmarks}", ORANGE),
    }
    for middle, text, colour in places.values():
        _labelled(axes, middle, text, colour)
    for first, second in (
        ("source", "one"),
        ("target", "other"),
        ("one", "both"),
        ("other", "both"),
        ("both", "decoder"),
        ("decoder", "sum"),
    ):
        (x0, y0), (x1, y1) = places[first][0], places[second][0]
        axes.add_patch(_arrow((x0 + 0.72, y0), (x1 - 0.72, y1), "arc3", GREY))
    axes.add_patch(_arrow((0.4, -0.95), (8, -0.4), "arc3,rad=0.12", ORANGE))
    axes.set_xlim(-0.8, 8.8)
    axes.set_ylim(-1.5, 1.05)
    axes.axis("off")
    return figure


def model_diagram(model: Painter, source: FaceBatch, target: FaceBatch) -> Figure:
    """Figure 1 with a real pair: landmarks of both photos, the fused ones, the landmark image that
    Ω is shown beside the target, and what it paints.

    source, target  one face each
    """
    size = model.settings.size
    fused = model.fuse(source, target)
    drawn = to_photos(model.drawn(fused).expand(-1, 3, -1, -1))[0]
    blank = np.full_like(target.photos[0], 245)
    panels = [
        (source.photos[0], source.points[0], "source, $L_s$"),
        (target.photos[0], target.points[0], "target, $L_t$"),
        (blank, fused[0], r"$\Phi$: $J_{gen}$"),
        (drawn, None, "drawn"),
        (model.generate(source, target)[0], None, r"$\Omega$: $I_{gen}$"),
    ]
    figure = Figure(figsize=(11, 2.5), layout="constrained")
    all_axes = figure.subplots(1, len(panels))
    for axes, (picture, points, title) in zip(all_axes, panels, strict=True):
        axes.imshow(picture)
        if points is not None:
            plot_landmarks(axes, points, size, BLUE)
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    return figure
