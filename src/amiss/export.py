"""torch to ONNX: the graph that is calibrated is the graph that is deployed."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError, MissingExtraError
from amiss.core.images import Size
from amiss.detectors.detector import Detector, to_batch

INPUT, MAP, IMAGE = "pixels", "map", "image"
"""Names in the graph: uint8 (N, H, W, 3) in; score map (N, H, W) or image scores (N,) out."""

OPSET = 18


class _Graph(nn.Module):
    """What is exported: from the pixels of a file to scores."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> Tensor:
        return self.detector.statistic(to_batch(pixels))


def export_onnx(detector: Detector, size: Size) -> bytes:
    """The statistic of a learned detector as one ONNX graph for pictures of one size, any number at a time.

    Raises:
        InputError: The method cannot be exported; its card says so.
        MissingExtraError: The exporter is not installed.
    """
    if not detector.card.exportable:
        raise InputError(f"{detector.card.name} cannot be exported to ONNX; inspect with torch instead")
    example = torch.zeros(2, *size, 3, dtype=torch.uint8)
    output = MAP if detector.card.localises else IMAGE
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Graph(detector).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[output],
                dynamic_shapes={INPUT: {0: torch.export.Dim("images", min=1)}},
                verbose=False,
            )
    except ImportError as error:
        raise MissingExtraError(
            f"the ONNX exporter is not installed ({error.name}); pip install 'amiss[fit]'"
        ) from error
    if program is None:
        raise InputError(f"torch did not export {detector.card.name}")
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its inner steps; none of them concerns the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
