"""CutPaste: a piece of an image, pasted at another place of it, as a patch or as a thin turned scar."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.synthesis.noise import Field

Pixels = NDArray[np.float32]

PATCH_AREA = (0.02, 0.15)
"""Area of a patch, as a share of the image's."""

ASPECT = 3.3
"""Most that one side of a patch is longer than the other."""

SCAR_WIDTH, SCAR_LENGTH = (2, 16), (10, 25)
"""Sides of a scar, in pixels of an image whose shorter side is 256."""

SCAR_TURN = 45.0
"""Most that a scar is turned, in degrees, either way."""

JITTER = 0.1
"""Most that brightness, contrast and saturation of a piece are changed, as a share."""


def paste_patch(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Field]:
    """A rectangle of an image, its colours a little changed, pasted anywhere.

    Args:
        image: (H, W, 3) in [0, 1]; it stays as it is.
        rng: Everything random.

    Returns:
        The image with the patch, and where it lies, (H, W): 1 inside.

    Source: Li, Sohn, Yoon and Pfister, "CutPaste", CVPR 2021, section 2.2.
    """
    area = rng.uniform(*PATCH_AREA) * image.shape[0] * image.shape[1]
    root = math.exp(rng.uniform(-math.log(ASPECT), math.log(ASPECT)) / 2)
    piece = jittered(_cut(image, math.sqrt(area) * root, math.sqrt(area) / root, rng), rng)
    return _pasted(image, piece, np.ones(piece.shape[:2], np.float32), rng)


def paste_scar(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, Field]:
    """A small thin rectangle of an image, its colours a little changed, turned by up to 45 degrees, pasted anywhere.

    Arguments and results as of `paste_patch`.
    """
    scale = min(image.shape[:2]) / 256
    piece = jittered(_cut(image, rng.uniform(*SCAR_LENGTH) * scale, rng.uniform(*SCAR_WIDTH) * scale, rng), rng)
    height, width = piece.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-SCAR_TURN, SCAR_TURN), 1.0)
    along, across = abs(turn[0, 0]), abs(turn[0, 1])
    most = image.shape[:2]
    size = (
        min(math.ceil(height * across + width * along), most[1]),
        min(math.ceil(height * along + width * across), most[0]),
    )
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    inside = cv2.warpAffine(np.ones((height, width), np.float32), turn, size, flags=cv2.INTER_NEAREST)
    turned = cv2.warpAffine(piece, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _pasted(image, np.asarray(turned, np.float32), np.asarray(inside, np.float32), rng)


def jittered(piece: Pixels, rng: np.random.Generator) -> Pixels:
    """A piece (h, w, 3), its brightness, contrast and saturation each changed by up to `JITTER`, as a share."""
    brightness, contrast, saturation = rng.uniform(1 - JITTER, 1 + JITTER, 3)
    changed = piece * brightness
    mean = changed.mean()
    changed = mean + contrast * (changed - mean)
    grey = changed.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(grey + saturation * (changed - grey), 0, 1), np.float32)


def _cut(image: Pixels, height: float, width: float, rng: np.random.Generator) -> Pixels:
    """A rectangle anywhere in the image, each side 2 pixels at least and no longer than the image."""
    rows, columns = (
        int(np.clip(round(side), 2, most)) for side, most in zip((height, width), image.shape, strict=False)
    )
    top, left = (int(rng.integers(most - side + 1)) for side, most in zip((rows, columns), image.shape, strict=False))
    return image[top : top + rows, left : left + columns]


def _pasted(image: Pixels, piece: Pixels, inside: Field, rng: np.random.Generator) -> tuple[Pixels, Field]:
    """The image with the piece at a random place, where `inside` is 1, and that place."""
    height, width = piece.shape[:2]
    top, left = int(rng.integers(image.shape[0] - height + 1)), int(rng.integers(image.shape[1] - width + 1))
    changed, mask = image.copy(), np.zeros(image.shape[:2], np.float32)
    place = slice(top, top + height), slice(left, left + width)
    changed[place] = np.where(inside[:, :, None] > 0, piece, image[place])
    mask[place] = inside
    return changed, mask
