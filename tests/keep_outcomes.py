"""Keep the picture that shows what each chapter comes to, for its first cell, from a finished run.

python tests/keep_outcomes.py data/runs/laptop-synthetic     after `make reproduce`

A chapter's cell that draws it has the tag `outcome`. Only pictures of drawn people are kept.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

from expr_lib.files import read_json, whole_file

ROOT = Path(__file__).resolve().parents[1]
WIDEST = 1000  # pixels


def outcome(chapter: Path, executed: Path) -> Image.Image:
    """The last picture of the chapter's cell with the tag, on white, not wider than `WIDEST`."""
    cells = nbformat.read(chapter, 4)["cells"]
    (tagged,) = [cell["id"] for cell in cells if "outcome" in cell["metadata"].get("tags", ())]
    (cell,) = [cell for cell in nbformat.read(executed, 4)["cells"] if cell["id"] == tagged]
    found = [o["data"]["image/png"] for o in cell["outputs"] if "image/png" in o.get("data", {})]
    picture = Image.open(io.BytesIO(base64.b64decode(found[-1]))).convert("RGBA")
    page = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    page.thumbnail((WIDEST, 10 * WIDEST), Image.Resampling.LANCZOS)
    return page


def main(run: Path) -> None:
    """Write docs/outcome_NN.jpg for each chapter."""
    assert read_json(run / "run.json")["source"] == "synthetic", "nobody's photo is published"
    for chapter in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        picture = outcome(chapter, run / "notebooks" / chapter.name)
        with whole_file(ROOT / "docs" / f"outcome_{chapter.name[:2]}.jpg") as temporary:
            picture.save(temporary, quality=88, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
