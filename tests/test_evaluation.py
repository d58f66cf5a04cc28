"""The table: means over people, paired differences, the same pairs in every row."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from expr_lib.config import load_settings
from expr_lib.evaluation import differences_as_markdown, means_as_markdown, summarise
from expr_lib.measures import MEASURES
from expr_lib.printed import PRINTED, beside_printed

SETTINGS = load_settings("smoke")


def pairs_table(**measures: tuple[list[float], list[float]]) -> pd.DataFrame:
    """Two methods on four pairs of two people; every measure that is not given is 1."""
    tables = []
    for index, method in enumerate(("copy", "paper")):
        part = pd.DataFrame({"person": ["a", "a", "a", "b"], "found": 1.0})
        for measure_ in MEASURES:
            part[measure_.name] = (
                measures[measure_.name][index] if measure_.name in measures else 1.0
            )
        tables.append(part.assign(method=method))
    return pd.concat(tables, ignore_index=True)


def test_means_are_over_people_and_differences_over_pairs() -> None:
    pairs = pairs_table(psnr=([20, 20, 20, 30], [21, 22, 23, 30]))
    table = summarise(pairs, SETTINGS).set_index(["method", "measure"])
    assert table.loc[("copy", "psnr"), "mean"] == pytest.approx(25)  # (20 + 30) / 2, not 22.5
    assert table.loc[("paper", "psnr"), "mean"] == pytest.approx(26)
    assert table.loc[("paper", "psnr"), "minus_copy"] == pytest.approx(1)  # (2 + 0) / 2
    assert table.loc[("paper", "psnr"), "minus_copy_low"] == pytest.approx(0)
    assert table.loc[("paper", "psnr"), "minus_copy_high"] == pytest.approx(2)


def test_what_was_not_found_is_left_out_and_counted() -> None:
    nan = math.nan
    pairs = pairs_table(identity=([0.2] * 4, [0.4, nan, nan, 0.6]))
    pairs.loc[(pairs["method"] == "paper") & pairs["identity"].isna(), "found"] = 0.0
    table = summarise(pairs, SETTINGS)
    row = table.set_index(["method", "measure"]).loc[("paper", "identity")]
    assert row["mean"] == pytest.approx(0.5)
    assert row["pairs"] == 2
    text = means_as_markdown(table, pairs, {"copy": "copy", "paper": "model"})
    assert "| 50% |" in text


def test_the_text_marks_what_excludes_zero_where_enough_people_say_so() -> None:
    nan, titles = math.nan, {"copy": "copy", "paper": "model"}
    two = pairs_table(
        ssim=([0.5] * 4, [0.6] * 4),
        psnr=([20, 20, 20, 30], [21, 22, 23, 30]),
        identity=([0.2] * 4, [0.3, 0.3, 0.3, nan]),
    )
    six = pd.concat([two.assign(person=two["person"] + str(i)) for i in range(3)])
    of_two, of_six = (
        next(line for line in text.splitlines() if line.startswith("| model minus copy"))
        for text in (differences_as_markdown(summarise(p, SETTINGS), titles) for p in (two, six))
    )
    assert "**" not in of_two and "| +0.100 [+0.100, +0.100] |" in of_two
    assert "| **+0.100** [+0.100, +0.100] |" in of_six  # SSIM
    assert of_six.endswith("| +0.100 [+0.100, +0.100] |")  # identity: found in three people only
    assert "+1.00 [+0.00, +2.00]" in of_two


def test_a_method_without_any_face_says_so() -> None:
    pairs = pairs_table(identity=([0.2] * 4, [math.nan] * 4))
    titles = {"copy": "copy", "paper": "model"}
    assert "no face found" in means_as_markdown(summarise(pairs, SETTINGS), pairs, titles)


def test_our_rows_stand_beside_the_printed_ones_and_say_whose_they_are() -> None:
    pairs = pairs_table(ssim=([0.5] * 4, [0.6] * 4), psnr=([20] * 4, [21, 22, 23, 30]))
    titles = {"copy": "copy", "paper": "ours"}
    text = beside_printed(summarise(pairs, SETTINGS), titles, "64 pixels, drawn")
    third, fourth = text.split("Table 4")
    assert third.startswith("Table 3 of the paper (CK+)")
    for part, data in ((third, "CK+"), (fourth, "RaFD")):
        printed = [line for line in part.splitlines() if "printed in the paper" in line]
        assert len(printed) == len(PRINTED) and all(f"their {data}" in line for line in printed)
        assert "| ours | 0.600 | 26.000 | ours; 64 pixels, drawn |" in part
    assert "| G2-GAN | 0.829 | 21.745 |" in fourth and "| pix2pix | 0.784 | 24.687 |" in third
