"""``amiss demo``: real solar cells, from good images to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amiss.cli.common_options import Json, output_option
from amiss.cli.console import hold_folder, progress_display, say, say_json
from amiss.cli.evaluate import summary_lines


def demo(
    context: typer.Context,
    output: Annotated[Path, output_option("Folder for model.amiss and report.html.")] = Path("demo"),
    json: Json = False,
) -> None:
    """Learn from 200 functional solar cells, inspect 701 others, and write a report."""
    from amiss.data import read_elpv
    from amiss.evaluation import evaluate
    from amiss.front import fit
    from amiss.reporting import write_report

    hold_folder(context, output)
    dataset = read_elpv("mono", train=200, seed=0)
    if not json:
        say(f"{dataset.name}: {len(dataset.normal)} functional solar cells to learn from ({dataset.licence}).")
    with progress_display() as progress:
        inspector = fit(dataset.normal, progress=progress)
        inspector.save(output / "model.amiss")
        evaluation = evaluate(inspector, dataset, progress=progress)
    write_report(output / "report.html", evaluation, inspector)
    if json:
        say_json(evaluation.summary())
        return
    say(*summary_lines(evaluation), f"Model:  {output / 'model.amiss'}", f"Report: {output / 'report.html'}")
