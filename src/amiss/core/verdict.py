"""`Verdict`: what is said about one image, for people and for files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.classes import UNKNOWN
from amiss.core.scores import Decision, Region


class Label(StrEnum):
    """What can be said of an image. Review: a person should look. An error is never good."""

    GOOD = "good"
    REVIEW = "review"
    ANOMALOUS = "anomalous"
    ERROR = "error"

    @classmethod
    def of(cls, decision: Decision) -> Label:
        """What a decision says of its first image."""
        if decision.label[0]:
            return cls.ANOMALOUS
        return cls.REVIEW if decision.review[0] else cls.GOOD


@dataclass(frozen=True, kw_only=True, repr=False)
class Verdict:
    """What is said about one image.

    Args:
        name: Path of the file, or number of the array.
        label: Good, review, anomalous, or error.
        score: Image score, larger = more anomalous; None on error.
        p_value: How often a good image would look at least this strange; None on error or without calibration.
        most_like: The class that the image is most like, by a method that knows several, also where it alarms; None for
            other methods and on error.
        regions: Alarming regions, strongest first, boxes and areas in pixels of the original image.
        reason: What was wrong with the file; empty unless `label` is error.
        threshold: What the score was compared with, the rule's; None on error.
        sha256: Of the very bytes that were judged, hex: a file as it lies on disk, an array's pixels; "" when nothing
            could be read.
        map: Score map float32 (H, W) at the detector's input size, or at the image's where it is cut into tiles; or
            None.
        mask: Alarming pixels bool (H, W) at the same size, or None.
    """

    name: str
    label: Label
    score: float | None = None
    p_value: float | None = None
    most_like: str | None = None
    regions: tuple[Region, ...] = ()
    reason: str = ""
    threshold: float | None = None
    sha256: str = ""
    map: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        if self.score is None:
            return f"Verdict({self.name!r}, {self.label}{f': {self.reason}' if self.reason else ''})"
        sure = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        known = "" if self.recognised is None else f", {self.recognised}"
        score = f"score = {self.score:.4g}{sure}, regions = {len(self.regions)}"
        return f"Verdict({self.name!r}, {self.label}{known}, {score})"

    @property
    def margin(self) -> float | None:
        """Score minus threshold: above 0 the image alarms; None on error or without a threshold."""
        return None if self.score is None or self.threshold is None else self.score - self.threshold

    @property
    def recognised(self) -> str | None:
        """The class of the image, or "unknown" where it alarms; None for methods that know no classes, and on error."""
        return UNKNOWN if self.most_like is not None and self.label is Label.ANOMALOUS else self.most_like

    def without_arrays(self) -> Verdict:
        """The same verdict without map and mask, to be kept in numbers."""
        return replace(self, map=None, mask=None)

    def summary(self) -> dict[str, Any]:
        """The verdict without its arrays, as plain JSON values."""
        return {
            "name": self.name,
            "label": str(self.label),
            "score": self.score,
            "threshold": self.threshold,
            "margin": self.margin,
            "p_value": self.p_value,
            "recognised": self.recognised,
            "most_like": self.most_like,
            "regions": [{"box": list(r.box), "area": r.area, "peak": r.peak} for r in self.regions],
            "reason": self.reason,
            "sha256": self.sha256,
        }
