"""Arrays by name as bytes and back; a detector's state beside its graph, without what lies in the graph already.

The graph has most of what a detector has learned, byte for byte: banks, means, whitening matrices. Written once, it is
read from there when the detector is taken back to the lab. What the exporter has changed, as it folds batch
normalisation into convolutions, is written in full.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ArtefactError, TamperedArtefactError
from amiss.runtime.onnx_fields import read_model

SHARED = 4096
"""Bytes from which an array is looked for in the graph."""

_KEY = "in the graph"
_FLOAT32 = 1  # ONNX's number of the type


def pack(**arrays: NDArray[Any]) -> bytes:
    """Arrays by name as safetensors."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack(part: str, data: bytes, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays of one part, which must hold these names.

    Raises:
        TamperedArtefactError: It is damaged, or lacks a name.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, ArithmeticError, LookupError, ValueError, TypeError, MemoryError) as error:
        raise TamperedArtefactError(f"{part} is damaged ({error})"[:300]) from error
    if missing := sorted(set(names) - set(arrays)):
        raise TamperedArtefactError(f"{part} holds no {', '.join(missing)}")
    return dict(arrays)


def pack_state(state: Mapping[str, NDArray[Any]], graph: bytes | None) -> bytes:
    """A detector's state as safetensors, less the arrays that the graph has byte for byte.

    Args:
        state: Arrays by name.
        graph: ONNX, or None for a method that is not exported: then all of them are written.
    """
    from safetensors.numpy import save

    known = {sha256(raw).digest(): name for name, raw in _tensors(graph)}
    rest, shared = {}, {}
    for name, array in state.items():
        own = np.ascontiguousarray(array).reshape(array.shape)  # the former makes one number an array of one
        there = known.get(sha256(own.tobytes()).digest()) if own.dtype == np.float32 and own.nbytes >= SHARED else None
        if there is None:
            rest[name] = own
        else:
            shared[name] = {"tensor": there, "shape": list(own.shape)}
    return save(rest, {_KEY: json.dumps(shared)} if shared else None)


def unpack_state(part: str, data: bytes, graph: bytes | None) -> dict[str, NDArray[Any]]:
    """The state that `pack_state` wrote beside this graph.

    Raises:
        TamperedArtefactError: It is damaged, or names what the graph does not have.
    """
    arrays = unpack(part, data)
    size = int.from_bytes(data[:8], "little")
    words = json.loads(data[8 : 8 + size]).get("__metadata__", {}).get(_KEY, "{}")
    try:
        shared = json.loads(words)
        wanted = {entry["tensor"] for entry in shared.values()}
        found = {name: raw for name, raw in _tensors(graph) if name in wanted} if wanted else {}
        for name, entry in shared.items():
            raw, shape = found[entry["tensor"]], [int(side) for side in entry["shape"]]
            if name in arrays or min(shape, default=1) < 0 or math.prod(shape) * 4 != len(raw):
                raise ValueError(f"{name} {shape} is not in {len(raw)} bytes")
            arrays[name] = np.frombuffer(bytearray(raw), np.float32).reshape(shape)
    except (
        ArtefactError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise TamperedArtefactError(f"{part} does not go with the graph beside it ({error})"[:300]) from error
    return arrays


def _tensors(graph: bytes | None) -> Iterator[tuple[str, bytes | memoryview]]:
    """Names and bytes of the larger float32 tensors of a graph."""
    if graph is None:
        return
    for tensor in read_model(graph)["graph"]["initializer"]:
        raw = tensor.get("raw_data", b"")
        if tensor.get("data_type") == _FLOAT32 and len(raw) >= SHARED:
            yield bytes(tensor["name"]).decode(), raw
