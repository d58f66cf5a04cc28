"""Several processes are one process with the whole batch, and none of them dies unseen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from expr_lib.__main__ import main
from expr_lib.checkpoints import CHECKPOINTS, read_tensors
from expr_lib.config import load_settings
from expr_lib.errors import BadSetting
from expr_lib.processes import Share

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SMALL = (
    "threads=1",
    "fusion.images=768",
    "fusion.batch=32",
    "transfer.images=24",
    "transfer.filters=4",
    "transfer.discriminator_filters=4",
    "transfer.curve_pairs=4",
    "transfer.precision=float32",
    "checkpoint_seconds=0",
)


def in_team(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a Python file or module in several processes, as torchrun does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), *map(str, arguments)]
    folders = os.pathsep.join([str(ROOT), str(TESTS)])
    environment = os.environ | {"PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


GRADIENTS = """
import sys
from pathlib import Path

import torch

from expr_lib.config import load_settings
from expr_lib.faceset import FaceSet
from expr_lib.methods.fusion import FusionLearner, LandmarkFusion, build_fusion
from expr_lib.methods.paper import TransferLearner
from expr_lib.processes import team
from expr_lib.splits import split_photos

torch.set_num_threads(1)
faces, out = FaceSet.load(Path(sys.argv[1])), Path(sys.argv[2])
settings = load_settings("smoke", sys.argv[3:])
split = split_photos(faces.table)
fusion = build_fusion(settings.fusion)
for learner in (
    FusionLearner(faces, split, settings),
    TransferLearner(faces, split, LandmarkFusion(fusion), settings),
):
    losses = torch.stack(list(learner.step(0).values())).detach()
    losses = learner.share.mean(losses)
    found = {"losses": losses}
    for part, module in learner.modules.items():
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"{part}.{name}"] = parameter.grad
        for name, value in module.named_buffers():
            found[f"{part}.{name}"] = value
    torch.save(found, out / f"{type(learner).__name__}-{team().process_index}.pt")
"""


@pytest.fixture(scope="module")
def gradients(
    small_faces: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[int, int, str], list[dict[str, torch.Tensor]]]:
    """Gradients and statistics of a first step by processes, batch and learner, of each process."""
    script = tmp_path_factory.mktemp("script") / "gradients.py"
    script.write_text(GRADIENTS)
    found: dict[tuple[int, int, str], list[dict[str, torch.Tensor]]] = {}
    for count, batch in ((1, 8), (2, 8), (1, 7), (3, 7)):
        out = tmp_path_factory.mktemp("out")
        batches = (f"transfer.batch={batch}", f"fusion.batch={batch}", "fusion.dropout=0")
        ran = in_team(count, script, small_faces, out, *SMALL, *batches)
        assert ran.returncode == 0, ran.stderr
        for learner in ("FusionLearner", "TransferLearner"):
            found[count, batch, learner] = [
                torch.load(out / f"{learner}-{rank}.pt") for rank in range(count)
            ]
    return found


@pytest.mark.parametrize("learner", ["FusionLearner", "TransferLearner"])
@pytest.mark.parametrize(("count", "batch"), [(2, 8), (3, 7)])
def test_processes_give_the_gradients_of_the_whole_batch(
    gradients: dict[tuple[int, int, str], list[dict[str, torch.Tensor]]],
    learner: str,
    count: int,
    batch: int,
) -> None:
    """7 photos are 3, 2 and 2. BatchNorm takes its statistics over all of them.

    In the first layers of a discriminator real and false photos nearly cancel: there the rounding
    is that of the terms, and the measure is the gradient of the whole network.
    """
    alone = gradients[1, batch, learner][0]
    judging = torch.stack([v.norm() for n, v in alone.items() if n.startswith("discriminator")])
    for each in gradients[count, batch, learner]:
        assert each.keys() == alone.keys()
        for name, value in alone.items():
            apart = (each[name].double() - value.double()).norm()
            cancelled = 2e-4 * judging.norm() if name.startswith("discriminator") else 1e-9
            assert apart <= 2e-5 * value.double().norm() + cancelled, name


def test_all_processes_hold_the_same(
    gradients: dict[tuple[int, int, str], list[dict[str, torch.Tensor]]],
) -> None:
    first, *others = gradients[3, 7, "TransferLearner"]
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)


def test_more_processes_than_photos_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    team = type("Team", (), {"num_processes": 3, "process_index": 0})()
    monkeypatch.setattr("expr_lib.processes.team", lambda: team)
    with pytest.raises(BadSetting, match=r"transfer\.batch = 2 cannot be shared by 3 processes"):
        Share(2, "transfer.batch")
    with pytest.raises(BadSetting, match=r"cannot be shared by processes = 9"):
        load_settings("smoke", ["processes=9"])
    assert [Share(7).rows, Share(7).weight] == [slice(0, 3), pytest.approx(9 / 7)]


def test_two_processes_train_what_one_trains(
    small_faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the setting, or by a launcher such as torchrun."""
    command = ["train", "transfer", "--faces", str(small_faces), "--preset", "smoke"]
    alone, set_two, launched = (tmp_path / name for name in ("alone", "set", "launched"))
    still = ["--set", *SMALL, "fusion.dropout=0"]  # each process drops others
    assert main([*command, "--run", str(alone), *still]) == 0
    assert main([*command, "--run", str(set_two), *still, "processes=2"]) == 0
    said = capfd.readouterr().out
    assert said.count("stage transfer is finished") == 3  # the launched ones say it once
    # torchrun would take --run for an option of its own, but for the two strokes
    ran = in_team(2, "-m", "--", "expr_lib", *command, "--run", launched, *still)
    assert ran.returncode == 0, ran.stderr
    for run in (set_two, launched):
        for stage in ("fusion", "transfer"):
            one, two = alone / stage, run / stage
            losses = [pd.read_csv(f / "metrics.csv").drop(columns="seconds") for f in (one, two)]
            pd.testing.assert_frame_equal(*losses, rtol=5e-3)
            assert not (two / CHECKPOINTS).exists()
            first, second = (read_tensors(f / "model.safetensors")[0] for f in (one, two))
            assert first.keys() == second.keys()


def start_long_run(small_faces: Path, run: Path) -> "subprocess.Popen[str]":
    """Train in two processes for long; returns once there is a checkpoint."""
    command = [sys.executable, "-m", "expr_lib", "train", "transfer", "--faces", str(small_faces)]
    command += ["--preset", "smoke", "--run", str(run), "--set", *SMALL]
    command += ["processes=2", "transfer.images=40000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoints = run / "transfer" / CHECKPOINTS
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def test_a_process_that_dies_ends_the_run_with_a_sentence(
    small_faces: Path, tmp_path: Path
) -> None:
    process = start_long_run(small_faces, tmp_path / "run")
    launcher = psutil.Process(process.pid).children()[0]
    os.kill(launcher.children()[-1].pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "of 2 ended with signal 9" in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("expr-lib: one of the processes ended")
    assert "run the same command again" in last
    assert "Traceback" not in said
    assert any((tmp_path / "run" / "transfer" / CHECKPOINTS).glob("step-*"))


def test_when_the_first_of_all_is_killed_all_end(small_faces: Path, tmp_path: Path) -> None:
    process = start_long_run(small_faces, tmp_path / "run")
    others = psutil.Process(process.pid).children(recursive=True)
    assert len(others) >= 3  # the launcher and two that train
    process.kill()
    process.communicate(timeout=120)
    _, alive = psutil.wait_procs(others, timeout=60)
    assert alive == []
