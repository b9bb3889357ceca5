"""``amiss evaluate``: measure an inspector on images whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.console import progress_display, say, say_json

if TYPE_CHECKING:
    from amiss.evaluation import Evaluation


def evaluate(
    model: Annotated[Path, typer.Argument(help="An artefact that `amiss fit` wrote.")],
    data: Annotated[str, typer.Argument(help="A data-set root with test images, or elpv:mono.")],
    output: Annotated[Path | None, typer.Option(help="Folder for report.html and evaluation.json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure false alarms, detections and areas under curves on a data set with known truth."""
    from amiss.data import open_dataset
    from amiss.evaluation import evaluate as measure
    from amiss.inspector import Inspector

    inspector = Inspector.load(model)
    dataset = open_dataset(data, seed=inspector.record.seed)
    with progress_display() as progress:
        evaluation = measure(inspector, dataset, progress=progress)
    if output is not None:
        import json as codec

        from amiss.reporting import write_report
        from amiss.storage import write_file

        write_report(output / "report.html", evaluation, inspector, dataset)
        write_file(output / "evaluation.json", codec.dumps(evaluation.summary(), indent=2, allow_nan=False).encode())
    if json:
        say_json(evaluation.summary())
        return
    say(*summary_lines(evaluation))
    if output is not None:
        say(f"Report: {output / 'report.html'}")


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The result for a person."""
    summary = evaluation.summary()
    names = {
        "image_auroc": "image AUROC",
        "image_ap": "image AP",
        "image_f1_max": "image F1 max (oracle)",
        "pixel_auroc": "pixel AUROC",
        "pixel_ap": "pixel AP",
        "pixel_aupro": "AUPRO to FPR 0.3",
        "pixel_aupro_05": "AUPRO to FPR 0.05",
    }
    measured = [f"{label} {summary[key]:.4f}" for key, label in names.items() if summary[key] is not None]
    interval, seconds = summary["image_auroc_interval"], summary["seconds_per_image"]
    if interval and measured:
        measured[0] += f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"
    return [
        f"{summary['dataset']}: {summary['n_good']} good and {summary['n_defective']} defective test images, "
        f"{summary['method']}",
        f"false alarms: {evaluation.false_alarms}",
        f"detections:   {evaluation.detections}",
        *([f"errors:       {len(summary['errors'])} pictures could not be inspected"] if summary["errors"] else []),
        *measured,
        *([f"{1000 * seconds:.1f} ms a picture, from file to verdict"] if seconds is not None else []),
        evaluation.statement,
    ]
