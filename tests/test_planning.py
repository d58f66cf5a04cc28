"""What a run would take, before it is started."""

import re
from pathlib import Path

import pytest

from expr_lib.__main__ import main
from expr_lib.config import load_settings
from expr_lib.errors import TooFewPeople
from expr_lib.planning import plan
from expr_lib.sources import load_photos
from expr_lib.splits import split_photos


def test_a_dry_run_counts_as_the_run_would(
    drawn_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["transfer.epochs=3", "fusion.epochs=7", "transfer.filters=4", "threads=1"]
    run = tmp_path / "run"
    command = ["reproduce", "--preset", "smoke", "--source", "synthetic", "--run", str(run)]
    assert main([*command, "--root", str(drawn_photos), "--dry-run", "--set", *changes]) == 0
    said = capsys.readouterr().out
    table = load_photos("synthetic", drawn_photos).table
    truths = len(split_photos(table).samples(0))
    assert f"photos: {len(table)} of {table['person'].nunique()} people" in said
    settings = load_settings("smoke", changes)
    for name, budget, epochs in (
        ("fusion", settings.fusion, 7),
        ("transfer", settings.transfer, 3),
    ):
        steps = budget.steps(truths)
        found = re.search(
            rf"{name}: (\d+) steps of {budget.batch} photos, ([\d.]+) epochs of (\d+) truths", said
        )
        assert found is not None and (int(found[1]), int(found[3])) == (steps, truths)
        assert abs(float(found[2]) - epochs) < 0.5 * budget.batch / truths + 0.06
    memory = re.search(r"memory: about ([\d.]+) GiB", said)
    assert memory is not None and 0.2 < float(memory[1]) < 20
    assert not run.exists()


def test_without_photos_the_faces_to_be_drawn_are_counted() -> None:
    said = plan(load_settings("smoke", ["transfer.filters=4", "threads=1"]), "synthetic", None)
    assert "photos: 40 of 10 people; train 28 of 7, validation 4 of 1, test 8 of 2" in said
    assert re.search(r"time: about .*\(faces .*, fusion .*, transfer ", said)


def test_too_few_people_are_refused_before_the_work() -> None:
    settings = load_settings("smoke", ["fold=4", "synthetic.people=4"])
    with pytest.raises(TooFewPeople):
        plan(settings, "synthetic", None)
