"""The run folder: what is finished stays, what differs is said, and overwriting is asked for."""

from pathlib import Path

import pandas as pd
import pytest

from expr_lib.config import load_settings, setting_names
from expr_lib.errors import BadSetting, BrokenCheckpoint, OutputExists, SourceError
from expr_lib.faceset import FaceSet
from expr_lib.files import read_json, write_json
from expr_lib.provenance import git_state, library_versions
from expr_lib.runs import Run, data_folder, default_run, start_run


def a_run(folder: Path, *, overwrite: bool = False) -> Run:
    return Run(folder, load_settings("smoke"), overwrite=overwrite)


def finish(run: Run, inputs: dict[str, object], text: str = "result") -> bool:
    """Do a stage's work; True when there was something to do."""
    with run.stage("work", inputs) as (folder, finished):
        if not finished:
            (folder / "result.txt").write_text(text)
        return not finished


def test_a_stage_is_done_once(tmp_path: Path) -> None:
    assert finish(a_run(tmp_path), {"x": 1})
    assert not finish(a_run(tmp_path), {"x": 1})


def test_a_stage_that_stopped_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), a_run(tmp_path).stage("work", {"x": 1}):
        raise ZeroDivisionError
    assert finish(a_run(tmp_path), {"x": 1})


def test_other_inputs_are_refused_and_named(tmp_path: Path) -> None:
    finish(a_run(tmp_path), {"fusion": {"batch": 8, "flips": True}, "seed": 0})
    with pytest.raises(OutputExists, match=r"fusion\.batch 8, now 16\); choose another --run"):
        finish(a_run(tmp_path), {"fusion": {"batch": 16, "flips": True}, "seed": 0})
    assert (tmp_path / "work" / "result.txt").read_text() == "result"


def test_overwrite_replaces_the_whole_stage(tmp_path: Path) -> None:
    finish(a_run(tmp_path), {"x": 1})
    (tmp_path / "work" / "old").mkdir()
    assert finish(a_run(tmp_path, overwrite=True), {"x": 2}, "new")
    assert (tmp_path / "work" / "result.txt").read_text() == "new"
    assert not (tmp_path / "work" / "old").exists()


def test_a_damaged_stage_card_is_named(tmp_path: Path) -> None:
    finish(a_run(tmp_path), {"x": 1})
    (tmp_path / "work" / "stage.json").write_text("{")
    with pytest.raises(BrokenCheckpoint, match="damaged"):
        finish(a_run(tmp_path), {"x": 1})


def test_the_number_of_threads_stays_with_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, load_settings("laptop"))
    run.write_card()
    card = read_json(tmp_path / "run.json")
    assert card["threads"] >= 1
    write_json(tmp_path / "run.json", {**card, "threads": card["threads"] + 1})
    run.write_card()
    assert read_json(tmp_path / "run.json")["threads"] == card["threads"] + 1


def test_a_run_opens_as_it_was_written(tmp_path: Path) -> None:
    settings = load_settings("laptop", ["seed=7", "transfer.batch=4"])
    run = Run(tmp_path / "run", settings, source="london", root=tmp_path)
    run.write_card()
    again = Run.open(tmp_path / "run")
    assert again.settings == settings
    assert (again.source, again.root) == ("london", tmp_path)
    assert again.faces_at.resolve() == run.faces_at.resolve()


def test_a_kill_while_overwriting_leads_nowhere_dead(tmp_path: Path) -> None:
    finish(a_run(tmp_path), {"x": 1})
    (tmp_path / "work" / "checkpoint.safetensors").write_text("of x = 1")
    (tmp_path / "work" / "stage.json").unlink()
    assert finish(a_run(tmp_path), {"x": 2})
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"settings": {"size": "x"}}', "[1]"])
def test_a_damaged_run_card_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BrokenCheckpoint, match=r"run\.json is damaged"):
        Run.open(tmp_path)


def test_where_runs_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXPR_LIB_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert start_run("smoke").folder == tmp_path / "runs" / "smoke-synthetic"
    assert start_run("smoke", run=str(tmp_path / "r")).folder == tmp_path / "r"
    other = start_run("smoke", ["seed=1", "fold=2"]).folder
    assert other == tmp_path / "runs" / "smoke-synthetic_fold=2_seed=1"
    many = [f"{name}=1" for name in setting_names() if name.endswith("images")] * 5
    assert len(default_run("smoke", "folder", many).name) < 60
    monkeypatch.delenv("EXPR_LIB_DATA")
    assert default_run("laptop", "london").parts[-3:] == ("data", "runs", "laptop-london")


def test_a_folder_of_photos_needs_its_place() -> None:
    with pytest.raises(SourceError, match="--root"):
        start_run("smoke", source="folder")


def test_versions_and_git_state_are_known() -> None:
    assert {"python", "expr_lib", "torch", "numpy"} <= library_versions().keys()
    assert git_state()


def test_the_split_is_written_and_stands_in_for_a_file_that_is_gone(
    small_faces: Path, tmp_path: Path
) -> None:
    people = FaceSet.load(small_faces).people
    file = tmp_path / "mine.csv"
    lines = [f"{person},{'test' if i < 3 else 'train'}" for i, person in enumerate(people)]
    file.write_text("\n".join(["person,part", *lines]))
    changes = ["fusion.images=64", f"split={file}"]
    folder = tmp_path / "run"
    Run(folder, load_settings("smoke", changes), faces_at=small_faces).fusion()
    written = pd.read_csv(folder / "split.csv", dtype=str).set_index("person")["part"]
    assert set(written.index[written == "test"]) == set(people[:3])
    assert (written == "validation").sum() == 1
    again = Run(folder, load_settings("smoke", changes), faces_at=small_faces)
    key = again.split().key
    file.unlink()
    assert Run.open(folder).split().key == key
    Run.open(folder).fusion()  # nothing differs, so it is only read
    file.write_text("\n".join(["person,part", *lines[1:], f"{people[0]},train"]))
    changed = Run(folder, load_settings("smoke", changes), faces_at=small_faces)
    with pytest.raises(OutputExists, match="parts"):
        changed.fusion()


def test_a_split_file_with_a_blank_in_its_path_is_refused() -> None:
    with pytest.raises(BadSetting, match="has a blank in it"):
        load_settings("smoke", ["split=my people.csv"])
