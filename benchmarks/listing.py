"""How long the photos of the whole RaFD and the whole CK+ take to be listed.

    python benchmarks/listing.py

The files have the published names and numbers, and a tiny picture in them; the ratio is to reading
every file once.
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from expr_lib.config import CAMERAS, GAZES
from expr_lib.photos import EXPRESSIONS
from expr_lib.sources import PhotoSource, walk
from expr_lib.sources.ckplus import LABELS, PEOPLE, SEQUENCES, load_ckplus
from expr_lib.sources.rafd import PEOPLE as RAFD_PEOPLE
from expr_lib.sources.rafd import RafdName, load_rafd

FRAMES = 18
"""Frames of a sequence: 593 x 18 are 10,674; the published set has some 10,700."""


def picture(kind: str) -> bytes:
    """A tiny picture's bytes."""
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, format=kind)
    return stream.getvalue()


def fill_rafd(root: Path) -> None:
    """Write 8040 photos, flat."""
    content = picture("JPEG")
    for camera, n, word, gaze in product(CAMERAS, range(RAFD_PEOPLE), EXPRESSIONS, GAZES):
        name = RafdName(camera, f"{n + 1:02d}", "Caucasian", "male", word, gaze)
        (root / str(name)).write_bytes(content)


def fill_ckplus(root: Path) -> None:
    """Write 593 sequences of 123 people, their landmarks, and labels for 327."""
    content, points = picture("PNG"), "   1.0000000e+00   2.0000000e+00\n" * 68
    for k in range(SEQUENCES):
        person, number = f"S{k % PEOPLE + 5:03d}", f"{k // PEOPLE + 1:03d}"
        for part in ("cohn-kanade-images", "Landmarks", "FACS", "Emotion"):
            (root / part / person / number).mkdir(parents=True)
        for frame in range(1, FRAMES + 1):
            name = f"{person}_{number}_{frame:08d}"
            (root / "cohn-kanade-images" / person / number / f"{name}.png").write_bytes(content)
            file = root / "Landmarks" / person / number / f"{name}_landmarks.txt"
            file.write_text(points, encoding="ascii")
        (root / "FACS" / person / number / f"{name}_facs.txt").write_text("   1.0e+00   0.0e+00\n")
        if k < LABELS:
            (root / "Emotion" / person / number / f"{name}_emotion.txt").write_text("   5.0e+00\n")


def read_all(root: Path) -> int:
    """Read every file, and count them."""
    return sum(1 for folder, name in walk(root) if (Path(folder) / name).read_bytes())


def loads() -> Iterator[tuple[str, Callable[[Path], None], Callable[[Path], PhotoSource]]]:
    """Each set: its name, what writes it, what lists it."""
    yield "RaFD, all cameras", fill_rafd, lambda root: load_rafd(root, CAMERAS)
    yield "CK+, peak frames", fill_ckplus, load_ckplus
    yield "CK+, all frames", fill_ckplus, lambda root: load_ckplus(root, "all")


def main() -> None:
    """Print one line a set."""
    for title, fill, load in loads():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            fill(root)
            start = time.perf_counter()
            files = read_all(root)
            read = time.perf_counter()
            photos = load(root)
            listed = time.perf_counter()
        print(
            f"{title}: {files} files, {len(photos.table)} photos listed in {listed - read:.2f} s, "
            f"{(listed - read) / (read - start):.1f} times reading every file; "
            f"{len(photos.warnings)} warnings"
        )


if __name__ == "__main__":
    main()
