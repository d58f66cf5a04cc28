"""The page of open choices says what the settings are."""

import re
from pathlib import Path

import pytest

from expr_lib.config import LISTS, load_settings, setting_names

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.split("## ", maxsplit=1)[0].splitlines()
    if re.match(r"\| \d+ \|", line)
]
OFFERED = [(row[3].strip("`"), re.findall(r"`([^`]*)`", row[4])) for row in ROWS if row[3]]


def test_the_rows_are_numbered() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert all(len(row) == 5 and row[1] and row[2] for row in ROWS)


@pytest.mark.parametrize(("name", "values"), OFFERED, ids=[name for name, _ in OFFERED])
def test_a_choice_is_a_setting_whose_default_comes_first(name: str, values: list[str]) -> None:
    assert name in setting_names()
    chosen = load_settings("paper")
    for part in name.split("."):
        chosen = getattr(chosen, part)
    told = ",".join(chosen) if name in LISTS else str(chosen).lower()
    assert float(told) == float(values[0]) if told[0].isdigit() else told == values[0]
    for value in values:
        load_settings("paper", [f"{name}={value}"])


def test_every_number_that_is_named_has_a_row() -> None:
    known = {int(row[0]) for row in ROWS}
    for path in [*ROOT.glob("expr_lib/**/*.py"), *ROOT.glob("notebooks/**/*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            named = re.findall(r"(?:# |\s|`)\[(\d+)\](?!\()", text)
        else:
            named = re.findall(r"(?:Departure|row of|such as) \[(\d+)\]", text)
        assert {int(number) for number in named} <= known, path
