"""``amiss monitor``: has the process, the light or the camera changed, and since which part?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.console import progress_display, say, say_json

if TYPE_CHECKING:
    from amiss.core.images import Images
    from amiss.core.progress import Progress
    from amiss.inspector import Inspector
    from amiss.monitoring import ChartRun, Health, Monitoring, Stream

UNUSABLE, ALARM = 3, 4
RESULTS = "results.jsonl"


def monitor(
    model: Annotated[Path, typer.Argument(help="An artefact that `amiss fit` wrote.")],
    stream: Annotated[
        Path,
        typer.Argument(help="Folder of pictures in the order of their names, or results.jsonl of `amiss inspect`."),
    ],
    output: Annotated[Path | None, typer.Option(help="Folder for monitor.html and monitor.json.")] = None,
    arl: Annotated[float, typer.Option(help="One false alarm in so many parts, by all charts together.")] = 370,
    chart: Annotated[
        str, typer.Option(help="Charts of scores: cusum, cusum-down, ewma, rate, martingale; commas between.")
    ] = "cusum,cusum-down,rate,martingale",
    reference: Annotated[
        Path | None, typer.Option(help="Folder of good pictures; light and camera are compared with them.")
    ] = None,
    baseline: Annotated[int, typer.Option(help="Without a reference: compare with so many first pictures.")] = 50,
    by_time: Annotated[bool, typer.Option("--by-time", help="Order pictures by the time of the file.")] = False,
    backend: Backend = "onnxruntime",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Watch a line. Exits with 4 when a chart alarms, else with 3 when a picture could not be used."""
    from amiss.front import load
    from amiss.monitoring import monitor as assess
    from amiss.reporting.monitor_page import write_monitoring

    inspector = load(model, backend=backend)
    with progress_display() as progress:
        parts = _read(inspector, stream, by_time, progress)
        usual = [] if reference is None else _reference(reference, progress)
    found = assess(
        parts,
        inspector.rule.normal,
        threshold=inspector.rule.threshold,
        charts=[name.strip() for name in chart.split(",") if name.strip()],
        arl=arl,
        reference=usual,
        baseline=baseline,
        notes=_notes(inspector),
    )
    pages = [] if output is None else write_monitoring(output, found, stream.resolve().name)
    if json:
        say_json(found.summary())
    else:
        say(*_lines(found), *(f"Written to {page}" for page in pages))
    if found.alarm:
        raise typer.Exit(ALARM)
    if parts.errors:
        raise typer.Exit(UNUSABLE)


def _read(inspector: Inspector, source: Path, by_time: bool, progress: Progress) -> Stream:
    """Pictures are inspected and measured; results are read, and measured where their pictures are still there."""
    from dataclasses import replace

    from amiss.core.errors import InputError
    from amiss.core.images import Images
    from amiss.monitoring import read_results

    results = source / RESULTS if source.is_dir() and (source / RESULTS).is_file() else source
    if results.suffix.lower() != ".jsonl":
        return _inspect(inspector, Images(source), by_time, progress)
    if by_time:
        raise InputError(f"--by-time arrived with {results.name}; its order is that of its lines, leave the option out")
    stream = read_results(results, inspector.rule.normal)
    return replace(stream, health=_measure_again(stream, progress))


def _inspect(inspector: Inspector, images: Images, by_time: bool, progress: Progress) -> Stream:
    from amiss.core.errors import DataError, ImageError
    from amiss.monitoring import Stream, measure

    paths = [path for path in images.paths if path is not None]
    times = [path.stat().st_mtime for path in paths] if by_time else []
    order = sorted(range(len(paths)), key=lambda at: (times[at] if times else 0.0, _natural(paths[at])))
    images = images.subset(order)
    known, seen = inspector.seen, 0
    rows: list[tuple[float | None, str, Health | None]] = []
    for index, name in enumerate(images.names):
        try:
            picture = images[index]
            score = inspector.inspect_one(picture, name=name).score
        except ImageError as error:
            rows.append((None, error.reason, None))
        else:
            seen += images.sha256(index) in known
            rows.append((score, "", measure(picture)))
        progress("inspecting", index + 1, len(images))
    if seen:
        raise DataError(f"the model has learned from or is calibrated on {seen} of {len(images)} pictures; give others")
    scores, reasons, health = zip(*rows, strict=True)
    return Stream(scores, images.names, reasons, [_time(times[at]) for at in order] if times else [], health)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts part9 before part10, folder by folder."""
    return [
        (int(piece) if piece.isdecimal() else -1, piece)
        for folder in path.parts
        for piece in (*re.split(r"(\d+)", folder), "/")
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _measure_again(stream: Stream, progress: Progress) -> list[Health | None]:
    """Measures of the pictures that a file of results names; nothing when one of them is no longer there."""
    from amiss.core.decode import read_image
    from amiss.core.errors import ImageError
    from amiss.monitoring import measure

    paths = {int(part): Path(stream.names[part]) for part in stream.usable}
    if not all(path.is_file() for path in paths.values()):
        return []
    health: list[Health | None] = [None] * len(stream)
    for done, (part, path) in enumerate(paths.items(), start=1):
        try:
            health[part] = measure(read_image(path))
        except ImageError:
            return []
        progress("measuring", done, len(paths))
    return health


def _reference(folder: Path, progress: Progress) -> list[Health]:
    """Raises the `ImageError` of a picture that cannot be used: a reference is chosen by hand."""
    from amiss.core.images import Images
    from amiss.monitoring import measure

    images = Images(folder)
    health = []
    for done, picture in enumerate(images, start=1):
        health.append(measure(picture))
        progress("reference", done, len(images))
    return health


def _notes(inspector: Inspector) -> list[str]:
    calibration = inspector.record.calibration
    lower = "so scores may seem to fall without a cause, and rising ones are noticed later."
    notes = []
    if calibration.kind == "folds":
        notes.append(f"Calibration was by folds: good parts now score slightly lower than it says, {lower}")
    if calibration.images > calibration.n:
        notes.append(f"Calibration took the largest of several pictures a part; single ones score lower, {lower}")
    return notes


def _lines(found: Monitoring) -> list[str]:
    stream = found.stream
    runs: Sequence[ChartRun] = (*found.charts, *(run.chart for run in found.health))
    return [
        found.diagnosis.text,
        *(f"{run.name + ':':<13} {_words(found, run)}" for run in runs),
        *([] if found.health else [found.health_note]),
        *(f"Unusable: {name}: {reason}" for name, reason in stream.errors[:20]),
        *([f"and {len(stream.errors) - 20} more"] if len(stream.errors) > 20 else []),
        *(f"Mind: {warning}" for warning in found.warnings),
        f"{len(stream)} parts, {len(stream.usable)} usable. {found.statement}",
        *([found.health_note] if found.health else []),
    ]


def _words(found: Monitoring, run: ChartRun) -> str:
    place: dict[str, Any] = run.summary(found.stream)
    if run.alarm is None:
        return f"no alarm ({place['promise']})"
    end = "still beyond its limit" if run.alarm.lasting else "now inside its limit"
    return (
        f"ALARM {run.alarm.direction} at {found.stream.describe(run.alarm.part)}, "
        f"changed since {found.stream.describe(run.alarm.changed.first)}, {end}"
    )
