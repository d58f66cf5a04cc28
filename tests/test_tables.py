"""Tables as Markdown and as LaTeX."""

import math

import pytest

from expr_lib.tables import as_latex, as_markdown, interval_as_text


def test_a_markdown_table() -> None:
    assert as_markdown(("method", "SSIM"), [("copy", 0.5), ("a|b", "**+0.1**")]) == (
        "| method | SSIM |\n|---|---|\n| copy | 0.5 |\n| a\\|b | **+0.1** |\n"
    )
    assert as_markdown(("", "one"), []) == "|  | one |\n|---|---|\n"


def test_the_same_as_latex() -> None:
    assert as_latex(("method", "SSIM", "error %"), [("copy", 0.5, "**+0.1** [+0.0, +0.2]")]) == (
        "\\begin{tabular}{lrr}\n"
        "\\toprule\n"
        "method & SSIM & error \\% \\\\\n"
        "\\midrule\n"
        "copy & 0.5 & \\textbf{+0.1} [+0.0, +0.2] \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("50% of $5 & more_#1", r"50\% of \$5 \& more\_\#1"),
        (r"a\b{c}", r"a\textbackslash{}b\{c\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("p < 0.01 | q > 2", r"p \textless{} 0.01 \textbar{} q \textgreater{} 2"),
        ("0.8 ± 0.1", r"0.8 $\pm$ 0.1"),
        ("Φ, Ω", r"$\Phi$, $\Omega$"),
        ("**a_b** and **c**", r"\textbf{a\_b} and \textbf{c}"),
        ("2 ** 3", "2 ** 3"),
        ("[0.1, 0.2]", "{[}0.1, 0.2]"),  # `\\ [` would take it for a length
        ("*", "{*}"),
    ],
)
def test_latex_reads_nothing_into_a_cell(cell: str, expected: str) -> None:
    assert f"\n{expected} & x \\\\\n" in as_latex(("a", "b"), [(cell, "x")])


def test_a_mean_and_its_interval() -> None:
    assert interval_as_text(0.80049, 0.79, 0.8125, 3) == "0.800 [0.790, 0.812]"
    assert interval_as_text(0.5, 0.21, 0.8, 2, signed=True) == "**+0.50** [+0.21, +0.80]"
    assert interval_as_text(-0.5, -0.8, -0.2, 1, signed=True) == "**-0.5** [-0.8, -0.2]"
    assert interval_as_text(0.5, -0.1, 1.1, 1, signed=True) == "+0.5 [-0.1, +1.1]"
    assert interval_as_text(-0.5, -0.8, -0.2, 1, signed=True, people=6).startswith("**")
    assert interval_as_text(-0.5, -0.8, -0.2, 1, True, people=5) == "-0.5 [-0.8, -0.2]"
    assert interval_as_text(math.nan, math.nan, math.nan, 2) == "no face found"
