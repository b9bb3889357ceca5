"""Reads the fields of an ONNX file that a graph of Amiss has, and refuses every other: the line has no `onnx`.

What is not in `MESSAGES` cannot be in an accepted file: no subgraphs and so no loops, no functions, no tensors in other
files, no text tensors, no sparse ones, no sequences. Nothing nests deeper than the table does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from amiss.core.errors import ArtefactError

MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", "int"),
        2: ("producer_name", "bytes"),
        3: ("producer_version", "bytes"),
        4: ("domain", "bytes"),
        5: ("model_version", "int"),
        6: ("doc_string", "bytes"),
        7: ("graph", "graph"),
        8: ("opset_import", "opset*"),
        14: ("metadata_props", "bytes*"),
    },
    "opset": {1: ("domain", "bytes"), 2: ("version", "int")},
    "graph": {
        1: ("node", "node*"),
        2: ("name", "bytes"),
        5: ("initializer", "tensor*"),
        10: ("doc_string", "bytes"),
        11: ("input", "value*"),
        12: ("output", "value*"),
        13: ("value_info", "value*"),
        16: ("metadata_props", "bytes*"),
    },
    "node": {
        1: ("input", "bytes*"),
        2: ("output", "bytes*"),
        3: ("name", "bytes"),
        4: ("op_type", "bytes"),
        5: ("attribute", "attribute*"),
        6: ("doc_string", "bytes"),
        7: ("domain", "bytes"),
        9: ("metadata_props", "bytes*"),
    },
    "attribute": {
        1: ("name", "bytes"),
        2: ("f", "float"),
        3: ("i", "int"),
        4: ("s", "bytes"),
        5: ("t", "tensor"),
        7: ("floats", "float*"),
        8: ("ints", "int*"),
        13: ("doc_string", "bytes"),
        20: ("type", "int"),
    },
    "tensor": {
        1: ("dims", "int*"),
        2: ("data_type", "int"),
        4: ("float_data", "float*"),
        5: ("int32_data", "count*"),
        7: ("int64_data", "count*"),
        8: ("name", "bytes"),
        9: ("raw_data", "bytes"),
        10: ("double_data", "double*"),
        11: ("uint64_data", "count*"),
        12: ("doc_string", "bytes"),
        14: ("data_location", "int"),
        16: ("metadata_props", "bytes*"),
    },
    "value": {
        1: ("name", "bytes"),
        2: ("type", "type"),
        3: ("doc_string", "bytes"),
        4: ("metadata_props", "bytes*"),
    },
    "type": {1: ("tensor_type", "tensor_type"), 6: ("denotation", "bytes")},
    "tensor_type": {1: ("elem_type", "int"), 2: ("shape", "shape")},
    "shape": {1: ("dim", "dim*")},
    "dim": {1: ("dim_value", "int"), 2: ("dim_param", "bytes"), 3: ("denotation", "bytes")},
}
"""Fields of each message by number: name and kind. A ``*`` means any number of them, else there is at most one.

Kinds: "int"; "bytes", which text is too; "float" and "double", of which only the number of bytes is kept; "count",
whole numbers of which only their number is kept; or a message.
"""

MOST = 400_000
"""Fields in a file; the largest that Amiss writes have some 20,000."""

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_FIXED = {"float": (_FOUR, 4), "double": (_EIGHT, 8)}

Message = dict[str, Any]


def read_model(data: bytes) -> Message:
    """The fields of a model: a value or a message by name, or a list of them.

    Raises:
        ArtefactError: Not an ONNX file, or one with fields that no graph of Amiss has.
    """
    return _Reader().message("model", memoryview(data))


class _Reader:
    def __init__(self) -> None:
        self._fields = 0

    def message(self, kind: str, data: memoryview) -> Message:
        """One message, with an empty list for what may be there many times and is not."""
        table = MESSAGES[kind]
        found: Message = {name: [] for name, each in table.values() if each.endswith("*")}
        for number, wire, value in _fields(data):
            self._fields += 1
            if self._fields > MOST:
                raise ArtefactError(f"the graph must have at most {MOST} fields, got more")
            if number not in table:
                raise ArtefactError(f"the graph has a field that no graph of Amiss has: {kind} {number}")
            name, each = table[number]
            values = self._values(f"{kind}.{name}", each.rstrip("*"), wire, value, many=each.endswith("*"))
            if each.endswith("*"):
                found[name] += values
            elif name in found:
                raise ArtefactError(f"the graph has {kind}.{name} twice")
            else:
                (found[name],) = values
        return found

    def _values(self, where: str, kind: str, wire: int, value: Any, *, many: bool) -> list[Any]:
        if kind == "bytes" and wire == _LENGTH:
            return [bytes(value) if len(value) < 4096 else value]
        if kind in _FIXED:
            expected, size = _FIXED[kind]
            if wire == expected:
                return [size]
            if many and wire == _LENGTH and len(value) % size == 0:
                return [len(value)]
        if kind in ("int", "count"):
            if wire == _VARINT:
                return [_signed(value)] if kind == "int" else [1]
            if many and wire == _LENGTH:
                return self._packed(value) if kind == "int" else [_count(value)]
        if kind in MESSAGES and wire == _LENGTH:
            return [self.message(kind, value)]
        raise ArtefactError(f"the graph is damaged: {where} is stored as something else")

    def _packed(self, data: memoryview) -> list[int]:
        values, at = [], 0
        while at < len(data):
            value, at = _varint(data, at)
            values.append(_signed(value))
        self._fields += len(values)
        return values


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: a number, or the bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, wire, value
            continue
        if wire == _LENGTH:
            length, at = _varint(data, at)
        elif wire in (_FOUR, _EIGHT):
            length = 4 if wire == _FOUR else 8
        else:
            raise ArtefactError(f"the graph is damaged: {wire} is no kind of field")
        if length > len(data) - at:
            raise ArtefactError(f"the graph is cut off: {length} bytes are announced and {len(data) - at} are there")
        yield tag >> 3, wire, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where the next thing begins."""
    value = 0
    for position, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * position
        if byte < 128:
            return value & (2**64 - 1), at + position + 1
    raise ArtefactError("the graph is damaged: a number does not end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _count(data: memoryview) -> int:
    """How many packed numbers these bytes are: the last byte of each is below 128."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) < 128))
