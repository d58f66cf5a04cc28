"""Landmarks drawn as an image: against the distance of every pixel to every line."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from expr_lib.drawing import draw_landmarks
from expr_lib.points import CLOSED_PARTS, LANDMARK_PARTS
from expr_lib.sources.synthetic import Person, expression_units, render

OUTSIDE = 1.8


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def face() -> Tensor:
    """(1, 68, 2) of a drawn face."""
    drawn = render(Person(7), expression_units("happy"), size=256)
    return torch.from_numpy((drawn.landmarks + 0.5) / drawn.image.shape[0]).float()[None]


def _lines() -> list[tuple[int, int]]:
    pairs = []
    for name, part in LANDMARK_PARTS.items():
        pairs += list(pairwise(part))
        if name in CLOSED_PARTS:
            pairs.append((part[-1], part[0]))
    return pairs


def _by_brute_force(points: Tensor, size: int, thickness: float, style: str) -> Tensor:
    """Every pixel's distance to every line, one pixel and line at a time in effect."""
    centres = (torch.arange(size) + 0.5).double()
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)  # (H, W, 2) x, y
    width = max(thickness * size / 256, 1.0)
    radius = width / 2 if style == "lines" else width
    pairs = _lines() if style == "lines" else [(i, i) for i in range(68)]
    images = []
    for face in points.double() * size:
        nearest = torch.full((size, size), torch.inf, dtype=torch.float64)
        for first, last in pairs:
            a, b = face[first], face[last]
            along = b - a
            share = ((grid - a) @ along / along.square().sum().clamp_min(1e-12)).clamp(0, 1)
            distance = (grid - a - share[..., None] * along).norm(dim=-1)
            nearest = torch.minimum(nearest, distance)
        images.append((radius + 0.5 - nearest).clamp(0, 1) * 2 - 1)
    return torch.stack(images)[:, None].float()


@pytest.mark.parametrize("style", ["lines", "dots"])
@pytest.mark.parametrize(("size", "thickness"), [(32, 2.0), (64, 9.0), (128, 2.0), (33, 20.0)])
def test_it_is_the_distance_to_the_nearest_line(face, size, thickness, style) -> None:
    torch.manual_seed(size)
    wild = torch.rand(1, 68, 2) * 1.6 - 0.3  # partly outside, lines across the whole picture
    for points in (face, wild):
        drawn = draw_landmarks(points, size, thickness, style)
        expected = _by_brute_force(points, size, thickness, style)
        torch.testing.assert_close(drawn, expected, rtol=0, atol=2e-5)


def test_shape_range_and_background(face) -> None:
    drawn = draw_landmarks(face.repeat(3, 1, 1), 64)
    assert drawn.shape == (3, 1, 64, 64)
    assert drawn.dtype == torch.float32
    assert drawn.min() == -1
    assert 0.9 < drawn.max() <= 1
    assert (drawn == -1).float().mean() > 0.6
    assert (drawn[..., 0, :] == -1).all()


def test_a_pixel_is_hit_in_its_centre() -> None:
    """x, y in crop widths: the centre of pixel i is at (i + 0.5) / size."""
    points = torch.full((1, 68, 2), OUTSIDE)
    points[0, 30] = points[0, 29] = torch.tensor([(10 + 0.5) / 64, (20 + 0.5) / 64])
    points[0, 27:29] = points[0, 29]
    drawn = draw_landmarks(points, 64)[0, 0]  # one pixel wide at this size
    assert drawn[20, 10] == 1
    assert drawn[19:22, 9:12].flatten().tolist() == pytest.approx([-1, -1, -1, -1, 1] + [-1] * 4)
    assert (drawn > -1).sum() == 1


def test_there_is_ink_at_every_landmark(face) -> None:
    drawn = draw_landmarks(face, 256)[0, 0]
    x, y = (face[0] * 256).long().unbind(-1)
    assert (drawn[y, x] > 0.5).all()


def test_edges_are_smooth(face) -> None:
    between = draw_landmarks(face, 128).abs() < 0.9
    assert between.sum() > 100


def test_a_batch_is_its_faces_drawn_one_by_one(face) -> None:
    torch.manual_seed(0)
    points = torch.cat([face, face + 0.05 * torch.randn(3, 68, 2)])
    one_by_one = torch.cat([draw_landmarks(point[None], 64) for point in points])
    torch.testing.assert_close(draw_landmarks(points, 64), one_by_one, rtol=0, atol=1e-6)
    assert draw_landmarks(points[:0], 64).shape == (0, 1, 64, 64)


@pytest.mark.parametrize("part", LANDMARK_PARTS)
def test_closed_parts_are_closed_and_open_parts_open(part) -> None:
    """The part alone, on a circle: ink halfway between its last point and its first, or none."""
    indices = list(LANDMARK_PARTS[part])
    angle = torch.arange(len(indices)) / len(indices) * 2 * torch.pi
    circle = 0.5 + 0.3 * torch.stack([angle.cos(), angle.sin()], -1)
    points = torch.full((1, 68, 2), OUTSIDE)
    points[0, indices] = circle
    drawn = draw_landmarks(points, 128)[0, 0]
    x, y = ((circle[0] + circle[-1]) / 2 * 128).long().tolist()
    assert (drawn[y, x] > 0) == (part in CLOSED_PARTS)
    x, y = ((circle[0] + circle[1]) / 2 * 128).long().tolist()
    assert drawn[y, x] > 0


def test_parts_are_not_joined_to_each_other() -> None:
    """Each part gathered in one place of its own: nothing but dots is left."""
    points = torch.empty(1, 68, 2)
    for number, indices in enumerate(LANDMARK_PARTS.values()):
        points[0, list(indices)] = torch.tensor([0.1 + 0.1 * number, 64.5 / 128])
    drawn = draw_landmarks(points, 128)[0, 0]
    columns = (drawn > -0.9).any(0).int()
    assert (columns.diff() == 1).sum() == len(LANDMARK_PARTS)


def test_dots_mark_the_points_and_not_the_lines() -> None:
    points = torch.full((1, 68, 2), OUTSIDE)
    x = 64.5 / 128  # the centre of column 64
    points[0, 27:31] = torch.tensor([[x, 0.1], [x, 0.4], [x, 0.6], [x, 0.9]])
    dots = draw_landmarks(points, 128, style="dots")[0, 0]
    lines = draw_landmarks(points, 128, style="lines")[0, 0]
    rows = {"dots": (dots[:, 64] > 0).sum(), "lines": (lines[:, 64] > 0).sum()}
    assert rows["lines"] > 90
    assert 4 <= rows["dots"] < 20
    assert dots[[12, 51, 76, 115], 64].min() > 0


@pytest.mark.parametrize("style", ["lines", "dots"])
def test_what_lies_outside_is_cut_off_not_drawn_at_the_border(face, style) -> None:
    for shift in ([0, 1.5], [-1.5, 0], [-0.9, -0.9], [40, -70]):
        outside = face + torch.tensor(shift)
        assert (draw_landmarks(outside, 64, style=style) == -1).all()


def test_the_part_inside_is_drawn_as_ever(face) -> None:
    """A face shifted by whole pixels shows the same picture, shifted, up to the border."""
    still, moved = (draw_landmarks(p, 64) for p in (face, face + torch.tensor([24 / 64, 0])))
    torch.testing.assert_close(moved[..., 24:], still[..., :-24], rtol=0, atol=1e-4)


def test_sizes_agree(face) -> None:
    big, small = draw_landmarks(face, 256, thickness=8), draw_landmarks(face, 64, thickness=8)
    reduced = F.avg_pool2d(big, 4)
    ink = (small + 1).mean()
    assert (reduced - small).abs().mean() < 0.1 * ink
    assert (reduced - small).abs().max() < 0.8
    one_pixel_off = draw_landmarks(face + 1 / 64, 64, thickness=8)
    assert (one_pixel_off - small).abs().mean() > 0.5 * ink


def test_lines_are_as_wide_as_asked() -> None:
    points = torch.full((1, 68, 2), OUTSIDE)
    x = torch.linspace(-0.5, 1.5, 17)
    points[0, :17] = torch.stack([x, torch.full_like(x, 0.5)], -1)  # jaw: a level line
    for size in (64, 128, 256):
        for thickness in (2, 8, 16):
            column = (draw_landmarks(points, size, thickness)[0, 0, :, size // 2] + 1) / 2
            assert column.sum().item() == pytest.approx(max(thickness * size / 256, 1), abs=1e-3)


def test_a_wild_face_does_not_cost_a_wild_amount_of_memory() -> None:
    """Lines across everything: the windows are no larger than the picture."""
    points = torch.zeros(1, 68, 2)
    points[:, ::2] = 1e6
    points[:, 1::2] = -1e6
    drawn = draw_landmarks(points, 64)
    assert torch.isfinite(drawn).all()
    assert drawn.max() > 0  # the diagonal crosses the crop


@pytest.mark.parametrize("shape", [(68, 2), (1, 67, 2), (1, 68, 3), (1, 136)])
def test_wrong_shapes(shape) -> None:
    with pytest.raises(ValueError, match=r"\(N, 68, 2\)"):
        draw_landmarks(torch.zeros(shape), 64)


def test_wrong_values_and_styles() -> None:
    for wrong in (torch.nan, torch.inf, -torch.inf):
        points = torch.zeros(1, 68, 2)
        points[0, 5, 1] = wrong
        with pytest.raises(ValueError, match="finite"):
            draw_landmarks(points, 64)
    with pytest.raises(ValueError, match="'crosses'"):
        draw_landmarks(torch.zeros(1, 68, 2), 64, style="crosses")
