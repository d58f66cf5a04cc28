"""In what two runs differ, as text."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from expr_lib.__main__ import main
from expr_lib.config import load_settings
from expr_lib.errors import BrokenCheckpoint
from expr_lib.files import write_json, write_text
from expr_lib.run_diff import compare_runs


def run(folder: Path, means: dict[str, float] | None, **card: Any) -> Path:
    known = {"settings": load_settings("smoke").model_dump(mode="json"), "faces": None}
    write_json(folder / "run.json", known | {"versions": {"torch": "2.0"}} | card)
    write_json(folder / "faces" / "card.json", {"key": card.get("hash", "same")})
    if means is not None:
        rows = [
            {"method": "paper", "measure": name, "mean": m, "low": m - 0.01, "high": m + 0.01}
            for name, m in means.items()
        ]
        write_text(folder / "evaluation" / "table.csv", pd.DataFrame(rows).to_csv(index=False))
    return folder


def test_equal_runs_are_the_same(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, {"ssim": 0.8}) for name in "ab")
    assert compare_runs(one, two).count("The same.") == 2


def test_settings_versions_faces_and_measures_that_differ_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run(tmp_path / "a", {"ssim": 0.8, "psnr": 25.0, "identity": 0.3})
    other = load_settings("smoke", ["transfer.batch=4"]).model_dump(mode="json")
    two = run(
        tmp_path / "b",
        {"ssim": 0.805, "psnr": 26.0, "identity": 0.3, "psnr_mouth": 20.0},
        settings=other,
        versions={"torch": "2.1", "dlib": "20"},
        hash="another",
    )
    assert main(["diff", str(one), str(two)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "| settings.transfer.batch | 8 | 4 |" in said
    assert "| versions.torch | 2.0 | 2.1 |" in said
    assert "| versions.dlib | - | 20 |" in said
    assert "| faces | same | another |" in said
    assert "| paper | ssim | 0.800 [0.790, 0.810] | 0.805 [0.795, 0.815] |  |" in said
    assert "| paper | psnr | 25.00 [24.99, 25.01] | 26.00 [25.99, 26.01] | apart |" in said
    assert "| paper | psnr_mouth | - | 20.00 [19.99, 20.01] |  |" in said
    assert not any("identity" in line or "seed" in line for line in said)


def test_a_run_without_an_evaluation_says_so(tmp_path: Path) -> None:
    one, two = run(tmp_path / "a", {"ssim": 0.8}), run(tmp_path / "b", None)
    assert "The second run has not been evaluated." in compare_runs(one, two)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    one = run(tmp_path / "a", None)
    with pytest.raises(BrokenCheckpoint, match="is no run folder"):
        compare_runs(one, tmp_path / "nowhere")
    (tmp_path / "a" / "run.json").write_text("[")
    with pytest.raises(BrokenCheckpoint, match="are damaged"):
        compare_runs(one, one)
