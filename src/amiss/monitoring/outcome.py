"""What monitoring finds: `ChartRun`, `HealthRun`, `Diagnosis` and, of all of them, `Monitoring`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.monitoring.change import Stretch
from amiss.monitoring.design import Design
from amiss.monitoring.stream import Stream

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Alarm:
    """The alarm that announces the clearest change of a chart. Parts are numbers of usable parts from 0.

    Args:
        part: The first part beyond a limit since the change began; never before `changed.first`.
        direction: "up" or "down": what the scores or measures did.
        changed: The stretch that changed most clearly, of those that an alarm announces.
        lasting: The chart is beyond its limit at the last part.
        earlier: The first part beyond a limit before the change began: another alarm; None when there was none.
    """

    part: int
    direction: str
    changed: Stretch
    lasting: bool
    earlier: int | None = None

    def moved(self, by: int) -> Alarm:
        """The same alarm where parts are counted from `by` parts earlier."""
        earlier = None if self.earlier is None else self.earlier + by
        return replace(self, part=self.part + by, changed=self.changed.moved(by), earlier=earlier)

    def words(self, stream: Stream) -> str:
        """For a person: where, since when, whether it goes on, and whether another one came before it."""
        end = "still beyond its limit" if self.lasting else "now inside its limit"
        other = (
            "" if self.earlier is None else f"; another alarm at {stream.describe(self.earlier)}, before this change"
        )
        return f"at {stream.describe(self.part)}, changed since {stream.describe(self.changed.first)}, {end}{other}"


@dataclass(frozen=True)
class ChartRun:
    """One chart over a stream.

    Args:
        name: Name of the chart.
        path: Its value after each part, (N,).
        upper: Alarm beyond it, (N,).
        lower: Alarm below it, (N,), or None.
        promise: What an alarm means, in words.
        alarm: The one that announces the clearest change, or None.
        design: Where the limit comes from; None for the martingale, which needs none.
    """

    name: str
    path: Floats = field(repr=False)
    upper: Floats = field(repr=False)
    lower: Floats | None = field(repr=False)
    promise: str
    alarm: Alarm | None = None
    design: Design | None = None

    def summary(self, stream: Stream) -> dict[str, Any]:
        """Plain JSON values, without the path."""
        alarm = self.alarm
        return {
            "chart": self.name,
            "promise": self.promise,
            "alarm": None if alarm is None else stream.place(alarm.part),
            "direction": None if alarm is None else alarm.direction,
            "since": None if alarm is None else stream.place(alarm.changed.first),
            "lasting": None if alarm is None else alarm.lasting,
            "other_alarm": None if alarm is None or alarm.earlier is None else stream.place(alarm.earlier),
            "limit": float(self.upper[-1]) if len(self.upper) else None,
            "design": None if self.design is None else self.design.summary(),
        }


@dataclass(frozen=True)
class HealthRun:
    """One measure of the images over a stream.

    Args:
        measure: One of `amiss.monitoring.health.MEASURES`.
        values: Value of every usable part, (N,).
        reference: Values of the images that it is compared with, (m,).
        start: The first part that is charted; m when the first m parts are the reference, else 0.
        chart: EWMA of its normal scores over the whole stream; NaN before `start`.
    """

    measure: str
    values: Floats = field(repr=False)
    reference: Floats = field(repr=False)
    start: int
    chart: ChartRun

    def before(self, part: int) -> Floats:
        """Values of the reference and of all parts before this one."""
        earlier = self.values[:part]
        return earlier if self.start else np.concatenate([self.reference, earlier])

    def summary(self, stream: Stream) -> dict[str, Any]:
        """Plain JSON values."""
        low, usual, high = np.quantile(self.reference, [0.05, 0.5, 0.95])
        alarm = self.chart.alarm
        then = None if alarm is None else float(np.median(self.values[alarm.changed.first : alarm.changed.end]))
        facts = {"measure": self.measure, "usual": float(usual), "usual_90": [float(low), float(high)], "then": then}
        return {**facts, **self.chart.summary(stream)}


@dataclass(frozen=True)
class Diagnosis:
    """What it looks like, in plain words.

    Args:
        kind: "in control", "images" (only they changed), "light" (they changed with the scores), "parts" (scores
            rose, images did not change), "scores" (the same, images unknown), "defects" (more alarms, typical
            score as ever), "fell" or "unclear".
        text: One to four sentences.
        changed: The stretch of parts, or None.
    """

    kind: str
    text: str
    changed: Stretch | None = None


@dataclass(frozen=True)
class Monitoring:
    """The state of a line.

    Args:
        stream: What was monitored.
        n: Number of calibration scores that it was compared with.
        arl: One false alarm in so many parts, by all charts of scores that have a limit, together.
        chance: Largest probability that any chart alarms in a stream of this length in which nothing changes.
        threshold: Threshold of the rule, or None.
        charts: Charts of the scores.
        health: Charts of the images; empty without images.
        health_note: What the images were compared with, or why there is nothing to say about them.
        diagnosis: In plain words.
        warnings: What weakens it.
        statement: The promise, with n and the run length.
    """

    stream: Stream
    n: int
    arl: float
    chance: float
    threshold: float | None
    charts: tuple[ChartRun, ...]
    health: tuple[HealthRun, ...]
    health_note: str
    diagnosis: Diagnosis
    warnings: tuple[str, ...]
    statement: str

    @property
    def alarm(self) -> bool:
        """Some chart has alarmed, of scores or of images."""
        return any(run.alarm is not None for run in (*self.charts, *(one.chart for one in self.health)))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        changed, usable = self.diagnosis.changed, len(self.stream.usable)
        errors = [{"name": name, "reason": reason} for name, reason in self.stream.errors]
        return {
            "alarm": self.alarm,
            "diagnosis": {"kind": self.diagnosis.kind, "text": self.diagnosis.text},
            "since": None if changed is None else self.stream.place(changed.first),
            "until": None if changed is None or changed.lasts(usable) else self.stream.place(changed.end - 1),
            "parts_changed": 0 if changed is None else changed.count,
            "parts": len(self.stream),
            "usable": usable,
            "errors": errors,
            "n": self.n,
            "arl": self.arl,
            "chance": self.chance,
            "threshold": self.threshold,
            "charts": [run.summary(self.stream) for run in self.charts],
            "health": [run.summary(self.stream) for run in self.health],
            "health_note": self.health_note,
            "warnings": list(self.warnings),
            "statement": self.statement,
        }
