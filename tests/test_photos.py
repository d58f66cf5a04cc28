import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFile

from expr_lib import photos
from expr_lib.errors import UnreadablePhoto
from expr_lib.photos import as_grey, photo_table, read_photo

TRANSPOSE_AGAIN = {  # how a camera that was turned stores what EXIF orientation 2..8 turns back
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture(width: int = 60, height: int = 40) -> Image.Image:
    """Red grows to the right, green downwards, and the top left corner is blue."""
    y, x = np.mgrid[:height, :width]
    blue = ((x < width // 4) & (y < height // 4)) * 255
    values = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), blue], axis=-1)
    return Image.fromarray(values.astype(np.uint8))


def grey_ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 255, 60).round().astype(np.uint8), (40, 1))


def assert_photo(array: np.ndarray, like: np.ndarray, tolerance: float = 2) -> None:
    assert array.dtype == np.uint8
    assert array.flags["C_CONTIGUOUS"]
    if like.ndim == 2:
        like = np.repeat(like[..., None], 3, axis=2)
    assert array.shape == like.shape
    assert np.abs(array.astype(int) - like.astype(int)).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "photo.webp"])
def test_exif_orientation_is_applied(tmp_path, name, orientation):
    upright = picture()
    turn = TRANSPOSE_AGAIN[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(turn) if turn is not None else upright
    stored.save(tmp_path / name, exif=exif, quality=98)
    array = read_photo(tmp_path / name)
    assert array.shape == (40, 60, 3)
    assert (
        np.abs(array.astype(int) - np.asarray(upright)).mean() < 6
    )  # JPEG and WebP blur the corner
    assert read_photo(tmp_path / name, longest_side=30).shape == (20, 30, 3)


def test_grey_photos(tmp_path):
    grey = grey_ramp()
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert_photo(read_photo(tmp_path / "grey.png"), grey, 0)
    Image.fromarray(grey).save(tmp_path / "grey.jpg", quality=98)
    assert_photo(read_photo(tmp_path / "grey.jpg"), grey)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    image = Image.fromarray(grey_ramp()).convert(mode)
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:20] = 255
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "photo.png")
    expected = grey_ramp()
    expected[20:] = 255
    assert_photo(read_photo(tmp_path / "photo.png"), expected, 0)


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "photo.png")
    assert_photo(read_photo(tmp_path / "photo.png"), np.full((8, 8), 127), 1)


def test_palette_photos_with_and_without_transparency(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (4, 0, 8, 8))
    expected = np.full((8, 8, 3), (10, 20, 30))
    expected[:, 4:] = (200, 100, 50)
    image.save(tmp_path / "plain.png")
    assert_photo(read_photo(tmp_path / "plain.png"), expected, 0)
    expected[:, 4:] = 255
    for name in ("see_through.png", "see_through.gif"):
        image.save(tmp_path / name, transparency=1)
        assert_photo(read_photo(tmp_path / name), expected, 0)


def test_a_transparent_colour_of_an_rgb_photo_is_white(tmp_path):
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    image.paste((1, 2, 3), (4, 0, 8, 8))
    image.save(tmp_path / "photo.png", transparency=(1, 2, 3))
    expected = np.full((8, 8, 3), (10, 20, 30))
    expected[:, 4:] = 255
    assert_photo(read_photo(tmp_path / "photo.png"), expected, 0)


@pytest.mark.parametrize("name", ["photo.png", "photo.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    grey = grey_ramp()
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
    assert_photo(read_photo(tmp_path / name), grey, 0)
    reduced = read_photo(tmp_path / name, longest_side=30)
    assert_photo(reduced, grey.reshape(20, 2, 30, 2).mean(axis=(1, 3)), 3)


def test_sixteen_bits_with_the_high_byte_first(tmp_path):
    grey = grey_ramp()
    high_first = Image.frombytes("I;16B", (60, 40), (grey.astype(">u2") * 257).tobytes())
    high_first.save(tmp_path / "photo.tif")
    assert_photo(read_photo(tmp_path / "photo.tif"), grey, 0)


@pytest.mark.parametrize("highest", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_by_their_white(tmp_path, highest):
    grey = grey_ramp()
    Image.fromarray((grey / 255 * highest).astype(np.float32)).save(tmp_path / "photo.tif")
    assert_photo(read_photo(tmp_path / "photo.tif"), grey, 0)


def test_one_bit_photos(tmp_path):
    black_and_white = Image.fromarray(grey_ramp() > 127)
    assert black_and_white.mode == "1"
    black_and_white.save(tmp_path / "photo.png")
    assert_photo(read_photo(tmp_path / "photo.png"), (grey_ramp() > 127) * 255, 0)
    assert len(np.unique(read_photo(tmp_path / "photo.png", longest_side=25))) > 2  # antialiased


@pytest.mark.parametrize("name", ["photo.jpg", "photo.tif"])
def test_cmyk_photos_keep_their_colours(tmp_path, name):
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    image.convert("CMYK").save(tmp_path / name, quality=98)
    assert_photo(read_photo(tmp_path / name), np.asarray(image), 4)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_large_photos_are_reduced_with_antialiasing_and_small_ones_kept(tmp_path, name):
    checks = (np.indices((300, 500)).sum(0) % 2 * 255).astype(np.uint8)  # aliases to black or white
    Image.fromarray(checks).save(tmp_path / name, quality=98)
    assert read_photo(tmp_path / name).shape == (300, 500, 3)
    reduced = read_photo(tmp_path / name, longest_side=100)
    assert reduced.shape == (60, 100, 3)
    assert np.abs(reduced[2:-2, 2:-2].astype(int) - 127).max() < 12


def test_a_very_narrow_photo_keeps_a_pixel(tmp_path):
    Image.new("RGB", (3000, 1)).save(tmp_path / "photo.png")
    assert read_photo(tmp_path / "photo.png", longest_side=100).shape == (1, 100, 3)


def save_bytes(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("photo.jpg", {"format": "JPEG"}),
        ("photo.jpg", {"format": "JPEG", "progressive": True}),
        ("photo.png", {"format": "PNG"}),
        ("photo.tif", {"format": "TIFF"}),
        ("photo.webp", {"format": "WEBP"}),
        ("photo.bmp", {"format": "BMP"}),
    ],
)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_photo_is_refused_even_where_pillow_was_told_to_accept_it(
    tmp_path, monkeypatch, name, options, kept
):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    content = save_bytes(Image.fromarray(noise), **options)
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for longest_side in (2048, 50):
        with pytest.raises(UnreadablePhoto, match=name):
            read_photo(tmp_path / name, longest_side)


def test_what_is_no_photo_is_refused_with_its_reason(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("This is a text and not a photo.\n" * 100)
    (tmp_path / "drawing.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    for name, words in {
        "missing.jpg": "no photo",
        "empty.jpg": "0 bytes",
        "text.jpg": "known format",
        "drawing.jpg": "known format",
        ".": "folder",
        "a\0b.jpg": "photo|opened",
    }.items():
        with pytest.raises(UnreadablePhoto, match=words) as raised:
            read_photo(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_a_photo_of_no_pixels_is_refused(tmp_path):
    (tmp_path / "photo.gif").write_bytes(
        b"GIF89a" + bytes(7) + b"\x2c" + bytes(9) + b"\x02\x00\x3b"
    )
    with pytest.raises(UnreadablePhoto, match=r"photo\.gif"):
        read_photo(tmp_path / "photo.gif")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_001, 10_000), (60_000, 60_000)])
def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, size):
    header = b"P6 %d %d 255\n" % size
    (tmp_path / "photo.ppm").write_bytes(header + bytes(100))
    with pytest.raises(UnreadablePhoto, match="200 million pixels"):
        read_photo(tmp_path / "photo.ppm")


def test_a_photo_below_the_limit_raises_no_warning_of_pillow(tmp_path, recwarn):
    Image.new("1", (12_000, 9_000), 1).save(tmp_path / "photo.png")  # Pillow alone warns here
    assert read_photo(tmp_path / "photo.png", longest_side=64).shape == (48, 64, 3)
    assert not recwarn.list
    assert photos.MAX_PIXELS == 200_000_000


PEAK_MIB = r"""
import pathlib, re, resource, sys
from expr_lib.photos import read_photo
array = read_photo(sys.argv[1])
assert array.shape == (1536, 2048, 3), array.shape
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak //= 2**20 if sys.platform == "darwin" else 2**10
status = pathlib.Path("/proc/self/status")
if status.exists():  # under Linux, getrusage counts the process that started this one too
    peak = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) // 2**10
print(peak)
"""


@pytest.mark.parametrize(("name", "limit_mib"), [("photo.jpg", 400), ("photo.png", 900)])
def test_a_photo_of_108_million_pixels_needs_well_under_two_gib(tmp_path, name, limit_mib):
    image = Image.linear_gradient("L").convert("RGB").resize((12_000, 9_000), Image.Resampling.BOX)
    image.save(tmp_path / name, quality=80, compress_level=1)
    command = [sys.executable, "-c", PEAK_MIB, str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < limit_mib


def test_longest_side_must_be_a_size(tmp_path):
    picture().save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="longest_side"):
        read_photo(tmp_path / "photo.png", longest_side=0)


def test_the_photo_table_is_complete_and_sorted():
    table = photo_table(
        [
            {"path": "b.jpg", "person": "2", "expression": "happy"},
            {"path": "a.jpg", "person": "1", "expression": "sad", "gaze": "left", "frame": 7},
        ]
    )
    assert tuple(table.columns) == photos.COLUMNS
    assert list(table.path) == ["a.jpg", "b.jpg"]
    assert (table.gaze[0], table.frame[0], table.gaze[1], table.intensity[1]) == (
        "left",
        7,
        "frontal",
        1.0,
    )


def test_grey_is_pillows_luma_in_three_channels() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    grey = as_grey(photos)
    for photo, made in zip(photos, grey, strict=True):
        luma = np.asarray(Image.fromarray(photo).convert("L"))
        assert (made == luma[..., None]).all()
    np.testing.assert_array_equal(as_grey(grey), grey)
