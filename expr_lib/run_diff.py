"""In what two runs differ: settings, versions, and what was measured."""

from pathlib import Path
from typing import Any

import pandas as pd

from expr_lib.errors import BrokenCheckpoint
from expr_lib.files import read_json
from expr_lib.measures import MEASURES
from expr_lib.stages import flat
from expr_lib.tables import as_markdown


def compare_runs(first: Path, second: Path) -> str:
    """Say in which settings, versions and measures two run folders differ.

    returns  Markdown: a table of settings, source, device, threads, versions, code and faces; and
             one of the measures that differ, means over people with 95 % intervals. `apart` marks
             intervals that do not overlap; that they overlap does not make two runs equal
    raises   BrokenCheckpoint when a folder is no run
    """
    cards = [_card(folder) for folder in (first, second)]
    lines = [f"- first: {first}", f"- second: {second}", ""]
    names = sorted(cards[0].keys() | cards[1].keys())
    told = [(name, *(card.get(name, "-") for card in cards)) for name in names]
    lines += _table(("", "first", "second"), [row for row in told if row[1] != row[2]])
    tables = [_measured(folder) for folder in (first, second)]
    for table, which in zip(tables, ("first", "second"), strict=True):
        if table is None:
            return "\n".join([*lines, f"The {which} run has not been evaluated.", ""])
    one, two = (table for table in tables if table is not None)
    rows = []
    for key in sorted(one.index.union(two.index)):
        here, there = (t.loc[key] if key in t.index else None for t in (one, two))
        cells = [_interval(row, str(key[1])) for row in (here, there)]
        if here is None or there is None:
            rows.append((*key, *cells, ""))
        elif tuple(here[["mean", "low", "high"]]) != tuple(there[["mean", "low", "high"]]):
            apart = here["low"] > there["high"] or there["low"] > here["high"]
            rows.append((*key, *cells, "apart" if apart else ""))
    lines += _table(("method", "measure", "first", "second", ""), rows)
    return "\n".join(lines)


def _card(folder: Path) -> dict[str, Any]:
    """run.json on one level, with the hash of the faces."""
    try:
        card = read_json(Path(folder) / "run.json")
        faces = Path(folder) / (card["faces"] or "faces") / "card.json"
        known = {"faces": read_json(faces)["key"]} if faces.is_file() else {}
        return flat({**card, **known})
    except FileNotFoundError:
        raise BrokenCheckpoint(f"{folder} is no run folder, it has no run.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpoint(
            f"the cards in {folder} are damaged ({type(error).__name__}: {error}); run it again"
        ) from None


def _measured(folder: Path) -> pd.DataFrame | None:
    path = Path(folder) / "evaluation" / "table.csv"
    return pd.read_csv(path).set_index(["method", "measure"]) if path.is_file() else None


def _interval(row: pd.Series | None, name: str) -> str:
    if row is None:
        return "-"
    decimals = next((m.decimals for m in MEASURES if m.name == name), 3)
    mean, low, high = (f"{row[column]:.{decimals}f}" for column in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A table and the end of its last line, to be joined with others by line ends."""
    return [as_markdown(head, rows) if rows else "The same.\n"]
