"""``amiss gauge``: does the same part get the same score and verdict again, and at every station?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model, output_option
from amiss.cli.console import hold_folder, progress_display, say, say_json, unusable_lines
from amiss.cli.exit_codes import ExitCode
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.sentence import Sentence
from amiss.core.words import counted_percent, low_to_high, percent

HEAD = Sentence(
    "{name}: {parts} parts, {stations}, {images} images, {method}; 95 % intervals, which count parts",
    "tests/metrics/test_kappa.py::test_the_interval_of_fleiss_covers",
)
DEVIATION = Sentence(
    "score, {name} standard deviation {value}", "tests/metrics/test_gauge.py::test_the_intervals_cover"
)
GRR = Sentence(
    "%GRR: {value} of the study variation: {judgement} (AIAG: below {acceptable} acceptable, above {unacceptable} not "
    "acceptable)",
    "tests/metrics/test_gauge.py::test_the_intervals_cover",
)
CATEGORIES = Sentence(
    "distinct categories (1.41 parts / gauge): {value} (AIAG: its whole part at least {least})",
    "tests/metrics/test_gauge.py::test_the_intervals_cover",
)
ALIKE = Sentence(
    "all alike on {parts} parts; Fleiss' kappa {kappa}{limits}",
    "tests/metrics/test_kappa.py::test_the_interval_of_fleiss_covers",
)
AGAINST_TRUTH = Sentence(
    "all right on {parts} parts (AIAG: at least {effective}); missed {missed} (at most {most_missed}); falsely stopped "
    "{stopped} (at most {most_stopped}); Cohen's kappa {kappa}",
    "tests/metrics/test_kappa.py::test_cohen_covers_when_verdicts_on_a_part_repeat_each_other",
)

if TYPE_CHECKING:
    from amiss.evaluation.gauge import Agreement, Correctness, GaugeStudy
    from amiss.metrics.gauge import Estimate
    from amiss.metrics.kappa import Kappa, PartShare


def gauge(
    context: typer.Context,
    model: Model,
    study: Annotated[
        Path,
        typer.Argument(
            help="Folder PART/STATION/images, or PART/images with one station, or a table with the columns path, part, "
            "station and label. Every image is taken anew, after the part was put in again."
        ),
    ],
    output: Annotated[Path | None, output_option("Folder for gauge.html and gauge.json.")] = None,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
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
    yield HEAD(name=found.name, parts=found.n_parts, stations=several, images=found.n_images, method=found.method)
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
            yield DEVIATION(name=f"{name + ':':<17}", value=_number(one))
        yield GRR(
            value=_percent(score.grr),
            judgement=score.judgement,
            acceptable=percent(ACCEPTABLE),
            unacceptable=percent(UNACCEPTABLE),
        )
        yield CATEGORIES(value=_number(score.categories), least=LEAST_CATEGORIES)
        yield f"so near the threshold that the gauge decides (1.96 standard deviations): {found.near} parts"
    if found.score_note:
        yield found.score_note


def _agreement(one: Agreement) -> str:
    from amiss.metrics.kappa import GOOD_ABOVE, POOR_BELOW

    limits = (
        f"; AIAG: above {GOOD_ABOVE:g} good, below {POOR_BELOW:g} poor" if one.kappa.value == one.kappa.value else ""
    )
    return ALIKE(parts=one.alike, kappa=_kappa(one.kappa), limits=limits)


def _correctness(one: Correctness) -> str:
    from amiss.evaluation.gauge import EFFECTIVE, FALSELY_STOPPED, MISSED

    return AGAINST_TRUTH(
        parts=one.effective,
        effective=percent(EFFECTIVE),
        missed=_share(one.missed),
        most_missed=percent(MISSED),
        stopped=_share(one.falsely_stopped),
        most_stopped=percent(FALSELY_STOPPED),
        kappa=_kappa(one.kappa),
    )


def _number(one: Estimate) -> str:
    return f"{one.value:.4g} ({low_to_high(one.interval, '.4g')})"


def _percent(one: Estimate) -> str:
    return f"{counted_percent(one.value)} ({low_to_high(one.interval)})"


def _kappa(one: Kappa) -> str:
    if one.value != one.value:
        return "not defined"
    return f"{one.value:.2f} ({low_to_high(one.interval, '.2f')}, n = {one.n} parts)"


def _share(one: PartShare) -> str:
    if one.n == 0:
        return "unknown"
    return f"{counted_percent(one.value)} ({low_to_high(one.interval)}, n = {one.n} parts)"
