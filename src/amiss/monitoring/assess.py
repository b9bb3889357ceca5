"""`monitor`: has the process, or what looks at it, changed, and since which part?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_choice, check_count, check_rate
from amiss.core.errors import DataError, InputError
from amiss.core.sentence import Sentence
from amiss.core.words import percent
from amiss.monitoring.change import Stretch
from amiss.monitoring.charts import AlarmRate, Cusum, Ewma
from amiss.monitoring.design import ARL, MOST, Share, check_arl, share_of_shifts
from amiss.monitoring.diagnosis import diagnose
from amiss.monitoring.health import MEASURES, Health, as_columns
from amiss.monitoring.martingale import Martingale
from amiss.monitoring.memory import NONE, Memory, find_memory
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

TOGETHER = Sentence(
    "{charts} at most one false alarm in {arl} parts, over calibration sets.",
    "tests/monitoring/test_design.py::test_false_alarms_are_as_designed",
)
IMAGES = Sentence(
    "The {count} charts of the images together raise at most another one in {arl}.",
    "tests/monitoring/test_design.py::test_false_alarms_of_the_ewma_are_as_designed",
)
SHIFTS = Sentence(
    "Of {shifts} shifts of {parts} parts at most one alarms while nothing changes, all charts together, over "
    "calibration sets.",
    "bench/promises.py shifts",
)
STREAM = Sentence(
    "A stream of {parts} parts in which nothing changes alarms with a probability of at most {chance}.",
    "bench/promises.py streams",
)
DEPENDENT = Sentence(
    "Successive scores resemble each other (lag-1 correlation {correlation}, n = {n}): false alarms come more often "
    "than stated. Use --memory if parts of this line always do; else something changed more than once.",
    "tests/monitoring/test_change.py::test_neighbours",
)
TAKEN_OUT = Sentence(
    "Successive scores resemble each other (lag-1 correlation {correlation}, n = {n}): the charts follow what each "
    "part adds to the one before, so that their false alarms stay near what is stated. A lasting shift counts as "
    "{left} of itself.",
    "bench/memory_charts.py taken-out",
)
NOT_CHARTED = Sentence(
    "Not charted for that reason, since false alarms would come more often than stated: {charts}.",
    "tests/monitoring/test_change.py::test_neighbours",
)
DEPENDENT_IMAGES = Sentence(
    "Successive images resemble each other in {measures}: the charts of the images alarm more often than stated.",
    "tests/monitoring/test_change.py::test_neighbours",
)
FEW = Sentence(
    "With n = {n} calibration scores much depends on which ones they are: in one of ten calibrations a chart alarms "
    "falsely every {low} parts or more often. 100 scores or more are better.",
    "tests/monitoring/test_docs_table.py::test_a_row",
)


def monitor(
    stream: Stream,
    normal: ArrayLike,
    *,
    threshold: float | None = None,
    charts: Sequence[str] = DEFAULT_CHARTS,
    arl: float = ARL,
    delta: float = 0.01,
    shifts: tuple[int, int] | None = None,
    reference: Sequence[Health] = (),
    baseline: int = BASELINE,
    memory: bool = False,
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
        arl: One false alarm in so many parts, 20 to 1,000,000.
        delta: Probability that the martingale ever alarms on an unchanged process.
        shifts: (20, 200) = of 20 shifts of 200 parts, each monitored as a stream of its own, at most one alarms while
            nothing changes, by all charts of scores and images together. Takes the place of `arl`.
        reference: Measures of good images, taken when all was well; at least 20. Without it, the first images of
            the stream are what later ones are compared with.
        baseline: How many those are, at least 20.
        memory: Parts of this line always resemble the one before: take the lag-1 correlation out of the charts, see
            `amiss.monitoring.memory`. Without it a correlation is only said, because changes that come and go look like
            memory, and taking them out would hide them.
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
    names = check_options(len(known), charts, arl, baseline, shifts)
    _check(stream)
    measured, usual, note = _images(stream, reference, baseline)
    groups = 1 + bool(measured)
    share = Share(check_arl(arl), check_rate("delta", delta))
    share = share if shifts is None else share_of_shifts(*shifts, groups, delta)
    runs, left_out, found = _score_runs(stream, known, names, threshold, share, seed, memory)
    health = _health_runs(measured, usual, 0 if reference else baseline, share.arl, seed)
    chance = share.chance(len(stream.usable), groups, "martingale" in names)
    diagnosis = diagnose(stream, runs, health, known, threshold, share.arl)
    return Monitoring(
        stream=stream,
        n=len(known),
        arl=share.arl,
        chance=chance,
        threshold=threshold,
        charts=tuple(runs),
        health=tuple(health),
        health_note=note,
        diagnosis=diagnosis,
        warnings=(*notes, *left_out, *_warnings(stream, runs, len(known), health, found, memory)),
        statement=_statement(len(known), runs, health, share.arl, shifts) + " " + _chance(stream, chance),
    )


def check_options(
    n: int, charts: Sequence[str], arl: float, baseline: int, shifts: tuple[int, int] | None
) -> list[str]:
    """What can be refused before a stream is read; the charts, in the order of `CHARTS`.

    Args:
        n: Calibration scores.
        charts: As for `monitor`.
        arl: As for `monitor`.
        baseline: As for `monitor`.
        shifts: As for `monitor`.

    Raises:
        CalibrationError: Fewer than 20 calibration scores.
        InputError: An option out of its range.
    """
    check_n(n)
    check_arl(arl)
    check_count("baseline", baseline, least=LEAST)
    if shifts is not None:
        share_of_shifts(*shifts, groups=1, delta=0.01)
    if len(charts) == 0:
        raise InputError(f"no chart was asked for; allowed: {', '.join(CHARTS)}")
    return [name for name in CHARTS if name in {check_choice("chart", one, CHARTS) for one in charts}]


def _check(stream: Stream) -> None:
    if len(stream.usable) == 0:
        name, reason = stream.errors[0]
        raise DataError(f"none of {len(stream)} parts can be used; the first is {name}: {reason}")


def _score_runs(
    stream: Stream,
    normal: Floats,
    names: Sequence[str],
    threshold: float | None,
    share: Share,
    seed: int,
    take_out: bool,
) -> tuple[list[ChartRun], list[str], Memory]:
    """Runs of the charts, what is left out and why, and the memory of the stream, which may be taken out of them."""
    runs, notes = _charted(stream, normal, names, threshold, share, seed, NONE)
    memory = find_memory(normal_scores(stream.values, normal), _changed(runs))
    if memory.phi == 0 or not take_out:
        return runs, notes, memory
    free = [name for name in names if name not in ("rate", "martingale")] if memory.clear else list(names)
    runs, notes = _charted(stream, normal, free or names, threshold, share, seed, memory)
    if free and len(free) < len(names):
        notes.append(NOT_CHARTED(charts=", ".join(name for name in names if name not in free)))
    return runs, notes, memory


def _changed(runs: Sequence[ChartRun]) -> Stretch | None:
    """The stretch that changed most clearly, of all charts that alarm."""
    alarms = [run.alarm for run in runs if run.alarm is not None]
    return max((alarm.changed for alarm in alarms), key=lambda one: one.strength, default=None)


def _charted(
    stream: Stream,
    normal: Floats,
    names: Sequence[str],
    threshold: float | None,
    share: Share,
    seed: int,
    memory: Memory,
) -> tuple[list[ChartRun], list[str]]:
    scores, n = stream.values, len(normal)
    rank = 1 + int((normal > (np.inf if threshold is None else threshold)).sum())
    notes = []
    if "rate" in names and (threshold is None or 2 * rank > n + 1):
        names = [name for name in names if name != "rate"]
        why = "there is no threshold" if threshold is None else f"{rank - 1} of {n} calibration scores lie above it"
        notes.append(f"The rate of alarms is not charted: {why}.")
    limited = [name for name in names if name != "martingale"]
    z, each = memory.residuals(normal_scores(scores, normal)), _each(share.arl, len(limited))
    runs = []
    for name in names:
        if name == "rate":
            chart = AlarmRate(rank, n)
            runs.append(run_rate(chart, scores > (threshold or 0.0), chart.design(arl=each)))
        elif name == "martingale":
            runs.append(run_martingale(Martingale(share.delta, seed), scores, normal, z))
        elif name == "ewma":
            runs.append(run_ewma(Ewma(), z, Ewma().design(n, arl=each, seed=seed)))
        else:
            cusum = Cusum(direction="up" if name == "cusum" else "down")
            runs.append(run_cusum(cusum, z, cusum.design(n, arl=each, seed=seed)))
    return runs, notes


def _each(arl: float, charts: int) -> float:
    """The run length of each of some charts that share the false alarms."""
    if arl * charts > MOST:
        raise InputError(
            f"arl must be at most {MOST // charts} for {charts} charts together, or shifts fewer or shorter, got an "
            f"average run length of {arl:.0f}"
        )
    return arl * max(1, charts)


def _images(stream: Stream, reference: Sequence[Health], baseline: int) -> tuple[list[Health], list[Health], str]:
    """Measures of the usable parts, measures of what is usual, and a note on these; nothing where there are too few."""
    found = [one for part in stream.usable if (one := stream.health[part]) is not None] if stream.health else []
    if len(found) < len(stream.usable):
        return [], [], "There are no images to measure, so whether light or camera changed is not known."
    if reference:
        if len(reference) < LEAST:
            raise InputError(f"at least {LEAST} reference images are needed, got {len(reference)}")
        return found, list(reference), f"Images are compared with {len(reference)} reference images."
    if len(found) < baseline + FEWEST_CHARTED:
        return (
            [],
            [],
            f"Images are compared with the first {baseline} of the stream; {len(found)} usable ones are too few to "
            "tell whether light or camera changed. Give a folder of reference images.",
        )
    return (
        found,
        found[:baseline],
        f"Images are compared with the first {baseline} of this stream: a change of light or camera before it began "
        "cannot be seen. A folder of reference images shows it.",
    )


def _health_runs(
    measured: Sequence[Health], usual: Sequence[Health], start: int, arl: float, seed: int
) -> list[HealthRun]:
    """One run per measure that varies, charted from part `start` on."""
    if not measured:
        return []
    columns, known = as_columns(measured), as_columns(usual)
    varying = [name for name in MEASURES if np.ptp(np.concatenate([columns[name], known[name]])) > 0]
    chart, each = Ewma(), _each(arl, len(varying))
    return [
        run_health(name, columns[name], known[name], start, chart.design(len(usual), arl=each, seed=seed), chart)
        for name in varying
    ]


def _warnings(
    stream: Stream, runs: Sequence[ChartRun], n: int, health: Sequence[HealthRun], memory: Memory, taken_out: bool
) -> list[str]:
    notes = []
    if stream.errors:
        notes.append(f"{len(stream.errors)} of {len(stream)} images could not be used; they are in no chart.")
    if memory.clear:
        said = {"correlation": f"{memory.phi:.2f}", "n": memory.n}
        only = {run.name for run in runs} <= {"rate", "martingale"}
        out = taken_out and not only
        notes.append(TAKEN_OUT(**said, left=f"{memory.shift_left:.2f}") if out else DEPENDENT(**said))
    restless = [run.measure for run in health if _is_restless(run)]
    if restless:
        notes.append(DEPENDENT_IMAGES(measures=", ".join(restless)))
    limits = [run for run in runs if run.design is not None]
    if n < 100 and limits:
        low = min(run.design.arl_low for run in limits if run.design is not None)
        notes.append(FEW(n=n, low=f"{low:.0f}"))
    return notes


def _is_restless(run: HealthRun) -> bool:
    alarm = run.chart.alarm
    z = normal_scores(run.values[run.start :], run.reference)
    return find_memory(z, None if alarm is None else alarm.changed.moved(-run.start)).clear


def _statement(
    n: int, runs: Sequence[ChartRun], health: Sequence[HealthRun], arl: float, shifts: tuple[int, int] | None
) -> str:
    limited = [run.name for run in runs if run.design is not None]
    words = [f"Scores are compared with those of n = {n} good calibration images."]
    if shifts is not None:
        words.append(SHIFTS(shifts=shifts[0], parts=shifts[1]))
    if limited:
        charts = f"Charts {', '.join(limited)} together raise" if len(limited) > 1 else f"Chart {limited[0]} raises"
        words.append(TOGETHER(charts=charts, arl=f"{arl:.0f}"))
    words += [f"The {run.name} {run.promise}." for run in runs if run.design is None]
    if health:
        words.append(IMAGES(count=len(health), arl=f"{arl:.0f}"))
    return " ".join(words)


def _chance(stream: Stream, chance: float) -> str:
    return STREAM(parts=len(stream.usable), chance=percent(chance))
