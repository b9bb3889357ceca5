"""Images as other libraries hold them: tensors, PIL images, batches of a loader. None of them is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError

PLAIN_MODES = ("L", "RGB", "RGBA", "I;16")
"""Modes of PIL whose numbers are the pixels; others are converted to RGB."""

CHANNELS = (1, 3, 4)

_WHOLE = 0.02
"""How far 255 times a float may be from a whole number, or its own precision: what was divided by 255 comes back."""


def is_foreign(item: object) -> bool:
    """Whether it can be asked for an array, and is none."""
    asked = hasattr(item, "__array__") or hasattr(item, "__array_interface__")
    return asked and not isinstance(item, (np.ndarray, np.generic))


def unfold(number: int, item: Any) -> Iterator[NDArray[Any]]:
    """The images of one thing that a list, data set or loader gives: one, or those of a batch, without their labels.

    Args:
        number: Its place, for errors.
        item: An array, a tensor, a PIL image, a batch of arrays or tensors, or one of these first in a tuple or list.

    Raises:
        InputError: Anything else.
    """
    if isinstance(item, (tuple, list)) and item and (is_foreign(item[0]) or isinstance(item[0], np.ndarray)):
        item = item[0]
    if not (is_foreign(item) or isinstance(item, np.ndarray)):
        raise InputError(
            f"item {number} must be a path, array, tensor, PIL image or Image, or a pair that begins with one, got "
            f"{type(item).__name__}"
        )
    pixels = to_array(number, item)
    yield from pixels if pixels.ndim == 4 else [pixels]


def to_array(number: int, item: Any) -> NDArray[Any]:
    """The pixels of one image, or of a batch, channels last.

    Raises:
        InputError: Floats that are not whole numbers divided by 255.
    """
    if isinstance(item, np.ndarray):
        return item
    if hasattr(item, "mode") and hasattr(item, "convert"):  # PIL
        return np.asarray(item if item.mode in PLAIN_MODES else item.convert("RGB"))
    if hasattr(item, "detach"):  # torch
        pixels = np.asarray(item.detach().cpu())
        first = pixels.ndim - 3
        if first in (0, 1) and pixels.shape[first] in CHANNELS and pixels.shape[-1] not in CHANNELS:
            pixels = np.moveaxis(pixels, first, -1)
    else:
        pixels = np.asarray(item)
    return _from_floats(number, pixels) if pixels.dtype.kind == "f" else pixels


def _from_floats(number: int, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """What a transform such as ToTensor divided by 255, as it was."""
    whole = 255 * pixels.astype(np.float64)
    away = max(_WHOLE, 255 * float(np.finfo(pixels.dtype).eps))
    if not (pixels.size and whole.min() >= 0 and whole.max() <= 255 and np.abs(whole - np.rint(whole)).max() <= away):
        raise InputError(
            f"item {number} must hold uint8 or uint16 pixels, or uint8 divided by 255, got {pixels.dtype}: leave out "
            "transforms that normalise or resize (Amiss resizes itself), or round: (255 * x).round().to(torch.uint8)"
        )
    return np.rint(whole).astype(np.uint8)
