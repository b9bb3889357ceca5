"""Images that nearly repeat each other: taken apart, one would be tested with what another was learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.errors import ImageError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.threads import in_order, threads

GRID = 32
"""Side of the small grey images that are compared."""

SHARE = 0.2
"""Two images of a class nearly repeat each other when they differ by less than this share of what two of its images
usually differ by (the median): so images of parts that always lie alike are not all taken for one."""

SAMPLE = 1000
"""Images of a class that this median is taken over."""

ROWS = 512
"""Images compared with all others at once."""


def near_copies(images: Images) -> tuple[Origin, ...]:
    """An origin for each of labelled images, in which those of a class that nearly repeat each other are one part.

    Chains count: an image that nearly repeats two others joins them. Images that cannot be read are parts of their own.

    Args:
        images: With labels.

    Cost:
        Every image is decoded once; n^2 products of 1,024 numbers for a class of n images.
    """
    grids = signatures(images)
    parts: list[str | None] = [None] * len(images)
    for name in sorted(set(images.labels)):
        own = [index for index, label in enumerate(images.labels) if label == name and grids[index] is not None]
        found: NDArray[np.intp] = (
            group(np.stack([grid for index in own if (grid := grids[index]) is not None]))
            if own
            else np.zeros(0, np.intp)
        )
        counts = np.bincount(found) if own else np.zeros(0, int)
        for index, number in zip(own, found, strict=True):
            parts[index] = f"{name} {number}" if counts[number] > 1 else None
    return tuple(Origin(part=part) for part in parts)


def signatures(images: Images) -> list[NDArray[np.float32] | None]:
    """Each image as a small grey one, flat (1024,); None where it cannot be read."""

    def sign(index: int) -> NDArray[np.float32] | None:
        try:
            small = resize(images[index], (GRID, GRID))
        except ImageError:
            return None
        grey: NDArray[np.float32] = small.mean(axis=2, dtype=np.float32).ravel()
        return grey

    return list(in_order(sign, len(images), threads()))


def group(grids: NDArray[np.float32]) -> NDArray[np.intp]:
    """The group of each of n signatures (n, D), as numbers from 0.

    Example:
        >>> group(np.array([[0.0], [10.0], [10.2], [20.0], [30.0]], np.float32)).tolist()
        [0, 1, 1, 2, 3]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(grids)
    if n < 2:
        return np.zeros(n, np.intp)
    centred = (grids - grids.mean(axis=0)).astype(np.float64)
    some = centred[np.linspace(0, n - 1, min(n, SAMPLE)).round().astype(np.intp)]
    usual = float(np.median(_squares(some, some)[np.triu_indices(len(some), 1)]))
    pairs = [(np.zeros(0, np.intp), np.zeros(0, np.intp))]
    for start in range(0, n, ROWS):
        rows, columns = np.nonzero(_squares(centred[start : start + ROWS], centred) <= SHARE**2 * usual)
        pairs.append((rows + start, columns))
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], np.intp)


def _squares(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (n, m) of vectors (n, D) and (m, D)."""
    lengths = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :]
    found: NDArray[np.float64] = np.maximum(lengths - 2 * one @ other.T, 0.0)
    return found


def describe_near_copies(origins: Sequence[Origin]) -> list[str]:
    """A note on how many images nearly repeat others; none where there are none."""
    parts = [origin.part for origin in origins if origin.part is not None]
    if not parts:
        return []
    return [
        f"{len(parts)} of {len(origins)} images nearly repeat others of their class: such images stay together and "
        f"count as {len(set(parts))} parts."
    ]
