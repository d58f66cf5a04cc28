"""One drawn photo: person, expression, view and light become a picture with true landmarks."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expr_lib.errors import BadSetting
from expr_lib.sources.synthetic import shading
from expr_lib.sources.synthetic.camera import Camera
from expr_lib.sources.synthetic.canonical import Array
from expr_lib.sources.synthetic.facehair import FaceHairs
from expr_lib.sources.synthetic.head import Head, head
from expr_lib.sources.synthetic.person import Light, Person
from expr_lib.sources.synthetic.raster import (
    draw_strands,
    frame_towards,
    interpolate,
    vertex_normals,
    visible_triangles,
)
from expr_lib.sources.synthetic.strands import SKULL_CENTRE, Strands
from expr_lib.sources.synthetic.surface import OPEN, Surface, masks_of, paint_surface
from expr_lib.sources.synthetic.units import GAZE_UNITS, UNIT_ACTIONS
from expr_lib.sources.synthetic.wrinkles import fold_depth

SMALLEST = 64
"""Smallest picture, pixels."""
_GAZE_DEGREES = 22
"""How far units 61 to 64 turn the eyes at weight 1."""
_MOST_GAZE = 35
"""An eye turns no further."""
_MOST_WEIGHT = 2
_GRAIN = 0.006


@dataclass(frozen=True)
class Rendered:
    """A drawn photo.

    image      (size, size, 3) uint8 RGB, C-contiguous
    landmarks  (68, 2) float32 pixels, iBUG order, true by construction
    mask       (size, size) float32 in 0..1, 1 where the person is
    face       (size, size) float32 in 0..1, 1 where the face is, eyes, brows and lips included: no
               ears, neck or hair of the head
    """

    image: Array
    landmarks: Array
    mask: Array
    face: Array


def render(
    person: Person,
    units: Mapping[str, float],
    *,
    size: int = 256,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    gaze: float = 0.0,
    light: Light | None = None,
    supersampling: int = 2,
) -> Rendered:
    """Draw one photo; the same arguments give the same bytes on one machine.

    units             FACS action unit -> weight, 0..1 by the manual; any mix works
    size              side of the picture, pixels, even and at least 64
    yaw, pitch, roll  the head's, degrees; positive yaw turns the nose to the image's right; yaw
                      from -90 to 90, pitch from -45 to 45
    gaze              the eyes', degrees in the head, -35 to 35, positive to the image's right;
                      units 61 to 64 add to it, within these
    light             None is the person's own
    supersampling     pixels drawn for each one of the picture, along a side: 1 (jagged), 2 or 4
    raises            BadSetting when a unit is unknown or a number is out of range; weights may go
                      from -2 to 2, though faces cannot
    """
    _check(units, size, supersampling)
    for what, angle, most in (("yaw", yaw, 90), ("pitch", pitch, 45), ("gaze", gaze, _MOST_GAZE)):
        if not abs(angle) <= most:
            raise BadSetting(f"{what} is {angle}; give degrees from -{most} to {most}")
    if not math.isfinite(roll):
        raise BadSetting(f"roll is {roll}; give degrees")
    light = light or person.light
    base = head()
    camera = Camera(size * supersampling, yaw, pitch, roll)
    activity = {unit: weight * person.style.get(unit, 1.0) for unit, weight in units.items()}
    seen = camera.view(_move(base, person, activity))
    places = camera.project(seen)
    picture = _Picture(base, person, camera, light, seen, places)
    folds = fold_depth(person.folds_at_rest, person.fold_gain, activity)
    image, masks = picture.draw(folds, _gaze_angles(gaze, units))
    settings = repr((person.seed, sorted(units.items()), size, yaw, pitch, roll))
    masks = _reduce(masks, size)
    developed = _develop(_reduce(image, size), light, zlib.crc32(settings.encode()))
    marks = camera.landmarks(base.landmarks @ places)
    return Rendered(
        image=developed,
        landmarks=((marks + 0.5) / supersampling - 0.5).astype(np.float32),
        mask=np.ascontiguousarray(masks[:, :, 0]),
        face=np.ascontiguousarray(masks[:, :, 1]),
    )


def check_size(size: int) -> None:
    """Refuse a side of a picture, pixels, that is odd or too small, with BadSetting."""
    if not isinstance(size, (int, np.integer)) or size < SMALLEST or size % 2:
        raise BadSetting(f"size {size} does not do; ask for an even number from {SMALLEST} up")


def _check(units: Mapping[str, float], size: int, supersampling: int) -> None:
    known = {*UNIT_ACTIONS, *GAZE_UNITS}
    unknown = [unit for unit in units if unit not in known]
    if unknown:
        names = ", ".join(sorted(known, key=lambda unit: (int(unit.rstrip("LR")), unit)))
        raise BadSetting(
            f"unknown action unit {unknown[0]!r}; units are texts: choose among {names}"
        )
    for unit, weight in units.items():
        if not isinstance(weight, (int, float, np.number)) or not abs(weight) <= _MOST_WEIGHT:
            raise BadSetting(
                f"the weight of action unit {unit} is {weight!r}; give a number, 0 to 1 is usual"
            )
    check_size(size)
    if supersampling not in (1, 2, 4):
        raise BadSetting(f"supersampling {supersampling} is out of range; choose 1, 2 or 4")


def _move(base: Head, person: Person, activity: Mapping[str, float]) -> Array:
    """The head's vertices (V, 3) float32 with each unit's field added at its weight."""
    chosen = [k for k, unit in enumerate(base.unit_names) if activity.get(unit)]
    vertices = person.vertices.copy()
    for k in chosen:
        vertices += np.float32(activity[base.unit_names[k]]) * base.units[k]
    return vertices


def _gaze_angles(gaze: float, units: Mapping[str, float]) -> tuple[float, float]:
    turn = _GAZE_DEGREES * (units.get("61", 0.0) - units.get("62", 0.0))
    down = _GAZE_DEGREES * (units.get("64", 0.0) - units.get("63", 0.0))
    return float(np.clip(gaze + turn, -_MOST_GAZE, _MOST_GAZE)), down


class _Picture:
    """The parts of one picture on their way to pixels."""

    def __init__(
        self,
        base: Head,
        person: Person,
        camera: Camera,
        light: Light,
        seen: Array,
        places: Array,
    ) -> None:
        self.base, self.person, self.camera, self.light = base, person, camera, light
        self.seen, self.places = seen, places
        self.normals = vertex_normals(seen, base.faces)
        towards = np.array(light.direction, np.float64)
        self.frame = frame_towards(towards / np.linalg.norm(towards)).astype(np.float32)

    def draw(self, folds: Array, gaze: tuple[float, float]) -> tuple[Array, Array]:
        """Linear picture (size, size, 3), and the masks of person and face (size, size, 2)."""
        base, person, camera = self.base, self.person, self.camera
        one_sided = np.zeros(len(base.faces), np.bool_)
        triangle, weights, depth = visible_triangles(
            self.places, base.faces, one_sided, camera.size
        )
        carried = np.concatenate([self.normals, base.carried, self.seen, self._eyeballs()], axis=1)
        carried = interpolate(triangle, weights, base.faces, carried)
        surface = Surface(
            *paint_surface(
                triangle,
                base.materials,
                carried,
                carried[:, :, 13:16],
                person.texture,
                folds,
                camera.turn,
                person.skin_colour.astype(np.float32),
                self._clothes(),
                self._gaze(gaze),
                person.iris,
                person.iris_pattern,
                person.teeth,
                1.0 / camera.unit,
            )
        )
        image = self._light(triangle, depth, carried, surface)
        masks = masks_of(triangle, base.materials, carried, surface.flesh)
        self._draw_hair(image, masks, depth)
        return image, masks

    def _eyeballs(self) -> Array:
        """Place (V, 3) on the ball of each eye's vertices, in radii from its centre."""
        out = np.zeros((len(self.seen), 3), np.float32)
        for part in self.base.eyes:
            ball = self.seen[part]
            centre = (ball.min(0) + ball.max(0)) / 2
            out[part] = (ball - centre) / (np.ptp(ball, axis=0)[:2].mean() / 2)
        return out

    def _gaze(self, angles: tuple[float, float]) -> Array:
        yaw, pitch = (math.radians(angle) for angle in angles)
        ahead = [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
        return (self.camera.turn @ np.array(ahead, np.float32)).astype(np.float32)

    def _clothes(self) -> Array:
        clothes = self.person.clothes
        rest = [clothes.neckline, clothes.v_neck, self.person.oil]
        return np.array([*clothes.shirt, *rest], np.float32)

    def _lights(self) -> Array:
        light = self.light
        colour = np.array(light.colour)
        key, fill = light.key * colour, np.full(3, light.fill)
        ambient = light.ambient * np.array([1.0, 1.0, 1.02])
        spread = light.softness * 1.3
        return np.array([*key, *fill, *ambient, spread], np.float32)

    def _light(self, triangle: Array, depth: Array, carried: Array, surface: Surface) -> Array:
        camera = self.camera
        shadows, low, unit = shading.shadow_map(self.seen, self.base.faces, self.frame)
        if self.person.scalp is not None:
            self.scalp_seen = camera.view(self.person.scalp.points)
            shading.splat_strands(shadows, low, unit, self.frame, self.scalp_seen)
        occlusion = shading.occlusion_of(shading.background_depth(depth), camera.unit)
        received, mirrored = shading.shine(
            triangle,
            self.base.materials,
            carried[:, :, 10:13],
            surface.normal,
            surface.gloss,
            surface.sharpness,
            surface.flesh,
            carried[:, :, OPEN],
            occlusion.astype(np.float32),
            shadows,
            low,
            unit,
            self.frame,
            self._lights(),
        )
        return shading.compose(
            triangle,
            surface.albedo,
            received,
            shading.spread_under_skin(received, surface.flesh, camera.unit),
            surface.flesh,
            mirrored,
            np.array(self.person.background, np.float32),
            float(self.frame[2, 0]),
        )

    def _draw_hair(self, image: Array, masks: Array, depth: Array) -> None:
        camera, person = self.camera, self.person
        for hairs in person.face_hairs:
            points = hairs.anchors @ self.seen
            if hairs.lift.ndim == 1:
                points = points + hairs.lift[:, None] * (hairs.anchors @ self.normals)
            else:
                points = points + hairs.lift @ camera.turn.T
            points = points.reshape(-1, hairs.steps, 3).astype(np.float32)
            self._draw_strands(image, masks, depth, hairs, points, 0.3)
        if person.scalp is not None:
            self._draw_strands(image, masks, depth, person.scalp, self.scalp_seen, 1.0)

    def _draw_strands(
        self,
        image: Array,
        masks: Array,
        depth: Array,
        hairs: Strands | FaceHairs,
        seen: Array,
        gleam: float,
    ) -> None:
        places = self.camera.project(seen)
        order = np.argsort(places[:, :, 2].mean(1))
        middle = self.camera.view(SKULL_CENTRE.astype(np.float32))
        colours = shading.light_strands(
            seen, hairs.colours, middle, self.frame, self._lights(), gleam
        )
        widths = (hairs.width * self.camera.unit).astype(np.float32)
        draw_strands(
            image,
            masks,
            depth,
            order,
            places,
            colours,
            widths,
            hairs.opacity,
            isinstance(hairs, Strands),
        )


def _reduce(picture: Array, size: int) -> Array:
    """Reduce (side, side, ...) to (size, size, ...) by the mean of blocks."""
    while len(picture) > size:
        picture = shading.halved(picture)
    return picture


def _develop(image: Array, light: Light, grain_seed: int) -> Array:
    """Linear (H, W, 3) to uint8: exposure, a soft shoulder, sRGB, a little grain."""
    image = np.clip(image * np.float32(light.exposure), 0, 5)
    image = image / (1 + np.float32(0.18) * image) * np.float32(1.10)
    steps = np.sqrt(image) * (len(_SRGB) - 1) / _SRGB_TOP  # finer steps in the dark
    levels = _SRGB[np.minimum(steps.astype(np.int32), len(_SRGB) - 1)]
    rng = np.random.default_rng(grain_seed)
    levels += 255 * _GRAIN * rng.standard_normal(image.shape, dtype=np.float32)
    return np.ascontiguousarray((np.clip(levels, 0, 255) + np.float32(0.5)).astype(np.uint8))


def _srgb_table() -> Array:
    linear = (np.linspace(0, _SRGB_TOP, 8192) ** 2).clip(0, 1)
    curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * curve).astype(np.float32)


_SRGB_TOP = 1.1
_SRGB = _srgb_table()
"""sRGB levels of linear light, by its square root."""
