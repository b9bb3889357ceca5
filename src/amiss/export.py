"""torch to ONNX: the graph that is calibrated is the graph that is deployed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from amiss.core.card import LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Size
from amiss.detectors.detector import Detector, Statistic
from amiss.features import FeatureExtractor
from amiss.features.batch import to_batch
from amiss.features.join import PREFIX, join
from amiss.features.on_runtime import ENTRY, network_graph, stage_names
from amiss.features.to_onnx import to_onnx

INPUT, MAP, IMAGE, CLASS = "pixels", "map", "image", "class"
"""Names in the graph: uint8 (N, H, W, 3) in; score map (N, H, W) or image scores (N,) out, and of a method that learns
classes the class of each image, int64 (N,)."""


def export_onnx(detector: Detector, size: Size) -> bytes:
    """The statistic of a learned detector as one ONNX graph for images of one size, any number at a time.

    The graph of a frozen network is kept from one time to the next, see `amiss.features.on_runtime`; then torch traces
    only what the method makes of its features, and the two are joined. A method that asks its network anything but
    the features of the whole batch, once, is traced whole.

    Raises:
        InputError: The method cannot be exported; its card says so.
        MissingExtraError: The exporter is not installed.

    Cost:
        With a kept network, on one core, 3 s the first time in a process, half of it imports, and 1 s after that;
        traced whole, 4 to 7 s.
    """
    if not detector.card.exportable:
        raise InputError(f"{detector.card.name} cannot be exported to ONNX; inspect with torch instead")
    joined = export_joined(detector, size)
    return export_whole(detector, size) if joined is None else joined


def export_whole(detector: Detector, size: Size) -> bytes:
    """The graph of a detector, all of it traced."""
    return to_onnx(_Whole(detector).eval(), torch.zeros(2, *size, 3, dtype=torch.uint8), [INPUT], _outputs(detector))


def export_joined(detector: Detector, size: Size) -> bytes | None:
    """The graph of a detector, its network's joined with that of the rest; None where that is not possible."""
    extractors = [part for part in detector.modules() if isinstance(part, FeatureExtractor)]
    if len(extractors) != 1:
        return None
    (extractor,) = extractors
    batch = to_batch(torch.zeros(2, *size, 3, dtype=torch.uint8))
    with torch.no_grad():
        given = [batch, *extractor(batch)]
    head = _Head(detector, extractor).eval()
    with _emptied(extractor):
        if not _stands_alone(head, given):
            return None
    network = network_graph(extractor, size)
    if network is None:
        return None
    entries = [PREFIX + name for name in (ENTRY, *stage_names(extractor))]
    with _emptied(extractor):
        graph = to_onnx(head, given, entries, _outputs(detector))
    return join(network.graph, graph, INPUT, size)


def _outputs(detector: Detector) -> list[str]:
    classes = [CLASS] if detector.card.learns_from is LearnsFrom.CLASSES else []
    return [MAP if detector.card.localises else IMAGE, *classes]


class _Whole(nn.Module):
    """From the pixels of a file to scores."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> Statistic:
        return self.detector.statistic(to_batch(pixels))


class _Head(nn.Module):
    """From a batch and the network's features of it to scores."""

    def __init__(self, detector: Detector, extractor: FeatureExtractor) -> None:
        super().__init__()
        self.detector, self.extractor = detector, extractor

    def forward(self, given: list[Tensor]) -> Statistic:
        batch, *features = given
        self.extractor.run = stand_in = _Given(batch, features)
        try:
            scores = self.detector.statistic(batch)
        finally:
            self.extractor.run = None
        if stand_in.asked != 1:
            raise InputError(f"the statistic must run the network once, got {stand_in.asked} times")
        return scores


class _Given:
    """Stands in for a network whose features of one batch are known."""

    def __init__(self, batch: Tensor, features: Sequence[Tensor]) -> None:
        self.batch, self.features, self.asked = batch, features, 0

    def takes(self, batch: Tensor) -> bool:
        if batch is not self.batch:
            raise InputError("the network was asked for features of another batch")
        return True

    def __call__(self, batch: Tensor) -> list[Tensor]:
        self.asked += 1
        return list(self.features)


def _stands_alone(head: _Head, given: list[Tensor]) -> bool:
    """Whether a method needs nothing of its network but what is given."""
    try:
        with torch.no_grad():
            head(given)
    except Exception:  # of any kind: it meets a network without layers. Tracing the whole will tell what is wrong
        return False
    return True


@contextmanager
def _emptied(extractor: FeatureExtractor) -> Iterator[None]:
    """Without its layers, which the tracer would otherwise go through one by one, though none is used."""
    stages, network = extractor.stages, extractor.network
    extractor.stages, extractor.network = nn.ModuleList(), None
    try:
        yield
    finally:
        extractor.stages, extractor.network = stages, network
