"""Tables as text: one Markdown table and one LaTeX table from the same rows."""

from collections.abc import Iterable, Sequence

from expr_lib.statistics import FEWEST_PEOPLE

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "Φ": r"$\Phi$",
    "Ω": r"$\Omega$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
}


def what_is_bold(people: int) -> str:
    """What a table of differences says about its bold cells."""
    if people < FEWEST_PEOPLE:
        return f"none is bold, since it takes {FEWEST_PEOPLE} people for a verdict"
    return "bold when it excludes 0"


def as_markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, each line ended.

    head  what the columns are called
    rows  cells, a sequence as long as the head each; `**bold**` is Markdown's
    """
    lines = [_line(head), "|---" * len(head) + "|", *map(_line, rows)]
    return "\n".join([*lines, ""])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"


def as_latex(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""The same table as a LaTeX tabular, for a preamble with \usepackage{booktabs}: the first
    column flush left, the others flush right.

    head  what the columns are called
    rows  cells, a sequence as long as the head each; a cell `**bold**` is set in bold
    """
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            _latex_line(head),
            r"\midrule",
            *map(_latex_line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex_line(cells: Sequence[object]) -> str:
    return " & ".join(_latex_cell(str(cell)) for cell in cells) + r" \\"


def _latex_cell(text: str) -> str:
    parts = text.split("**")
    if len(parts) % 2 == 0:  # an odd number of marks: none is one
        parts = [text]
    escaped = ["".join(_LATEX.get(letter, letter) for letter in part) for part in parts]
    # every second part stands between two marks
    cell = "".join(rf"\textbf{{{part}}}" if i % 2 else part for i, part in enumerate(escaped))
    # at the start of a row [ and * would be read as options of the \\ that ends the row before
    return f"{{{cell[0]}}}{cell[1:]}" if cell.startswith(("[", "*")) else cell


def interval_as_text(
    mean: float,
    low: float,
    high: float,
    decimals: int,
    signed: bool = False,
    people: int = FEWEST_PEOPLE,
) -> str:
    """A mean and its interval as one cell; a signed one is bold when the interval excludes 0 and
    enough people stand behind it.

    people   on how many the interval rests
    returns  such as `0.801 [0.790, 0.812]` or `**+0.50** [+0.21, +0.80]`; `no face found` for NaN
    """
    if mean != mean:
        return "no face found"
    style = f"{'+' if signed else ''}.{decimals}f"
    told = f"{mean:{style}}"
    if signed and people >= FEWEST_PEOPLE and (low > 0 or high < 0):
        told = f"**{told}**"
    return f"{told} [{low:{style}}, {high:{style}}]"
