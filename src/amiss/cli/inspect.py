"""``amiss inspect``: one verdict per image."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend, backend_line
from amiss.cli.console import progress_display, say, say_json
from amiss.cli.online_lines import decide_in_turn, read_batch
from amiss.core.listing import describe_ignored

if TYPE_CHECKING:
    from amiss.core.images import Images
    from amiss.core.verdict import Verdict


def inspect(
    model: Annotated[Path, typer.Argument(help="Artefact written by `amiss fit`.")],
    images: Annotated[list[Path], typer.Argument(help="Images or folders.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for overlays, masks, results.csv and results.jsonl.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Also decide over all images together, with at most this share of false discoveries, such as 10%."
        ),
    ] = None,
    shift: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --batch: decide part by part, in shifts of this many parts; none waits for a later one.",
        ),
    ] = None,
    backend: Backend = "onnxruntime",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")] = False,
) -> None:
    """Tell good from anomalous. Exits with 3 when an image could not be inspected."""
    from amiss.core.verdict import Label
    from amiss.front import load
    from amiss.reporting import ResultsWriter

    together = read_batch(batch, shift)
    inspector = load(model, backend=backend)
    found = _images(images)
    root = images[0] if len(images) == 1 and images[0].is_dir() else None
    writer = nullcontext(None) if output is None else ResultsWriter(output, inspector.rule, root=root)
    counts: Counter[str] = Counter()
    judged: list[tuple[str, float | None]] = []
    with writer as results, progress_display() as progress:
        for index, verdict in enumerate(inspector.inspect(found, progress=progress)):
            counts[str(verdict.label)] += 1
            judged.append((verdict.name, verdict.p_value))
            if results is not None:
                results.add(verdict, None if verdict.label is Label.ERROR else found[index])
            if json:
                say_json(verdict.summary())
            else:
                say(_line(verdict))
    if together is not None:
        _decide_together(judged, together, inspector.rule.n, json, shift)
    if not json:
        say(f"{len(found)} images: " + ", ".join(f"{counts[label]} {label}" for label in sorted(counts)))
        say(inspector.statement(), *backend_line(inspector, backend))
        if found.ignored:
            say(describe_ignored(found.ignored))
        if output is not None:
            say(f"Written to {output}")
    if counts[Label.ERROR]:
        raise typer.Exit(3)


def _decide_together(
    judged: list[tuple[str, float | None]], rate: float, n: int, json: bool, shift: int | None
) -> None:
    """Benjamini-Hochberg over all images of this run, or part by part in shifts."""
    if shift is not None:
        decide_in_turn(judged, rate, shift, n, json)
        return
    from amiss.core.errors import CalibrationError
    from amiss.core.words import percent
    from amiss.rules import benjamini_hochberg

    if n == 0:
        raise CalibrationError("--batch needs p-values, and this rule was never calibrated; see amiss calibrate")
    decision = benjamini_hochberg([float("nan") if p is None else p for _, p in judged], rate, n=n)
    named = [name for (name, _), rejected in zip(judged, decision.rejected, strict=True) if rejected]
    if json:
        say_json({"batch": {"rate": rate, "judged": decision.judged, "named": named, "warning": decision.warning}})
        return
    say(
        f"Together, {len(named)} of {decision.judged} images are named anomalous; on average at most {percent(rate)} "
        f"of such names are good parts (Benjamini-Hochberg, n = {n}).",
        *(f"  {name}" for name in named),
        *([f"Mind: {decision.warning}"] if decision.warning else []),
    )


def _images(sources: list[Path]) -> Images:
    """All images of several files and folders, in the order given."""
    from amiss.core.images import Images

    return Images.join([Images(source) for source in sources])


def _line(verdict: Verdict) -> str:
    from amiss.core.verdict import Label

    if verdict.label is Label.ERROR:
        return f"ERROR      {verdict.name}: {verdict.reason}"
    p_value = "" if verdict.p_value is None else f"p = {verdict.p_value:.4f}  "
    where = ""
    if verdict.regions:
        left, top, width, height = verdict.regions[0].box
        where = f"  {len(verdict.regions)} region(s), strongest {width} x {height} at ({left}, {top})"
    return f"{verdict.label.upper():<10} {verdict.name}  {p_value}score = {verdict.score:.4g}{where}"
