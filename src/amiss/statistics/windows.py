"""Sliding windows: where they lie, cutting them out of a batch, and spreading their scores over the pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.core.errors import InputError


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one side: every `stride` pixels, and the last one at the end.

    Raises:
        InputError: The side is shorter than a window.

    Example:
        >>> window_starts(10, window=4, stride=4)
        [0, 4, 6]
    """
    if length < window:
        raise InputError(f"images must be at least {window} pixels wide and high, the size of a window, got {length}")
    return [*range(0, length - window, stride), length - window]


def cut_windows(batch: Tensor, window: int, stride: int) -> Tensor:
    """All windows of a batch.

    Args:
        batch: (N, C, H, W).
        window: Side of the square windows, in pixels.
        stride: See `window_starts`.

    Returns:
        (N, a, b, C, window, window) for a rows of b windows.
    """
    rows, columns = (
        torch.tensor(window_starts(length, window, stride))[:, None] + torch.arange(window)
        for length in batch.shape[2:]
    )  # (a, window), (b, window)
    return batch[:, :, rows][..., columns].permute(0, 2, 4, 1, 3, 5)


def spread_windows(scores: Tensor, size: tuple[int, int], window: int, stride: int) -> Tensor:
    """Give each pixel the weighted mean of the scores of all windows that cover it.

    The weight falls linearly from the window's centre to its border, in either direction. It is separable, so the map
    is ``A @ scores @ B^T`` with small constant matrices. Windows that overlap by half make it the linear
    interpolation between their centres.

    Args:
        scores: (N, a, b), one per window.
        size: Height and width of the image.
        window: Side of the windows, in pixels.
        stride: See `window_starts`; at most `window`, so that every pixel is covered.

    Returns:
        (N, H, W).
    """
    rows, columns = (torch.from_numpy(_weights(length, window, stride)).to(scores) for length in size)
    return rows @ scores @ columns.T


@lru_cache(maxsize=16)
def _weights(length: int, window: int, stride: int) -> NDArray[np.float32]:
    """(length, windows) weights, rows that sum to 1."""
    centres = np.array(window_starts(length, window, stride)) + window / 2
    distance = np.abs(np.arange(length)[:, None] + 0.5 - centres)
    weights = (1 - distance / (window / 2)).clip(min=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def cells_of_windows(side: int, window: int) -> NDArray[np.intp]:
    """Numbers of the cells in every square window of a square grid, row by row, one cell apart, (windows, window^2).

    Example:
        >>> cells_of_windows(3, 2).tolist()
        [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    """
    starts = np.arange(side - window + 1)
    first = (starts[:, None] * side + starts).reshape(-1, 1)
    inside = (np.arange(window)[:, None] * side + np.arange(window)).reshape(1, -1)
    return np.asarray(first + inside, np.intp)


def harmonic_over_windows(scores: Tensor, side: int, window: int) -> Tensor:
    """Give each cell of a square grid the harmonic mean of the scores of all windows that cover it: the least counts.

    Args:
        scores: (N, windows), above 0, in the order of `cells_of_windows`.
        side: Of the grid.
        window: Side of the windows, in cells.

    Returns:
        (N, side, side).

    Example:
        >>> harmonic_over_windows(torch.tensor([[1.0, 0.5, 1.0, 1.0]]), 3, 2)[0, 0]
        tensor([1.0000, 0.6667, 0.5000])
    """
    cells = cells_of_windows(side, window)
    covers = np.zeros((len(cells), side * side), np.float32)
    np.put_along_axis(covers, cells, 1.0, axis=1)
    inverse = scores.reciprocal() @ torch.from_numpy(covers).to(scores)
    return (torch.from_numpy(covers.sum(axis=0)).to(scores) / inverse).view(-1, side, side)
