"""The photo table, in which every data source ends, and reading one photo whatever its format."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFile, UnidentifiedImageError

from expr_lib.errors import UnreadablePhoto

MAX_PIXELS = 200_000_000
"""Largest photo that is read, in pixels; Pillow's own limit (89 million) is lifted to it."""
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")

EXPRESSIONS = (
    "neutral",
    "happy",
    "sad",
    "surprised",
    "angry",
    "fearful",
    "disgusted",
    "contemptuous",
)
"""RaFD's eight words (Langner et al. 2010), used for every source."""

COLUMNS = ("path", "person", "expression", "intensity", "gaze", "yaw", "frame")
_DEFAULTS = {"intensity": 1.0, "gaze": "frontal", "yaw": 0.0, "frame": 0}


def photo_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Make the photo table: a row a photo, sorted by person, expression, gaze, yaw, frame, path.

    rows     dicts with at least path, person and expression
    returns  columns path (str), person (str), expression (one of EXPRESSIONS or a free word),
             intensity (0..1), gaze (left, frontal, right), yaw (degrees, 0 is frontal),
             frame (0-based, for sequences)
    """
    table = pd.DataFrame([{**_DEFAULTS, **row} for row in rows], columns=list(COLUMNS))
    table = table.astype(
        {"path": str, "person": str, "expression": str, "intensity": float, "yaw": float}
    )
    order = ["person", "expression", "gaze", "yaw", "frame", "path"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def read_photo(path: str | Path, longest_side: int = 2048) -> np.ndarray:
    """Read one photo upright and in colour, whatever its format, antialiased when it is reduced.

    EXIF orientation is applied; grey, 16-bit, CMYK and palette photos become RGB; transparency is
    laid on white.

    longest_side  pixels; a larger photo is reduced to it, a smaller one stays as it is
    returns       (H, W, 3) uint8 RGB, C-contiguous
    raises        UnreadablePhoto when the file is missing, empty, truncated, no photo or larger
                  than MAX_PIXELS
    """
    if longest_side < 1:
        raise ValueError(f"longest_side must be at least 1 pixel, not {longest_side}")
    path = Path(path)
    _check_file(path)
    _allow_large_photos()
    try:
        with Image.open(path, formats=_known_formats()) as image:
            _check_size(path, image.size)
            upright = _upright_rgb(image, longest_side)
    except UnidentifiedImageError:
        raise UnreadablePhoto(
            f"{path} is no photo in a known format; save it as JPEG or PNG, or leave it out"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadablePhoto(_too_large(path)) from None
    except UnreadablePhoto:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UnreadablePhoto(
            f"{path} is damaged or incomplete ({reason}); "
            "copy it again from where it came, or leave it out"
        ) from error
    return np.array(upright, order="C")


def as_grey(photos: np.ndarray) -> np.ndarray:
    """Photos in their luma (ITU-R 601, rounded as Pillow does), the same in all three channels.

    photos   (..., H, W, 3) uint8 RGB
    returns  the same shape and type
    """
    red, green, blue = (photos[..., c].astype(np.uint32) for c in range(3))
    luma = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return np.repeat(luma.astype(np.uint8)[..., None], 3, axis=-1)


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise UnreadablePhoto(
                f"{path} is a folder and not a photo; name one of the files in it"
            )
        if not path.is_file():
            raise UnreadablePhoto(f"there is no photo {path}; check the spelling of the path")
        if path.stat().st_size == 0:
            raise UnreadablePhoto(
                f"{path} is empty (0 bytes); copy it again from where it came, or leave it out"
            )
    except (OSError, ValueError) as error:
        raise UnreadablePhoto(
            f"{str(path)!r} cannot be opened ({error}); name a file that you may read"
        ) from error


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height == 0:
        raise UnreadablePhoto(
            f"{path} is {width} x {height} pixels, so there is nothing to read; leave it out"
        )
    if width * height > MAX_PIXELS:
        raise UnreadablePhoto(_too_large(path, f" ({width} x {height})"))


def _too_large(path: Path, size: str = "") -> str:
    limit = MAX_PIXELS // 1_000_000
    return (
        f"{path} has more than {limit} million pixels{size}, the most that is read; reduce it first"
    )


def _allow_large_photos() -> None:
    """Set Pillow's two global switches: accept photos up to MAX_PIXELS, and never half a photo."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MAX_PIXELS)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have switched it on


def _known_formats() -> list[str]:
    """List the formats of cameras and the web that this Pillow has; not EPS, it runs a program."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what puts the photo upright."""


def _upright_rgb(image: Image.Image, longest_side: int) -> Image.Image:
    scale = longest_side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if scale < 1:
        # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which saves most of its memory and time.
        image.draft(None, (2 * size[0], 2 * size[1]))
    image.load()
    orientation = image.getexif().get(
        0x0112, 1
    )  # after load: Pillow turns TIFF itself, and then drops the tag
    photo = _smooth_mode(image)
    if scale < 1:
        gap = (
            None if photo.mode == "I;16" else 3.0
        )  # Pillow's quick first reduction knows no 16-bit grey
        photo = photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=gap)
    photo = _to_rgb(photo)
    return photo.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else photo


def _smooth_mode(image: Image.Image) -> Image.Image:
    """Convert modes whose pixels cannot be averaged; others are cheaper to convert when reduced."""
    if image.mode in ("P", "PA") or (
        image.mode in ("L", "RGB", "1") and "transparency" in image.info
    ):
        return image.convert("RGBA")
    if image.mode.startswith("I;16"):
        # the bytes of a pixel in this machine's order, whatever it is in the file
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    return image.convert("L") if image.mode == "1" else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "RGBa", "La"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale grey values of 16 or 32 bits, or floats (white is 1, 255 or 65535), to 8 bits."""
    wide = np.nan_to_num(values.astype(np.float64))
    highest = float(wide.max(initial=0))
    usual = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (65535.0,)
    white = next((level for level in usual if highest <= level), highest)
    return np.clip(np.rint(wide * (255 / white)), 0, 255).astype(np.uint8)
