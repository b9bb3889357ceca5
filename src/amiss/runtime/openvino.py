"""OpenVINO as a runtime: the extra ``openvino``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import MissingExtraError
from amiss.runtime.graph import PATIENCE, Program, loading, running


def openvino_engine(model: bytes, cores: int) -> Program:
    """OpenVINO on the processor, in float32.

    Left alone it computes in bfloat16 where the processor can, and scores would depend on the machine. The graph is
    compiled for one image at a time, which is the quickest that it does; a batch is so many runs.

    Raises:
        ArtefactError: OpenVINO refuses the graph.
        MissingExtraError: OpenVINO is not installed.
    """
    core, openvino = _core()
    with loading("OpenVINO"):
        graph = core.read_model(model)
        (entry,), results = graph.inputs, tuple(result.any_name for result in graph.outputs)
        shape = tuple(side.get_length() if side.is_static else str(side) for side in entry.partial_shape)
        kind = entry.element_type.to_dtype().name
        graph.reshape(openvino.PartialShape([1, *list(entry.partial_shape)[1:]]))
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": str(cores),
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = core.compile_model(graph, "CPU", options)
    requests = threading.local()  # a request serves one thread

    def run(pixels: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        with running("OpenVINO"):
            images = (np.ascontiguousarray(one[None]) for one in pixels)
            found = [_run_within(PATIENCE, requests.own, image, len(results)) for image in images]
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    return Program(
        runtime="openvino",
        threads=compiled.get_property("INFERENCE_NUM_THREADS"),
        shape=shape,
        kind=kind,
        results=results,
        run=run,
    )


def _run_within(seconds: float, request: Any, pixels: NDArray[np.uint8], outputs: int) -> list[NDArray[Any]]:
    """The outputs for one image; the run is stopped between two nodes of the graph once it has taken so long."""
    request.start_async({0: pixels})
    if not request.wait_for(int(1000 * seconds)):
        request.cancel()
        with suppress(RuntimeError):  # that it was cancelled; a request nobody waited for would block when it is freed
            request.wait()
        raise TimeoutError(f"it takes more than {seconds:g} s")
    return [np.array(request.get_output_tensor(index).data) for index in range(outputs)]


@cache
def _core() -> tuple[Any, Any]:
    """OpenVINO's core, one a process, and its module."""
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError("backend 'openvino' is not installed; pip install 'amiss[openvino]'") from error
    return openvino.Core(), openvino
