"""Changed artefacts whose hashes all fit: refused with an error of Amiss, or loaded and used.

Outcomes: "refused", an `AmissError` when loading; "fails", one when inspecting; "loads", neither. A model that loads
has passed the check of its golden images.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

import amiss
from amiss import artefact
from amiss.artefact import MODEL, PARTS, RECORD, read_artefact
from amiss.core import session
from amiss.core.errors import AmissError
from amiss.runtime.graph_check import OPERATORS
from tests.fuzz.damage import Draws, changed, damaged
from tests.fuzz.resealing import resealed

METHODS = ("padim", "ensemble", "mvg", "fastflow")
SIZE = 64
MEMORY = 400_000_000
"""Bytes that graphs may take in these cases, in place of a share of the machine's."""

if "AMISS_MEMORY" in os.environ:  # in a child of the driver
    session.SHARE = MEMORY / (session.machine_memory() or MEMORY)


@cache
def base(method: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Record, as plain values, and parts of a small model, which is made once and kept in the temporary folder."""
    path = Path(tempfile.gettempdir()) / f"amiss-fuzz-{os.getuid()}" / f"{method}.amiss"
    try:
        found = read_artefact(path)
    except AmissError:
        from amiss.testing import toy_texture

        images = toy_texture(16, seed=0).images
        amiss.fit(images, method=method, preset="tiny", size=SIZE, calibration=0.5, rule="conformal:20%").save(path)
        found = read_artefact(path)
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read(RECORD))
    return record, dict(found.parts)


def _graph_bytes(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    return resealed(record, {**parts, MODEL: damaged(parts[MODEL], draws)})


def _graph_fields(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    import onnx

    graph = onnx.load_model_from_string(parts[MODEL])
    for _ in range(int(draws.integers(1, 4))):
        _change_graph(graph, draws)
    return resealed(record, {**parts, MODEL: graph.SerializeToString()})


_NUMBERS = (0, 1, -1, 2, 3, 7, 64, 1000, 2**20, 2**31, 2**62, -(2**63), 2**63 - 1)


def _number(draws: Draws) -> int:
    return _NUMBERS[draws.integers(0, len(_NUMBERS))]


def _pick(draws: Draws, things: Any) -> Any:
    return things[int(draws.integers(0, len(things)))]


def _operator(model: Any, draws: Draws) -> None:
    _pick(draws, model.graph.node).op_type = _pick(draws, sorted(OPERATORS))


def _attribute(model: Any, draws: Draws) -> None:
    attribute = _pick(
        draws, [each for node in model.graph.node for each in node.attribute if each.ints or each.type == 2]
    )
    if attribute.ints:
        attribute.ints[int(draws.integers(0, len(attribute.ints)))] = _number(draws)
    else:
        attribute.i = _number(draws)


def _wiring(model: Any, draws: Draws) -> None:
    node = _pick(draws, [each for each in model.graph.node if each.input])
    names = [name for each in model.graph.node for name in each.output]
    node.input[int(draws.integers(0, len(node.input)))] = _pick(draws, names)


def _side_more(model: Any, draws: Draws) -> None:
    _pick(draws, model.graph.initializer).dims.append(_number(draws))


def _side(model: Any, draws: Draws) -> None:
    weight = _pick(draws, [each for each in model.graph.initializer if each.dims])
    weight.dims[int(draws.integers(0, len(weight.dims)))] = _number(draws)


def _shape(model: Any, draws: Draws) -> None:
    """Whole numbers: shapes, axes and places that the graph computes with."""
    weight = _pick(draws, [each for each in model.graph.initializer if each.data_type == 7 and each.raw_data])
    values = np.frombuffer(weight.raw_data, np.int64).copy()
    values[draws.integers(0, len(values))] = _number(draws)
    weight.raw_data = values.tobytes()


def _weight(model: Any, draws: Draws) -> None:
    weight = _pick(draws, model.graph.initializer)
    weight.raw_data = damaged(weight.raw_data, draws)


def _node_less(model: Any, draws: Draws) -> None:
    model.graph.node.remove(_pick(draws, model.graph.node))


def _node_more(model: Any, draws: Draws) -> None:
    model.graph.node.add().CopyFrom(_pick(draws, model.graph.node))


def _declared(model: Any, draws: Draws) -> None:
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    _pick(draws, [side for each in values for side in each.type.tensor_type.shape.dim]).dim_value = _number(draws)


def _type(model: Any, draws: Draws) -> None:
    _pick(draws, model.graph.initializer).data_type = int(draws.integers(0, 24))


def _version(model: Any, draws: Draws) -> None:
    model.opset_import[0].version = int(draws.integers(0, 30))


FIELDS = (
    *(_operator, _attribute, _wiring, _side_more, _side, _shape, _shape, _weight, _node_less, _node_more),
    *(_declared, _type, _version),
)


def _change_graph(model: Any, draws: Draws) -> None:
    _pick(draws, FIELDS)(model, draws)


def _record_values(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    found = changed(record, draws)
    return resealed(found if isinstance(found, dict) else {"value": found}, parts)


def _record_bytes(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    text = json.dumps({**record, "files": {}}, indent=2, sort_keys=True).encode()
    return artefact._pack({**parts, RECORD: damaged(text, draws)})


def _part_bytes(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    name = _pick(draws, sorted(set(parts) - {MODEL}))
    return resealed(record, {**parts, name: damaged(parts[name], draws)})


def _part_arrays(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    name = _pick(draws, [part for part in PARTS if part in parts and part not in (MODEL, RECORD)])
    arrays = load_arrays(parts[name])
    key = _pick(draws, sorted(arrays))
    array = arrays[key]
    ways = (
        lambda: array[:0],
        lambda: array.astype(_pick(draws, [np.float64, np.int64, np.uint8, np.float16, np.bool_])),
        lambda: np.full_like(array, _pick(draws, [0, 1, 255])),
        lambda: array[..., None],
        lambda: array.ravel(),
        lambda: np.concatenate([array, array]),
        lambda: array[::-1],
        lambda: np.where(draws.random(array.shape) < 0.1, np.array(np.nan).astype(array.dtype), array),
    )
    with np.errstate(invalid="ignore"):
        arrays[key] = np.ascontiguousarray(_pick(draws, ways)())
    if draws.random() < 0.2:
        arrays[str(_pick(draws, ["other", "lots", "map"]))] = arrays.pop(key)
    return resealed(record, {**parts, name: save_arrays(arrays)})


def _missing(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    name = _pick(draws, sorted(parts))
    return resealed(record, {key: data for key, data in parts.items() if key != name})


def _zip_bytes(record: dict[str, Any], parts: dict[str, bytes], draws: Draws) -> bytes:
    whole = resealed(record, parts)
    directory = whole.index(b"PK\x01\x02")
    body = whole[: directory - 100] + damaged(whole[directory - 100 : -64 - len(artefact._MARK)], draws)
    body += artefact._MARK
    return body + hashlib.sha256(body).hexdigest().encode()


CHANGES: dict[str, Callable[[dict[str, Any], dict[str, bytes], Draws], bytes]] = {
    "graph: bytes": _graph_bytes,
    "graph: fields": _graph_fields,
    "record: values": _record_values,
    "record: bytes": _record_bytes,
    "part: bytes": _part_bytes,
    "part: arrays": _part_arrays,
    "part: missing": _missing,
    "zip: bytes": _zip_bytes,
}
TURNS = (*CHANGES, "graph: fields", "graph: fields", "record: values")
"""What each case is, in turn."""


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """One changed artefact, to load and to inspect an image with."""
    group = TURNS[number % len(TURNS)]
    draws = np.random.default_rng([seed, number])

    def action() -> str:
        data = CHANGES[group](*base(_pick(draws, METHODS)), draws)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.amiss"
            path.write_bytes(data)
            try:
                inspector = amiss.load(path)
            except AmissError:
                return "refused"
            try:
                inspector.inspect_one(draws.integers(0, 256, (70, 80, 3), np.uint8)).summary()
                inspector.statement()
            except AmissError:
                return "fails"
        return "loads"

    return group, action
