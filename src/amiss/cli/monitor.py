"""``amiss monitor``: has the process, the light or the camera changed, and since which part?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model, output_option
from amiss.cli.console import hold_folder, parse_number, parse_shifts, progress_display, say, say_json, unusable_lines
from amiss.cli.exit_codes import ExitCode
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.sentence import Sentence

if TYPE_CHECKING:
    from amiss.monitoring import ChartRun, Monitoring

ARL_HELP = Sentence(
    "Parts per false alarm, by all charts of scores together. While nothing changes, streams of 200 parts alarm in "
    "42 % of cases with 370, 18 % with 1000, 8 % with 2500, 4 % with 5000, 1 % with 20000; the charts of the images "
    "add as many.",
    "bench/promises.py arl-table",
)
"""Each share is 1 - exp(-200 / ARL)."""


Stream = Annotated[
    Path,
    typer.Argument(help="Folder of images, taken in order of name, or results.jsonl of `amiss inspect`."),
]
Output = Annotated[Path | None, output_option("Folder for monitor.html and monitor.json.")]
Arl = Annotated[float, typer.Option(parser=parse_number, metavar="<float>", help=ARL_HELP.template)]
Shifts = Annotated[
    str | None,
    typer.Option(help="20x200: of 20 shifts of 200 parts at most one alarms falsely. Instead of --arl."),
]
Chart = Annotated[
    str, typer.Option(help="Charts of scores, separated by commas: cusum, cusum-down, ewma, rate, martingale.")
]
Reference = Annotated[Path | None, typer.Option(help="Folder of good images to compare light and camera with.")]
Baseline = Annotated[int, typer.Option(help="Number of first images to compare with when there is no reference.")]
ImagesPerPart = Annotated[
    int, typer.Option(min=1, help="So many images in a row show one part; it gets the largest of their scores.")
]
ByTime = Annotated[bool, typer.Option("--by-time", help="Order images by file time.")]
Memory = Annotated[
    bool,
    typer.Option("--memory", help="Parts of this line always resemble the one before: take that out of the charts."),
]


def monitor(
    context: typer.Context,
    model: Model,
    stream: Stream,
    output: Output = None,
    arl: Arl = 370,
    shifts: Shifts = None,
    chart: Chart = "cusum,cusum-down,rate,martingale",
    reference: Reference = None,
    baseline: Baseline = 50,
    images_per_part: ImagesPerPart = 1,
    by_time: ByTime = False,
    memory: Memory = False,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Watch a production line. Exits with 4 when a chart alarms, else with 3 when an image could not be used."""
    from amiss.evaluation import watch
    from amiss.front import load
    from amiss.reporting.monitor_page import write_monitoring

    hold_folder(context, output)
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    with progress_display() as progress:
        found = watch(
            inspector,
            stream,
            charts=[name.strip() for name in chart.split(",") if name.strip()],
            arl=arl,
            shifts=None if shifts is None else parse_shifts(shifts),
            reference=reference,
            baseline=baseline,
            memory=memory,
            images_per_part=images_per_part,
            by_time=by_time,
            progress=progress,
        )
    pages = [] if output is None else write_monitoring(output, found, stream.resolve().name)
    if json:
        say_json(found.summary())
    else:
        say(*_lines(found), *(f"Written to {page}" for page in pages))
    if found.alarm:
        raise typer.Exit(ExitCode.PROMISE)
    if found.stream.errors:
        raise typer.Exit(ExitCode.UNUSABLE)


def _lines(found: Monitoring) -> list[str]:
    stream = found.stream
    runs: Sequence[ChartRun] = (*found.charts, *(run.chart for run in found.health))
    return [
        found.diagnosis.text,
        *(f"{run.name + ':':<13} {_words(found, run)}" for run in runs),
        *([] if found.health else [found.health_note]),
        *unusable_lines(stream.errors),
        *(f"Mind: {warning}" for warning in found.warnings),
        f"{len(stream)} parts, {len(stream.usable)} usable. {found.statement}",
        *([found.health_note] if found.health else []),
    ]


def _words(found: Monitoring, run: ChartRun) -> str:
    place: dict[str, Any] = run.summary(found.stream)
    if run.alarm is None:
        return f"no alarm ({place['promise']})"
    return f"ALARM {run.alarm.direction} {run.alarm.words(found.stream)}"
