"""Light on what is seen: shadows, diffuse light, highlights, light under the skin, and on hair."""

import math

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.head import TEETH
from expr_lib.sources.synthetic.raster import FAR, visible_triangles

_SHADOW_SIZE = 288
_SPREAD = (0.060, 0.026, 0.014)
"""How far red, green and blue light creep under the skin, eye distances (after the red-widest
profiles of Jensen et al. 2001)."""
_TRUNCATE = 2.0
"""Where these blurs end, standard deviations."""


def shadow_map(seen: Array, faces: Array, frame: Array) -> tuple[Array, Array, float]:
    """Depth of what the light sees of the head; returns the map, its origin and pixels a unit."""
    turned = seen @ frame.T
    low = np.array([-2.3, -2.9], np.float32)
    unit = (_SHADOW_SIZE - 1) / 5.2
    places = turned.copy()
    places[:, :2] = (turned[:, :2] - low) * unit
    both = np.ones(len(faces), np.bool_)
    _, _, depth = visible_triangles(places, faces, both, _SHADOW_SIZE)
    return depth, low, unit


@njit(cache=True, fastmath=True)
def splat_strands(depth: Array, low: Array, unit: float, frame: Array, strands: Array) -> None:
    """Let hairs cast shadows: enter the points (S, K, 3) of strands into a shadow map, in place."""
    size = depth.shape[0]
    for s in range(strands.shape[0]):
        for step in range(2 * strands.shape[1] - 1):
            a, b = step // 2, (step + 1) // 2
            px = (strands[s, a, 0] + strands[s, b, 0]) / 2
            py = (strands[s, a, 1] + strands[s, b, 1]) / 2
            pz = (strands[s, a, 2] + strands[s, b, 2]) / 2
            x = int((frame[0, 0] * px + frame[0, 1] * py + frame[0, 2] * pz - low[0]) * unit + 0.5)
            y = int((frame[1, 0] * px + frame[1, 1] * py + frame[1, 2] * pz - low[1]) * unit + 0.5)
            if 0 <= x < size - 1 and 0 <= y < size - 1:
                z = frame[2, 0] * px + frame[2, 1] * py + frame[2, 2] * pz
                for v in range(y, y + 2):
                    for u in range(x, x + 2):
                        depth[v, u] = max(depth[v, u], z)


@njit(cache=True, fastmath=True)
def _between(values: Array, row: float, column: float) -> float:
    """Bilinear sample."""
    row = min(max(row, 0.0), values.shape[0] - 1.001)
    column = min(max(column, 0.0), values.shape[1] - 1.001)
    r, c = int(row), int(column)
    fr, fc = row - r, column - c
    above = values[r, c] * (1 - fc) + values[r, c + 1] * fc
    below = values[r + 1, c] * (1 - fc) + values[r + 1, c + 1] * fc
    return above * (1 - fr) + below * fr


@njit(cache=True, fastmath=True)
def shine(
    triangle: Array,
    materials: Array,
    seen: Array,
    normal: Array,
    gloss: Array,
    sharpness: Array,
    flesh: Array,
    opened: Array,
    occlusion: Array,
    shadows: Array,
    low: Array,
    unit: float,
    frame: Array,
    lights: Array,
) -> tuple[Array, Array]:
    """Light that falls on each pixel, and what it mirrors.

    seen     (size, size, 3) place in the camera's frame
    opened   (size, size) share of the surroundings seen in the average face; `occlusion` of what
             the picture shows
    lights   (10,) key RGB, fill RGB, ambient RGB, softness of the shadow
    returns  (size, size, 3) diffuse light, (size, size) highlights
    """
    size = triangle.shape[0]
    received = np.zeros((size, size, 3), np.float32)
    mirrored = np.zeros((size, size), np.float32)
    kx, ky, kz = frame[2, 0], frame[2, 1], frame[2, 2]
    fx, fy, fz = -1.3 * kx, -0.15, 0.8
    length = math.sqrt(fx * fx + fy * fy + fz * fz)
    fx, fy, fz = fx / length, fy / length, fz / length
    hx, hy, hz = kx, ky, kz + 1
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    hx, hy, hz = hx / length, hy / length, hz / length
    gx, gy, gz = fx, fy, fz + 1
    length = math.sqrt(gx * gx + gy * gy + gz * gz)
    gx, gy, gz = gx / length, gy / length, gz / length
    side = shadows.shape[0]
    for y in range(size):
        for x in range(size):
            if triangle[y, x] < 0:
                continue
            nx, ny, nz = normal[y, x, 0], normal[y, x, 1], normal[y, x, 2]
            px, py, pz = seen[y, x, 0], seen[y, x, 1], seen[y, x, 2]
            lx = (frame[0, 0] * px + frame[0, 1] * py + frame[0, 2] * pz - low[0]) * unit
            ly = (frame[1, 0] * px + frame[1, 1] * py + frame[1, 2] * pz - low[1]) * unit
            lz = frame[2, 0] * px + frame[2, 1] * py + frame[2, 2] * pz
            lit, count = 0.0, 0
            # a large soft light: the map is read around the point, nearer blockers cut sharper
            for j in range(-1, 2):
                for i in range(-1, 2):
                    u, v = int(lx + i * lights[9] * 1.6 + 0.5), int(ly + j * lights[9] * 1.6 + 0.5)
                    if 0 <= u < side and 0 <= v < side:
                        count += 1
                        above = shadows[v, u] - lz - 0.045
                        lit += 1 - min(max(above / 0.05, 0.0), 1.0)
            lit = lit / count if count > 0 else 1.0
            material = materials[triangle[y, x]]
            n_key = nx * kx + ny * ky + nz * kz
            n_fill = nx * fx + ny * fy + nz * fz
            room = _between(occlusion, (y - 1) / 4, (x - 1) / 4) * (
                0.25 + 0.75 * min(opened[y, x] / 0.8, 1.0) if flesh[y, x] > 0 else 0.8
            )
            if material == TEETH:  # lit from the camera's side, whatever the lips hide
                lit, room = max(lit, 0.6), max(room, 0.6)
            up = 0.62 + 0.22 * max(-ny, 0.0) + 0.38 * max(nz, 0.0)
            wrap = 0.22 * flesh[y, x]
            for c in range(3):
                around = wrap * (1.0 if c == 0 else 0.6)
                key = max((n_key + around) / (1 + around), 0.0)
                fill = max((n_fill + 0.3) / 1.3, 0.0)
                dim = lit + (1 - lit) * (0.14 if c == 0 else 0.05) * flesh[y, x]
                received[y, x, c] = (
                    lights[c] * key * dim
                    + lights[3 + c] * fill * (0.3 + 0.7 * room)
                    + lights[6 + c] * up * room
                )
            if gloss[y, x] > 0:
                h_key = max(nx * hx + ny * hy + nz * hz, 0.0)
                h_fill = max(nx * gx + ny * gy + nz * gz, 0.0)
                sharp = sharpness[y, x]
                grazing = 0.35 + 0.65 * (1 - max(nz, 0.0)) ** 3
                if sharp > 0.9:
                    value = 0.35 * h_fill**260 if h_fill > 0.95 else 0.0
                    if h_key > 0.98:
                        value += 1.3 * lights[0] * h_key**520 * (0.3 + 0.7 * lit)
                    value += 0.003 * max(nz, 0.0)
                    grazing = 1.0
                else:
                    power = 9 + 60 * sharp * sharp
                    broad, faint = h_key**power, h_fill**power
                    narrow = broad * broad * broad * math.sqrt(broad)
                    value = (0.060 * broad + 0.10 * narrow) * lights[0] * lit
                    value += (0.05 * faint + 0.04 * faint * faint * faint) * lights[3]
                mirrored[y, x] = gloss[y, x] * value * grazing * min(room * 1.3, 1.0)
    return received, mirrored


def occlusion_of(depth: Array, unit: float) -> Array:
    """How open each pixel is to its surroundings, from the depths seen around it, about 0.3..1.

    returns  (size / 4, size / 4)
    """
    quarter = np.ascontiguousarray(depth[1::4, 1::4])
    floor = np.maximum(quarter, np.float32(-1.6))
    closed = np.zeros_like(quarter)
    for radius, weight in ((0.07, 1.0), (0.15, 0.9), (0.34, 0.6)):
        around = gaussian_filter(floor, radius * unit / 4, mode="nearest", truncate=2.0)
        closed += weight * np.clip((around - quarter) / (radius * 1.7), -0.1, 0.8)
    return np.clip(1 - 0.55 * np.clip(closed, -0.05, 1.2), 0.25, 1.03)


@njit(cache=True, fastmath=True)
def halved(picture: Array) -> Array:
    """The mean of each block of two by two pixels of (size, size, C)."""
    rows, columns, channels = picture.shape
    out = np.empty((rows // 2, columns // 2, channels), np.float32)
    for y in range(rows // 2):
        for x in range(columns // 2):
            for c in range(channels):
                above = picture[2 * y, 2 * x, c] + picture[2 * y, 2 * x + 1, c]
                below = picture[2 * y + 1, 2 * x, c] + picture[2 * y + 1, 2 * x + 1, c]
                out[y, x, c] = (above + below) * np.float32(0.25)
    return out


def _reach(filled: Array, margin: int) -> slice:
    """From the first filled place to the last one, and a margin."""
    places = np.flatnonzero(filled)
    if len(places) == 0:
        return slice(0, len(filled))
    return slice(max(int(places[0]) - margin, 0), int(places[-1]) + margin + 1)


def spread_under_skin(received: Array, flesh: Array, unit: float) -> Array:
    """Blur the light on flesh, red the widest: it leaves the skin beside where it fell.

    returns  (size / 2, size / 2, 3); 0 far from flesh
    """
    widths = [max(width * unit / 2, 0.3) for width in _SPREAD]
    margin = math.ceil(_TRUNCATE * max(widths)) + 1
    rows, columns = (_reach(flesh.max(axis).reshape(-1, 2).max(1), margin) for axis in (1, 0))
    box = slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)
    near = flesh[box][:, :, None]
    weight, light = halved(near)[:, :, 0], halved(received[box] * near)
    spread = np.zeros((len(flesh) // 2, len(flesh) // 2, 3), np.float32)
    for c, sigma in enumerate(widths):
        blurred, blurred_weight = (
            gaussian_filter(values, sigma, mode="nearest", truncate=_TRUNCATE)
            for values in (light[:, :, c], weight)
        )
        spread[rows, columns, c] = blurred / np.maximum(blurred_weight, 1e-3)
    return spread


@njit(cache=True, fastmath=True)
def compose(
    triangle: Array,
    albedo: Array,
    received: Array,
    spread: Array,
    flesh: Array,
    mirrored: Array,
    background: Array,
    side: float,
) -> Array:
    """Light that leaves each pixel; where nobody is, a plain wall, lighter on the `side` (-1..1)
    of the light. Returns linear RGB (size, size, 3)."""
    size = triangle.shape[0]
    image = np.empty((size, size, 3), np.float32)
    for y in range(size):
        v = 2 * y / (size - 1) - 1
        for x in range(size):
            if triangle[y, x] < 0:
                u = 2 * x / (size - 1) - 1
                bright = 1.1 - 0.22 * (u * u + v * v) - 0.10 * u * side - 0.06 * v
                for c in range(3):
                    image[y, x, c] = background[c] * bright
                continue
            share = np.float32(0.8) * flesh[y, x]
            for c in range(3):
                light = received[y, x, c]
                light += share * (spread[y // 2, x // 2, c] - light)
                image[y, x, c] = albedo[y, x, c] * light + mirrored[y, x]
    return image


def background_depth(depth: Array) -> Array:
    """Depths with the empty background far behind."""
    return np.where(depth <= FAR, np.float32(-3.2), depth)


@njit(cache=True, fastmath=True)
def light_strands(
    seen: Array, colours: Array, middle: Array, frame: Array, lights: Array, gleam: float
) -> Array:
    """Colour of hairs under the lights, brightest where they lie across them (Kajiya, Kay 1989).

    seen     (S, K, 3) points in the camera's frame; `middle` (3,) of the head
    colours  (S, K, 3) linear RGB
    returns  (S, K, 3) linear RGB
    """
    out = np.empty_like(colours)
    hx, hy, hz = frame[2, 0], frame[2, 1], frame[2, 2] + 1
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    hx, hy, hz = hx / length, hy / length, hz / length
    for s in range(seen.shape[0]):
        for k in range(seen.shape[1]):
            a = max(k, 1)
            tx = seen[s, a, 0] - seen[s, a - 1, 0]
            ty = seen[s, a, 1] - seen[s, a - 1, 1]
            tz = seen[s, a, 2] - seen[s, a - 1, 2]
            length = math.sqrt(tx * tx + ty * ty + tz * tz) + 1e-6
            along = (tx * frame[2, 0] + ty * frame[2, 1] + tz * frame[2, 2]) / length
            half = (tx * hx + ty * hy + tz * hz) / length
            sine, sheen = 1 - along * along, 1 - half * half
            ox, oy, oz = (
                seen[s, k, 0] - middle[0],
                seen[s, k, 1] - middle[1],
                seen[s, k, 2] - middle[2],
            )
            length = math.sqrt(ox * ox + oy * oy + oz * oz) + 1e-6
            facing = (ox * frame[2, 0] + oy * frame[2, 1] + oz * frame[2, 2]) / length
            facing = min(max(0.40 + 0.75 * facing, 0.06), 1.2)
            sheen2 = sheen * sheen
            sheen8 = sheen2 * sheen2 * sheen2 * sheen2
            shine = gleam * facing * (0.10 * sheen8 + 0.22 * sheen8 * sheen8 * sheen8)
            for c in range(3):
                base = colours[s, k, c]
                light = lights[c] * math.sqrt(max(sine, 0.0)) * facing * 0.75
                light += 0.40 * lights[6 + c] + 0.25 * lights[3 + c]
                out[s, k, c] = base * light + shine * lights[c] * (0.35 * math.sqrt(base) + 0.05)
    return out
