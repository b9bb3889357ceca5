"""`Lots`: which lot each calibration score comes from, and whose parts a promise is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice
from amiss.core.errors import InputError

NEW_LOTS, THESE_LOTS = "new-lots", "these-lots"
FUTURES = (NEW_LOTS, THESE_LOTS)
"""Whose parts a promise is for: those of lots that nobody has seen, or further ones of the lots that calibrate."""


@dataclass(frozen=True, eq=False)
class Lots:
    """Lots of N calibration scores.

    Args:
        numbers: The lot of each score, from 0 without gaps, (N,).
        future: One of `FUTURES`. For new lots the lot is the unit of evidence, for these lots the part.

    Raises:
        InputError: An unknown future, or numbers that are not such.

    Example:
        >>> Lots(np.array([0, 1, 0])).sizes.tolist()
        [2, 1]
    """

    numbers: NDArray[np.intp] = field(repr=False)
    future: str = NEW_LOTS

    def __post_init__(self) -> None:
        check_choice("future", self.future, FUTURES)
        numbers = np.asarray(self.numbers)
        if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
            raise InputError(f"lots must be one whole number per score, got {numbers.dtype} of shape {numbers.shape}")
        if len(numbers) and (numbers.min() < 0 or not np.bincount(numbers).all()):
            raise InputError(f"lots must be numbered from 0 without gaps, got {np.unique(numbers)[:5].tolist()} ...")
        object.__setattr__(self, "numbers", numbers.astype(np.intp))

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """Number of scores of each lot, (number of lots,)."""
        return np.bincount(self.numbers)

    @property
    def count(self) -> int:
        """Number of lots."""
        return len(self.sizes)

    def __getitem__(self, order: NDArray[np.intp]) -> Lots:
        """The same for scores in another order."""
        return Lots(self.numbers[order], self.future)
