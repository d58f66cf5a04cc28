"""The comparison of all methods: one budget, one set of pairs, one table; nothing is trained twice,
and what fails does not lose the others."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from expr_lib.comparison import FOLDER, Comparison, compare_methods, images_of, job_of
from expr_lib.config import change_settings, load_settings
from expr_lib.errors import BadSetting, BrokenCheckpoint, LeakySplit
from expr_lib.files import read_json
from expr_lib.methods.catalogue import CATALOGUE, choose
from expr_lib.methods.converter import Converter
from expr_lib.methods.painting import Painter
from expr_lib.methods.stargan import StarLearner
from expr_lib.planning import plan
from expr_lib.reporting import EVERY, _notes, write_comparison
from expr_lib.runs import Run
from expr_lib.statistics import summarise_methods
from test_training import SMALL

CHOSEN = "copy,warp,paper*2,cgan,stargan,true_marks,oracle,in_grey,copy_in_grey"
TINY = [*SMALL, "evaluation.pairs=4", "evaluation.resamples=100", "fusion.images=320", "threads=1"]


@pytest.fixture(scope="module")
def run(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("comparison") / "run"
    return Run(folder, load_settings("smoke", TINY), faces_at=small_faces, jobs=1)


def fail(*given: object, **more: object) -> None:
    raise RuntimeError("no such luck")


def never(*given: object, **more: object) -> None:
    raise AssertionError("trained or painted again")


def break_stargan(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StarLearner, "build", fail)


@pytest.fixture(scope="module")
def found(run: Run) -> Comparison:
    with pytest.MonkeyPatch.context() as patch:
        break_stargan(patch)
        return compare_methods(run, choose(CHOSEN), images=24)


def entry(name: str):  # type: ignore[no-untyped-def]
    return next(entry for entry in CATALOGUE if entry.name == name)


def test_a_method_that_fails_is_named_and_the_others_go_on(
    found: Comparison, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.failures == {"stargan-0": "RuntimeError: no such luck"}
    assert "no such luck" in (run.folder / FOLDER / "stargan-0" / "failure.txt").read_text()
    assert [e.name for e in found.absent] == ["stargan"]
    names = [e.name for e in found.entries]
    wanted = {name.partition("*")[0] for name in CHOSEN.split(",")} - {"stargan"}
    assert names == [e.name for e in CATALOGUE if e.name in wanted]
    break_stargan(monkeypatch)
    with pytest.raises(BadSetting, match="no method could be measured; the first: RuntimeError"):
        compare_methods(run, choose("stargan"), images=24)


def test_all_are_measured_on_the_same_pairs(found: Comparison) -> None:
    keys = ["source", "target", "truth"]
    first, *others = (part[keys].to_numpy() for _, part in found.pairs.groupby(["method", "seed"]))
    assert len(first) == 4
    assert all((first == other).all() for other in others)
    seeds = found.pairs.groupby("method")["seed"].unique()
    assert sorted(seeds["paper"]) == [0, 1]
    assert list(seeds["cgan"]) == [0]
    by_seed = found.pairs[found.pairs["method"] == "paper"].groupby("seed")["psnr"].mean()
    assert by_seed[0] != by_seed[1]


def test_each_row_is_what_it_says(found: Comparison) -> None:
    psnr = found.pairs[found.pairs["seed"] == 0].groupby("method")["psnr"].mean()
    assert psnr["in_grey"] != psnr["paper"]  # the same networks, measured in grey
    assert psnr["copy_in_grey"] != psnr["copy"]
    assert psnr["oracle"] != psnr["true_marks"]  # the same networks, other landmarks
    assert psnr["true_marks"] != psnr["paper"]


def test_nothing_is_done_twice(
    found: Comparison, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Painter, "fit", never)
    monkeypatch.setattr(Painter, "generate", never)
    again = compare_methods(run, choose("warp,paper*2,oracle"), images=24)
    wanted = found.pairs[found.pairs["method"].isin(["warp", "paper", "oracle"])]
    pd.testing.assert_frame_equal(
        again.pairs.reset_index(drop=True),
        wanted[again.pairs.columns].reset_index(drop=True),
        check_dtype=False,
        rtol=1e-12,
    )


def test_people_who_are_called_by_numbers_keep_their_names(found: Comparison, run: Run) -> None:
    path = run.folder / FOLDER / "copy-0" / "measured" / "pairs.csv"
    before = path.read_text(encoding="utf-8")
    try:
        table = pd.read_csv(path, dtype={"person": str})
        table["person"] = "007"
        table.to_csv(path, index=False)
        again = compare_methods(run, choose("copy"), images=24)
        assert set(again.pairs["person"]) == {"007"}
    finally:
        path.write_text(before, encoding="utf-8")


def test_what_the_run_has_trained_itself_is_used(run: Run) -> None:
    own = run.settings.transfer.images
    assert job_of(run, entry("paper"), 0, own) is run
    assert job_of(run, entry("paper"), 0, None) is run
    assert job_of(run, entry("paper"), 1, own) is not run
    assert job_of(run, entry("pix2pix"), 0, own).phi_of is run
    assert job_of(run, entry("no_cycle"), 0, own).phi_of is None
    assert job_of(run, entry("in_grey"), 0, 24).folder == job_of(run, entry("paper"), 0, 24).folder


def test_a_comparison_starts_from_the_same_rows_of_another(
    found: Comparison, run: Run, small_faces: Path, tmp_path: Path
) -> None:
    overrides = [f"transfer.start={run.folder}", "transfer.learning_rate=1e-12"]
    settings = change_settings(run.settings, overrides)
    begun = Run(tmp_path, settings, faces_at=small_faces, jobs=1, phi_of=run)
    again = compare_methods(begun, choose("copy,paper,pix2pix"), images=8)
    assert [e.name for e in again.entries] == ["copy", "paper"]
    assert "no finished model" in again.failures["pix2pix-0"]  # the other one has no such row
    job, first = (job_of(each, entry("paper"), 0, n) for each, n in ((begun, 8), (run, 24)))
    assert job.settings.transfer.start == str(first.folder)
    assert job_of(begun, entry("copy"), 0, 8).settings.transfer.start is None
    for name, network in job.model().networks.items():  # with such a rate nothing is learnt
        for one, other in zip(
            network.parameters(), first.model().networks[name].parameters(), strict=True
        ):
            torch.testing.assert_close(one, other)
    known = job.transfer_inputs(job.faces())
    assert "start" not in first.transfer_inputs(first.faces())
    assert "start" not in known["transfer"] and len(known["start"]) == 64
    job.export(tmp_path / "small")
    card = read_json(tmp_path / "small" / "run.json")
    assert card["settings"]["transfer"]["start"] is None
    from_small = change_settings(job.settings, [f"transfer.start={tmp_path / 'small'}"])
    from_small = Run(tmp_path / "more", from_small, faces_at=small_faces, phi_of=run)
    name, network = next(iter(from_small.model().networks.items()))  # of half precision
    ours, theirs = (dict(n.named_parameters()) for n in (network, job.model().networks[name]))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-2)
    shutil.rmtree(tmp_path / "small")
    assert from_small.model().networks  # it is finished, whatever became of its start


def test_what_nobody_can_start_from_is_refused(
    found: Comparison, run: Run, small_faces: Path, tmp_path: Path
) -> None:
    def begun(start: Path, *more: str, folder: Path = tmp_path) -> Run:
        settings = change_settings(run.settings, [f"transfer.start={start}", *more])
        return Run(folder, settings, faces_at=small_faces, phi_of=run)

    first = job_of(run, entry("paper"), 0, 24).folder
    with pytest.raises(LeakySplit, match="people who are to be unseen were seen there"):
        begun(first, "fold=1").model()
    with pytest.raises(BadSetting, match="is this run itself"):
        begun(first, folder=first).model()
    with pytest.raises(BrokenCheckpoint, match="was made for another network"):
        begun(first, "transfer.method=retouch").model()
    with pytest.raises(BadSetting, match="there is no such run"):
        compare_methods(begun(tmp_path / "nowhere"), choose("copy"), images=8)
    assert begun(first, "transfer.start=none").settings.transfer.start is None
    with pytest.raises(BadSetting, match="no finished model"):
        plan(begun(tmp_path).settings, "synthetic", None)


def test_the_row_that_is_the_run_itself_is_started_from(run: Run, tmp_path: Path) -> None:
    settings = change_settings(run.settings, [f"transfer.start={tmp_path}"])
    (tmp_path / FOLDER / "pix2pix-0" / "transfer").mkdir(parents=True)
    begun = Run(tmp_path / "begun", settings, faces_at=run.faces_at)
    starts = {
        (name, seed): job_of(begun, entry(name), seed, 8).settings.transfer.start
        for name, seed in (("paper", 0), ("paper", 1), ("pix2pix", 0), ("dots", 0))
    }
    rows = tmp_path / FOLDER
    assert starts == {
        ("paper", 0): str(tmp_path),
        ("paper", 1): str(rows / "paper-1"),
        ("pix2pix", 0): str(rows / "pix2pix-0"),
        ("dots", 0): str(rows / "dots-0"),  # not the paper's networks, which know lines
    }


def test_a_row_with_another_epoch_is_shown_as_many_photos(small_faces: Path, run: Run) -> None:
    settings = change_settings(run.settings, ["transfer.epochs=2"])
    by_epochs = Run(run.folder / "epochs", settings, faces_at=small_faces, jobs=1)
    paper = job_of(by_epochs, entry("paper"), 0, None).settings.transfer
    retouch = job_of(by_epochs, entry("retouch"), 0, None).settings.transfer
    samples = by_epochs.split().samples(0, "truths")
    assert (paper.epochs, retouch.epochs) == (2, None)
    assert retouch.images == paper.steps(len(samples)) * paper.batch
    assert retouch.images < len(by_epochs.split().samples(0, "pairs"))


def test_the_report_has_every_row(found: Comparison, run: Run) -> None:
    text = write_comparison(run, found)
    folder = run.folder / FOLDER
    for e in found.entries:
        assert text.count(f"| {e.title} |") >= 3, e.name
    assert "stargan-0 failed: RuntimeError: no such luck" in text
    lost = next(line for line in text.splitlines() if line.startswith("| StarGAN"))
    assert "| 0 | - |" in lost and lost.endswith("| failed: RuntimeError: no such luck |")
    assert "printed in the paper" in text
    assert "LPIPS, FID and KID are left out" in text
    assert "ridge regression" in text
    assert "Ranks over 2 seeds" in text
    assert (folder / "table.md").read_text(encoding="utf-8") == text
    assert "\\toprule" in (folder / "table.tex").read_text(encoding="utf-8")
    table = pd.read_csv(folder / "comparison.csv")
    means = found.pairs[found.pairs["method"] == "copy"].groupby("person")["ssim"].mean()
    row = table[(table["method"] == "copy") & (table["measure"] == "ssim")].iloc[0]
    assert row["mean"] == pytest.approx(means.mean())
    assert row["images"] == 0
    assert set(table.loc[table["method"] == "copy_in_grey", "images"]) == {0}
    lost = table[table["method"] == "stargan"].iloc[0]
    assert (lost["seeds"], lost["note"]) == (0, "failed: RuntimeError: no such luck")
    assert np.isnan(lost["mean"])
    assert table.loc[table["method"] == "cgan", "needs"].iloc[0] == "the source's label"
    assert (table.loc[table["method"] == "cgan", "images"] == 24).all()
    for name in ("grid.png", "grid_ablations.png", "bars.png", "tests.csv", "ranks.csv"):
        assert (folder / name).stat().st_size > 500, name


def test_who_is_behind_copying_says_how_far(found: Comparison, run: Run) -> None:
    pairs = found.pairs.assign(error_wanted=found.pairs["method"].map({"copy": 3.0, "cgan": 8.5}))
    table = summarise_methods(pairs.fillna({"error_wanted": 1.0}), EVERY, 100, 0)
    notes = _notes(found, table)
    assert notes["cgan"].endswith("; landmark error to wanted 8.50 %, copying 3.00 %")
    assert notes["paper"] == notes["warp"] == notes["copy"] == ""


def test_a_lost_seed_does_not_lose_the_report(
    run: Run, monkeypatch: pytest.MonkeyPatch, found: Comparison
) -> None:
    """One seed of a method, and a method of stage 1, cannot be had."""
    pairs = found.pairs[found.pairs["method"].isin(["copy", "paper", "cgan"])]
    first = pairs["method"].eq("paper") & pairs["seed"].eq(0)
    some = Comparison(
        pairs[~first],
        tuple(e for e in found.entries if e.name in ("copy", "paper", "cgan")),
        24,
        {"paper-0": "RuntimeError: no such luck"},
        24,
    )
    monkeypatch.setattr(Painter, "fit", never)
    monkeypatch.setattr(Converter, "fit", fail)
    monkeypatch.setattr(Converter, "load", fail)
    text = write_comparison(run, some)
    assert "paper-0 failed" in text and "Ranks over" not in text
    assert "FReeNet's converter | the target's neutral face | RuntimeError: no such luck" in text
    assert "ridge regression" in text


def test_a_run_by_epochs_is_reported_as_it_was_trained(
    small_faces: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = change_settings(run.settings, ["transfer.epochs=1"])
    by_epochs = Run(run.folder / "by_epochs", settings, faces_at=small_faces, jobs=1)
    found = compare_methods(by_epochs, choose("copy,paper,pix2pix"))
    assert not found.failures and found.budget is None and found.images > 0
    monkeypatch.setattr(Painter, "fit", never)
    text = write_comparison(by_epochs, found)
    assert f"{found.images} photos shown" in text


@pytest.mark.parametrize("wrong", ["", "3", "min", "0images", "-3min", "3 min", "3hours", "infmin"])
def test_a_budget_that_says_nothing_is_refused(run: Run, wrong: str) -> None:
    with pytest.raises(BadSetting, match="write it such as 20000images or 3min"):
        images_of(run, wrong)


def test_minutes_are_measured_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert images_of(run, "250images") == 250
    monkeypatch.setattr("expr_lib.comparison.seconds_a_step", lambda learner, steps: 0.5)
    batch = run.settings.transfer.batch
    assert images_of(run, "2min") == 240 * batch
    monkeypatch.setattr("expr_lib.comparison.seconds_a_step", lambda learner, steps: 9.0)
    assert images_of(run, "2min") == 240 * batch
    assert images_of(run, "1min") == round(60 / 9) * batch


def test_the_oracle_is_shown_the_truth(run: Run, found: Comparison) -> None:
    shown: list[np.ndarray] = []
    inner = Painter.generate

    def watch(self, source, target, batch=8, points=None):  # type: ignore[no-untyped-def]
        shown.append(points)
        return inner(self, source, target, batch, points)

    from expr_lib.comparison import Asked, generate, ready

    asked = Asked.of(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Painter, "generate", watch)
        generate(entry("oracle"), ready(run, entry("oracle"), 0, 24), asked)
        generate(entry("true_marks"), ready(run, entry("true_marks"), 0, 24), asked)
    assert (shown[0] == asked.truth.points).all()
    assert shown[1] is None
