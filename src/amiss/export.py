"""torch to ONNX: the graph that is calibrated is the graph that is deployed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import torch
from torch import Tensor, nn

from amiss.core.card import LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Size
from amiss.detectors.detector import Detector, Statistic
from amiss.features import FeatureExtractor
from amiss.features.batch import to_batch
from amiss.features.join import join, named
from amiss.features.on_runtime import ENTRY, network_graph, stage_names
from amiss.features.template import to_onnx_by_template
from amiss.features.to_onnx import to_onnx

INPUT, MAP, IMAGE, CLASS = "pixels", "map", "image", "class"
"""Names in the graph: uint8 (N, H, W, 3) in; score map (N, H, W) or image scores (N,) out, and of a method that learns
classes the class of each image, int64 (N,)."""


def export_onnx(detector: Detector, size: Size) -> bytes:
    """The statistic of a learned detector as one ONNX graph for images of one size, any number at a time.

    The graph of a frozen network is kept from one time to the next, see `amiss.features.on_runtime`; then torch traces
    only what the method makes of its features, the first time (`amiss.features.template`), and the graphs are joined. A
    method that asks a network anything but the features of the whole batch, once, is traced whole.

    Raises:
        InputError: The method cannot be exported; its card says so.
        MissingExtraError: The exporter is not installed.

    Cost:
        On one core, with a kept network and a kept template, some hundredths of a second; the first time for a method,
        2 to 6 s (a network of layers, 5 to 13 s), of it up to 2 s for imports; traced whole, 4 to 7 s.
    """
    if not detector.card.exportable:
        raise InputError(f"{detector.card.name} cannot be exported to ONNX; inspect with torch instead")
    joined = export_joined(detector, size)
    return export_whole(detector, size) if joined is None else joined


def export_whole(detector: Detector, size: Size) -> bytes:
    """The graph of a detector, all of it traced."""
    return to_onnx(_Whole(detector).eval(), torch.zeros(2, *size, 3, dtype=torch.uint8), [INPUT], _outputs(detector))


def export_joined(detector: Detector, size: Size) -> bytes | None:
    """The graph of a detector, its networks' joined with that of the rest; None where that is not possible."""
    batch = to_batch(torch.zeros(2, *size, 3, dtype=torch.uint8))
    with torch.no_grad():
        head = _Head(detector, batch).eval()
    if not head.extractors:
        return None
    with head.emptied():
        if not head.stands_alone():
            return None
    networks = [network_graph(extractor, size) for extractor in head.extractors]
    graphs = [network.graph for network in networks if network is not None]
    if not graphs or len(graphs) < len(networks):
        return None
    with head.emptied():
        graph = to_onnx_by_template(head, head.given, head.entries, _outputs(detector), of=detector)
    return join(graphs, graph, INPUT, size)


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
    """From a batch and the features of it that each network gives to scores.

    Args:
        detector: That has learned.
        batch: Images to trace it with.

    Attributes:
        extractors: The networks; after `stands_alone`, those that are asked at all.
        features: What each makes of the batch.
    """

    def __init__(self, detector: Detector, batch: Tensor) -> None:
        super().__init__()
        self.detector, self.batch = detector, batch
        self.extractors = tuple(part for part in detector.modules() if isinstance(part, FeatureExtractor))
        self.features = [extractor(batch) for extractor in self.extractors]

    @property
    def given(self) -> list[Tensor]:
        """What `forward` is given: the batch, and the features of it, network by network."""
        return [self.batch, *chain.from_iterable(self.features)]

    @property
    def entries(self) -> list[str]:
        """A name for each of them."""
        stages = [named(number, name) for number, each in enumerate(self.extractors) for name in stage_names(each)]
        return [named(0, ENTRY), *stages]

    def forward(self, given: list[Tensor]) -> Statistic:
        scores, asked = self._run(given)
        if asked != [1] * len(asked):
            raise InputError(f"the statistic must run each network once, got {asked} times")
        return scores

    def _run(self, given: list[Tensor]) -> tuple[Statistic, list[int]]:
        """Scores, and how often each network was asked."""
        batch, stand_ins, rest = given[0], [], iter(given[1:])
        for extractor in self.extractors:
            extractor.run = stand_in = _Given(batch, list(islice(rest, len(extractor.strides))))
            stand_ins.append(stand_in)
        try:
            return self.detector.statistic(batch), [stand_in.asked for stand_in in stand_ins]
        finally:
            for extractor in self.extractors:
                extractor.run = None

    def stands_alone(self) -> bool:
        """Whether the method needs nothing of its networks but what is given, each at most once."""
        try:
            with torch.no_grad():
                _, asked = self._run(self.given)
        except Exception:  # of any kind: it meets a network without layers. Tracing the whole will tell what is wrong
            return False
        used = [number for number, times in enumerate(asked) if times]
        self.extractors = tuple(self.extractors[number] for number in used)
        self.features = [self.features[number] for number in used]
        return max(asked, default=0) == 1

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Networks without layers, which the tracer would otherwise go through one by one, though none is used."""
        extractors = self.extractors
        kept = [(extractor.stages, extractor.network) for extractor in extractors]
        for extractor in extractors:
            extractor.stages, extractor.network = nn.ModuleList(), None
        try:
            yield
        finally:
            for extractor, (stages, network) in zip(extractors, kept, strict=True):
                extractor.stages, extractor.network = stages, network


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
