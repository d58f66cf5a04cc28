"""A run folder: settings, faces, both stages and the evaluation. A stage that is finished is not
done again."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from pydantic import ValidationError

from expr_lib.checkpoints import BEST, CHECKPOINTS
from expr_lib.config import RunSettings, load_settings
from expr_lib.errors import BadSetting, BrokenCheckpoint, LeakySplit, OutputExists, SourceError
from expr_lib.faceset import FaceSet, prepare
from expr_lib.files import (
    digest,
    file_sha256,
    only_one,
    read_json,
    whole_folder,
    write_json,
    write_text,
)
from expr_lib.methods.catalogue import method_of
from expr_lib.methods.fusion import MODEL, LandmarkFusion
from expr_lib.methods.painting import Painter, model_of
from expr_lib.processes import choose_threads, from_first, launch, team
from expr_lib.provenance import ROOT, describe_device, git_state, library_versions
from expr_lib.sources import load_photos
from expr_lib.sources.synthetic import synthesize
from expr_lib.splits import Split, refuse_leaks, split_photos
from expr_lib.stages import CARD, is_finished, read_stage

SPLIT = "split.csv"


def data_folder() -> Path:
    """Where runs are kept: $EXPR_LIB_DATA, or `data` in the checkout, else in this folder."""
    checkout = (ROOT / "environment.yml").is_file()
    return Path(os.environ.get("EXPR_LIB_DATA") or (ROOT if checkout else Path.cwd()) / "data")


def default_run(preset: str, source: str, overrides: Sequence[str] = ()) -> Path:
    """The run folder of a preset on a source when none is named; other settings, another one."""
    name = "_".join([f"{preset}-{source}", *sorted(overrides)])
    if len(name) > 100 or "/" in name:
        name = f"{preset}-{source}_{digest(sorted(overrides))}"
    return data_folder() / "runs" / name


class Run:
    """One run folder.

    folder     where everything is written
    settings   the preset and its overrides
    faces_at   the FaceSet's folder; None when the run makes its own
    source     the kind of photos that the run prepares itself; `root` is where they are
    phi_of     another run of the same faces, whose Φ this one uses instead of training its own
    overwrite  True replaces finished work of other settings, which is an error otherwise
    """

    def __init__(
        self,
        folder: Path,
        settings: RunSettings,
        *,
        faces_at: Path | None = None,
        source: str = "synthetic",
        root: Path | None = None,
        jobs: int = 2,
        overwrite: bool = False,
        phi_of: Self | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.own_faces = faces_at is None
        self.faces_at = Path(faces_at) if faces_at is not None else self.folder / "faces"
        self.source, self.root = source, Path(root).resolve() if root is not None else None
        self.jobs, self.overwrite, self.phi_of = jobs, overwrite, phi_of
        self._faces: FaceSet | None = None
        self._split: Split | None = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """A run that was started before, as it wrote itself down in run.json. Raises
        BrokenCheckpoint."""
        path = Path(folder) / "run.json"
        try:
            card = read_json(path)
            settings = RunSettings.model_validate(card["settings"])
            return cls(
                folder,
                settings,
                faces_at=None if card["faces"] is None else Path(folder) / card["faces"],
                source=card["source"],
                root=card["root"],
            )
        except FileNotFoundError:
            raise BrokenCheckpoint(
                f"{folder} is no run folder, it has no run.json; train there first, or give --run "
                "the folder of a run"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BrokenCheckpoint(
                f"{path} is damaged or of another version (setting {where}: {first['msg']}); start "
                "the run again in another folder"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenCheckpoint(
                f"{path} is damaged ({type(error).__name__}: {error}); start the run again in "
                "another folder"
            ) from None

    @property
    def method(self) -> type[Painter]:
        """What stage 2 trains."""
        return method_of(self.settings)

    def _known_card(self) -> dict[str, Any]:
        """run.json as it is, empty when there is none that can be read."""
        try:
            card = read_json(self.folder / "run.json")
        except (OSError, ValueError):
            return {}
        return card if isinstance(card, dict) else {}

    def use_threads(self) -> int:
        """Compute with the run's number of threads, chosen once for its whole life, and return it.

        Another number would round differently.
        """
        threads = self.settings.threads or self._known_card().get("threads") or choose_threads()
        # processes beside each other on one machine share its cores
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        torch.set_num_threads(max(1, threads // beside))
        return int(threads)

    def write_card(self) -> None:
        """Write run.json: settings, versions, device, threads, git state. Raises OutputFailed."""
        card = {
            "settings": self.settings.model_dump(mode="json"),
            "source": self.source,
            "root": str(self.root) if self.root is not None else None,
            "faces": None if self.own_faces else os.path.relpath(self.faces_at, self.folder),
            "threads": self.use_threads(),
            "device": describe_device(),
            "versions": library_versions(),
            "git": git_state(),
        }
        if self._known_card() != card:
            write_json(self.folder / "run.json", card)

    def _write_split(self) -> None:
        """Write split.csv: who is learnt from, chosen by and measured on. Raises OutputFailed."""
        path, text = self.folder / SPLIT, self.split().as_csv()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    # --- the stages

    def faces(self) -> FaceSet:
        """The run's FaceSet: opened, or made from the source when the run keeps its own."""
        if self._faces is None:
            with team().main_process_first():  # the others find them finished
                self._faces = self._open_or_make_faces()
        return self._faces

    def _open_or_make_faces(self) -> FaceSet:
        if not self.own_faces:
            faces = FaceSet.load(self.faces_at)
        else:
            root = self.root
            if self.source == "synthetic" and root is None:
                root = self.folder / "photos"
                self._draw_photos(root)
            photos = load_photos(self.source, root, self.settings.photos)
            for warning in photos.warnings:
                print(f"note: {warning}", flush=True)
            self._split_photos(photos.table)  # too few people: say so before the work
            faces = prepare(
                photos,
                self.faces_at,
                size=self.settings.size,
                jobs=self.jobs,
                landmarks=self.settings.landmarks,
                overwrite=self.overwrite,
            )
        faces = faces.in_grey() if self.settings.grey else faces
        if faces.size % self.settings.size:
            raise BadSetting(
                f"the faces in {faces.folder} are {faces.size} pixels wide, no multiple of "
                f"size = {self.settings.size}; prepare them with --size {self.settings.size}"
            )
        return faces

    def split(self) -> Split:
        """Who of the run's faces is learnt from, chosen by and measured on.

        raises  LeakySplit, TooFewPeople, SourceError
        """
        if self._split is None:
            faces = self.faces()
            split = self._split_photos(faces.table)
            if team().is_main_process:  # it reads every photo
                refuse_leaks(faces, split)
            self._split = split
        return self._split

    def _split_photos(self, table: pd.DataFrame) -> Split:
        """Split as the settings say; where a file of people is gone, the run's own copy counts."""
        how = self.settings.split
        own = self.folder / SPLIT
        if how not in ("people", "images") and not Path(how).is_file() and own.is_file():
            how = str(own)
        return split_photos(table, how, self.settings.fold, self.settings.source_gaze)

    def _draw_photos(self, folder: Path) -> None:
        s = self.settings.synthetic
        wanted = (s.people, s.expressions, s.size, self.settings.seed, self.jobs)
        try:
            synthesize(folder, *wanted)
        except OutputExists:
            if not self.overwrite:
                raise
            shutil.rmtree(folder)
            synthesize(folder, *wanted)

    def _fusion_inputs(self, faces: FaceSet) -> dict[str, Any]:
        s = self.settings
        return {
            "faces": faces.key,
            "seed": s.seed,
            "split": s.split,
            "fold": s.fold,
            "source_gaze": s.source_gaze,
            "parts": self.split().key,
            "fusion": s.fusion.model_dump(mode="json"),
        }

    def transfer_inputs(self, faces: FaceSet) -> dict[str, Any]:
        """Everything that the model depends on. Raises BadSetting and LeakySplit when training
        cannot start from what the settings name."""
        s = self.settings
        known: dict[str, Any] = {}
        if self.phi_of is not None:
            known["phi"] = digest(self.phi_of._fusion_inputs(self.phi_of.faces()))
        if s.transfer.method == "retouch":
            known["retouch"] = s.retouch.model_dump(mode="json") | {"layout": 3}
        elif s.transfer.upsampling == "resize":
            known["layout"] = 2  # of the weights, which had other names before
        if s.transfer.start is not None:
            known["start"] = self._started_from(Path(s.transfer.start), faces)
        return {
            **self._fusion_inputs(faces),
            **known,
            "size": s.size,
            "transfer": s.transfer.model_dump(mode="json", exclude={"start"}),
        }

    def _started_from(self, start: Path, faces: FaceSet) -> str:
        """Hash of the model that training starts from, or started from where that is gone."""
        if start == self.folder.resolve():
            raise BadSetting(f"transfer.start = {start} is this run itself; choose another --run")
        known = read_stage(self.folder / "transfer") or {"inputs": {}}
        if "start" in known["inputs"] and not (start / "transfer" / MODEL).is_file():
            return str(known["inputs"]["start"])
        theirs = (read_stage(start / "transfer") or {"inputs": {}})["inputs"]
        if theirs.get("faces") == faces.key and theirs.get("parts") != self.split().key:
            raise LeakySplit(
                f"transfer.start = {start} learnt from the same faces in another split: people who "
                "are to be unseen were seen there; use the same split and fold"
            )
        return file_sha256(model_of(start))

    def fusion(self) -> LandmarkFusion:
        """Stage 1: the trained Φ; trained now, or on from its checkpoint, unless it is finished."""
        if self.phi_of is not None:
            return self.phi_of.fusion()
        faces = self.faces()
        inputs = self._fusion_inputs(faces)
        with self.stage("fusion", inputs) as (folder, finished):
            if finished:
                return LandmarkFusion.load(folder, self.settings)
            if team().is_main_process:
                self._write_split()  # before the work: a run that goes on may need it
            key = digest(inputs)
            fusion = LandmarkFusion.fit(faces, self.split(), self.settings, folder, key)
            if team().is_main_process:
                fusion.save(folder)
        return fusion

    def model(self) -> Painter:
        """Stage 2: the trained Ω with its Φ; trained now, or on from its checkpoint, unless it is
        finished. `processes` of the settings share each batch.

        raises  ProcessDied when one of several processes ends before the work is done
        """
        fusion = self.fusion()
        faces = self.faces()
        inputs = self.transfer_inputs(faces)
        if self.settings.processes > 1 and team().num_processes == 1:
            with only_one(self.folder / "transfer"):
                finished = is_finished(self.folder / "transfer", inputs, self.overwrite)
            if not finished:
                self.write_card()
                launch(self.settings.processes, "train", "transfer", "--run", str(self.folder))
        with self.stage("transfer", inputs) as (folder, finished):
            if finished:
                return self.method.load(folder, self.settings)
            model = self.method.untrained(fusion, self.settings)
            model.fit(faces, self.split(), self.settings, folder, digest(inputs))
            if team().is_main_process:
                model.save(folder)
        return model

    def trained_model(self) -> Painter:
        """The finished model, to use. Raises BrokenCheckpoint when training has not finished."""
        folder = self.folder / "transfer"
        known = read_stage(folder)
        if not (folder / "model.safetensors").is_file() or (known and not known["finished"]):
            raise BrokenCheckpoint(
                f"{self.folder} holds no finished model; run `expr-lib train transfer --run "
                f"{self.folder}` with the same faces and settings first"
            )
        return self.method.load(folder, self.settings)

    def export(self, out: Path) -> None:
        """Write the finished model alone, in half precision: a small run folder to use and to give
        away, with `run.json` and `transfer/model.safetensors`.

        raises  BrokenCheckpoint when training has not finished; OutputExists when `out` holds
                something; OutputFailed
        """
        model, out = self.trained_model(), Path(out).resolve()
        if any(out.glob("*")):
            raise OutputExists(f"{out} holds something already; choose another --out")
        card = self._known_card() | {"faces": None, "root": None}  # other machines have no such
        if "settings" in card:
            card["settings"]["transfer"]["start"] = None
        with whole_folder(out) as folder:
            model.save(folder / "transfer", half=True)
            write_json(folder / "run.json", card)

    @contextmanager
    def stage(
        self, name: str, inputs: dict[str, Any], replace: bool = False
    ) -> Iterator[tuple[Path, bool]]:
        """Hold a stage's folder and say whether it is finished; when the block ends it is.

        replace  True for work that is quickly made again
        raises   RunBusy; OutputExists when the folder holds work of other inputs and overwrite is
                 off
        """
        folder = self.folder / name
        card = folder / CARD
        if not team().is_main_process:
            yield folder, from_first(False)
            team().wait_for_everyone()
            return
        with only_one(folder):
            finished = is_finished(folder, inputs, self.overwrite or replace)
            if not finished:
                if not replace:  # measuring again changes nothing that the run's card says
                    self.write_card()
                write_json(card, {"finished": False, "inputs": inputs})
            start = time.perf_counter()
            yield folder, from_first(finished)
            if not finished:
                seconds = round(time.perf_counter() - start, 1)
                write_json(
                    card, {"finished": True, "last_start_seconds": seconds, "inputs": inputs}
                )
                shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
                (folder / BEST).unlink(missing_ok=True)
            team().wait_for_everyone()

    def check_stages(self) -> None:
        """See that no stage holds work of other settings, before anything is started.

        raises  RunBusy; OutputExists when one does and overwrite is off; with it, it is removed
        """
        faces = self.faces()
        for name, inputs in (
            ("fusion", self._fusion_inputs(faces)),
            ("transfer", self.transfer_inputs(faces)),
        ):
            with only_one(self.folder / name):
                is_finished(self.folder / name, inputs, self.overwrite)


def start_run(
    preset: str,
    overrides: Sequence[str] = (),
    *,
    run: Path | str | None = None,
    source: str = "synthetic",
    root: Path | str | None = None,
    jobs: int = 2,
    overwrite: bool = False,
) -> Run:
    """The run that a preset, its overrides and a source describe; nothing is done yet.

    raises  UnknownPreset, BadSetting; SourceError when the source needs a root and has none
    """
    settings = load_settings(preset, overrides)
    if source in ("folder", "rafd", "ckplus") and not root:
        raise SourceError(f"source {source} needs --root: the folder that holds its photos")
    return Run(
        Path(run) if run else default_run(preset, source, overrides),
        settings,
        source=source,
        root=Path(root) if root else None,
        jobs=jobs,
        overwrite=overwrite,
    )
