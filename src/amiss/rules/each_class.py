"""EachClass: the promise of Conformal, kept for the parts of every single class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice, check_rate
from amiss.core.errors import CalibrationError
from amiss.core.lots import Lots
from amiss.core.rule import IMAGES, Rule
from amiss.core.scores import Scores
from amiss.core.sentence import Sentence
from amiss.core.words import one_in, percent
from amiss.rules.conformal import Conformal
from amiss.rules.ranks import LARGEST_ALPHA, USUAL_ALPHA, false_alarm_bound

ABOUT_EACH = Sentence(
    "Of no class more than about {parts} will be rejected.",
    "tests/rules/test_each_class.py::test_no_class_has_more_alarms_than_promised",
)
OF_EACH = Sentence(
    "each_class: of the good parts of each class at most {alpha} raise an alarm, on average over calibration sets of "
    "n = {n} good images, {sizes}; for this very set the rate of a class is below {bound} with 95 % confidence.",
    "tests/rules/test_each_class.py::test_no_class_has_more_alarms_than_promised",
)
POOLED = Sentence(
    "Classes with fewer than {needed} calibration images are taken together: of the parts of all these the promise "
    "holds, not of each of them.",
    "tests/rules/test_each_class.py::test_small_classes_are_refused_or_pooled",
)

FEW = ("refuse", "pool")
"""What becomes of classes with too few calibration images."""


class EachClass(Rule):
    """Alarm above the threshold that Conformal would have for the class that needs the highest one.

    Conformal promises a rate over all classes together: a rare class, or one that the detector knows badly, may raise
    most of the alarms. Here every class has a threshold of its own, from the calibration images of that class (label-
    conditional conformal prediction, Vovk 2012), and an image is anomalous when its score is above all of them: a good
    part of any class, which nobody knows, is then above that of its own class at most as often as promised. The p-value
    is the largest of those of the classes. The price is that more unknown parts pass than with Conformal.

    Assumes:
        New good parts of a class come from where its calibration images came from, and learning saw none of those. The
        classes are those of the labels of the images: the method must learn them.

    Args:
        alpha: Rate in (0, 1) for every class, or "auto": 5 %, or the smallest that the smallest class supports.
        few: What becomes of classes with fewer images than alpha needs: "refuse", or "pool" for one class of them all.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> scores = Scores(np.array([*range(9), *range(10, 19)]), classes=np.repeat([0, 1], 9))
        >>> rule = EachClass(0.1).calibrate(scores)
        >>> rule.threshold, rule.p_value(np.array([8.5, 18.5])).tolist()
        (18.0, [1.0, 0.1])
    """

    name = "each_class"

    def __init__(self, alpha: float | str = "auto", few: str = "refuse") -> None:
        super().__init__()
        self._asked: float | str = "auto" if alpha == "auto" else check_rate("alpha", alpha)  # type: ignore[arg-type]
        self.few = check_choice("few", few, FEW)
        self._sizes: tuple[int, ...] = ()
        self._groups: tuple[NDArray[np.float32], ...] = ()

    def check(self, n: int, unit: str = IMAGES) -> None:
        """Refuse where not even one class could have enough."""
        self.resolve((n,), ("all classes",))

    def check_classes(self, counts: Mapping[str, int]) -> None:
        """Refuse classes that are too small, by name, before anything is learned.

        Raises:
            CalibrationError: Too few calibration images of one; says how many are missing.
        """
        self.resolve(tuple(counts.values()), tuple(counts))

    def resolve(self, sizes: tuple[int, ...], names: tuple[str, ...] = ()) -> float:
        """The alpha in force with so many calibration images of each class.

        Raises:
            CalibrationError: Too few of one.
        """
        counted = self._pooled_sizes(sizes)
        least = Conformal().least_alpha(min(counted))
        wanted = self._least_asked()
        if least > wanted + 1e-12:
            needed = Conformal().needed(wanted)
            named = names or tuple(f"class {number + 1}" for number in range(len(sizes)))
            small = [f"{size} of {name}" for size, name in zip(sizes, named, strict=True) if size < needed]
            together = "" if len(counted) == len(sizes) else " together"
            raise CalibrationError(
                f"each_class: alpha = {percent(wanted)} needs {needed} good calibration images of every class, got "
                f"{', '.join(small)}{together}. Give more of them, or ask for a larger alpha, or take few='pool' "
                "(each_class:5%,pool), which promises it of the small classes together."
            )
        return max(USUAL_ALPHA, least) if isinstance(self._asked, str) else self._asked

    def _least_asked(self) -> float:
        return LARGEST_ALPHA if isinstance(self._asked, str) else self._asked

    def _pooled_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if self.few != "pool":
            return sizes
        needed = Conformal().needed(self._least_asked())
        small = [size for size in sizes if size < needed]  # even if all are 0: of these nothing could be promised
        return (*(size for size in sizes if size >= needed), *((sum(small),) if small else ()))

    def calibrate(self, normal: Scores, lots: Lots | None = None) -> Self:
        """As `Rule.calibrate`; the classes of the scores are those that the images show, or one class."""
        made = super().calibrate(normal, lots)
        numbers = np.zeros(made.n, np.int64) if made.classes is None else made.classes
        present, sizes = np.unique(numbers, return_counts=True)
        made._asked = made.resolve(tuple(sizes.tolist()))
        needed = Conformal().needed(self._least_asked())
        alone = [number for number, size in zip(present, sizes, strict=True) if size >= needed or self.few != "pool"]
        parts = [made.normal[numbers == number] for number in alone]
        rest = made.normal[~np.isin(numbers, alone)]
        made._groups = (*parts, *((rest,) if len(rest) else ()))
        made._sizes = tuple(sizes.tolist())
        return made

    @property
    def alpha(self) -> float | None:
        return self._asked if self.n and not isinstance(self._asked, str) else None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """That of each class, those of the small ones together last."""
        return tuple(float(group[-rank]) for group, rank in zip(self._groups, self._ranks(), strict=True))

    def _ranks(self) -> list[int]:
        alpha = self.alpha or 0.0
        return [min(len(group), int(alpha * (len(group) + 1) + 1e-9)) for group in self._groups]

    @property
    def threshold(self) -> float:
        return max(self.thresholds) if self.n else float(self.normal[-1])

    def p_value(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """The largest of the conformal p-values of the classes. Any shape."""
        found = np.full(np.shape(scores), np.nan if not self._groups else 0.0)
        for group in self._groups:
            as_high = len(group) - np.searchsorted(group, np.asarray(scores, np.float32), side="left")
            found = np.maximum(found, (1.0 + as_high) / (len(group) + 1.0))
        return np.asarray(found, np.float64)

    def in_short(self) -> str:
        return ABOUT_EACH(parts=one_in(self.alpha or 1.0))

    def statement(self) -> str:
        bound = max(
            false_alarm_bound(rank, len(group)) for group, rank in zip(self._groups, self._ranks(), strict=True)
        )
        least, most = min(self._sizes), max(self._sizes)
        sizes = f"{least} of each class" if least == most else f"{least} to {most} of a class"
        said = OF_EACH(alpha=percent(self.alpha or 1.0), n=self.n, sizes=sizes, bound=percent(bound))
        if len(self._groups) < len(self._sizes):
            said += " " + POOLED(needed=Conformal().needed(self.alpha or 1.0))
        return said

    def config(self) -> dict[str, Any]:
        return {"alpha": self._asked, "few": self.few}
