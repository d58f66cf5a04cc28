"""Flows between landmarks, and pictures bent by them."""

import numpy as np
import pytest
import torch

from expr_lib.faceset import FaceSet
from expr_lib.flow import FRAME, bend, landmark_flow, pixel_places, triangulate
from expr_lib.flow import _deepest as deepest
from expr_lib.methods.controls import warp_photo
from expr_lib.methods.tensors import to_photos, to_tensor
from expr_lib.sources.synthetic import Rendered

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def points(drawn_face: Rendered) -> torch.Tensor:
    """Landmarks (1, 68, 2) of a drawn face, crop widths."""
    return torch.from_numpy((drawn_face.landmarks + 0.5) / 256).float()[None]


@pytest.fixture(scope="module")
def triangles(points: torch.Tensor) -> torch.Tensor:
    return triangulate(points[0].numpy())


def at_landmarks(flow: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """What a flow (1, 2, H, W) says at landmarks (1, K, 2), bilinearly: (1, K, 2)."""
    found = torch.nn.functional.grid_sample(flow, 2 * points[:, None] - 1, align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def test_triangles_cover_the_crop_and_join_all_points(triangles: torch.Tensor) -> None:
    count = 68 + len(FRAME)
    assert len(triangles) == 2 * count - 2 - len(FRAME)  # Euler's formula, the hull is FRAME
    assert set(triangles.flatten().tolist()) == set(range(count))


def test_a_mean_face_without_extent_is_refused() -> None:
    with pytest.raises(ValueError, match="no extent"):
        triangulate(np.zeros((68, 2)))


def test_nothing_moves_where_no_landmark_does(
    points: torch.Tensor, triangles: torch.Tensor
) -> None:
    flow = landmark_flow(points, points, triangles, 32)
    assert flow.shape == (1, 2, 32, 32)
    assert flow.abs().max() < 1e-6
    photo = torch.rand(1, 3, 32, 32)
    for sampling in ("bilinear", "bicubic"):
        torch.testing.assert_close(bend(photo, flow, sampling), photo, atol=1e-4, rtol=0)


def test_landmarks_come_from_where_they_were_and_the_border_stays(
    points: torch.Tensor, triangles: torch.Tensor
) -> None:
    middle = points.mean(1, keepdim=True)
    moved = middle + (points - middle) * torch.tensor([0.9, 1.15])  # narrower and longer
    flow = landmark_flow(moved, points, triangles, 256)
    wrong = (at_landmarks(flow, moved) - (points - moved)).norm(dim=-1)
    assert wrong.mean() < 0.002  # half a pixel of 256
    edge = torch.cat([flow[..., 0, :], flow[..., -1, :], flow[..., 0], flow[..., -1]], -1)
    assert edge.abs().max() < 0.003  # half a pixel inside of it


def test_a_flow_is_exact_where_networks_compute_in_bfloat16(
    points: torch.Tensor, triangles: torch.Tensor
) -> None:
    wanted = landmark_flow(points + 0.03, points, triangles, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(landmark_flow(points + 0.03, points, triangles, 64), wanted)


def test_every_face_of_a_batch_has_its_own_flow(
    points: torch.Tensor, triangles: torch.Tensor
) -> None:
    moved = torch.cat([points, points + 0.02, points - 0.01])
    still = points.expand(3, -1, -1)
    together = landmark_flow(moved, still, triangles, 64)
    for i in range(3):
        alone = landmark_flow(moved[i : i + 1], points, triangles, 64)
        torch.testing.assert_close(together[i : i + 1], alone)


def test_each_pixel_gets_the_triangle_it_lies_deepest_in(triangles: torch.Tensor) -> None:
    shares = torch.randn(3, len(triangles), 3, 3, generator=torch.Generator().manual_seed(0))
    one_by_one = torch.cat([deepest(each[None], 16) for each in shares])
    assert torch.equal(deepest(shares, 16), one_by_one)
    x, y = pixel_places(16, CPU).flatten(1)
    of_pixels = shares @ torch.stack([x, y, torch.ones_like(x)])  # (3, T, 3, 256)
    depth = of_pixels.amin(2)
    found = depth.gather(1, one_by_one[:, None])[:, 0]
    torch.testing.assert_close(found, depth.amax(1))


def test_triangles_that_are_flat_take_no_pixel(
    points: torch.Tensor, triangles: torch.Tensor
) -> None:
    closed = points.clone()
    closed[:, 60:68] = closed[:, 60:61]  # the inner lip is one point
    flow = landmark_flow(closed, points, triangles, 64)
    assert torch.isfinite(flow).all()
    assert flow.abs().max() < 0.2


def test_a_photo_is_warped_as_by_the_control(drawn_face: Rendered, small_faces: object) -> None:
    faces = FaceSet.load(small_faces)  # type: ignore[arg-type]
    table = faces.table
    rows = [table.index[table["expression"] == word][0] for word in ("neutral", "surprised")]
    photo, old, new = faces.photos_at(rows[:1], 64)[0], *(faces.landmarks[row] for row in rows)
    control = warp_photo(photo, old, new).astype(float)
    old_points, new_points = (torch.from_numpy(np.array(p))[None] for p in (old, new))
    triangles = triangulate(np.array(faces.landmarks).mean(0))
    flow = landmark_flow(new_points, old_points, triangles, 64)
    ours = to_photos(bend(to_tensor(photo[None], CPU), flow))[0].astype(float)
    changed = np.abs(control - photo).mean()
    assert np.abs(ours - control).mean() < 0.35 * changed


def test_a_whole_pixel_is_moved_exactly() -> None:
    photo = torch.rand(1, 1, 16, 16)
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = 1 / 16  # each pixel comes from its right neighbour
    torch.testing.assert_close(bend(photo, flow)[..., :-1], photo[..., 1:])
    assert (bend(photo, flow)[..., -1] == photo[..., -1]).all()  # beyond lies the border's colour


def test_places_are_the_centres_of_pixels() -> None:
    places = pixel_places(4, CPU)
    assert places[0, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert places[1, :, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
