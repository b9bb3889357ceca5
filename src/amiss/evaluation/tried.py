"""What other alphas would have done on the same test images: the trade between false alarms and escapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.scores import Scores
from amiss.core.verdict import Label, Verdict
from amiss.evaluation.sampling import Sampling
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.rules.trade import Choice, trade, trade_lines


@dataclass(frozen=True)
class Tried:
    """One row of the trade.

    Args:
        choice: The promise, its threshold and its bound.
        false_alarms: Good parts that would have raised an alarm.
        detections: Defective parts that would have.
    """

    choice: Choice
    false_alarms: Rate
    detections: Rate

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {"false_alarms": self.false_alarms.summary(), "detections": self.detections.summary()}
        return {**self.choice.summary(), **found}


def tried_lines(rows: tuple[Tried, ...]) -> list[str]:
    """The table as text."""
    cells = [[f"{one.count} of {one.n}" for one in (row.detections, row.false_alarms)] for row in rows]
    return trade_lines([row.choice for row in rows], cells, ["found", "false alarms"])


class Alternatives:
    """Decides about every test image under each alpha that the calibration supports.

    Without mask filters an alarm is a score above the threshold; with them every alpha needs its own masks.
    """

    def __init__(self, inspector: Inspector) -> None:
        self.choices = trade(inspector.rule)
        self._inspectors = [replace(inspector, rule=one.rule) for one in self.choices]
        self._labels: list[tuple[Label, ...]] = []

    def labels(self, verdict: Verdict) -> tuple[Label, ...]:
        """What each alpha says of an image, from its verdict with its map."""
        pairs = zip(self.choices, self._inspectors, strict=True)
        return tuple(self._label(verdict, choice, other) for choice, other in pairs)

    def add(self, labels: tuple[Label, ...]) -> None:
        """Count the `labels` of the next image."""
        self._labels.append(labels)

    def _label(self, verdict: Verdict, choice: Choice, other: Inspector) -> Label:
        if verdict.score is None or choice.in_use:
            return verdict.label
        alarm = bool(np.float32(verdict.score) > np.float32(choice.threshold))
        if alarm and other.mask_filters and verdict.map is not None:
            scores = Scores(np.array([verdict.score], np.float32), verdict.map[None])
            alarm = bool(other.decide(scores).label[0])
        return Label.ANOMALOUS if alarm else Label.GOOD

    def rows(self, sampling: Sampling, defective: NDArray[np.bool_]) -> tuple[Tried, ...]:
        """The table, from how the images were drawn and the truth of each, (N,)."""
        return tuple(
            Tried(choice, *(sampling.rate(Label.ANOMALOUS, labels, images) for images in (~defective, defective)))
            for choice, labels in zip(self.choices, zip(*self._labels, strict=True), strict=True)
        )
