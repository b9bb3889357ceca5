"""The graph of a frozen network: the same features as in torch, several times sooner, while a detector learns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from amiss.core.errors import AmissError, NotReadyError
from amiss.core.images import Images, Size
from amiss.core.session import open_session
from amiss.core.threads import threads
from amiss.features.extractor import FeatureExtractor
from amiss.features.to_onnx import to_onnx
from amiss.storage import cache_folder, read_entry, write_entry

WORTH = 40
"""Images from which the seconds of an export are won back."""

TOLERANCE = 1e-3
"""Largest difference from torch on a probe, as a share of the largest feature."""

ENTRY = "batch"
"""Name of the graph's input."""


@contextmanager
def on_runtime(module: nn.Module, images: Images, *, worth: int = WORTH) -> Iterator[None]:
    """Within the block, the frozen networks of a module run on ONNX Runtime.

    Nothing changes for fewer than `worth` images, on a GPU, for batches of another size or that need gradients, and
    for networks that the exporter does not take or whose graph gives other features than torch.

    Args:
        module: A detector that is built.
        images: What it is going to learn from, with a size.
        worth: Images from which the graph is used; 1 where it is needed in any case. What is in the cache folder has
            no say in this: the same images must give the same detector to the last bit.
    """
    extractors = [each for each in module.modules() if isinstance(each, FeatureExtractor)]
    if images.size is None or len(images) < worth or any(each.mean.device.type != "cpu" for each in extractors):
        extractors = []
    for extractor in extractors:
        extractor.run = _OnDemand(extractor, images.size or (0, 0))
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
    _prepare.cache_clear()


class NetworkGraph:
    """The graph of an extractor, loaded.

    Args:
        graph: ONNX; images (N, 3, H, W) in [0, 1] in, one feature map per stage out.
        size: H and W.

    Attributes:
        graph: As given.
    """

    def __init__(self, graph: bytes, size: Size) -> None:
        self.graph, self.size, self._session = graph, size, open_session(graph, threads())

    def takes(self, batch: Tensor) -> bool:
        """Whether this is a batch for the graph: of its size, and without gradients."""
        return tuple(batch.shape[2:]) == self.size and not batch.requires_grad

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Feature maps, one (N, C, h, w) per stage."""
        return [torch.from_numpy(found) for found in self._session.run(None, {ENTRY: batch.contiguous().numpy()})]


class _OnDemand:
    """Makes the graph when the first batch for it comes: some detectors never show their network a whole image."""

    def __init__(self, extractor: FeatureExtractor, size: Size) -> None:
        self.extractor, self.size = extractor, size

    @cached_property
    def graph(self) -> NetworkGraph | None:
        return network_graph(self.extractor, self.size)

    def takes(self, batch: Tensor) -> bool:
        fits = tuple(batch.shape[2:]) == self.size and not batch.requires_grad
        return fits and self.graph is not None

    def __call__(self, batch: Tensor) -> list[Tensor]:
        if self.graph is None:
            raise NotReadyError("this network has no graph; ask takes() before calling")
        return self.graph(batch)


def network_graph(extractor: FeatureExtractor, size: Size) -> NetworkGraph | None:
    """The graph of an extractor for images of one size; None when only torch can run it.

    It is exported once, which takes seconds, and kept in the user's cache folder with its SHA-256; a kept one that has
    changed is thrown away. It is used only if it gives torch's features of an image of noise, wherever it comes from.

    Args:
        extractor: On the CPU.
        size: H and W.
    """
    run, extractor.run = extractor.run, None
    try:
        return _prepare(_Key(extractor), size)
    finally:
        extractor.run = run


def stage_names(extractor: FeatureExtractor) -> list[str]:
    """Names of the graph's outputs."""
    return [f"stage_{stride}" for stride in extractor.strides]


class _Key:
    """An extractor that equals any other with the same network, stages and weights."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor, self.key = extractor, extractor.key()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=2)
def _prepare(key: _Key, size: Size) -> NetworkGraph | None:
    """The graph that is kept from an earlier time, else a new one."""
    with suppress(Exception):  # refused by this runtime, or no home to keep anything: then it is made anew
        data = read_entry(_file(key, size), _name(key, size))
        if data is not None and _gives_features_of_torch(kept := NetworkGraph(data, size), key.extractor):
            return kept
    try:
        graph = to_onnx(key.extractor, torch.zeros(2, 3, *size), [ENTRY], stage_names(key.extractor))
        made = NetworkGraph(graph, size)
    except (AmissError, RuntimeError, torch.onnx.errors.OnnxExporterError):
        return None
    if not _gives_features_of_torch(made, key.extractor):
        return None
    with suppress(OSError, RuntimeError):
        write_entry(_file(key, size), graph, _name(key, size))
    return made


@torch.no_grad()
def _gives_features_of_torch(graph: NetworkGraph, extractor: FeatureExtractor) -> bool:
    probe = torch.rand(1, 3, *graph.size, generator=torch.Generator().manual_seed(0))
    pairs = zip(graph(probe), extractor(probe), strict=True)
    return all(
        one.shape == two.shape and float((one - two).abs().max()) <= TOLERANCE * float(two.abs().max())
        for one, two in pairs
    )


def _name(key: _Key, size: Size) -> str:
    versions = [version(name) for name in ("amiss", "torch", "onnxruntime")]
    return f"{key.key} {size} {versions}"


def _file(key: _Key, size: Size) -> Path:
    name = hashlib.sha256(_name(key, size).encode()).hexdigest()[:16]
    return cache_folder() / f"features-{name}.onnx"
