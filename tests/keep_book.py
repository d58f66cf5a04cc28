"""Keep what a fresh run of the book shows: each chapter's picture, minutes and memory.

python tests/keep_book.py data/runs/smoke-synthetic     after `make reproduce PRESET=smoke`
python tests/keep_book.py data/runs/laptop-synthetic    after `make reproduce`

Minutes and memory go into the chapter's first cell and into README's table of the chapters. A run
of preset laptop gives the pictures too: a chapter's cell that draws its own has the tag `outcome`.
Only pictures of drawn people are kept.
"""

import base64
import io
import re
import sys
from pathlib import Path

import nbformat
import pandas as pd
from PIL import Image

from expr_lib.files import read_json, whole_file, write_text
from expr_lib.reproduce import COSTS

ROOT = Path(__file__).resolve().parents[1]
WIDEST = 1000  # pixels
COST = r"[\d.]+ min(?:, [\d.]+ GB)?"
COLUMNS = ("smoke", "laptop")
"""Presets with minutes, in the order of README's columns."""


def row_of(preset: str) -> re.Pattern[str]:
    """The row of a chapter's first cell that says what it takes in a preset."""
    return re.compile(rf"(?<=\| \*\*{preset}\*\* \| ){COST}")


def cells_of(chapter: str) -> re.Pattern[str]:
    """The last two cells of a chapter's row in README's table."""
    return re.compile(
        rf"(\| \[[^]]+\]\(notebooks/{chapter}\.ipynb\) \|.*)\| ({COST}) \| ({COST}) \|$", re.M
    )


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


def keep_cost(chapter: Path, preset: str, cost: str) -> None:
    """Write minutes and memory into the first cell and into README, nothing else changed."""
    text = chapter.read_text(encoding="utf-8")
    write_text(chapter, row_of(preset).sub(cost, text, count=1))
    readme = ROOT / "README.md"

    def replaced(row: re.Match[str]) -> str:
        costs = list(row.groups()[1:])
        costs[COLUMNS.index(preset)] = cost
        return f"{row[1]}| {' | '.join(costs)} |"

    write_text(readme, cells_of(chapter.stem).sub(replaced, readme.read_text(encoding="utf-8")))


def main(run: Path) -> None:
    """Change README, docs and the first cells of the chapters."""
    card = read_json(run / "run.json")
    assert card["source"] == "synthetic", "nobody's photo is published"
    costs = pd.read_csv(run / COSTS, index_col="chapter")
    for chapter in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        minutes, gigabytes = costs.loc[chapter.stem]
        keep_cost(chapter, card["settings"]["preset"], f"{minutes:.1f} min, {gigabytes:.1f} GB")
        if card["settings"]["preset"] == "laptop":
            picture = outcome(chapter, run / "notebooks" / chapter.name)
            with whole_file(ROOT / "docs" / f"outcome_{chapter.name[:2]}.jpg") as temporary:
                picture.save(temporary, quality=88, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
