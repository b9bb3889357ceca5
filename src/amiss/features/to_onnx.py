"""A torch module as an ONNX graph."""

from __future__ import annotations

import gc
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError, MissingExtraError

OPSET = 18

LARGEST = 2**31 - 1
"""Bytes of one ONNX file: protobuf counts them in 31 bits."""


def check_fits(module: nn.Module) -> None:
    """Refuse a module whose graph is too large for one ONNX file.

    Raises:
        InputError: It is.
    """
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > LARGEST:
        raise InputError(
            f"a graph must be under 2 GiB, got {size / 2**30:.1f} GiB of weights and state: choose hyper-parameters "
            "that keep less, or a smaller input size; in torch it can be scored as it is"
        )


def to_onnx(
    module: nn.Module,
    example: Tensor | list[Tensor],
    entries: Sequence[str],
    results: Sequence[str],
    *,
    fixed: int = 0,
) -> bytes:
    """The graph of a module, for any number of images at a time.

    Args:
        module: In evaluation mode; takes one tensor, or one list of tensors.
        example: What it takes, for 2 images.
        entries: Names of the inputs.
        results: Names of the outputs.
        fixed: How many of the last tensors have nothing to do with the number of images.

    Raises:
        InputError: torch cannot export the module, or it is too large for one ONNX file.
        MissingExtraError: The exporter is not installed.
    """
    check_fits(module)
    any_number = {0: torch.export.Dim("images", min=1)}
    shapes: Any = any_number
    if not isinstance(example, Tensor):
        shapes = [any_number] * (len(example) - fixed) + [{}] * fixed
    try:
        with _quiet(), _without_collector(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(entries),
                output_names=list(results),
                dynamic_shapes=(shapes,),
                verbose=False,
            )
    except ImportError as error:
        raise MissingExtraError(
            f"the ONNX exporter is not installed ({error.name}); pip install 'amiss[fit]'"
        ) from error
    if program is None:
        raise InputError(f"torch did not export {type(module).__name__}")
    model = program.model_proto
    _squares_to_products(model.graph)
    return bytes(model.SerializeToString())


def _squares_to_products(graph: Any) -> None:
    """x^2 as x times x: torch writes a general power, which the runtimes take many times as long for."""
    from onnx import numpy_helper

    twos = {tensor.name for tensor in graph.initializer if _is_two(numpy_helper, tensor)}
    twos |= {node.output[0] for node in graph.node if node.op_type == "Constant" and _is_two(numpy_helper, node)}
    for node in graph.node:
        if node.op_type == "Pow" and node.input[1] in twos:
            node.op_type, node.input[1] = "Mul", node.input[0]
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in twos - used]:
        graph.initializer.remove(tensor)


def _is_two(numpy_helper: Any, tensor: Any) -> bool:
    if hasattr(tensor, "attribute"):  # a node that holds a constant
        tensor = tensor.attribute[0].t
    return list(tensor.dims) == [] and float(numpy_helper.to_array(tensor)) == 2.0


@contextmanager
def _without_collector() -> Iterator[None]:
    """The exporter makes millions of objects in seconds; looking for garbage among them takes a fifth more."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
