"""``amiss inspect``: one verdict a picture."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.console import progress_display, say, say_json

if TYPE_CHECKING:
    from amiss.core.images import Images
    from amiss.core.verdict import Verdict


def inspect(
    model: Annotated[Path, typer.Argument(help="An artefact that `amiss fit` wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures or folders.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for overlays, masks, results.csv and results.jsonl.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a picture.")] = False,
) -> None:
    """Tell good from anomalous. Exits with 3 when a picture could not be inspected."""
    from amiss.inspector import Inspector
    from amiss.reporting import ResultsWriter

    inspector = Inspector.load(model)
    pictures = _pictures(images)
    root = images[0] if len(images) == 1 and images[0].is_dir() else None
    writer = nullcontext(None) if output is None else ResultsWriter(output, inspector.rule, root=root)
    counts: Counter[str] = Counter()
    with writer as results, progress_display() as progress:
        for index, verdict in enumerate(inspector.inspect(pictures, progress=progress)):
            counts[str(verdict.label)] += 1
            if results is not None:
                results.add(verdict, None if verdict.label == "error" else pictures[index])
            if json:
                say_json(verdict.summary())
            else:
                say(_line(verdict))
    if not json:
        say(f"{len(pictures)} pictures: " + ", ".join(f"{counts[label]} {label}" for label in sorted(counts)))
        say(inspector.statement())
        if pictures.ignored:
            say(f"Ignored {len(pictures.ignored)} files that are no pictures, such as {pictures.ignored[0]}.")
        if output is not None:
            say(f"Written to {output}")
    if counts["error"]:
        raise typer.Exit(3)


def _pictures(sources: list[Path]) -> Images:
    """All pictures of several files and folders, in the order given."""
    from amiss.core.images import Images

    parts = [Images(source) for source in sources]
    joined = Images([path for part in parts for path in part.paths])
    joined.ignored = tuple(path for part in parts for path in part.ignored)
    return joined


def _line(verdict: Verdict) -> str:
    if verdict.label == "error":
        return f"ERROR      {verdict.name}: {verdict.reason}"
    p_value = "" if verdict.p_value is None else f"p = {verdict.p_value:.4f}  "
    where = ""
    if verdict.regions:
        left, top, width, height = verdict.regions[0].box
        where = f"  {len(verdict.regions)} region(s), strongest {width} x {height} at ({left}, {top})"
    return f"{verdict.label.upper():<10} {verdict.name}  {p_value}score = {verdict.score:.4g}{where}"
