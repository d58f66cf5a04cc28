"""The average head: a smooth mesh with eyes, teeth and tongue, its landmarks and its units."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy.sparse import block_diag, csr_array, diags_array, vstack

from expr_lib.sources.synthetic import meshfiles
from expr_lib.sources.synthetic.canonical import (
    AXIS_Z,
    Array,
    angle_around,
    closing_of_lips,
    corrected_heights,
    landmark_places,
    smoothstep,
)
from expr_lib.sources.synthetic.raster import frame_towards, vertex_normals, visible_triangles
from expr_lib.sources.synthetic.subdivision import subdivide
from expr_lib.sources.synthetic.units import UNIT_ACTIONS

SKIN, EYE, TEETH, TONGUE = 0, 1, 2, 3
"""Materials of the head."""
_PARTS = (
    ("body", SKIN),
    ("helper-l-eye", EYE),
    ("helper-r-eye", EYE),
    ("helper-upper-teeth", TEETH),
    ("helper-lower-teeth", TEETH),
    ("helper-tongue", TONGUE),
)
RACES, SEXES = ("caucasian", "african", "asian"), ("female", "male")
AVERAGE = {f"macrodetails/{race}-{sex}-young": 1 / 6 for race in RACES for sex in SEXES} | {
    f"macrodetails/universal-{sex}-young-averagemuscle-averageweight": 1 / 2 for sex in SEXES
}
"""Shapes, and their weights, that make the average head of the mesh."""
JAW_CANDIDATES = 24
"""Points tried at the height of each jaw landmark when the head is turned."""
_LOWEST, _WIDEST = 4.7, 2.4
"""The part of the body that is kept, decimetres."""
_TEETH_DOWN = 0.05
"""How far the upper teeth are lowered, eye distances, so that a smile shows them."""


def _average_body() -> Array:
    points = meshfiles.read_mesh().points.copy()
    for name, weight in AVERAGE.items():
        index, shift = meshfiles.shape_target(name)
        points[index] += weight * shift
    return points


def eye_centres(body: Array, groups: dict[str, Array]) -> Array:
    """Centres (2, 3) of the eyeballs, image left first."""
    balls = [body[groups[f"helper-{side}-eye"]] for side in "rl"]
    return np.array([(ball.min(0) + ball.max(0)) / 2 for ball in balls])


class SkinMap:
    """Finds the skin that projects to a place.

    projected  (V, 2) the vertices of a head in some projection
    near       (V,) where several layers of skin meet, the largest wins
    """

    SIZE = 1536

    def __init__(self, base: "Head", projected: Array, near: Array) -> None:
        self.projected, self.count = projected, len(projected)
        self.faces = base.skin_faces[np.ptp(projected[base.skin_faces, 0], axis=1) < 2]
        self.low = projected[base.skin_faces].min((0, 1))
        self.unit = (self.SIZE - 1) / float(
            (projected[base.skin_faces].max((0, 1)) - self.low).max()
        )
        places = np.concatenate([(projected - self.low) * self.unit, near[:, None]], 1)
        both = np.ones(len(self.faces), bool)
        self.triangle, _, _ = visible_triangles(
            places.astype(np.float32), self.faces, both, self.SIZE
        )

    def corners(self, first: Array, second: Array) -> tuple[Array, Array]:
        """Vertices (N, 3) and their weights (N, 3) at places; rows of -1 where there is no skin."""
        place = np.stack([first, second], -1)
        column, row = np.rint((place - self.low) * self.unit).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < self.SIZE) & (row < self.SIZE)
        found = np.where(inside, self.triangle[row * inside, column * inside], -1)
        corners = np.where(found[:, None] >= 0, self.faces[found], -1)
        a, b, c = (self.projected[corners[:, k]] for k in range(3))
        ab, ac, ap = b - a, c - a, place - a
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        area = np.where(np.abs(area) < 1e-12, 1e-12, area)
        w1 = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
        w2 = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
        return corners, np.stack([1 - w1 - w2, w1, w2], 1)

    def weights(self, first: Array, second: Array) -> csr_array:
        """The same as a sparse matrix (N, V); every place must have skin."""
        corners, weights = self.corners(first, second)
        assert (corners >= 0).all(), "no skin there"
        rows = np.repeat(np.arange(len(first)), 3)
        shape = (len(first), self.count)
        return csr_array((weights.ravel(), (rows, corners.ravel())), shape=shape)


class Head:
    """The average head, and what is needed to bend it.

    control    (C,)   vertices of the body's mesh that decide the head's
    matrix     (V, C) sparse, from control points to the smooth mesh's vertices
    points     (V, 3) canonical coordinates
    faces      (F, 3) int32; `materials` (F,) int32
    eyes       two slices of V, image left first
    angle      (V,)   around the head, radians
    lip, mouth, ear  (V,) 0..1: red of the lips, inside of the mouth, ears
    front, around    skin by canonical x and y; by angle and y
    openness   (V,)   how much of the surroundings each vertex sees, 0..1
    landmarks  (68 + 17 * JAW_CANDIDATES, V) sparse: the landmarks, then each jaw point's candidates
    units      (U, V, 3) float32 displacement of each unit at weight 1; `unit_names` (U,)
    """

    def __init__(self) -> None:
        mesh = meshfiles.read_mesh()
        body = _average_body()
        self.groups = {
            name: np.unique(mesh.quads[mesh.groups == name]) for name in set(mesh.groups)
        }
        centres = eye_centres(body, self.groups)
        self.scale = 1 / float(np.linalg.norm(centres[1] - centres[0]))
        self.origin = centres.mean(0)
        body = self.to_canonical(body)
        self.correction = np.zeros_like(body)
        self.correction[:, 1] = corrected_heights(body[:, 1]) - body[:, 1]
        moved = body + self.correction
        self.correction[:, 1] += closing_of_lips(moved[:, 0], moved[:, 1], moved[:, 2])
        self.correction[self.groups["helper-upper-teeth"], 1] += _TEETH_DOWN
        body = body + self.correction
        self._build(mesh, body)
        self.points = self.smooth(body)
        self.angle = angle_around(self.points)
        self.skin = self.materials == SKIN
        self.skin_faces = self.faces[self.skin]
        self.front = SkinMap(self, self.points[:, :2], self.points[:, 2])
        radius = np.hypot(self.points[:, 0], self.points[:, 2] - AXIS_Z)
        self.around = SkinMap(self, np.stack([self.angle, self.points[:, 1]], 1), radius)
        self.landmarks = self._place_landmarks()
        self._read_units(len(body))
        # what lies behind is seen from no direction tried there, and open nevertheless
        behind = smoothstep(2.2, 2.6, np.abs(self.angle))
        self.openness = np.maximum(_openness(self.points, self.faces), behind)
        columns = [self.angle, self.points[:, 1], self.lip, self.mouth, self.openness, self.ear]
        columns.append(self.points[:, 0])
        self.carried = np.stack(columns, 1).astype(np.float32)

    def to_canonical(self, body: Array) -> Array:
        """Decimetres of the mesh to eye distances, y down."""
        return (body - self.origin) * self.scale * np.array([1, -1, 1])

    def smooth(self, body: Array) -> Array:
        """Vertices (V, 3) of the head in a whole body's points."""
        return self.matrix @ body[self.control]

    def _build(self, mesh: meshfiles.Mesh, body: Array) -> None:
        control, matrices, faces, materials, eyes = [], [], [], [], {}
        masks = [_mask(name) for name in ("lips", "inside-mouth", "ears")]
        painted, start = [], 0
        for name, material in _PARTS:
            chosen = mesh.groups == name
            if name == "body":
                corners = mesh.points[mesh.quads]
                chosen &= corners[:, :, 1].min(1) > _LOWEST
                chosen &= np.abs(corners[:, :, 0]).max(1) < _WIDEST
            quads = mesh.quads[chosen]
            used, local = np.unique(quads, return_inverse=True)
            matrix, fine = subdivide(local.reshape(quads.shape), len(used))
            place = np.zeros((len(used), 2))
            place[local.ravel()] = mesh.uv[mesh.corners[chosen].ravel()]
            painted.append(matrix @ np.stack([_sample(mask, place) for mask in masks], 1))
            fine = fine[:, ::-1] + start  # y points down here, which turns each face round
            faces += [fine[:, [0, 1, 2]], fine[:, [0, 2, 3]]]
            materials += [np.full(2 * len(fine), material)]
            if material == EYE:
                eyes[name] = slice(start, start + matrix.shape[0])
            control.append(used)
            matrices.append(matrix)
            start += matrix.shape[0]
        self.control = np.concatenate(control)
        self.matrix = csr_array(block_diag(matrices, format="csr"))
        self.faces = np.concatenate(faces).astype(np.int32)
        self.materials = np.concatenate(materials).astype(np.int32)
        self.eyes = (eyes["helper-r-eye"], eyes["helper-l-eye"])
        self.lip, self.mouth, self.ear = np.concatenate(painted).T

    def _place_landmarks(self) -> csr_array:
        first, second, share = landmark_places()
        marks = diags_array(1 - share) @ self.front.weights(first[:, 0], first[:, 1])
        marks = marks + diags_array(share) @ self.front.weights(second[:, 0], second[:, 1])
        jaw = marks[:17] @ self.points
        sides = np.sign(jaw[:, 0] + (np.arange(17) > 8) * 1e-9)
        start = np.abs(angle_around(jaw))
        sweep = np.linspace(0, 1, JAW_CANDIDATES)
        far, close = np.minimum(start + 0.55, 1.75), start * 0.15
        angles = (far[:, None] + (close - far)[:, None] * sweep) * sides[:, None]
        heights = np.repeat(jaw[:, 1], JAW_CANDIDATES)
        return csr_array(vstack([marks, self.around.weights(angles.ravel(), heights)]))

    def _read_units(self, count: int) -> None:
        self.unit_names = tuple(UNIT_ACTIONS)
        self.units = np.zeros((len(UNIT_ACTIONS), len(self.points), 3), np.float32)
        ball = np.concatenate([self.groups["helper-l-eye"], self.groups["helper-r-eye"]])
        for k, actions in enumerate(UNIT_ACTIONS.values()):
            field = np.zeros((count, 3))
            for name, weight in actions.items():
                index, shift = meshfiles.action_target(name)
                field[index] += weight * shift * self.scale * np.array([1, -1, 1])
            field[ball] = 0  # eyeballs turn, they do not slide
            self.units[k] = self.smooth(field)


def _mask(name: str) -> Array:
    stored = meshfiles.read_file(f"data/mpfb2/textures/mpfb_{name}.jpg")
    return np.asarray(Image.open(io.BytesIO(stored)).convert("L"), np.float64) / 255


def _sample(image: Array, uv: Array) -> Array:
    rows = np.clip(((1 - uv[:, 1]) * image.shape[0]).astype(int), 0, image.shape[0] - 1)
    columns = np.clip((uv[:, 0] * image.shape[1]).astype(int), 0, image.shape[1] - 1)
    return image[rows, columns]


def _openness(points: Array, faces: Array, size: int = 320) -> Array:
    """Share of directions from which each vertex is seen (nostrils and ears are dark)."""
    rng = np.random.default_rng(0)
    seen, total = np.zeros(len(points)), np.zeros(len(points))
    normals = vertex_normals(points.astype(np.float32), faces)
    for _ in range(40):
        towards = rng.standard_normal(3)
        towards[2] = abs(towards[2]) + 0.1
        towards /= np.linalg.norm(towards)
        turned = points @ frame_towards(towards).T
        low, high = turned[:, :2].min(0), turned[:, :2].max(0)
        unit = (size - 1) / (high - low).max()
        places = np.concatenate([(turned[:, :2] - low) * unit, turned[:, 2:]], 1).astype(np.float32)
        _, _, depth = visible_triangles(places, faces, np.ones(len(faces), bool), size)
        column, row = np.round(places[:, :2]).astype(int).T
        visible = places[:, 2] > depth[row, column] - 0.035
        facing = np.clip(normals @ towards, 0, None)
        seen += facing * visible
        total += facing
    return seen / np.maximum(total, 0.5)


@lru_cache(maxsize=1)
def head() -> Head:
    """The one average head, made on first use."""
    return Head()
