"""The command line: `expr-lib` or `python -m expr_lib`."""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from expr_lib.errors import BadSetting, ExprLibError, NotebooksMissing

if TYPE_CHECKING:
    from expr_lib.sources import PhotoSource

Overrides = Annotated[
    tuple[str, ...],
    tyro.conf.arg(name="set", metavar="NAME=VALUE ...", help="settings that change the preset"),
]


def synthesize(
    people: int,
    out: Path,
    expressions: str = "all",
    size: int = 256,
    seed: int = 0,
    jobs: int = 2,
    yaws: str = "0",
    gazes: str = "frontal",
    intensities: str = "1",
    layout: Literal["drawn", "rafd", "ckplus"] = "drawn",
) -> None:
    """Draw the embedded faces: photos, photos.csv (the photo table) and landmarks.npy (true ones,
    pixels). Every combination of expression, yaw, gaze and intensity is drawn.

    Args:
        people: how many people to draw
        out: folder to write to
        expressions: all, or words such as neutral,happy
        size: side of the photos, pixels, even
        seed: another seed draws other people
        jobs: processes at work
        yaws: all (RaFD's five), or degrees such as -45,0,45; above 0 turns to the image's right
        gazes: all, or words such as left,frontal,right; left is the image's left
        intensities: strengths of the expressions, such as 0.5,1; neutral is drawn once
        layout: names and folders as of RaFD or CK+, which say themselves what is drawn: only
            people, out, size, seed and jobs count then
    """
    from expr_lib.photos import EXPRESSIONS
    from expr_lib.sources import synthetic
    from expr_lib.sources.synthetic.layout import GAZE_DEGREES, RAFD_YAWS

    if layout != "drawn":
        from expr_lib.sources.synthetic.published import draw_as_published

        count = draw_as_published(layout, out, people, size=size, seed=seed, jobs=jobs)
        print(f"photos: {count}, people: {people}, in {out}, as of {layout}")
        return
    table = synthetic.synthesize(
        out,
        people,
        EXPRESSIONS if expressions == "all" else tuple(expressions.split(",")),
        size,
        seed,
        jobs,
        yaws=RAFD_YAWS if yaws == "all" else _numbers("yaws", yaws),
        gazes=tuple(GAZE_DEGREES) if gazes == "all" else tuple(gazes.split(",")),
        intensities=_numbers("intensities", intensities),
    )
    print(f"photos: {len(table)}, people: {people}, in {out}")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise BadSetting(
            f"--{option} is {text!r}; give numbers with commas between them, such as 0.5,1"
        ) from None


def _list_photos(source: str, root: Path | None, overrides: Overrides) -> "PhotoSource":
    """List a source's photos, and say what is to be known about them."""
    from expr_lib.config import load_settings
    from expr_lib.sources import load_photos

    found = load_photos(source, root, load_settings("paper", overrides).photos)
    for warning in found.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return found


def photos(
    source: str,
    root: Path | None = None,
    csv: Path | None = None,
    set_: Overrides = (),
) -> None:
    """List the photos of a source: counts, and every difference from what was published.

    Args:
        source: synthetic, london, folder, rafd or ckplus
        root: where the photos are; london downloads itself without it
        csv: file for the photo table, a row a photo
    """
    from expr_lib.files import write_text

    table = _list_photos(source, root, set_).table
    print(f"{source}: photos {len(table)}, people {table['person'].nunique()}")
    for column in ("expression", "gaze", "yaw"):
        counts = table[column].value_counts(sort=False).sort_index()
        if column == "expression" or len(counts) > 1:
            print(f"{column}: " + ", ".join(f"{word} {n}" for word, n in counts.items()))
    if csv is not None:
        write_text(csv, table.to_csv(index=False))
        print(f"photo table: {csv}")


def prepare(
    source: str,
    out: Path,
    root: Path | None = None,
    size: int = 256,
    jobs: int = 2,
    landmarks: Literal["dlib", "true"] = "dlib",
    set_: Overrides = (),
    overwrite: bool = False,
    scheduler: str | None = None,
) -> None:
    """Find landmarks, align the faces and write a FaceSet.

    Args:
        source: synthetic, london, folder, rafd or ckplus
        out: folder of the FaceSet
        root: where the photos are; london downloads itself without it
        size: side of the aligned crops, pixels
        jobs: processes at work
        landmarks: found by dlib, or those that the source knows: true ones of drawn faces, CK+'s
        overwrite: replace a FaceSet of other photos
        scheduler: address of a Dask cluster, such as tcp://host:8786; its workers see the same
            folders under the same paths, and all of its cores are used, whatever jobs says
    """
    from expr_lib.faceset import prepare as prepare_faces

    with _cluster_at(scheduler):  # a wrong address is said before the photos are listed
        found = _list_photos(source, root, set_)
        prepare_faces(found, out, size=size, jobs=jobs, landmarks=landmarks, overwrite=overwrite)


def _cluster_at(scheduler: str | None) -> AbstractContextManager[None]:
    if scheduler is None:
        return nullcontext()
    from expr_lib.cluster import on_cluster

    return on_cluster(scheduler)


def train(
    stage: Annotated[Literal["fusion", "transfer"], tyro.conf.Positional],
    run: Path,
    faces: Path | None = None,
    preset: str = "laptop",
    set_: Overrides = (),
    overwrite: bool = False,
) -> None:
    """Train stage 1 (fusion, Φ) or stage 2 (transfer, Ω); goes on where a killed run stopped.

    Args:
        stage: fusion, or transfer (which trains fusion first when that is missing)
        run: run folder
        faces: folder of a FaceSet; without it the run goes on as it was started
        preset: smoke, laptop, colab or paper
        overwrite: replace finished work of other settings
    """
    from expr_lib.config import load_settings
    from expr_lib.processes import team
    from expr_lib.runs import Run

    if faces is None:
        if set_ or overwrite or preset != "laptop":
            raise BadSetting("a run goes on with its own settings; give --faces to start another")
        job = Run.open(run)
    else:
        job = Run(run, load_settings(preset, set_), faces_at=faces, overwrite=overwrite)
    if stage == "fusion":
        job.fusion()
    else:
        job.model()
    if team().is_main_process:
        print(f"stage {stage} is finished: {run / stage}")


def evaluate(run: Path, out: Path | None = None, jobs: int = 2) -> None:
    """Measure a run's model beside its controls on unseen people: table.csv, table.md, figures.

    Args:
        run: run folder with a finished model
        out: folder to write to; the run's own by default
        jobs: processes at work
    """
    from expr_lib import evaluation
    from expr_lib.runs import Run

    job = Run.open(run)
    job.jobs = jobs
    print(evaluation.evaluate(job, out).markdown)
    print(f"tables and figures are in {out or run / 'evaluation'}")


def transfer(
    source: Path,
    target: Path,
    out: Path,
    run: Path | None = None,
    face: int | None = None,
    source_face: int | None = None,
) -> None:
    """Put the source photo's expression on the target photo's face: the aligned crop, at the
    model's size, in a file that says that it is generated.

    Args:
        source: photo that gives the expression
        target: photo that gives the person
        out: picture to write; .png, .jpg and .webp carry the mark (IPTC's DigitalSourceType),
            others cannot
        run: run folder with a finished model; without it the small model that comes with the
            library, which has learnt from drawn faces alone
        face: which face where a photo shows several, 1 is the largest
        source_face: the same for the source alone
    """
    from expr_lib.marking import MARKED_FORMATS
    from expr_lib.transfer import SHIPPED, ExpressionTransfer, format_of

    picture_format = format_of(out)  # a name that cannot be written is said before the work
    if run is None:
        print("note: this model has learnt from drawn faces alone, see --run", file=sys.stderr)
    model = ExpressionTransfer.load(run or SHIPPED)
    made = model(source, target, source_face if source_face is not None else face, face)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    made.write(out)
    if picture_format not in MARKED_FORMATS:
        print(
            f"note: {out} does not say that it is generated, since {picture_format} files are "
            "written without a mark; choose .png, .jpg or .webp",
            file=sys.stderr,
        )
    print(f"{out}: {made.result.shape[1]} x {made.result.shape[0]} pixels")


def export(run: Path, out: Path) -> None:
    """Write a run's model alone, in half precision: a folder of some megabytes that
    `transfer --run` reads.

    Args:
        run: run folder with a finished model
        out: folder to write to
    """
    from expr_lib.runs import Run

    Run.open(run).export(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB")


def reproduce(
    preset: str = "laptop",
    source: str = "synthetic",
    root: Path | None = None,
    run: Path | None = None,
    set_: Overrides = (),
    jobs: int = 2,
    overwrite: bool = False,
    cross_validate: bool = False,
    dry_run: bool = False,
) -> None:
    """Run the whole book with papermill: faces, both stages, evaluation, and report.html.

    Args:
        preset: smoke, laptop, colab or paper
        source: synthetic, london, folder, rafd or ckplus
        root: where the photos are; synthetic draws them and london downloads them without it
        run: run folder; data/runs/<preset>-<source> and the settings that differ by default
        jobs: processes that draw and prepare the faces
        overwrite: replace finished work of other settings
        cross_validate: train and measure on the other four folds too; mean and spread are reported
        dry_run: only say how many steps, how much memory and time it would take; nothing is kept
    """
    if dry_run:
        from expr_lib.config import load_settings
        from expr_lib.planning import plan

        print(plan(load_settings(preset, set_), source, root, jobs=jobs))
        return
    try:
        from expr_lib.reproduce import reproduce as run_book
    except ImportError as error:
        raise NotebooksMissing(
            f"{error}: reproduce runs notebooks; install them with `pip install "
            "'expr_lib[notebooks]'`"
        ) from None
    from expr_lib.runs import start_run

    job = start_run(preset, set_, run=run, source=source, root=root, jobs=jobs, overwrite=overwrite)
    report = run_book(job, list(set_), folds=cross_validate)
    print((job.folder / "evaluation" / "table.md").read_text(encoding="utf-8"))
    if cross_validate:
        print((job.folder / "folds" / "table.md").read_text(encoding="utf-8"))
    print(f"report: {report.resolve()}")


def compare(
    preset: str = "laptop",
    source: str = "synthetic",
    root: Path | None = None,
    run: Path | None = None,
    methods: str | None = None,
    budget: str | None = None,
    against: str = "paper",
    set_: Overrides = (),
    jobs: int = 2,
    overwrite: bool = False,
) -> None:
    """Train every method under one budget on one data set and print one table: controls, rivals,
    the paper's model, our own, and the ablations of both. Goes on where it was stopped. With the
    setting transfer.start=RUN each row starts from the same row of RUN's comparison.

    Args:
        preset: smoke, laptop, colab or paper
        source: synthetic, london, folder, rafd or ckplus
        root: where the photos are; synthetic draws them and london downloads them without it
        run: run folder, data/runs/<preset>-<source> by default; what is trained there is used, and
            alone it says with which settings
        methods: all, controls, rivals, ablations (of the paper's model), steps (of retouch), or
            names with commas; paper*3 takes three seeds; by default comparison.methods of the
            settings
        budget: photos shown to each method such as 20000images, or minutes of the paper's model
            such as 3min; by default comparison.images of the settings
        against: methods with commas that each other one is tested against
        jobs: processes that prepare and measure faces
        overwrite: replace finished work of other settings
    """
    from expr_lib.comparison import compare_methods, images_of
    from expr_lib.methods.catalogue import choose
    from expr_lib.reporting import write_comparison
    from expr_lib.runs import Run, start_run

    given = set_ or overwrite or root or (preset, source) != ("laptop", "synthetic")
    if run is not None and (run / "run.json").is_file() and not given:
        job = Run.open(run)
        job.jobs = jobs
    else:
        job = start_run(
            preset, set_, run=run, source=source, root=root, jobs=jobs, overwrite=overwrite
        )
    chosen = choose(methods or job.settings.comparison.methods)  # a wrong name: before the work
    references = [entry.name for entry, _ in choose(against)]
    images = job.settings.comparison.images if budget is None else images_of(job, budget)
    found = compare_methods(job, chosen, images)
    print(write_comparison(job, found, references))
    print(f"tables and pictures are in {job.folder / 'comparison'}")


def diff(
    first: Annotated[Path, tyro.conf.Positional],
    second: Annotated[Path, tyro.conf.Positional],
) -> None:
    """Print settings, versions and measures in which two runs differ, with their intervals.

    Args:
        first: run folder
        second: run folder
    """
    from expr_lib.run_diff import compare_runs

    print(compare_runs(first, second))


def settings(preset: str = "laptop") -> None:
    """Print every setting of a preset: the names that --set understands.

    Args:
        preset: smoke, laptop, colab or paper
    """
    from expr_lib.config import load_settings, setting_names

    chosen = load_settings(preset)
    for name in setting_names():
        value: Any = chosen
        for part in name.split("."):
            value = getattr(value, part)
        print(f"{name} = {','.join(value) if isinstance(value, tuple) else value}")


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (
        synthesize,
        photos,
        prepare,
        train,
        evaluate,
        transfer,
        export,
        reproduce,
        compare,
        diff,
        settings,
    )
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 0, 2 for a mistake in the input, 1 for a failure, 130 when
    interrupted."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given.count("--set") > 1:
            raise BadSetting("give all settings behind one --set, such as --set seed=1 fold=2")
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="expr-lib", description=__doc__, args=arguments
        )
        sys.stdout.flush()
    except ExprLibError as error:
        print(f"expr-lib: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "expr-lib: interrupted; the same command goes on from the last checkpoint",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
