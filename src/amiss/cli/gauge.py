"""``amiss gauge``: does the same part get the same score and verdict again, and at every station?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.console import hold_folder, progress_display, say, say_json, unusable_lines
from amiss.cli.exit_codes import ExitCode
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.words import percent

if TYPE_CHECKING:
    from amiss.evaluation.gauge import Agreement, Correctness, GaugeStudy
    from amiss.metrics.gauge import Estimate
    from amiss.metrics.kappa import Kappa, PartShare


def gauge(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Artefact written by `amiss fit`.")],
    study: Annotated[
        Path,
        typer.Argument(
            help="Folder PART/STATION/images, or PART/images with one station, or a table with the columns path, part, "
            "station and label. Every image is taken anew, after the part was put in again."
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="Folder for gauge.html and gauge.json.")] = None,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Gauge study: repeatability and reproducibility. Exits with 3 when an image could not be used."""
    from amiss.data.study import read_study
    from amiss.evaluation.gauge import gauge as measure
    from amiss.front import load
    from amiss.reporting.gauge_page import write_gauge

    hold_folder(context, output)
    plan = read_study(study)
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    with progress_display() as progress:
        found = measure(inspector, plan, progress=progress)
    pages = [] if output is None else write_gauge(output, found)
    if json:
        say_json(found.summary())
    else:
        say(*_lines(found), *(f"Written to {page}" for page in pages))
    if found.errors:
        raise typer.Exit(ExitCode.UNUSABLE)


def _lines(found: GaugeStudy) -> Iterator[str]:
    several = f"{len(found.stations)} stations" if len(found.stations) > 1 else "one station"
    yield f"{found.name}: {found.n_parts} parts, {several}, {found.n_images} images, {found.method}; 95 % intervals"
    yield from _score_lines(found)
    for where, agreement in found.agreement.items():
        yield f"verdicts, {where}: {_agreement(agreement)}"
    for where, correctness in found.correctness.items():
        yield f"against the truth, {where}: {_correctness(correctness)}"
    yield from unusable_lines(found.errors)
    yield from (f"Mind: {warning}" for warning in found.warnings)


def _score_lines(found: GaugeStudy) -> Iterator[str]:
    from amiss.metrics.gauge import ACCEPTABLE, LEAST_CATEGORIES, UNACCEPTABLE

    if found.score is not None and found.near is not None:
        score = found.score
        for name, one in score.deviations.items():
            yield f"score, {name + ':':<17} standard deviation {_number(one)}"
        yield (
            f"%GRR: {_percent(score.grr)} of the study variation: {score.judgement} (AIAG: below {percent(ACCEPTABLE)} "
            f"acceptable, above {percent(UNACCEPTABLE)} not acceptable)"
        )
        yield (
            f"distinct categories (1.41 parts / gauge): {_number(score.categories)} (AIAG: its whole part at least "
            f"{LEAST_CATEGORIES})"
        )
        yield f"so near the threshold that the gauge decides (1.96 standard deviations): {found.near} parts"
    if found.score_note:
        yield found.score_note


def _agreement(one: Agreement) -> str:
    from amiss.metrics.kappa import GOOD_ABOVE, POOR_BELOW

    limits = (
        f"; AIAG: above {GOOD_ABOVE:g} good, below {POOR_BELOW:g} poor" if one.kappa.value == one.kappa.value else ""
    )
    return f"all alike on {one.alike} parts; Fleiss' kappa {_kappa(one.kappa)}{limits}"


def _correctness(one: Correctness) -> str:
    from amiss.evaluation.gauge import EFFECTIVE, FALSELY_STOPPED, MISSED

    return (
        f"all right on {one.effective} parts (AIAG: at least {percent(EFFECTIVE)}); "
        f"missed {_share(one.missed)} (at most {percent(MISSED)}); "
        f"falsely stopped {_share(one.falsely_stopped)} (at most {percent(FALSELY_STOPPED)}); "
        f"Cohen's kappa {_kappa(one.kappa)}"
    )


def _number(one: Estimate) -> str:
    return f"{one.value:.4g} ({one.interval[0]:.4g} to {one.interval[1]:.4g})"


def _percent(one: Estimate) -> str:
    low, high = one.interval
    return f"{100 * one.value:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"


def _kappa(one: Kappa) -> str:
    if one.value != one.value:
        return "not defined"
    return f"{one.value:.2f} ({one.interval[0]:.2f} to {one.interval[1]:.2f}, n = {one.n} parts)"


def _share(one: PartShare) -> str:
    if one.n == 0:
        return "unknown"
    low, high = one.interval
    return f"{100 * one.value:.1f} % ({100 * low:.1f} to {100 * high:.1f} %, n = {one.n} parts)"
