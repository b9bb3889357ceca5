"""Features of a frozen backbone on disk: every image goes through the network once, however long training takes."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amiss.core.images import Images
from amiss.core.processor import processor
from amiss.core.progress import Progress, silent
from amiss.features.batch import to_batch
from amiss.storage import read_entry, write_entry

VARIABLE = "AMISS_CACHE"
"""Environment variable: a folder to keep features in. Without it they live in a temporary folder while learning."""

BATCH = 8

CPU = torch.device("cpu")

_FILLING: ContextVar[bool] = ContextVar("filling", default=False)


class Filled(Exception):
    """Features of all images are on disk; see `filling`."""


@contextmanager
def filling() -> Iterator[None]:
    """Within the block, learning ends with `Filled` as soon as the features that it asks for first are on disk.

    So another process, which learns from more images, finds them there.
    """
    token = _FILLING.set(True)
    try:
        yield
    finally:
        _FILLING.reset(token)


def is_filling() -> bool:
    """Whether this is within `filling`."""
    return _FILLING.get()


class CachedFeatures:
    """Feature maps of a list of images, memory-mapped: reading one touches no other.

    Args:
        files: One .npy file per image, the flattened stages one after the other, float32; a SHA-256 follows.
        shapes: (C, h, w) of each stage.
        device: Where they are wanted.
    """

    def __init__(
        self, files: Sequence[Path], shapes: Sequence[tuple[int, int, int]], device: torch.device = CPU
    ) -> None:
        self._files, self.shapes, self.device = tuple(files), tuple(shapes), device

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, indices: Sequence[int] | NDArray[np.integer]) -> list[Tensor]:
        """The features of some images: one (B, C, h, w) per stage."""
        rows = np.stack([np.load(self._files[int(index)], mmap_mode="r", allow_pickle=False) for index in indices])
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        parts = np.split(rows, ends[:-1], axis=1)
        return [
            torch.from_numpy(part.reshape(-1, *shape).copy()).to(self.device)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def batches(self, count: int = BATCH) -> Iterator[list[Tensor]]:
        """All images in order, up to `count` at a time."""
        for start in range(0, len(self), count):
            yield self.batch(range(start, min(start + count, len(self))))


@contextmanager
def cached_features(
    extract: Callable[[Tensor], list[Tensor]],
    key: str,
    images: Images,
    progress: Progress = silent,
    *,
    device: torch.device = CPU,
) -> Iterator[CachedFeatures]:
    """Features of all images, computed where they are not on disk yet.

    Args:
        extract: A batch (B, 3, H, W) in [0, 1] to one (B, C, h, w) per stage; frozen, and independent of the batch.
        key: Names the extractor, such as backbone, weights and stages: what gives other features has another key. The
            kind of processor belongs to it as well.
        images: With a size.
        progress: Reports the stage "features".
        device: Where `extract` takes its batches, and where the features are wanted.

    Yields:
        The features, in the order of `images`; the files are gone afterwards unless AMISS_CACHE names a folder.

    Cost:
        Disk: 4 bytes per number; 0.3 MB per image of 256 x 256 at strides 8 and 16 of EfficientNet-Lite0.
    """
    kept = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="amiss-features-") as temporary:
        key = f"{key} {processor()}"  # others round differently
        folder = (
            Path(kept or temporary) / hashlib.sha256(f"{key} {images.size} {images.bits}".encode()).hexdigest()[:16]
        )
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{images.sha256(index)}.npy" for index in range(len(images))]
        shapes = _shapes(extract, images, device)
        missing = [index for index, file in enumerate(files) if not _whole(file, _name(key, images, file), shapes)]
        done = len(images) - len(missing)
        for start in range(0, len(missing), BATCH):
            chosen = missing[start : start + BATCH]
            pixels = np.stack([images[index] for index in chosen])
            rows = _flat(extract(to_batch(torch.from_numpy(pixels).to(device))))
            for index, row in zip(chosen, rows, strict=True):
                write_entry(files[index], _npy(row), _name(key, images, files[index]))
            done += len(chosen)
            progress("features", done, len(images))
        if _FILLING.get():
            raise Filled
        yield CachedFeatures(files, shapes, device)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 (hex) of a network's weights, for the key of its features."""
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _shapes(
    extract: Callable[[Tensor], list[Tensor]], images: Images, device: torch.device
) -> list[tuple[int, int, int]]:
    probe = to_batch(torch.from_numpy(images[0][None]).to(device))
    return [(f.shape[1], f.shape[2], f.shape[3]) for f in extract(probe)]


def _flat(features: Sequence[Tensor]) -> NDArray[np.float32]:
    return torch.cat([feature.flatten(1) for feature in features], dim=1).float().cpu().numpy()


def _name(key: str, images: Images, file: Path) -> str:
    """What an entry is: features of another network, size or image have another name."""
    return f"{key} {images.size} {images.bits} {file.stem}"


def _whole(file: Path, name: str, shapes: Sequence[tuple[int, int, int]]) -> bool:
    """True when the file is as it was written, and holds as many numbers as expected; else it is computed anew."""
    data = read_entry(file, name)
    if data is None:
        return False
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return False
    return bool(found.dtype == np.float32) and found.shape == (sum(int(np.prod(shape)) for shape in shapes),)


def _npy(row: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, row, allow_pickle=False)
    return buffer.getvalue()
