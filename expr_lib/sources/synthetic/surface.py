"""What each pixel shows before any light falls on it: skin, eyes, teeth and cloth."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from expr_lib.sources.synthetic.canonical import BOTTOM, SLIT, TOP, Array
from expr_lib.sources.synthetic.head import EYE, SKIN, TEETH
from expr_lib.sources.synthetic.texture import HEIGHT, WIDTH
from expr_lib.sources.synthetic.wrinkles import FIRST_COLUMN, FRONT_WIDTH

ANGLE, HEIGHT_AT, LIP, MOUTH, OPEN, EAR, ACROSS = 3, 4, 5, 6, 7, 8, 9
"""Channels of what vertices carry, after the three of the normal."""
_IRIS, _PUPIL = 0.445, 0.17
"""Half the angle, radians, under which iris and pupil are seen from the eye's centre."""
_TEETH_EDGES = (0.0, 0.135, 0.235, 0.315, 0.365)
"""Where one upper tooth meets the next, eye distances from the midline, seen from the front."""
_LID_SHADOW = 0.065
"""How far down the eye the shade of the upper lid and its lashes falls, eye distances."""


@dataclass
class Surface:
    """What a picture of side `size` shows before it is lit.

    albedo  (size, size, 3) linear RGB; normal (size, size, 3) in the camera's frame
    gloss   (size, size) strength of highlights; sharpness (size, size) 0 broad .. 1 pin-sharp
    flesh   (size, size) 0..1, how much light creeps under the surface
    """

    albedo: Array
    normal: Array
    gloss: Array
    sharpness: Array
    flesh: Array


@njit(cache=True, fastmath=True)
def _look_up(texture: Array, row: float, column: float, out: Array) -> None:
    """Bilinear sample of every channel."""
    row = min(max(row, 0.0), texture.shape[0] - 1.001)
    column = min(max(column, 0.0), texture.shape[1] - 1.001)
    r, c = int(row), int(column)
    fr, fc = np.float32(row - r), np.float32(column - c)
    one = np.float32(1)
    w00, w01 = (one - fr) * (one - fc), (one - fr) * fc
    w10, w11 = fr * (one - fc), fr * fc
    for k in range(texture.shape[2]):
        out[k] = (
            w00 * texture[r, c, k]
            + w01 * texture[r, c + 1, k]
            + w10 * texture[r + 1, c, k]
            + w11 * texture[r + 1, c + 1, k]
        )


@njit(cache=True, fastmath=True)
def _between_teeth(across: float) -> float:
    """1 between two upper teeth .. 0 on one, at a distance from the midline."""
    gap = 0.0
    for edge in _TEETH_EDGES:
        gap = max(gap, math.exp(-(((across - edge) / 0.006) ** 2)))
    return gap


@njit(cache=True, fastmath=True)
def paint_surface(
    triangle: Array,
    materials: Array,
    carried: Array,
    ball: Array,
    texture: Array,
    folds: Array,
    turn: Array,
    skin: Array,
    clothes: Array,
    gaze: Array,
    iris: Array,
    fibres: Array,
    teeth: Array,
    pixel: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """Colour, normal and gloss of each pixel.

    triangle   (size, size) the triangle seen; `materials` (F,) of each
    carried    (size, size, 10 or more) normal, angle, height, lip, mouth, openness, ear, x
    ball       (size, size, 3) place on the eyeball, in radii from its centre
    texture    (HEIGHT, WIDTH, 6) linear RGB, two slopes, share of hair
    folds      (HEIGHT / 2, FRONT_WIDTH / 2, 3) depth and slopes of the skin's folds
    turn       (3, 3) rotation of the head
    skin       (3,) its mean colour; `clothes` (6,) shirt RGB, neckline, V, oil of the skin
    gaze       (3,) direction of the eyes in the camera's frame
    iris       (7,) iris RGB, white RGB, size of the pupil; `fibres` (64,) its pattern
    teeth      (3,) their colour; `pixel` size of a pixel, eye distances
    returns    the five arrays of Surface
    """
    size = triangle.shape[0]
    albedo = np.zeros((size, size, 3), np.float32)
    normal = np.zeros((size, size, 3), np.float32)
    gloss = np.zeros((size, size), np.float32)
    sharpness = np.zeros((size, size), np.float32)
    flesh = np.zeros((size, size), np.float32)
    painted, folded = np.zeros(6, np.float32), np.zeros(3, np.float32)
    lid = np.zeros(size, np.int32)  # in each column, the lowest row so far that is no eye
    for y in range(size):
        for x in range(size):
            f = triangle[y, x]
            if f < 0:
                continue
            material = materials[f]
            if material != EYE:
                lid[x] = y
            nx, ny, nz = carried[y, x, 0], carried[y, x, 1], carried[y, x, 2]
            opened = carried[y, x, OPEN]
            if material == SKIN:
                angle, height = carried[y, x, ANGLE], carried[y, x, HEIGHT_AT]
                column = (angle / math.pi + 1) / 2 * (WIDTH - 1)
                row = (height - TOP) / (BOTTOM - TOP) * (HEIGHT - 1)
                _look_up(texture, row, column, painted)
                slope_x, slope_y, hairy = painted[3], painted[4], painted[5]
                fold, at = np.float32(0), column - FIRST_COLUMN
                if 1 < at < FRONT_WIDTH - 2:
                    _look_up(folds, row / 2, at / 2, folded)
                    fold = min(folded[0], np.float32(1.2))
                    slope_x += folded[1]
                    slope_y += folded[2]
                lip, mouth = carried[y, x, LIP], carried[y, x, MOUTH]
                ear = carried[y, x, EAR]
                closed = min(max(opened / np.float32(0.55), np.float32(0)), np.float32(1))
                bounce = math.sqrt(closed)
                for c in range(3):
                    colour = painted[c] * (1 - ear) + skin[c] * np.float32(0.95) * ear
                    # light that bounces in nostrils, ears and between lips turns red
                    if c == 0:
                        deep = (1 - np.float32(0.13) * fold) * (0.25 + 0.75 * bounce)
                    else:
                        deep = (1 - np.float32(0.16) * fold) * bounce
                    inner = np.float32(0.16) if c == 0 else np.float32(0.035)
                    albedo[y, x, c] = colour * deep * (1 - mouth) + inner * mouth
                # cloth below the neckline
                across = abs(carried[y, x, ACROSS])
                v = max(0.0, 1 - across / 0.55) * clothes[4]
                line = clothes[3] + v - 0.42 * min(across, 1.15) ** 2
                cloth = min(max((height - line) / pixel * 0.5 + 0.5, 0.0), 1.0)
                if cloth > 0:
                    seam = 1 - 0.30 * math.exp(-(((height - line - 0.09) / 0.014) ** 2))
                    seam -= 0.25 * math.exp(-(((height - line - 0.01) / 0.02) ** 2))
                    for c in range(3):
                        fabric = clothes[c] * seam
                        albedo[y, x, c] += cloth * (fabric - albedo[y, x, c])
                if cloth < 1:
                    keep = 1 - cloth
                    nx -= keep * (turn[0, 0] * slope_x + turn[0, 1] * slope_y)
                    ny -= keep * (turn[1, 0] * slope_x + turn[1, 1] * slope_y)
                    nz -= keep * (turn[2, 0] * slope_x + turn[2, 1] * slope_y)
                gloss[y, x] = clothes[5] * (1 - cloth) * (1 - hairy) * (1 + 0.9 * lip) * opened
                sharpness[y, x] = 0.25 + 0.35 * lip
                flesh[y, x] = (1 - cloth) * (1 - 0.7 * hairy)
            elif material == EYE:
                px, py, pz = ball[y, x, 0], ball[y, x, 1], ball[y, x, 2]
                length = math.sqrt(px * px + py * py + pz * pz) + 1e-9
                nx, ny, nz = px / length, py / length, pz / length
                cosine = nx * gaze[0] + ny * gaze[1] + nz * gaze[2]
                away = math.acos(min(max(cosine, -1.0), 1.0))
                soft = pixel / 0.22
                around = math.atan2(ny - gaze[1], nx - gaze[0])
                fibre = fibres[int((around / math.pi + 1) * 31.9) % 64]
                outward = away / _IRIS
                bright = (0.70 + 0.5 * fibre) * (1.25 - 0.35 * outward)
                bright *= 1 + 0.5 * math.exp(-(((outward - 0.5) / 0.2) ** 2))
                bright *= 1 - 0.75 * math.exp(-(((outward - 1.0) / 0.16) ** 2))
                in_iris = min(max((_IRIS - away) / (2.5 * soft) + 0.5, 0.0), 1.0)
                in_pupil = min(max((iris[6] * _PUPIL - away) / soft + 0.5, 0.0), 1.0)
                side = min(abs(nx - gaze[0]), 1.0)
                below = (y - lid[x]) * pixel / _LID_SHADOW
                shade = 0.25 + 0.75 * min(opened / 0.55, 1.0)
                shade *= 1 - 0.75 * math.exp(-below * below)
                for c in range(3):
                    white = iris[3 + c] * (1 - (0.10 if c == 0 else 0.28) * side)
                    inside = iris[c] * bright * (1 - in_pupil) + 0.004 * in_pupil
                    albedo[y, x, c] = white * (1 - in_iris) + inside * in_iris
                    albedo[y, x, c] *= shade
                # the cornea bulges: its highlight sits as on a smaller, steeper ball
                bulge = 0.35 * in_iris
                nx, ny, nz = nx + bulge * nx, ny + bulge * ny, nz
                gloss[y, x], sharpness[y, x] = 2.2, 1.0
                flesh[y, x] = 0.0
            elif material == TEETH:
                across, height = abs(carried[y, x, ACROSS]), carried[y, x, HEIGHT_AT]
                back = (across / 0.42) ** 2  # the arch curves out of the light
                gap = _between_teeth(across if height < SLIT + 0.05 else across * 1.5)
                for c in range(3):
                    albedo[y, x, c] = teeth[c] * (1 - 0.75 * min(back, 1.0)) * (1 - 0.35 * gap)
                gloss[y, x], sharpness[y, x] = 0.5, 0.7
            else:
                albedo[y, x, 0], albedo[y, x, 1], albedo[y, x, 2] = 0.26, 0.085, 0.080
                gloss[y, x], sharpness[y, x] = 0.5, 0.5
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            normal[y, x, 0], normal[y, x, 1], normal[y, x, 2] = (
                nx / length,
                ny / length,
                nz / length,
            )
    return albedo, normal, gloss, sharpness, flesh


@njit(cache=True, fastmath=True)
def masks_of(triangle: Array, materials: Array, carried: Array, flesh: Array) -> Array:
    """Where the person is, and where the face is, as (size, size, 2) of 0 and 1.

    The face has eyes, brows, lips and what is between them; no ears, neck or hair of the head.
    """
    size = triangle.shape[0]
    out = np.zeros((size, size, 2), np.float32)
    for y in range(size):
        for x in range(size):
            if triangle[y, x] < 0:
                continue
            out[y, x, 0] = 1
            if materials[triangle[y, x]] != SKIN:
                out[y, x, 1] = 1
                continue
            jaw = 1.96 - 0.84 * carried[y, x, ACROSS] ** 2  # the neck lies below this curve
            in_front = abs(carried[y, x, ANGLE]) < 1.45 and carried[y, x, EAR] < 0.5
            if in_front and carried[y, x, HEIGHT_AT] < jaw and flesh[y, x] > 0.9:
                out[y, x, 1] = 1
    return out
