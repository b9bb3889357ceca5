"""`Products`: which product each calibration score comes from, where one model serves several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.core.lots import Lots
from amiss.core.origin import Origin
from amiss.core.scores import Scores

UNSTATED = "not stated"
"""Name of the product of images whose origin names none, beside others that do."""


@dataclass(frozen=True, eq=False)
class Products:
    """Products of N calibration scores.

    Args:
        names: The products, each once.
        numbers: The product of each score as a place in `names`, in ascending order of the scores, (N,).

    Raises:
        InputError: Numbers that are not such, or a product without any score.

    Example:
        >>> Products(("bolt", "nut"), np.array([0, 1, 0])).counts
        {'bolt': 2, 'nut': 1}
    """

    names: tuple[str, ...]
    numbers: NDArray[np.intp] = field(repr=False)

    def __post_init__(self) -> None:
        numbers = np.asarray(self.numbers)
        if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
            raise InputError(f"products must be one whole number per score, got {numbers.dtype} of {numbers.shape}")
        if (len(numbers) and numbers.min() < 0) or set(numbers.tolist()) != set(range(len(self.names))):
            raise InputError(f"products must be numbered from 0 to {len(self.names) - 1}, each once at least")
        object.__setattr__(self, "numbers", numbers.astype(np.intp))

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of scores of each product, by name."""
        return dict(zip(self.names, np.bincount(self.numbers).tolist(), strict=True))

    def above(self, scores: NDArray[np.float32], threshold: float) -> dict[str, int]:
        """Number of scores of each product above a threshold, by name; `scores` ascending, (N,)."""
        found = np.bincount(self.numbers[scores > np.float32(threshold)], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))


def only_product(
    products: Products | None, name: str, scores: Scores, lots: Lots | None
) -> tuple[Scores, Lots | None, Products]:
    """The scores of one product, the lot of each, and the product itself.

    Args:
        products: The product of each score, or None where none is stated.
        name: Which product.
        scores: Of all, ascending, N of them, with the class of each where it is known.
        lots: The lot of each score, or None.

    Raises:
        InputError: Not one of these products.
    """
    if products is None:
        raise InputError(f"product must be left out where the model's products are not stated, got {name!r}")
    chosen = products.numbers == products.names.index(check_choice("product", name, products.names))
    if lots is not None:
        _, numbers = np.unique(lots.numbers[chosen], return_inverse=True)
        lots = Lots(numbers, lots.future)
    classes = None if scores.classes is None else scores.classes[chosen]
    return Scores(scores.image[chosen], classes=classes), lots, Products((name,), np.zeros(int(chosen.sum()), np.intp))


def find_products(
    scores: NDArray[np.float32],
    images: NDArray[np.intp],
    parts: NDArray[np.intp],
    origins: Sequence[Origin],
    lots: Lots | None,
) -> Products | None:
    """Products of the scores of parts; None where origins name none.

    Args:
        scores: One per part, (N,).
        images: Indices of the calibration images.
        parts: The part that each of them shows, from 0 without gaps.
        origins: Origin of every image, or nothing.
        lots: The lot of each part, or None.

    Example:
        >>> origins = [Origin(product="nut"), Origin(product="bolt")]
        >>> found = find_products(np.array([3, 1], np.float32), np.arange(2), np.arange(2), origins, None)
        >>> found.names, found.numbers.tolist()
        (('bolt', 'nut'), [0, 1])
    """
    if not origins or all(origins[image].product is None for image in images):
        return None
    _, first = np.unique(parts, return_index=True)
    named = [origins[images[index]].product or UNSTATED for index in first]
    names = tuple(sorted(set(named)))
    numbers = np.array([names.index(name) for name in named], np.intp)
    order = np.argsort(scores) if lots is None else np.lexsort((lots.numbers, scores))  # as `Rule.calibrate` orders
    return Products(names, numbers[order])
