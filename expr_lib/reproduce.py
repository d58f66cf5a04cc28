"""The whole book in one command: papermill runs the chapters in one run folder, and a report
gathers what they made."""

import base64
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
import psutil
from jinja2 import Environment, select_autoescape
from markupsafe import Markup
from mistune import create_markdown
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError

from expr_lib.errors import ExprLibError, SourceError
from expr_lib.evaluation import FIGURES
from expr_lib.files import only_one, write_text
from expr_lib.folds import cross_validate
from expr_lib.provenance import REPOSITORY, ROOT
from expr_lib.runs import Run

COSTS = Path("chapters") / "costs.csv"
"""In a run's folder, what its chapters took when they last ran."""


class ChapterFailed(ExprLibError):
    """A notebook that stopped with an error."""

    exit_code = 1


@dataclass
class Cost:
    """What a chapter took this time: minutes, and the most memory, GB, that its processes held."""

    minutes: float = 0.0
    gigabytes: float = 0.0

    def __str__(self) -> str:
        return f"{self.minutes:.1f} min, at most {self.gigabytes:.1f} GB"


@contextmanager
def watch_cost() -> Iterator[Cost]:
    """Measure the processes that are started inside the block, looking twice a second."""
    cost, ended, start = Cost(), threading.Event(), time.monotonic()

    def look() -> None:
        while not ended.wait(0.5):
            held = sum(map(_held_by, psutil.Process().children(recursive=True)))
            cost.gigabytes = max(cost.gigabytes, held / 1e9)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield cost
    finally:
        ended.set()
        looking.join()
        cost.minutes = (time.monotonic() - start) / 60


def _held_by(process: psutil.Process) -> int:
    """Bytes of a process; those that it shares with others count in part where the system says."""
    try:
        held = process.memory_full_info()
    except psutil.Error:  # it has ended, or is not ours to look at
        return 0
    return int(getattr(held, "pss", held.uss))


def chapters() -> list[Path]:
    """The numbered notebooks, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def reproduce(run: Run, overrides: list[str], folds: bool = False) -> Path:
    """Run every chapter with papermill in the run's folder and write report.html.

    overrides  the `name=value` texts that made the run's settings
    folds      True trains and measures on the other four folds too, see `cross_validate`
    returns    path of the report
    raises     RunBusy, ChapterFailed; whatever the first stage that is wrong would raise
    """
    if not chapters():
        raise SourceError(
            f"there are no chapters in {ROOT / 'notebooks'}; reproduce works in a clone of the "
            "repository, not in an installed package"
        )
    with only_one(run.folder):
        run.check_stages()  # a mistake is one sentence here, a notebook's traceback later
        run.write_card()
        parameters = {
            "preset": run.settings.preset,
            "overrides": " ".join(_for_chapters(run, override) for override in overrides),
            "source": run.source,
            "root": str(run.root) if run.root is not None else "",
            "run": str(run.folder.resolve()),
        }
        costs = {}
        for chapter in chapters():
            with watch_cost() as costs[chapter.stem]:
                _run_chapter(chapter, run.folder, parameters)
            print(f"chapter {chapter.stem}: {costs[chapter.stem]}", flush=True)
        table = pd.DataFrame.from_dict({name: vars(cost) for name, cost in costs.items()}, "index")
        write_text(run.folder / COSTS, table.round(4).to_csv(index_label="chapter"))
        over_folds = cross_validate(run) if folds else ""
        report = run.folder / "report.html"
        write_text(report, render_report(run, costs, over_folds))
    return report


def _for_chapters(run: Run, override: str) -> str:
    """An override as chapters can read it: without blanks, and from their own folder."""
    name = override.partition("=")[0].strip()
    return f"split={run.settings.split}" if name == "split" else override.replace(" ", "")


def _run_chapter(chapter: Path, folder: Path, parameters: dict[str, Any]) -> None:
    print(f"chapter {chapter.stem}", flush=True)
    executed = folder / "notebooks" / chapter.name
    executed.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            chapter,
            executed,
            parameters=parameters,
            kernel_name="python3",
            cwd=chapter.parent,
            progress_bar=False,
            log_output=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
        )
    except (RuntimeError, KeyError) as error:  # a kernel that died, or that is not installed
        raise ChapterFailed(
            f"chapter {chapter.name} lost its kernel ({error}); if memory ran out, choose a "
            "smaller preset or batch, and run the same command again"
        ) from None
    except PapermillExecutionError as error:
        lines = str(error.evalue).strip().splitlines() or ["no message"]
        raise ChapterFailed(
            f"chapter {chapter.name} stopped with {error.ename}: {lines[0]} (executed as far as "
            f"that in {executed}); mend the cause and run the same command again"
        ) from None
    write_text(folder / "chapters" / f"{chapter.stem}.html", as_page(executed, chapter))


def as_page(executed: Path, chapter: Path) -> str:
    """An executed chapter as one HTML page to read, its pictures inside.

    Links to other chapters lead to their pages, those to other files to the repository.
    """
    notebook = nbformat.read(executed, 4)
    pages = {f"{other.stem}.ipynb": f"{other.stem}.html" for other in chapters()}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(lambda link: _elsewhere(link, pages), cell["source"])
        else:
            _describe(cell)
    resources = {"metadata": {"path": str(chapter.parents[1]), "name": chapter.stem}}
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook, resources)
    return str(page)


def _describe(cell: nbformat.NotebookNode) -> None:
    """Give a code cell's pictures the text for who cannot see them: their own, or the cell's."""
    for output in cell.get("outputs", ()):
        about = output.get("metadata", {}).get("image/png", {})
        text = about.get("alt", cell["metadata"].get("alt"))
        if text is not None and (png := output.get("data", {}).pop("image/png", None)):
            wide = f' width="{about["width"]}"' if "width" in about else ""
            data = "".join(png.split())
            picture = f'<img alt="{escape(text)}"{wide} src="data:image/png;base64,{data}">'
            output["data"]["text/html"] = picture


_LINK = re.compile(r"(!?\[[^\]]*\])\(([^):#\s]+)\)")  # of files, not addresses


def _elsewhere(link: re.Match[str], pages: dict[str, str]) -> str:
    text, path = link.groups()
    if path in pages:
        return f"{text}({pages[path]})"
    inside = os.path.normpath(f"notebooks/{path}")
    return f"{text}({inside if text[0] == '!' else f'{REPOSITORY}/blob/main/{inside}'})"


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.85rem; }
th, td { border: 1px solid #bbb; padding: 0.3rem 0.6rem; text-align: left; }
img { max-width: 100%; }
figure { margin: 2rem 0; }
figcaption { color: #444; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{{ table }}
{% for name, caption, data in figures %}
<figure><img alt="{{ caption }}" src="data:image/png;base64,{{ data }}">
<figcaption>{{ caption }} ({{ name }})</figcaption></figure>
{% endfor %}
<h2>Chapters, as they ran</h2>
<ul>
{% for name, cost in costs.items() -%}
<li><a href="chapters/{{ name }}.html">{{ name }}</a>: {{ cost }}</li>
{% endfor %}
</ul>
<h2>Settings and versions</h2>
<pre>{{ card }}</pre>
</body>
</html>
"""


def render_report(run: Run, costs: dict[str, Cost], over_folds: str = "") -> str:
    """The report of a finished run as one page: table, figures, links to the chapters, settings
    and versions.

    costs       what each chapter took
    over_folds  the table of `cross_validate`, Markdown
    """
    folder = run.folder / "evaluation"
    figures = [
        (name, caption, base64.b64encode((folder / name).read_bytes()).decode())
        for name, caption in FIGURES.items()
        if (folder / name).is_file()
    ]
    markdown = (folder / "table.md").read_text(encoding="utf-8")
    card = (run.folder / "run.json").read_text(encoding="utf-8")
    template = Environment(autoescape=select_autoescape(default=True)).from_string(_TEMPLATE)
    return template.render(
        title=f"Facial expression transfer: preset {run.settings.preset}, source {run.source}",
        table=Markup(table_as_html(f"{markdown}\n{over_folds}")),
        figures=figures,
        costs=costs,
        card=card,
    )


def table_as_html(markdown: str) -> str:
    """Pipe tables and plain lines of a Markdown text as HTML, everything escaped."""
    return str(create_markdown(escape=True, plugins=["table"])(markdown))
