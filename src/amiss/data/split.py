"""An own split for sets that come without one: some good images to learn from, the others to test on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_rate
from amiss.core.errors import DataError
from amiss.core.origin import Origin, stay_together

LEARN = 0.8
"""Share of the good images that an own split gives to learning and calibration."""


def split_good(
    n: int, seed: int, *, share: float = LEARN, origins: Sequence[Origin] = ()
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw which of n good images to learn from and which to test on; both in ascending order.

    Images of one lot stay together where several lots are known, and images of one part always do.

    Args:
        n: Number of good images.
        seed: Random seed.
        share: About how many of them to learn from.
        origins: Origin of each image, or nothing.

    Raises:
        DataError: Fewer than two images, lots or parts.

    Example:
        >>> learn, test = split_good(10, 0)
        >>> len(learn), len(test), sorted({*learn.tolist(), *test.tolist()}) == list(range(10))
        (8, 2, True)
    """
    check_rate("share", share)
    groups = stay_together(n, origins)
    if len(groups) < 2:
        raise DataError(
            f"good images of at least 2 parts are needed, some to learn from and others to test on, got {n} images of "
            f"{len(groups)} part"
        )
    order = np.random.default_rng(seed).permutation(len(groups))
    sizes = np.cumsum([len(groups[index]) for index in order])
    count = int(np.abs(sizes[:-1] - share * n).argmin()) + 1
    learn = np.sort(np.concatenate([groups[index] for index in order[:count]]))
    return learn.astype(np.intp), np.setdiff1d(np.arange(n, dtype=np.intp), learn)
