"""From alarms to plain words: did the parts change, the images, or only the number of defects?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amiss.monitoring.change import Stretch
from amiss.monitoring.outcome import Alarm, ChartRun, Diagnosis, HealthRun
from amiss.monitoring.stream import Stream

Floats = NDArray[np.float64]

LEVEL = 0.01
"""Evidence of a test is called clear below this. The stretch was chosen for looking strange, so it is not a rate."""

APART = 0.7
"""A measure stands out when so many pairs of one changed and one usual image are ordered alike."""

JUST_BEFORE, FEWEST = 50, 10
"""A stretch is compared with so many images just before it, so that an older change does not pass for the cause; with
fewer than the second number it is not compared."""

ADVICE = {
    "brightness": "look at the light and the exposure first",
    "contrast": "look at the light, and for dirt or mist on the lens, first",
    "sharpness": "look at focus, lens, vibration and gain of the camera first",
    "colour": "look at the colour of the light and the white balance first",
}

STAYS = " If it is to stay as it is now: amiss calibrate MODEL GOOD --recent IMAGES calibrates for images like these."


@dataclass(frozen=True)
class Evidence:
    """What tells apart why scores rose.

    Args:
        typical: p-value of "parts of the stretch that do not alarm score as calibration images that do not".
        more: p-value of "parts of the stretch alarm as often as good parts do"; None without a threshold.
        above: Parts of the stretch above the threshold.
    """

    typical: float
    more: float | None
    above: int


@dataclass(frozen=True)
class ImageChange:
    """A measure that moved: medians before and then, and how far apart images then and before are, 0 to 0.5."""

    measure: str
    direction: str
    before: float
    then: float
    apart: float = 0.0

    def words(self) -> str:
        """For a person: what moved, from where to where."""
        return f"{self.measure} {_verb(self.direction)} ({self.before:.4g} to {self.then:.4g})"


def weigh(stretch: Stretch, scores: Floats, normal: Floats, threshold: float | None, direction: str) -> Evidence:
    """Compare the stretch with the calibration scores: its ordinary parts by rank, its alarms by number.

    The test of the number allows for the fact that the false-alarm rate is known from n scores only: the number of
    alarms among N good parts is beta-binomial, whatever the scores are.

    Args:
        stretch: Which parts.
        scores: Scores of the stream, (N,).
        normal: Calibration scores, (n,).
        threshold: Threshold of the rule, or None.
        direction: "up" or "down".
    """
    from scipy.stats import betabinom, mannwhitneyu

    found = scores[stretch.first : stretch.end]
    limit = np.inf if threshold is None else threshold
    ordinary, usual = found[found <= limit], normal[normal <= limit]
    side = "greater" if direction == "up" else "less"
    typical = float(mannwhitneyu(ordinary, usual, alternative=side).pvalue) if len(ordinary) and len(usual) else 1.0
    above = int((found > limit).sum())
    rank = 1 + int((normal > limit).sum())
    more = float(betabinom.sf(above - 1, len(found), rank, max(1, len(normal) + 1 - rank)))
    return Evidence(typical, None if threshold is None else more, above)


def moved_with(stretch: Stretch, health: Sequence[HealthRun]) -> list[ImageChange]:
    """Measures whose images of the stretch stand out from those just before it, the clearest first.

    Clear evidence is asked for (1 % over all measures) and a size that matters, see `APART`: with thousands of
    images every lamp has changed a little.

    Args:
        stretch: Which parts.
        health: Runs of the measures.
    """
    from scipy.stats import mannwhitneyu

    result = []
    for run in health:
        then, before = run.values[stretch.first : stretch.end], run.before(stretch.first)[-JUST_BEFORE:]
        if len(before) < FEWEST:
            continue
        test = mannwhitneyu(then, before)
        share = float(test.statistic) / (len(then) * len(before))
        if test.pvalue < LEVEL / len(health) and abs(share - 0.5) >= APART - 0.5:
            side = "up" if share > 0.5 else "down"
            apart = round(abs(share - 0.5), 2)
            result.append(ImageChange(run.measure, side, float(np.median(before)), float(np.median(then)), apart))
    return sorted(result, key=lambda change: -change.apart)


def diagnose(
    stream: Stream,
    charts: Sequence[ChartRun],
    health: Sequence[HealthRun],
    normal: Floats,
    threshold: float | None,
    arl: float,
) -> Diagnosis:
    """The clearest change of the scores explained, or that of the images when scores are in control.

    Args:
        stream: What was monitored.
        charts: Runs over its scores.
        health: Runs over its images; empty when there are none.
        normal: Calibration scores, (n,).
        threshold: Threshold of the rule, or None.
        arl: One false alarm in so many parts.
    """
    alarms = [run.alarm for run in charts if run.alarm is not None]
    if not alarms:
        return _quiet(stream, health, arl)
    clearest = max(alarms, key=lambda alarm: alarm.changed.strength)
    stretch = _to_the_end(clearest.changed, stream)
    images = moved_with(stretch, health)
    caution = _chance(alarms, arl)
    if clearest.direction == "down":
        text = f"Scores fell {_when(stream, stretch)}{_also(images)}. Good parts do not become better than good by "
        text += "themselves: look whether the camera still sees the parts (covered lens, empty belt, other product)."
        return Diagnosis("fell", text + caution, stretch)
    evidence = weigh(stretch, stream.values, normal, threshold, clearest.direction)
    rose = _rose(stream, stretch, evidence, images, health)
    return replace(rose, text=rose.text + caution)


def _to_the_end(stretch: Stretch, stream: Stream) -> Stretch:
    """A stretch that nobody can tell from one that lasts is taken to last."""
    total = len(stream.usable)
    return replace(stretch, end=total) if stretch.lasts(total) else stretch


def _chance(alarms: Sequence[Alarm], arl: float) -> str:
    """A word of caution when every alarm is over."""
    if any(alarm.lasting for alarm in alarms):
        return ""
    return f" All charts are back inside their limits; one alarm in {arl:.0f} parts is to be expected without a cause."


def _rose(
    stream: Stream,
    stretch: Stretch,
    evidence: Evidence,
    images: Sequence[ImageChange],
    health: Sequence[HealthRun],
) -> Diagnosis:
    when = _when(stream, stretch)
    share = f"{evidence.above} of {stretch.count} parts are above the threshold"
    share = f"{stretch.count} parts, no threshold" if evidence.more is None else share
    if images:
        text = f"Scores rose {when}{_also(images)}: {ADVICE[images[0].measure]}. Until that is settled the alarms "
        return Diagnosis("light", text + f"since then say little about the parts ({share}).{STAYS}", stretch)
    more = evidence.more is not None and evidence.more < LEVEL
    if more and evidence.above == stretch.count:
        text = f"Every part alarms {when}: {share}. No ordinary part is left to tell defects from a changed process."
        return Diagnosis("unclear", text + _unseen(stretch, health, " "), stretch)
    if evidence.typical >= LEVEL and more:
        text = f"More parts alarm {when}: {share}. Those that do not alarm score as ever: more defects, not another "
        return Diagnosis("defects", text + "process." + _unseen(stretch, health, " "), stretch)
    if evidence.typical >= LEVEL:
        text = f"Scores rose {when}, too little to tell whether every part changed or more of them are defective"
        return Diagnosis("unclear", f"{text} ({share}). Inspect those parts." + _unseen(stretch, health, " "), stretch)
    unknown = _unseen(stretch, health, " ")
    if unknown:
        text = f"Scores rose {when}, those of ordinary parts too ({share}).{unknown}"
        return Diagnosis("scores", text, stretch)
    measures = ", ".join(run.measure for run in health)
    text = f"Scores rose {when}, those of ordinary parts too ({share}), and the images did not change ({measures}): "
    return Diagnosis("parts", text + "the parts changed. Look at material, tools and process.", stretch)


def _quiet(stream: Stream, health: Sequence[HealthRun], arl: float) -> Diagnosis:
    moved = [(run, run.chart.alarm) for run in health if run.chart.alarm is not None]
    if not moved:
        return Diagnosis("in control", "In control: no chart sees a change.")
    changes = [
        ImageChange(
            run.measure,
            alarm.direction,
            float(np.median(run.reference)),
            float(np.median(run.values[alarm.changed.first : alarm.changed.end])),
        )
        for run, alarm in moved
    ]
    stretch = _to_the_end(max((alarm.changed for _, alarm in moved), key=lambda one: one.strength), stream)
    text = f"The images changed {_when(stream, stretch)}: {', '.join(change.words() for change in changes)}. "
    text += f"The scores do not show it so far; {ADVICE[changes[0].measure]}."
    return Diagnosis("images", text + _chance([alarm for _, alarm in moved], arl), stretch)


def _when(stream: Stream, stretch: Stretch) -> str:
    first = stream.describe(stretch.first)
    if stretch.lasts(len(stream.usable)):
        return f"since {first}"
    return f"from {first} to {stream.describe(stretch.end - 1)}"


def _also(images: Sequence[ImageChange]) -> str:
    if not images:
        return ""
    return ", and at the same time " + " and ".join(change.words() for change in images)


def _unseen(stretch: Stretch, health: Sequence[HealthRun], lead: str) -> str:
    """Why nothing can be said about the images; empty when something can."""
    if not health:
        return f"{lead}Whether the light changed is not known: there are no images to measure."
    if len(health[0].before(stretch.first)) < FEWEST:
        return f"{lead}Whether the light changed is not known: the change comes before images to compare with."
    return ""


def _verb(direction: str) -> str:
    return "rose" if direction == "up" else "fell"
