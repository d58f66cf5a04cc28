"""The z-buffer: which triangle is seen at each pixel, and hairs as thin lines among them."""

import math

import numpy as np
from numba import njit

from expr_lib.sources.synthetic.canonical import Array

FAR = -1e9
"""Depth where nothing is."""


def frame_towards(direction: Array) -> Array:
    """Rotation (3, 3) into the frame of who looks from there: its third row is that unit vector."""
    across = np.cross([0.0, 1.0, 0.0], direction)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(direction, across), direction])


@njit(cache=True, fastmath=True)
def visible_triangles(
    places: Array, faces: Array, two_sided: Array, size: int
) -> tuple[Array, Array, Array]:
    """Find the nearest triangle at each pixel.

    places     (V, 3) float32 pixel x, pixel y, depth (larger is nearer)
    faces      (F, 3) int32 vertices, clockwise in the picture when they face the camera
    two_sided  (F,) bool, drawn from behind too
    size       side of the picture, pixels
    returns    (size, size) int32 index into faces, -1 where there is none; (size, size, 2) float32
               weights of the second and third corner; (size, size) float32 depth
    """
    triangle = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    depth = np.full((size, size), np.float32(FAR), np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by = places[a, 0], places[a, 1], places[b, 0], places[b, 1]
        cx, cy = places[c, 0], places[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9 or (area < 0 and not two_sided[f]):
            continue
        left = max(math.ceil(min(ax, bx, cx)), 0)
        right = min(math.floor(max(ax, bx, cx)), size - 1)
        top = max(math.ceil(min(ay, by, cy)), 0)
        bottom = min(math.floor(max(ay, by, cy)), size - 1)
        if left > right or top > bottom:
            continue
        az, bz, cz = places[a, 2], places[b, 2], places[c, 2]
        inverse = 1 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w1 = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) * inverse
                w2 = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) * inverse
                if w1 < -1e-4 or w2 < -1e-4 or w1 + w2 > 1.0001:
                    continue
                z = az + w1 * (bz - az) + w2 * (cz - az)
                if z > depth[y, x]:
                    depth[y, x] = z
                    triangle[y, x] = f
                    weights[y, x, 0] = w1
                    weights[y, x, 1] = w2
    return triangle, weights, depth


@njit(cache=True, fastmath=True)
def interpolate(triangle: Array, weights: Array, faces: Array, attributes: Array) -> Array:
    """Carry attributes of vertices to pixels.

    triangle, weights  from `visible_triangles`
    attributes         (V, C) float32
    returns            (size, size, C) float32, 0 where no triangle is
    """
    size, channels = triangle.shape[0], attributes.shape[1]
    out = np.zeros((size, size, channels), np.float32)
    for y in range(size):
        for x in range(size):
            f = triangle[y, x]
            if f < 0:
                continue
            w1, w2 = weights[y, x, 0], weights[y, x, 1]
            w0 = np.float32(1) - w1 - w2
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            for k in range(channels):
                out[y, x, k] = w0 * attributes[a, k] + w1 * attributes[b, k] + w2 * attributes[c, k]
    return out


@njit(cache=True, fastmath=True)
def vertex_normals(points: Array, faces: Array) -> Array:
    """Unit normals (V, 3) float32, outwards, each the mean of its faces' weighted by area."""
    normals = np.zeros((len(points), 3), np.float32)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        uz = points[b, 2] - points[a, 2]
        vx, vy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
        vz = points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(points)):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
        normals[v, 0], normals[v, 1], normals[v, 2] = x / length, y / length, z / length
    return normals


@njit(cache=True, fastmath=True)
def draw_strands(
    image: Array,
    masks: Array,
    depth: Array,
    order: Array,
    places: Array,
    colours: Array,
    widths: Array,
    opacity: Array,
    over_face: bool,
) -> None:
    """Draw hairs over a picture, in place, each a tapering anti-aliased line.

    image    (size, size, 3) float32; `masks` (size, size, 2) share of the person, of bare face
    depth    (size, size) float32, what lies behind a surface is not drawn
    order    (S,) the strands, the farthest first
    places   (S, K, 3) float32 pixel x, pixel y, depth
    colours  (S, K, 3) float32; `widths` (S, K) pixels; `opacity` (S,) 0..1
    over_face  whether they hide the face (hair of the head), or belong to it
    """
    size = image.shape[0]
    for s in order:
        for k in range(places.shape[1] - 1):
            x0, y0, z0 = places[s, k, 0], places[s, k, 1], places[s, k, 2]
            x1, y1, z1 = places[s, k + 1, 0], places[s, k + 1, 1], places[s, k + 1, 2]
            dx, dy = x1 - x0, y1 - y0
            length = math.sqrt(dx * dx + dy * dy)
            if length < 1e-3:
                continue
            w0, w1 = widths[s, k], widths[s, k + 1]
            if _hidden(depth, x0, y0, z0) and _hidden(depth, x1, y1, z1):
                continue
            steep = abs(dy) > abs(dx)  # walk along the longer axis, a few pixels across at a time
            a0, a1, b0 = (y0, y1, x0) if steep else (x0, x1, y0)
            slope = dx / dy if steep else dy / dx
            stretch = length / max(abs(dx), abs(dy))
            first = max(math.ceil(min(a0, a1)), 0)
            last = min(math.ceil(max(a0, a1)) - 1, size - 1)
            for a in range(first, last + 1):
                t = (a - a0) / (a1 - a0)
                middle = b0 + (a - a0) * slope
                width = w0 + (w1 - w0) * t
                reach = (width / 2 + 0.5) * stretch
                z = z0 + (z1 - z0) * t + 0.02
                full = min(width, np.float32(1)) * opacity[s]
                red = colours[s, k, 0] + (colours[s, k + 1, 0] - colours[s, k, 0]) * t
                green = colours[s, k, 1] + (colours[s, k + 1, 1] - colours[s, k, 1]) * t
                blue = colours[s, k, 2] + (colours[s, k + 1, 2] - colours[s, k, 2]) * t
                for b in range(
                    max(math.ceil(middle - reach), 0),
                    min(math.floor(middle + reach), size - 1) + 1,
                ):
                    x, y = (b, a) if steep else (a, b)
                    if z < depth[y, x]:
                        continue
                    share = min(width / 2 + 0.5 - abs(b - middle) / stretch, 1.0) * full
                    image[y, x, 0] += share * (red - image[y, x, 0])
                    image[y, x, 1] += share * (green - image[y, x, 1])
                    image[y, x, 2] += share * (blue - image[y, x, 2])
                    masks[y, x, 0] += share * (1 - masks[y, x, 0])
                    if over_face:
                        masks[y, x, 1] -= share * masks[y, x, 1]


@njit(cache=True, fastmath=True)
def _hidden(depth: Array, x: float, y: float, z: float) -> bool:
    """Whether a point lies well behind what is seen there, or outside the picture."""
    column, row = int(x + 0.5), int(y + 0.5)
    if column < 0 or row < 0 or column >= depth.shape[1] or row >= depth.shape[0]:
        return True
    return z + 0.12 < depth[row, column]
