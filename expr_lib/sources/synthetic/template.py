"""The average head as a mesh: vertices, triangles, and every action unit's displacements."""

from functools import lru_cache

import numpy as np

from expr_lib.sources.synthetic.canonical import (
    BOTTOM,
    MOUTH_HALF_WIDTH,
    SLIT,
    TOP,
    Array,
    angle_of,
    half_width,
    jaw_candidates,
    landmark_points,
    ridge,
    smoothstep,
)
from expr_lib.sources.synthetic.geometry import head_points
from expr_lib.sources.synthetic.units import Fields

SKIN, MOUTH = 0, 1
"""Materials of the head: skin (with eyes and hair), and the opening between the lips."""


def _row_heights(count: int = 132) -> tuple[Array, int]:
    """Heights of the grid's rows, dense on the features; the row at the slit stands twice."""
    y = np.linspace(TOP, BOTTOM, 4001)
    density = (
        0.7 + 1.1 * ridge(y, 0.0, 0.28) + 1.3 * ridge(y, SLIT, 0.22) + 0.7 * ridge(y, 0.55, 0.25)
    )
    density += 2.5 * ridge(y, TOP, 0.05) + 2.5 * ridge(y, BOTTOM, 0.05)
    share = np.cumsum(density)
    share = (share - share[0]) / (share[-1] - share[0])
    rows = np.interp(np.linspace(0, 1, count), share, y)
    slit = int(np.argmin(np.abs(rows - SLIT)))
    rows[slit] = SLIT
    return np.insert(rows, slit + 1, SLIT), slit


def _column_angles() -> Array:
    """Angles around the head, radians, dense on the face."""
    back, side = np.linspace(-180, -80, 18)[:-1], np.linspace(-80, -40, 22)[:-1]
    front = np.linspace(-40, 40, 69)
    return np.deg2rad(np.r_[back, side, front, -side[::-1], -back[::-1]])


class Template:
    """The average head: a grid of vertices, then the 68 landmarks, then the jaw's candidates.

    Landmarks are vertices like any other, so whatever bends the skin bends them too: they are true
    by construction.

    rows, columns  size of the grid; `grid` = rows * columns vertices come first
    slit           the row of the upper lip's margin; the next row is the lower lip's
    angle, x, y    (V,) around the head in radians, canonical coordinates
    front          (V,) 1 on the face, 0 on the back
    points         (V, 3) eye distances
    fields         action unit -> (V, 3) displacement at weight 1
    faces          (F, 3) vertices of each triangle; `materials` (F,) SKIN or MOUTH
    """

    def __init__(self) -> None:
        heights, self.slit = _row_heights()
        angles = _column_angles()
        self.rows, self.columns = len(heights), len(angles)
        self.grid = self.rows * self.columns
        grid_angle, grid_y = np.meshgrid(angles, heights)
        grid_side = np.where(np.arange(self.rows) <= self.slit, -1.0, 1.0)
        marks = landmark_points()
        mark_angle = angle_of(marks[:, 0], marks[:, 1])
        mark_angle[8] = 0
        jaw_angle, jaw = jaw_candidates(marks)
        self.angle = np.r_[grid_angle.ravel(), mark_angle, jaw_angle]
        self.y = np.r_[grid_y.ravel(), marks[:, 1], jaw[:, 1]]
        lip_side = np.r_[np.repeat(grid_side, self.columns), marks[:, 2], jaw[:, 2]]
        self.points = head_points(self.angle, self.y)
        self.x = half_width(self.y) * np.sin(self.angle)
        cosine = np.cos(self.angle)
        self.front = smoothstep(-0.1, 0.35, cosine)
        self.fields = Fields(self.x, self.y, lip_side, self.points, self.front).all()
        for field in self.fields.values():
            field[cosine < -0.05] = 0
        self.faces, self.materials = self._triangles()

    def _triangles(self) -> tuple[Array, Array]:
        index = np.arange(self.grid).reshape(self.rows, self.columns)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
        material = np.full(a.shape, SKIN)
        material[self.slit] = MOUTH
        keep = np.ones(a.shape, bool)
        ax = np.abs(self.x[index[self.slit]])
        facing = np.cos(self.angle[index[self.slit]]) > 0
        keep[self.slit] = (np.minimum(ax[:-1], ax[1:]) < MOUTH_HALF_WIDTH) & facing[:-1]
        upper, lower = np.stack([a, b, c], -1)[keep], np.stack([b, d, c], -1)[keep]
        return np.concatenate([upper, lower]), np.r_[material[keep], material[keep]]


@lru_cache(maxsize=1)
def template() -> Template:
    """The one template, made on first use."""
    return Template()
