"""A frozen network on ONNX Runtime while a detector learns: the same features, several times sooner than in torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from amiss.core.errors import AmissError
from amiss.core.images import Images, Size
from amiss.core.session import open_session
from amiss.core.threads import threads
from amiss.features.batch import to_batch
from amiss.features.extractor import FeatureExtractor
from amiss.features.to_onnx import to_onnx
from amiss.storage import cache_folder, write_file

WORTH = 40
"""Pictures from which the seconds of an export are won back."""

TOLERANCE = 1e-3
"""Largest difference from torch on a probe, as a share of the largest feature."""


@contextmanager
def on_runtime(module: nn.Module, images: Images) -> Iterator[None]:
    """Within the block, the frozen networks of a module run on ONNX Runtime.

    Nothing changes for fewer than `WORTH` pictures, on a GPU, for batches that need gradients, and for networks that
    the exporter does not take or whose graph gives other features than torch.

    Args:
        module: A detector that is built.
        images: What it is going to learn from, with a size.
    """
    extractors = [each for each in module.modules() if isinstance(each, FeatureExtractor)]
    if images.size is None or len(images) < WORTH or any(each.mean.device.type != "cpu" for each in extractors):
        extractors = []
    for extractor in extractors:
        extractor.run = _runner(extractor, images)
    try:
        yield
    finally:
        for extractor in extractors:
            extractor.run = None


def let_go(module: nn.Module) -> None:
    """Frees what `on_runtime` holds for a module's networks, before its block ends; they run in torch from then on."""
    for each in module.modules():
        if isinstance(each, FeatureExtractor):
            each.run = None
    _export.cache_clear()


class Runner:
    """The graph of an extractor.

    Args:
        graph: ONNX; pictures (N, 3, H, W) in [0, 1] in, one feature map a stage out.
        size: H and W.
    """

    def __init__(self, graph: bytes, size: Size) -> None:
        self.size, self._session = size, open_session(graph, threads())

    def takes(self, batch: Tensor) -> bool:
        """Whether this is a batch for the graph: of its size, and without gradients."""
        return tuple(batch.shape[2:]) == self.size and not batch.requires_grad

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Feature maps, one (N, C, h, w) a stage."""
        return [torch.from_numpy(found) for found in self._session.run(None, {"batch": batch.contiguous().numpy()})]


def _runner(extractor: FeatureExtractor, images: Images) -> Runner | None:
    size = images.size or (0, 0)
    key = _Key(extractor)
    runner = _export(key, size)
    if runner is None:
        return None
    with torch.no_grad():
        probe = to_batch(torch.from_numpy(images[0][None]))
        pairs = zip(runner(probe), extractor(probe), strict=True)
        alike = all(float((one - two).abs().max()) <= TOLERANCE * float(two.abs().max()) for one, two in pairs)
    if not alike:
        with suppress(OSError, RuntimeError):
            _file(key, size).unlink(missing_ok=True)
    return runner if alike else None


class _Key:
    """An extractor that equals any other with the same network, stages and weights."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor, self.key = extractor, extractor.key()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=2)
def _export(key: _Key, size: Size) -> Runner | None:
    """The graph that is kept from an earlier time, else a new one; None for what only torch can run."""
    with suppress(Exception):  # not there, damaged, or no home to keep anything: then it is made anew
        return Runner(_file(key, size).read_bytes(), size)
    names = [f"stage_{stride}" for stride in key.extractor.strides]
    try:
        graph = to_onnx(key.extractor, torch.zeros(2, 3, *size), "batch", names)
        runner = Runner(graph, size)
    except (AmissError, RuntimeError, torch.onnx.errors.OnnxExporterError):
        return None
    with suppress(OSError, RuntimeError):
        write_file(_file(key, size), graph)
    return runner


def _file(key: _Key, size: Size) -> Path:
    """Exporting takes seconds, so graphs are kept in the user's cache folder; each is probed whenever it is used."""
    versions = [version(name) for name in ("amiss", "torch", "onnxruntime")]
    name = hashlib.sha256(f"{key.key} {size} {versions}".encode()).hexdigest()[:16]
    return cache_folder() / f"features-{name}.onnx"
