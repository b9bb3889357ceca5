"""``amiss inspect``: one verdict per image."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend, backend_line
from amiss.cli.common_options import Model, output_option
from amiss.cli.console import Unheard, aside, progress_display, say, say_json
from amiss.cli.exit_codes import ExitCode
from amiss.cli.online_lines import decide_in_turn, read_batch
from amiss.cli.pages_option import Pages
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.listing import describe_ignored
from amiss.core.progress import Progress
from amiss.core.sentence import Sentence

if TYPE_CHECKING:
    from amiss.core.images import Images
    from amiss.core.rule import Rule
    from amiss.core.verdict import Verdict
    from amiss.inspector import Inspector
    from amiss.reporting import Journal

TOGETHER = Sentence(
    "Together, {named} of {judged} images are named anomalous; on average at most {rate} of such names are good parts "
    "(Benjamini-Hochberg, n = {n}).",
    "tests/rules/test_batch.py::test_the_false_discovery_rate_holds_with_one_calibration_set_for_all_parts",
)

SHOWN = 10
"""Files that are listed for a person; JSON has all of them."""


ImagesOption = Annotated[list[Path], typer.Argument(help="Images or folders.")]
Output = Annotated[
    Path | None,
    output_option(
        "Folder for index.html, overlays, masks, results.csv and results.jsonl. Each verdict is kept at once."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run with this output, or begin one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results of another run with this output.")]
Batch = Annotated[
    str | None,
    typer.Option(
        help="Also decide over all images together, with at most this share of false discoveries, such as 10%."
    ),
]
Shift = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="With --batch: decide part by part, in shifts of this many parts; none waits for a later one.",
    ),
]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 5 when an image is anomalous or for review.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per image, and one for the run at the end.")]


def inspect(
    context: typer.Context,
    model: Model,
    images: ImagesOption,
    output: Output = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    batch: Batch = None,
    shift: Shift = None,
    pages: Pages = "one",
    exit_code: ExitCodeOption = False,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Tell good from anomalous. Exits with 3 when an image could not be inspected or drawn."""
    from amiss.core.errors import InputError
    from amiss.front import load
    from amiss.reporting import Journal
    from amiss.reporting.inspection_page import write_index

    together = read_batch(batch, shift)
    if output is None and (resume or overwrite):
        raise InputError("--resume and --overwrite must come with --output, got none")
    journal = None if output is None else context.with_resource(Journal(output, resume=resume, overwrite=overwrite))
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    if together is not None:
        _check_batch(inspector)
    found = _images(images, pages)
    root = images[0] if len(images) == 1 and images[0].is_dir() else None
    options = {"images": [str(source) for source in images], "backend": backend, "pages": pages}
    with progress_display() as progress:
        judged, failed = _judge(inspector, found, root, journal, options, json=json, progress=progress)
    counts = Counter(line["label"] for line in judged)
    if journal is not None:
        journal.complete(counts, _ignored(found), _said(inspector))
        write_index(journal.folder, inspector, images[0].resolve().name)
    _conclude(inspector, found, judged, counts, (together, shift), output, backend, json=json)
    for name, reason in list(failed.items())[:SHOWN]:
        aside(f"amiss: {name}: not drawn ({reason}); its verdict is kept")
    if len(failed) > SHOWN:
        aside(f"amiss: {len(failed) - SHOWN} more were not drawn")
    if counts["error"] or failed:
        raise typer.Exit(ExitCode.UNUSABLE)
    if exit_code and counts["good"] < len(found):
        raise typer.Exit(ExitCode.ANOMALOUS)


def _judge(
    inspector: Inspector,
    found: Images,
    root: Path | None,
    journal: Journal | None,
    options: dict[str, Any],
    *,
    json: bool,
    progress: Progress,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Name, label and p-value of every image in order, told once they are on disk; and what was not drawn, why."""
    from amiss.reporting import ResultsWriter

    lines = {} if journal is None else journal.begin(inspector.fingerprint, options, found)
    if lines and not json:
        say(f"{len(lines)} of {len(found)} images have a verdict already.")
    rest = [index for index in range(len(found)) if index not in lines]
    writer = None if journal is None else ResultsWriter(journal, inspector.rule, found.names, root=root)

    def draw(number: int, verdict: Verdict, image: Any) -> None:
        if writer is not None:
            writer.draw(rest[number], verdict, image)

    with closing(inspector.inspect(found.subset(rest), also=draw, progress=progress)) as verdicts:
        for index, verdict in zip(rest, verdicts, strict=True):
            summary = verdict.summary()
            lines[index] = {name: summary[name] for name in ("name", "label", "p_value")}
            tell = partial(_tell, verdict.without_arrays(), json=json, kept=journal is not None)
            if writer is None:
                tell()
            else:
                writer.add(index, verdict, tell)
    if journal is not None:
        journal.commit()
    return [lines[index] for index in range(len(found))], {} if writer is None else writer.failures


def _tell(verdict: Verdict, *, json: bool, kept: bool) -> None:
    """Print a verdict. Where it is kept on disk, the run goes on when nobody listens."""
    try:
        if json:
            say_json(verdict.summary())
        else:
            say(_line(verdict))
    except Unheard:
        if not kept:
            raise


def _conclude(
    inspector: Inspector,
    found: Images,
    judged: list[dict[str, Any]],
    counts: Counter[str],
    batch: tuple[float | None, int | None],
    output: Path | None,
    backend: str,
    *,
    json: bool,
) -> None:
    """What is said of all images: found = judged + errors, and what was ignored."""
    together, shift = batch
    if together is not None:
        _decide_together(judged, together, inspector.rule, json, shift)
    if json:
        ignored = _ignored(found)
        errors = counts["error"]
        seen = {"found": len(found) + len(ignored), "judged": len(found) - errors, "errors": errors}
        say_json({"run": {**seen, "ignored": ignored, "labels": dict(sorted(counts.items())), **_said(inspector)}})
        return
    say(f"{len(found)} images: " + ", ".join(f"{counts[label]} {label}" for label in sorted(counts)))
    say(inspector.statement(), inspector.rule.p_value_words(), *backend_line(inspector, backend))
    if found.ignored:
        say(describe_ignored(found.ignored))
    if output is not None:
        say(f"Written to {output}. Next: open {output / 'index.html'} in a browser")


def _said(inspector: Inspector) -> dict[str, Any]:
    """What p-values, thresholds and margins are to be read with."""
    rule = inspector.rule
    said = {"threshold": rule.threshold, "alpha": rule.alpha, "n": rule.n}
    return {**said, "statement": inspector.statement(), "p_values": rule.p_value_words()}


def _ignored(found: Images) -> list[dict[str, str]]:
    return [one.summary() for one in found.ignored]


def _check_batch(inspector: Inspector) -> None:
    from amiss.core.errors import CalibrationError

    if inspector.rule.n == 0:
        raise CalibrationError("--batch needs p-values, and this rule was never calibrated; see amiss calibrate")
    if not inspector.rule.tells_rates:
        raise CalibrationError(
            f"--batch needs p-values, and the rule {inspector.rule.name} has none, for too few good images; calibrate "
            "on more with amiss calibrate"
        )


def _decide_together(judged: list[dict[str, Any]], rate: float, rule: Rule, json: bool, shift: int | None) -> None:
    """Benjamini-Hochberg over all images of this run, or part by part in shifts."""
    if shift is not None:
        decide_in_turn([(line["name"], line["p_value"]) for line in judged], rate, shift, rule, json)
        return
    from amiss.core.words import percent
    from amiss.rules import benjamini_hochberg

    p_values = [float("nan") if line["p_value"] is None else line["p_value"] for line in judged]
    decision = benjamini_hochberg(p_values, rate, n=rule.resolution, units="lots" if rule.by_lot else "images")
    named = [line["name"] for line, rejected in zip(judged, decision.rejected, strict=True) if rejected]
    if json:
        say_json({"batch": {"rate": rate, "judged": decision.judged, "named": named, "warning": decision.warning}})
        return
    say(
        TOGETHER(named=len(named), judged=decision.judged, rate=percent(rate), n=rule.n),
        *(f"  {name}" for name in named),
        *([f"Mind: {decision.warning}"] if decision.warning else []),
    )


def _images(sources: list[Path], pages: str) -> Images:
    """All images of several files and folders, in the order given."""
    from amiss.core.images import Images

    return Images.join([Images(source, pages=pages) for source in sources])


def _line(verdict: Verdict) -> str:
    from amiss.core.verdict import Label

    if verdict.label is Label.ERROR:
        return f"ERROR      {verdict.name}: {verdict.reason}"
    p_value = "" if verdict.p_value is None else f"p = {verdict.p_value:.4f}  "
    margin = "" if verdict.margin is None else f" (threshold {verdict.threshold:.4g}, margin {verdict.margin:+.3g})"
    where = ""
    if verdict.regions:
        left, top, width, height = verdict.regions[0].box
        where = f"  {len(verdict.regions)} region(s), strongest {height} x {width} at row {top}, column {left}"
    if verdict.recognised is not None:
        like = "" if verdict.recognised == verdict.most_like else f" (most like {verdict.most_like})"
        where = f"  {verdict.recognised}{like}{where}"
    return f"{verdict.label.upper():<10} {verdict.name}  {p_value}score = {verdict.score:.4g}{margin}{where}"
