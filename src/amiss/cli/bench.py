"""``amiss bench``: compare methods on data sets with known truth, over seeds, with what others have published.

Nothing can be chosen by test scores: no option picks an epoch, a setting or a seed; every seed counts; runs with
``--set`` make rows of their own that are ranked nowhere. `amiss.evaluation.benchmark.runs` says how that is so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.common_options import Json, output_option
from amiss.cli.console import (
    aside,
    hold_folder,
    parse_numbers,
    parse_settings,
    parse_size,
    parse_words,
    plain,
    say,
    say_json,
)
from amiss.cli.exit_codes import ExitCode
from amiss.core.progress import Progress, silent

if TYPE_CHECKING:
    from amiss.evaluation.benchmark.lines import Line
    from amiss.evaluation.benchmark.runs import BenchmarkPlan, Launch, Step


DataOption = Annotated[
    list[str],
    typer.Argument(help="Data sets with test images: folders, names of folders in AMISS_DATA, or elpv:mono."),
]
Methods = Annotated[
    str, typer.Option(help="Method names (see `amiss methods`) or module:Class, separated by commas; or all.")
]
PresetsOption = Annotated[str, typer.Option(help="Presets of each method, separated by commas.")]
Seeds = Annotated[str, typer.Option(help="Random seeds, separated by commas; all of them count.")]
Size = Annotated[str, typer.Option(help="Input size in pixels: 256, or 256x384 (height x width).")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A hyper-parameter, name=value. Reported in rows of its own, not as the preset."),
]
Output = Annotated[Path, output_option("Folder for the results (METHOD.jsonl) and the tables.")]
SkipMissing = Annotated[bool, typer.Option("--skip-missing", help="Skip data sets that are not on this machine.")]
Again = Annotated[bool, typer.Option("--again", help="Repeat finished runs.")]
On = Annotated[str, typer.Option(help="Who works: local (one run at a time) or ray (a cluster).")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="With --on ray: how many runs at once. Default: the cores of the cluster.")
]


def bench(
    context: typer.Context,
    data: DataOption,
    methods: Methods = "all",
    presets: PresetsOption = "default",
    seeds: Seeds = "0,1,2",
    size: Size = "256",
    settings: Settings = None,
    output: Output = Path("bench"),
    skip_missing: SkipMissing = False,
    again: Again = False,
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Measure methods x data sets x seeds, each run in its own process; finished runs are kept.

    A second call does only what is missing or has failed. Exit code 3: some run failed, see its reason in the tables.
    """
    from amiss.evaluation.benchmark.runs import kept_lines, other_commits, plan_runs, run_all

    launch = _launch(on, workers)
    hold_folder(context, output)
    plan = plan_runs(
        data,
        _methods(methods),
        presets=parse_words("presets", presets),
        seeds=parse_numbers("seeds", seeds),
        size=parse_size(size),
        settings=parse_settings(settings or []),
        skip_missing=skip_missing,
    )
    kept = {} if again else kept_lines(plan.runs, output)
    _introduce(plan, len(kept), other_commits(kept.values()))
    with _display() as (tell, progress):
        lines = run_all(plan, output, again=again, tell=tell, progress=progress, launch=launch)
    _conclude(plan, lines, len(kept), output, json)


def _launch(on: str, workers: int | None) -> Launch | None:
    """Who does the runs; None for this machine, one after the other."""
    from amiss.core.errors import InputError
    from amiss.shards.run import Options

    options = Options(on, workers)
    if options.on == "local":
        if workers is not None:
            raise InputError("--workers must come with --on ray, since costs are measured of one run at a time")
        return None
    from amiss.shards.on_ray import launch_runs

    return lambda runs: launch_runs(runs, options.workers)


def _introduce(plan: BenchmarkPlan, kept: int, commits: list[str]) -> None:
    for name, reason in plan.skipped:
        aside(f"skipped {name}: {reason}")
    if kept:
        aside(f"{kept} of {len(plan.runs)} runs are finished already")
    if commits:
        aside(f"some of them by other code ({', '.join(commits)}); --again does them again")


def _conclude(plan: BenchmarkPlan, lines: list[Line], kept: int, output: Path, json: bool) -> None:
    failed = [line for line in lines if "failed" in line]
    tables, statements = _write_tables(output) if lines else ([], [])
    if json:
        counts = {"runs": len(lines), "kept": kept, "failed": len(failed)}
        skipped = [{"data": name, "reason": reason} for name, reason in plan.skipped]
        say_json({"output": str(output), **counts, "skipped": skipped, "ranks": statements, "lines": lines})
    elif lines:
        say(*statements, f"{len(lines) - len(failed)} of {len(lines)} runs have figures.")
        say(*(f"failed: {line['method']}, {line['data']}, seed {line['seed']}: {line['failed']}" for line in failed))
        say(f"Tables: {', '.join(str(path) for path in tables)}")
    else:
        say("Nothing to do: none of the data sets is on this machine.")
    if failed:
        raise typer.Exit(ExitCode.UNUSABLE)


def _write_tables(output: Path) -> tuple[list[Path], list[str]]:
    """Tables of everything kept in the folder, and what the ranks show."""
    from amiss.evaluation.benchmark.lines import read_lines
    from amiss.evaluation.benchmark.ranks import rank_rows
    from amiss.evaluation.benchmark.table import table_of
    from amiss.evaluation.benchmark.text import RANKED, csv_text, markdown, sheets
    from amiss.reporting.benchmark_page import write_benchmark_page
    from amiss.storage import write_file

    table = table_of(read_lines(output))
    rankings = [rank_rows(table, metric) for metric in RANKED]
    found = sheets(table, rankings)
    write_file(output / "table.md", markdown(found).encode())
    write_file(output / "table.csv", csv_text(table, rankings).encode())
    write_benchmark_page(output / "table.html", table, rankings, found)
    paths = [output / f"table.{kind}" for kind in ("md", "csv", "html")]
    return paths, [ranking.statement() for ranking in rankings if ranking.labels]


def _methods(text: str) -> list[str]:
    from amiss.registry import list_methods

    return list(list_methods()) if text.strip() == "all" else parse_words("methods", text)


@contextmanager
def _display() -> Iterator[tuple[Callable[[Step], None], Progress]]:
    """A progress bar with the time left on a terminal, else one line per run; always on standard error."""
    if not sys.stderr.isatty():
        yield _log, silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns: tuple[Any, ...] = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as bars:
        task, left = bars.add_task(""), ""

        def tell(step: Step) -> None:
            nonlocal left
            if step.run is not None:
                bars.console.print(plain(_outcome(step)), markup=False, highlight=False)
            left = _left(step)
            bars.update(task, completed=step.done, total=step.total, description=left)

        def progress(stage: str, done: int, total: int, note: str = "") -> None:
            bars.update(task, description=f"{left}  {stage} {done}/{total} {plain(note)}")

        yield tell, progress


def _log(step: Step) -> None:
    if step.run is not None:
        left = _left(step)
        aside(f"[{step.done}/{step.total}] {_outcome(step)}{f'; {left}' if left else ''}")


def _outcome(step: Step) -> str:
    line = step.line or {}
    if "failed" in line:
        return f"{step.run}: failed: {line['failed']}"
    area = line["image_auroc"]
    return f"{step.run}: image AUROC {'undefined' if area is None else f'{area:.4f}'}, fit {line['fit_seconds']:.0f} s"


def _left(step: Step) -> str:
    if step.seconds_left is None or step.done == step.total:
        return ""
    minutes = round(step.seconds_left / 60)
    if minutes >= 60:
        return f"about {minutes // 60} h {minutes % 60} min left"
    return f"about {minutes} min left" if minutes else f"about {max(1, round(step.seconds_left))} s left"
