"""FACS action units (Ekman and Friesen 1978): how each moves the face; expressions are their sums.

A unit is one field of displacements, added with a weight; so an expression's intensity is
continuous, and mixed expressions come for free. R and L are the sitter's right (image left) and
left.
"""

import math
from types import MappingProxyType

import numpy as np

from expr_lib.errors import BadSetting
from expr_lib.photos import EXPRESSIONS
from expr_lib.sources.synthetic.canonical import (
    MOUTH_HALF_WIDTH,
    SLIT,
    Array,
    bump,
    bump_pair,
    lid_curves,
    ridge,
    smoothstep,
)

EYES_DOWN = "64"
"""The one unit that turns the eyes and moves no skin."""

EXPRESSION_UNITS = MappingProxyType(
    {
        "neutral": {},
        "happy": {"6": 0.9, "12": 1.0, "25": 0.75, "26": 0.15},
        "sad": {"1": 1.0, "4": 0.55, "15": 1.0, "17": 0.7, "7": 0.25, EYES_DOWN: 0.35},
        "surprised": {"1": 1.0, "2": 1.1, "5": 0.95, "25": 0.5, "26": 1.0, "27": 0.25},
        "angry": {"4": 1.15, "5": 0.35, "7": 0.9, "23": 0.8, "24": 0.5, "17": 0.25, "9": 0.15},
        "fearful": {"1": 1.0, "2": 0.6, "4": 0.5, "5": 1.0, "20": 1.0, "25": 0.8, "26": 0.35},
        "disgusted": {"9": 1.0, "10": 1.0, "4": 0.45, "7": 0.7, "25": 0.35, "17": 0.3}
        | {"6": 0.4, "15": 0.3},
        "contemptuous": {"12R": 0.75, "14R": 1.0, "14L": 0.1, "2L": 0.15},
    }
)
"""Action units of each expression at full intensity, after EMFACS; contempt is one-sided."""

HINGE = np.array([0, 0.40, -1.05])
"""Where the jaw turns, in eye distances."""


def expression_units(expression: str, intensity: float = 1.0) -> dict[str, float]:
    """Give an expression's action units.

    expression  one of RaFD's eight words
    intensity   0 is neutral, 1 the full expression; every unit is scaled by it
    returns     unit -> weight
    raises      BadSetting when the word is none of the eight
    """
    if expression not in EXPRESSION_UNITS:
        raise BadSetting(
            f"unknown expression {expression!r}; choose one of {', '.join(EXPRESSIONS)}"
        )
    return {unit: weight * intensity for unit, weight in EXPRESSION_UNITS[expression].items()}


class Fields:
    """The displacement fields of all units over a set of points of the head.

    x, y       (N,)   canonical coordinates
    lip_side   (N,)   -1 on the upper lip's margin, +1 on the lower, 0 elsewhere
    points     (N, 3) the average neutral head
    front      (N,)   1 on the face, fading to 0 behind the ears
    """

    def __init__(self, x: Array, y: Array, lip_side: Array, points: Array, front: Array) -> None:
        self.x, self.y, self.points, self.front = x, y, points, front
        self.ax, self.sign = np.abs(x), np.sign(x)
        self.parting = np.sqrt(np.clip(1 - (x / MOUTH_HALF_WIDTH) ** 2, 0, 1))
        on_slit = (lip_side < 0) * 1.0
        self.above = np.where(y < SLIT - 1e-9, 1.0, np.where(y > SLIT + 1e-9, 0.0, on_slit))

    def all(self) -> dict[str, Array]:
        """Every unit's displacements, (N, 3) float32 in eye distances at weight 1."""
        fields = self._brows() | self._eyes() | self._nose_and_upper_lip() | self._lips()
        for half, weight in (
            ("", np.ones_like(self.x)),
            ("R", smoothstep(0.12, -0.12, self.x)),
            ("L", smoothstep(-0.12, 0.12, self.x)),
        ):
            fields |= self._mouth_corners(half, weight)
            if half:
                fields[f"2{half}"] = fields["2"] * weight[:, None]
        fields |= {"26": self._jaw(0.165, -0.03), "27": self._jaw(0.36, -0.10)}
        return {unit: field.astype(np.float32) for unit, field in fields.items()}

    def _move(
        self, dx: Array | float = 0.0, dy: Array | float = 0.0, dz: Array | float = 0.0
    ) -> Array:
        zero = 0 * self.x
        return np.stack([dx + zero, dy + zero, dz + zero], -1) * self.front[:, None]

    def _pair(self, cx: float, cy: float, sx: float, sy: float) -> Array:
        return bump_pair(self.x, self.y, cx, cy, sx, sy)

    def _middle(self, cy: float, sx: float, sy: float) -> Array:
        return bump(self.x, self.y, 0, cy, sx, sy)

    def _lids(self) -> tuple[Array, Array]:
        """Weights of the lids: 1 on the margin, fading over the lid, 0 at the other margin."""
        upper, lower = lid_curves(self.ax)
        along = np.clip((self.ax - 0.275) / (0.71 - 0.275), 0, 1)
        inside = np.clip(np.sin(np.pi * along), 0, 1) ** 0.7
        gap = np.maximum(lower - upper, 1e-3)
        below = np.clip(1 - (self.y - upper) / gap, 0, 1)
        above = np.clip(1 - (lower - self.y) / gap, 0, 1)
        upper_weight = np.where(self.y < upper, ridge(self.y, upper, 0.085), below)
        lower_weight = np.where(self.y > lower, ridge(self.y, lower, 0.10), above)
        return inside * upper_weight, inside * lower_weight

    def _brows(self) -> dict[str, Array]:
        upper_lid, _ = self._lids()
        pair, move = self._pair, self._move
        inner = -0.125 * pair(0.24, -0.36, 0.24, 0.24) - 0.012 * upper_lid
        outer = -0.130 * pair(0.74, -0.36, 0.25, 0.22) - 0.02 * pair(0.4, -0.4, 0.2, 0.2)
        lowered = 0.100 * pair(0.22, -0.32, 0.26, 0.20) + 0.05 * pair(0.6, -0.36, 0.25, 0.15)
        return {
            "1": move(dx=-0.012 * self.sign * pair(0.27, -0.36, 0.2, 0.2), dy=inner),
            "2": move(dy=outer - 0.010 * upper_lid),
            "4": move(
                dx=-0.060 * self.sign * pair(0.30, -0.34, 0.20, 0.20),
                dy=lowered + 0.016 * upper_lid,
                dz=0.03 * self._middle(-0.28, 0.18, 0.12),
            ),
        }

    def _eyes(self) -> dict[str, Array]:
        upper_lid, lower_lid = self._lids()
        raised = -0.075 * self._pair(0.60, 0.42, 0.26, 0.24) + 0.02 * self._pair(
            0.8, -0.2, 0.15, 0.15
        )
        return {
            "5": self._move(dy=-0.027 * upper_lid),
            "6": self._move(
                dy=raised - 0.026 * lower_lid + 0.012 * upper_lid,
                dz=0.05 * self._pair(0.58, 0.38, 0.24, 0.18),
            ),
            "7": self._move(dy=-0.030 * lower_lid + 0.030 * upper_lid),
            "43": self._move(dy=0.118 * upper_lid - 0.012 * lower_lid),
        }

    def _nose_and_upper_lip(self) -> dict[str, Array]:
        _, lower_lid = self._lids()
        pair, y = self._pair, self.y
        wrinkled = -0.075 * pair(0.22, 0.55, 0.15, 0.20) - 0.06 * pair(0.25, 0.82, 0.3, 0.16)
        wrinkled += 0.045 * pair(0.18, -0.28, 0.2, 0.16) - 0.03 * self._middle(0.5, 0.12, 0.2)
        near_mouth = smoothstep(0.62, 0.25, self.ax)
        lip = ridge(np.minimum(y, SLIT), SLIT, 0.28) * self.above * (0.25 + 0.75 * self.parting)
        # the lips' parting vanishes at the corner only when the lower side follows a little
        lip += ridge(np.maximum(y, SLIT), SLIT, 0.12) * (1 - self.above) * 0.25
        return {
            "9": self._move(
                dx=-0.01 * self.sign * pair(0.2, 0.5, 0.12, 0.2),
                dy=wrinkled - 0.015 * lower_lid,
                dz=0.03 * pair(0.3, 0.45, 0.14, 0.18),
            ),
            "10": self._move(
                dy=-0.095 * lip * near_mouth - 0.03 * pair(0.36, 0.62, 0.18, 0.2),
                dz=0.025 * pair(0.36, 0.68, 0.14, 0.2),
            ),
        }

    def _mouth_corners(self, half: str, weight: Array) -> dict[str, Array]:
        pair, sign = self._pair, self.sign
        corner = pair(0.42, 1.06, 0.23, 0.22)
        cheek = 0.045 * pair(0.46, 0.86, 0.28, 0.34) + 0.02 * pair(0.2, 1.02, 0.2, 0.2)
        dimple = -0.07 * pair(0.45, 1.06, 0.13, 0.12) + 0.025 * pair(0.6, 0.95, 0.12, 0.16)
        smile = self._move(
            dx=0.115 * sign * corner,
            dy=-0.095 * corner - cheek,
            dz=-0.07 * corner + 0.05 * pair(0.58, 0.62, 0.22, 0.2),
        )
        tightened = self._move(dx=0.060 * sign * corner, dy=-0.015 * corner, dz=dimple)
        return {f"12{half}": smile * weight[:, None], f"14{half}": tightened * weight[:, None]}

    def _lips(self) -> dict[str, Array]:
        pair, middle, y = self._pair, self._middle, self.y
        down, wide = pair(0.42, 1.08, 0.19, 0.19), pair(0.42, 1.08, 0.27, 0.24)
        below = (1 - self.above) * self.parting
        # rolled-in lips: the borders move towards the slit
        from_slit = np.clip((y - SLIT) / 0.13, -1.6, 1.6)
        thin = ridge(y, SLIT, 0.17) * smoothstep(0.46, 0.30, self.ax)
        parted = 0.075 * below * ridge(y, SLIT, 0.25)
        parted -= 0.016 * self.parting * self.above * ridge(y, SLIT, 0.16)
        return {
            "15": self._move(
                dx=0.012 * self.sign * down,
                dy=0.105 * down + 0.02 * middle(1.2, 0.4, 0.12),
                dz=-0.01 * down,
            ),
            "16": self._move(dy=0.05 * below * ridge(y, SLIT, 0.2)),
            "17": self._move(
                dy=-0.060 * middle(1.48, 0.34, 0.26) - 0.035 * middle(1.1, 0.26, 0.14),
                dz=0.045 * middle(1.15, 0.26, 0.12) + 0.03 * middle(1.5, 0.25, 0.15),
            ),
            "20": self._move(dx=0.130 * self.sign * wide, dy=0.030 * wide, dz=-0.055 * wide),
            "23": self._move(
                dx=-0.035 * self.sign * pair(0.40, 1.07, 0.18, 0.15),
                dy=-0.052 * from_slit * thin,
                dz=-0.02 * thin,
            ),
            "24": self._move(dy=-0.045 * from_slit * thin, dz=-0.01 * thin),
            "25": self._move(dy=parted),
        }

    def _jaw(self, angle: float, narrowing: float) -> Array:
        """The jaw turned about its hinge by `angle` radians, chin and lower lip in full."""
        y = self.y
        rigid = smoothstep(0.55, 1.55, y) * smoothstep(1.6, 0.2, self.ax * 0.6 + 0.2)
        upper, lower = smoothstep(0.70, 1.9, y) * 0.12, smoothstep(0.2, 1.2, y)
        weight = rigid + (np.where(self.above > 0, upper, lower) - rigid) * self.parting
        weight = np.where(y > 1.35, np.maximum(weight, rigid), weight)
        arm = self.points - HINGE
        cosine, sine = math.cos(angle), math.sin(angle)
        turned_y = arm[:, 1] * cosine + arm[:, 2] * sine
        turned_z = arm[:, 2] * cosine - arm[:, 1] * sine
        turn = np.stack([0 * turned_y, turned_y - arm[:, 1], turned_z - arm[:, 2]], -1)
        field = turn * weight[:, None] + self._move(
            dx=narrowing * self.sign * self._pair(0.42, 1.08, 0.22, 0.3),
            dy=-0.012 * self.above * self.parting * ridge(y, SLIT, 0.2),
        )
        field[:, 0] -= (
            0.05 * (angle / 0.36) * self.sign * self._pair(0.8, 1.1, 0.3, 0.35)
        )  # flat cheeks
        return field
