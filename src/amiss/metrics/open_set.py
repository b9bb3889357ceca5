"""How well known classes are told apart and what is none of them is found, beside AUROC: OSCR, confusion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.errors import InputError
from amiss.metrics.counts import check_binary
from amiss.metrics.roc import auroc


def oscr_scores(unknown: ArrayLike, scores: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """Scores whose AUROC is the OSCR: those of known images that are told wrongly lie above all others.

    Args:
        unknown: 1 or True = of no known class, (N,).
        scores: Larger = more unlike all classes, (N,).
        right: 1 or True = the class that the image is most like is its own, (N,); of unknown ones it does not count.

    Raises:
        InputError: Not one of each per image, or scores that are not finite.
    """
    strange, told = check_binary(unknown, "unknown"), check_binary(right, "right")
    values = np.asarray(scores, np.float64)
    if not strange.shape == told.shape == values.shape or values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(
            f"there must be one finite score, truth and answer per image, got {values.shape}, {strange.shape}, "
            f"{told.shape}"
        )
    return np.where(~strange & ~told, values.max(initial=0.0) + 1.0, values)


def oscr(unknown: ArrayLike, scores: ArrayLike, right: ArrayLike) -> float:
    """Open-set classification rate: area under the share of known images that are passed and told rightly, over the
    share of unknown images that are passed, of all thresholds.

    It is the probability that a known image is told rightly and scores below an unknown one; a tie counts half. Never
    above the closed-set accuracy or the AUROC.

    Args:
        unknown: See `oscr_scores`.
        scores: See `oscr_scores`.
        right: See `oscr_scores`.

    Returns:
        In [0, 1]; NaN when there are no known or no unknown images.

    Example:
        >>> oscr([0, 0, 0, 1], [0.1, 0.2, 0.9, 0.5], [1, 0, 1, 0])
        0.3333333333333333
    """
    return auroc(unknown, oscr_scores(unknown, scores, right))


def confusion(
    truth: Sequence[str], said: Sequence[str], rows: Sequence[str], columns: Sequence[str]
) -> NDArray[np.int64]:
    """How many images of each class were called what, (rows, columns).

    Args:
        truth: Class of each image, one of `rows`.
        said: What it was called, one of `columns`.
        rows: Classes, known and unknown ones.
        columns: The known classes, and what an image of none is called.

    Raises:
        InputError: Not one answer per image, or a word that is in neither list.

    Example:
        >>> confusion(["a", "b", "x"], ["a", "a", "unknown"], ["a", "b", "x"], ["a", "b", "unknown"]).tolist()
        [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    """
    if len(truth) != len(said) or set(truth) - set(rows) or set(said) - set(columns):
        raise InputError(
            f"there must be one answer per image, of {list(columns)} for {list(rows)}, got {len(said)} for {len(truth)}"
        )
    table = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(table, ([rows.index(one) for one in truth], [columns.index(one) for one in said]), 1)
    return table
