"""Which test images are independent evidence: n counts parts, and lots where there are enough of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.origin import lot_numbers, part_numbers
from amiss.core.verdict import Label
from amiss.data.dataset import Dataset
from amiss.metrics import Rate, Units, rate_over_lots

LEAST_LOTS = 6
"""With fewer lots nothing can be said of parts of other lots; `bench/interval_coverage.py` measures with 6."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """The part and the lot of each test image.

    Images of one part are one piece of evidence. Parts of one lot resemble each other; with at least `LEAST_LOTS` lots
    of good and of defective images, intervals are for parts of other lots. With fewer they are for these lots.

    Args:
        defective: Truth, (N,).
        parts: Number of the part of each image, (N,).
        lots: Number of its lot, (N,); None where lots are not known.
    """

    defective: NDArray[np.bool_]
    parts: NDArray[np.intp]
    lots: NDArray[np.intp] | None = None

    def units(self, images: NDArray[Any]) -> Units:
        """Units of some of the images, by a mask or by numbers."""
        numbers = self.lots if self.lots is not None and self.over_lots else self.parts
        return Units(self.defective, numbers).subset(images)

    @cached_property
    def over_lots(self) -> bool:
        """Whether intervals are for parts of other lots: there are enough lots of either class."""
        classes = [one for one in (~self.defective, self.defective) if one.any()]
        return bool(classes) and all(self._count_lots(one) >= LEAST_LOTS for one in classes)

    def count_parts(self, images: NDArray[Any]) -> int:
        """Number of parts that some of the images show."""
        return len(np.unique(self.parts[images]))

    def part_labels(self, labels: Sequence[Label], images: NDArray[np.bool_]) -> dict[int, Label]:
        """What each part got on some of the images, (N,), by its number; images that could not be used say nothing.

        A part is anomalous when one of its images is, else for review when one of them is, else good.
        """
        found: dict[int, Label] = {}
        for index in np.flatnonzero(images).tolist():
            if labels[index] is not Label.ERROR:
                part = int(self.parts[index])
                found[part] = max(found.get(part, Label.GOOD), labels[index], key=_SEVERITY.index)
        return found

    def rate(self, label: Label, labels: Sequence[Label], images: NDArray[np.bool_]) -> Rate:
        """How many of the parts on some of the images got a label, with an interval over parts or lots.

        Args:
            label: What is counted.
            labels: What each image got, (N,).
            images: Those that count, (N,).
        """
        return self.share(self.events({label}, labels, images))

    def events(self, wanted: Collection[Label], labels: Sequence[Label], images: NDArray[np.bool_]) -> dict[int, bool]:
        """For each part on some of the images, by its number, whether it got one of these labels."""
        return {part: label in wanted for part, label in self.part_labels(labels, images).items()}

    def share(self, *found: Mapping[int, bool]) -> Rate:
        """The share of parts, by their numbers, to which something happened, with an interval over parts or lots.

        A part that shows a defect in some of its images may be among the good ones and among the defective ones.
        """
        events = [event for some in found for event in some.values()]
        lots = self.lots_of([part for some in found for part in some]) if self.over_lots else None
        if lots is None or len(set(lots)) < 2:
            return Rate(sum(events), len(events))
        return rate_over_lots(events, lots)

    def lots_of(self, parts: Collection[int]) -> list[int] | None:
        """The lot of each of these parts; None where lots are not known."""
        return None if self._lot_of is None else [self._lot_of[part] for part in parts]

    def lot_shares(self, events: Mapping[int, bool]) -> NDArray[np.float64]:
        """The share of each lot's parts to which something happened, (L,)."""
        lots = np.unique(self.lots_of(events) or [], return_inverse=True)[1]
        happened = np.array([*events.values()], np.float64)
        return np.asarray(np.bincount(lots, happened) / np.bincount(lots), np.float64)

    @cached_property
    def _lot_of(self) -> dict[int, int] | None:
        """Lot by part; None where lots are not known."""
        return None if self.lots is None else dict(zip(self.parts.tolist(), self.lots.tolist(), strict=True))

    def words(self) -> str:
        """What n counts and which future the intervals are for, a sentence each; "" where each image is a part."""
        said = []
        if self.count_parts(np.ones(len(self.parts), bool)) < len(self.parts):
            said.append("n counts parts: a part raises an alarm when one of its images does.")
        if self.lots is None:
            return " ".join(said)
        if self.over_lots:
            lots = self._count_lots(np.ones(len(self.parts), bool))
            said.append(f"The images are of {lots} lots; the intervals are for parts of other lots too, made alike.")
        else:
            good, bad = (self._count_lots(one) for one in (~self.defective, self.defective))
            said.append(
                f"The good parts are of {good} lot{'' if good == 1 else 's'} and the defective ones of {bad}, too few "
                f"to speak for others ({LEAST_LOTS} of each would do): the intervals are for parts of these lots."
            )
        return " ".join(said)

    def summary(self, usable: NDArray[np.bool_]) -> dict[str, Any]:
        """Plain JSON values, of the images that could be used."""
        return {
            "n_good": int((usable & ~self.defective).sum()),
            "n_defective": int((usable & self.defective).sum()),
            "n_good_parts": self.count_parts(usable & ~self.defective),
            "n_defective_parts": self.count_parts(usable & self.defective),
            "n_lots": None if self.lots is None else self._count_lots(usable),
            "intervals_over": "lots" if self.over_lots else "parts",
        }

    def _count_lots(self, images: NDArray[np.bool_]) -> int:
        return 0 if self.lots is None else len(np.unique(self.lots[images]))


_SEVERITY = (Label.GOOD, Label.REVIEW, Label.ANOMALOUS)


def sampling_of(dataset: Dataset) -> Sampling:
    """From the origins of the test images; without any, each image is a part of its own."""
    everything = np.arange(len(dataset.test))
    return Sampling(
        dataset.anomalous,
        part_numbers(everything, dataset.test_origins),
        lot_numbers(everything, dataset.test_origins),
    )
