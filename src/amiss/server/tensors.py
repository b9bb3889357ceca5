"""Tensors of the Open Inference Protocol v2, as JSON or as bytes behind the JSON, without NumPy."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from typing import Any

from amiss.core.errors import InputError
from amiss.station.jobs import TOGETHER

MOST = TOGETHER
"""Images of one request."""

TYPES = {"BOOL": ("?", 1), "UINT8": ("B", 1), "FP32": ("f", 4), "FP64": ("d", 8)}
"""Of what is sent: how `struct` writes a value, and its bytes."""


@dataclass(frozen=True)
class Output:
    """A tensor that is sent.

    Args:
        name: Of the output.
        datatype: "BYTES" or one of `TYPES`.
        shape: Its sides.
        values: Flat; or, for FP32, the bytes as they are in memory.
    """

    name: str
    datatype: str
    shape: list[int]
    values: list[Any] | bytes

    def as_json(self) -> dict[str, Any]:
        """With its values in the JSON."""
        values = self.values
        if isinstance(values, bytes):
            values = list(struct.unpack(f"<{len(values) // 4}f", values))
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape, "data": values}

    def as_bytes(self) -> bytes:
        """Its values as bytes, little-endian; texts each behind their length."""
        if isinstance(self.values, bytes):
            return self.values
        if self.datatype == "BYTES":
            texts = [str(value).encode() for value in self.values]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        return struct.pack(f"<{len(self.values)}{TYPES[self.datatype][0]}", *self.values)


def split_body(body: bytes, length: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON of a request, and the bytes behind it.

    Args:
        body: Everything.
        length: Bytes of the JSON, as the header Inference-Header-Content-Length says; None for all.

    Raises:
        InputError: Not JSON, or a length that cannot be.
    """
    if length is not None and (not length.isdecimal() or int(length) > len(body)):
        raise InputError(f"Inference-Header-Content-Length must be at most {len(body)}, got {length[:20]}")
    cut = len(body) if length is None else int(length)
    try:
        found = json.loads(body[:cut])
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body must be JSON ({error})") from error
    if not isinstance(found, dict):
        raise InputError("the body must be a JSON object")
    return found, body[cut:]


def images_of(request: dict[str, Any], rest: bytes) -> list[bytes]:
    """Files of images out of a request: its `image` (bytes of files) or its `pixels` (N, H, W, 3).

    Raises:
        InputError: Neither or both, or not as they must be.
    """
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InputError("inputs must be one tensor, image or pixels")
    one = inputs[0]
    name, datatype, shape = one.get("name"), one.get("datatype"), one.get("shape")
    whole = isinstance(shape, list) and all(type(side) is int and 0 < side < 2**24 for side in shape)
    if not whole or not shape or shape[0] > MOST:
        raise InputError(f"shape must be whole numbers above 0, the first at most {MOST}, got {str(shape)[:80]}")
    parameters = one.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InputError("parameters must be an object")
    size = parameters.get("binary_data_size")
    data: Any = one.get("data")
    if size is not None:
        if type(size) is not int or not 0 <= size <= len(rest):
            raise InputError(f"binary_data_size must be at most {len(rest)}, got {str(size)[:20]}")
        data = rest[:size]
    if (name, datatype) == ("image", "BYTES"):
        return _files(data, shape, parameters.get("content_type"))
    if (name, datatype) == ("pixels", "UINT8"):
        return _pixels(data, shape)
    raise InputError("the input must be image (BYTES) or pixels (UINT8)")


def _files(data: Any, shape: list[int], content_type: Any) -> list[bytes]:
    count = 1
    for side in shape:
        count *= side
    if count > MOST:
        raise InputError(f"image must hold at most {MOST} files, got {count}")
    if isinstance(data, bytes):
        found: list[bytes] = []
        while data and len(found) < count:
            size = struct.unpack("<I", data[:4])[0] if len(data) >= 4 else len(data)
            if len(data) < 4 + size:
                raise InputError("each file must stand behind its length in 4 bytes")
            found.append(data[4 : 4 + size])
            data = data[4 + size :]
    elif isinstance(data, list) and all(isinstance(each, str) for each in data):
        found = [_text(each, content_type) for each in data]
    else:
        raise InputError("data of image must be texts in base64, or bytes behind the JSON")
    if len(found) != count or (isinstance(data, bytes) and data):
        raise InputError(f"image must hold as many files as its shape says ({count}), got {len(found)}")
    return found


def _text(text: str, content_type: Any) -> bytes:
    if content_type != "base64":
        raise InputError('JSON cannot carry the bytes of a file: give base64, and the parameter content_type "base64"')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"data must be base64 ({error})") from error


def _pixels(data: Any, shape: list[int]) -> list[bytes]:
    """Pixels as portable pixmaps, which hold them as they are."""
    if len(shape) != 4 or shape[3] != 3 or shape[1] * shape[2] > 2**28:
        raise InputError(f"pixels must have the shape [N, height, width, 3], got {shape}")
    count, height, width = shape[:3]
    size = 3 * height * width
    if isinstance(data, list):
        flat = _flat(data, count * size)
        try:
            data = bytes(flat)
        except (ValueError, TypeError) as error:
            raise InputError("pixels must be whole numbers from 0 to 255") from error
    if not isinstance(data, bytes) or len(data) != count * size:
        got = len(data) if isinstance(data, bytes) else "none"
        raise InputError(f"pixels must be {count * size} values for the shape {shape}, got {got}")
    head = f"P6 {width} {height} 255\n".encode()
    return [head + data[at * size : (at + 1) * size] for at in range(count)]


def _flat(data: list[Any], most: int) -> list[Any]:
    """Nested lists row by row."""
    while data and isinstance(data[0], list):
        if len(data) > most:
            raise InputError(f"pixels must be {most} values, got more")
        data = [value for row in data for value in (row if isinstance(row, list) else [row])]
    return data
