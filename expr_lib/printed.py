"""Tables 3 and 4 as the paper prints them, and a run's rows beside them."""

import pandas as pd

from expr_lib.tables import as_markdown

PRINTED = pd.DataFrame(
    {
        ("CK+", "SSIM"): [0.692, 0.767, 0.784, 0.805],
        ("CK+", "PSNR dB"): [22.244, 24.420, 24.687, 25.610],
        ("RaFD", "SSIM"): [0.554, 0.829, 0.765, 0.801],
        ("RaFD", "PSNR dB"): [16.412, 21.745, 19.230, 19.338],
    },
    index=["CGAN", "G2-GAN", "pix2pix", "the paper's model"],
)
"""Tables 3 (CK+) and 4 (RaFD) as printed: SSIM, and PSNR in dB."""
_TABLES = {"CK+": 3, "RaFD": 4}
_THEIRS = (
    "printed in the paper; their {}, 256 pixels, their split 8:2 and alignment; pairs and SSIM "
    "window are not told"
)


def beside_printed(table: pd.DataFrame, titles: dict[str, str], conditions: str) -> str:
    """Tables 3 and 4 with a run's rows below the paper's, each row with its conditions.

    table       one row a method and measure, with its mean, see `Evaluation.table`
    titles      the methods to show, and what they are called
    conditions  what the run's rows were measured on
    returns     Markdown
    """
    parts = []
    means = table.pivot(index="method", columns="measure", values="mean")
    head = ("method", "SSIM", "PSNR dB", "whose figures, and measured on what")
    for data, number in _TABLES.items():
        theirs = [(*row, _THEIRS.format(data)) for row in PRINTED[data].itertuples()]
        ours = [
            (title, *means.loc[name, ["ssim", "psnr"]], f"ours; {conditions}")
            for name, title in titles.items()
        ]
        rows = [(name, f"{a:.3f}", f"{b:.3f}", whose) for name, a, b, whose in theirs + ours]
        told = f"Table {number} of the paper ({data}), and this run:"
        parts.append(f"{told}\n\n{as_markdown(head, rows)}")
    return "\n".join(parts)
