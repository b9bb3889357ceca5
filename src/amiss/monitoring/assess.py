"""`monitor`: has the process, or what looks at it, changed, and since which part?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_choice, check_count
from amiss.core.errors import DataError, InputError
from amiss.monitoring.change import autocorrelation
from amiss.monitoring.charts import AlarmRate, Cusum, Ewma
from amiss.monitoring.design import ARL, check_arl
from amiss.monitoring.diagnosis import diagnose
from amiss.monitoring.health import MEASURES, Health, as_columns
from amiss.monitoring.martingale import Martingale
from amiss.monitoring.normal_score import LEAST, check_n, check_scores, normal_scores
from amiss.monitoring.outcome import ChartRun, HealthRun, Monitoring
from amiss.monitoring.running import run_cusum, run_ewma, run_health, run_martingale, run_rate
from amiss.monitoring.stream import Stream

Floats = NDArray[np.float64]

CHARTS = ("cusum", "cusum-down", "ewma", "rate", "martingale")
"""Charts of scores: rising, falling, both, more parts above the threshold, both without assuming independence."""

DEFAULT_CHARTS = ("cusum", "cusum-down", "rate", "martingale")

FEWEST_CHARTED = 10
"""Images after the baseline, at least."""

BASELINE = 50
"""Images at the start of a stream that the later ones are compared with when there is no reference folder."""


def monitor(
    stream: Stream,
    normal: ArrayLike,
    *,
    threshold: float | None = None,
    charts: Sequence[str] = DEFAULT_CHARTS,
    arl: float = ARL,
    delta: float = 0.01,
    reference: Sequence[Health] = (),
    baseline: int = BASELINE,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Monitoring:
    """Chart the scores of a stream, and its images where they were measured, and say what it looks like.

    The charts that have a limit share the false alarms: with three of them each is designed for one in 3 x `arl`
    parts, so that together they raise at most one in `arl`. The charts of the images share another one in `arl`.

    Args:
        stream: Parts in time order.
        normal: Calibration scores, as in `Rule.normal`, (n,); at least 20.
        threshold: Scores above it alarm; needed by the chart "rate", which is left out without it.
        charts: Some of `CHARTS`.
        arl: One false alarm in so many parts, 20 to 100,000.
        delta: Probability that the martingale ever alarms on an unchanged process.
        reference: Measures of good images, taken when all was well; at least 20. Without it, the first images of
            the stream are what later ones are compared with.
        baseline: How many those are, at least 20.
        seed: Seed of the calibration sets that limits are designed on, and of the martingale's random numbers.
        notes: What else is known to weaken the comparison; shown among the warnings.

    Raises:
        CalibrationError: Fewer than 20 calibration scores.
        DataError: No usable part.
        InputError: An option out of its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> scores = np.concatenate([rng.normal(size=100), rng.normal(1.5, size=30)])
        >>> found = monitor(Stream(scores.tolist()), rng.normal(size=100), charts=["cusum"])
        >>> found.alarm, found.diagnosis.kind, abs(found.diagnosis.changed.first - 100) < 10
        (True, 'scores', True)
    """
    known = np.sort(check_scores("calibration scores", normal))
    names = _check(stream, known, charts)
    runs, left_out = _score_runs(stream, known, names, threshold, check_arl(arl), delta, seed)
    health, note = _health_runs(stream, reference, check_count("baseline", baseline, least=LEAST), arl, seed)
    diagnosis = diagnose(stream, runs, health, known, threshold, float(arl))
    return Monitoring(
        stream=stream,
        n=len(known),
        arl=float(arl),
        threshold=threshold,
        charts=tuple(runs),
        health=tuple(health),
        health_note=note,
        diagnosis=diagnosis,
        warnings=(*notes, *left_out, *_warnings(stream, known, runs, health)),
        statement=_statement(len(known), runs, health, arl),
    )


def _check(stream: Stream, normal: Floats, charts: Sequence[str]) -> list[str]:
    check_n(len(normal))
    if len(stream.usable) == 0:
        name, reason = stream.errors[0]
        raise DataError(f"none of {len(stream)} parts can be used; the first is {name}: {reason}")
    if len(charts) == 0:
        raise InputError(f"no chart was asked for; allowed: {', '.join(CHARTS)}")
    return [name for name in CHARTS if name in {check_choice("chart", one, CHARTS) for one in charts}]


def _score_runs(
    stream: Stream,
    normal: Floats,
    names: Sequence[str],
    threshold: float | None,
    arl: float,
    delta: float,
    seed: int,
) -> tuple[list[ChartRun], list[str]]:
    scores, n = stream.values, len(normal)
    rank = 1 + int((normal > (np.inf if threshold is None else threshold)).sum())
    notes = []
    if "rate" in names and (threshold is None or 2 * rank > n + 1):
        names = [name for name in names if name != "rate"]
        why = "there is no threshold" if threshold is None else f"{rank - 1} of {n} calibration scores lie above it"
        notes.append(f"The rate of alarms is not charted: {why}.")
    limited = [name for name in names if name != "martingale"]
    z, each = normal_scores(scores, normal), min(100_000, arl * max(1, len(limited)))
    runs = []
    for name in names:
        if name == "rate":
            chart = AlarmRate(rank, n)
            runs.append(run_rate(chart, scores > (threshold or 0.0), chart.design(arl=each)))
        elif name == "martingale":
            runs.append(run_martingale(Martingale(delta, seed), scores, normal, z))
        elif name == "ewma":
            runs.append(run_ewma(Ewma(), z, Ewma().design(n, arl=each, seed=seed)))
        else:
            cusum = Cusum(direction="up" if name == "cusum" else "down")
            runs.append(run_cusum(cusum, z, cusum.design(n, arl=each, seed=seed)))
    return runs, notes


def _health_runs(
    stream: Stream, reference: Sequence[Health], baseline: int, arl: float, seed: int
) -> tuple[list[HealthRun], str]:
    """One run a measure, and what they are compared with, or why there is none."""
    found = [stream.health[part] for part in stream.usable] if stream.health else []
    if not found or any(one is None for one in found):
        return [], "There are no images to measure, so whether light or camera changed is not known."
    if 0 < len(reference) < LEAST:
        raise InputError(f"at least {LEAST} reference images are needed, got {len(reference)}")
    start = 0 if reference else baseline
    if start and len(found) < start + FEWEST_CHARTED:
        return [], (
            f"Images are compared with the first {start} of the stream; {len(found)} usable ones are too few to tell "
            "whether light or camera changed. Give a folder of reference images."
        )
    columns = as_columns(found)
    usual = as_columns(reference or found[:start])
    varying = [name for name in MEASURES if np.ptp(np.concatenate([columns[name], usual[name]])) > 0]
    chart = Ewma()
    runs = []
    for name in varying:
        design = chart.design(len(usual[name]), arl=min(100_000, arl * len(varying)), seed=seed)
        runs.append(run_health(name, columns[name], usual[name], start, design, chart))
    if reference:
        return runs, f"Images are compared with {len(reference)} reference images."
    return runs, (
        f"Images are compared with the first {start} of this stream: a change of light or camera before it began "
        "cannot be seen. A folder of reference images shows it."
    )


def _warnings(stream: Stream, normal: Floats, runs: Sequence[ChartRun], health: Sequence[HealthRun]) -> list[str]:
    notes = []
    if stream.errors:
        notes.append(f"{len(stream.errors)} of {len(stream)} images could not be used; they are in no chart.")
    alarms = [run.alarm for run in runs if run.alarm is not None]
    changed = max((alarm.changed for alarm in alarms), key=lambda one: one.strength, default=None)
    found = autocorrelation(normal_scores(stream.values, normal), changed)
    if found.significant:
        notes.append(
            f"Successive scores resemble each other (lag-1 correlation {found.correlation:.2f}, n = {found.n}): false "
            "alarms come more often than stated. Monitor every second or third part, or means of batches."
        )
    restless = [run.measure for run in health if _is_restless(run)]
    if restless:
        notes.append(
            f"Successive images resemble each other in {', '.join(restless)}: the charts of the images alarm "
            "more often than stated."
        )
    limits = [run for run in runs if run.design is not None]
    if len(normal) < 100 and limits:
        low = min(run.design.arl_low for run in limits if run.design is not None)
        notes.append(
            f"With n = {len(normal)} calibration scores much depends on which ones they are: in one of ten "
            f"calibrations a chart alarms falsely every {low:.0f} parts or more often. 100 scores or more are better."
        )
    return notes


def _is_restless(run: HealthRun) -> bool:
    alarm = run.chart.alarm
    z = normal_scores(run.values[run.start :], run.reference)
    return autocorrelation(z, None if alarm is None else alarm.changed.moved(-run.start)).significant


def _statement(n: int, runs: Sequence[ChartRun], health: Sequence[HealthRun], arl: float) -> str:
    limited = [run.name for run in runs if run.design is not None]
    words = [f"Scores are compared with those of n = {n} good calibration images."]
    if limited:
        together = f"Charts {', '.join(limited)} together raise" if len(limited) > 1 else f"Chart {limited[0]} raises"
        words.append(f"{together} at most one false alarm in {arl:g} parts, over calibration sets.")
    for run in runs:
        if run.design is None:
            words.append(f"The {run.name} {run.promise}.")
    if health:
        words.append(f"The {len(health)} charts of the images together raise at most another one in {arl:g}.")
    return " ".join(words)
