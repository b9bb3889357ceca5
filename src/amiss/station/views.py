"""What people look at: a part as it came, small, or with its scores. Bytes from outside are decoded in a child."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import read_bytes
from amiss.core.errors import AmissError, DataError, ImageError
from amiss.core.images import Size
from amiss.inspector import Inspector
from amiss.ledger.store import Store
from amiss.reporting.overlay import ColourScale, fit_inside, overlay
from amiss.station.decoding import Decoders
from amiss.station.recipes import Recipes
from amiss.station.stored import read_model

THUMB, LARGE = 320, 1600
"""Pixels of the long side."""

KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"BM": "image/bmp"}
"""What browsers show, by how a file begins; anything else is only to be saved."""


class Views:
    """Images of parts that a store keeps.

    Args:
        store: The store.
        decoders: Children that decode.
        recipes: Whose models draw scores; another one is loaded from the store.
    """

    def __init__(self, store: Store, decoders: Decoders, recipes: Recipes) -> None:
        self._store, self._decoders, self._recipes = store, decoders, recipes
        self._lock = threading.Lock()
        self._loaded: tuple[str, Inspector] | None = None

    def original(self, part: dict[str, Any]) -> tuple[bytes, str]:
        """The bytes as they came, and their media type.

        Raises:
            DataError: It is not kept.
        """
        image = part["image"]
        if image is None or image["state"] != "kept":
            raise DataError(f"the image of part {part['id']} is not kept")
        try:
            data = read_bytes(self._store.image(part["sha256"]))
        except ImageError as error:
            raise DataError(f"the image of part {part['id']} is not kept ({error.reason})") from error
        kind = next((name for start, name in KINDS.items() if data.startswith(start)), "application/octet-stream")
        return data, kind

    def thumb(self, part: dict[str, Any]) -> bytes:
        """A small JPEG.

        Raises:
            DataError: It is not kept, or cannot be decoded.
        """
        data, _ = self.original(part)
        return _encode(self._decode(part, data, _inside(part, THUMB)), ".jpg")

    def overlay(self, part: dict[str, Any]) -> bytes:
        """A PNG with scores as colour, from the model that judged it: its image is scored again.

        Raises:
            DataError: Its image or model is not there any more, or the model gives no map.
        """
        data, _ = self.original(part)
        inspector = self._inspector(part["fingerprint"])
        image = self._decode(part, data, None)
        with self._lock:
            verdict = inspector.inspect_one(image)
        small = fit_inside(image, LARGE)
        if verdict.map is None:
            return _encode(small, ".png")
        scale = ColourScale.of_rule(inspector.rule)
        return _encode(overlay(small, verdict.map, scale, verdict.mask), ".png")

    def _decode(self, part: dict[str, Any], data: bytes, size: Size | None) -> NDArray[np.uint8]:
        bits = None if part["fingerprint"] is None else self._inspector(part["fingerprint"]).learned.bits
        try:
            return self._decoders.decode(data, size, bits).pixels
        except ImageError as error:
            raise DataError(f"the image of part {part['id']} cannot be shown ({error.reason})") from error

    def _inspector(self, fingerprint: str | None) -> Inspector:
        for one in self._recipes.all:
            if one.fingerprint == fingerprint:
                return one.inspector
        if fingerprint is None:
            raise DataError("no model has judged this part")
        with self._lock:
            if self._loaded is None or self._loaded[0] != fingerprint:
                try:
                    self._loaded = fingerprint, read_model(self._store, fingerprint)
                except AmissError as error:
                    raise DataError(f"the model {fingerprint[:12]} cannot be used: {error}") from error
            return self._loaded[1]


def _inside(part: dict[str, Any], side: int) -> Size | None:
    """The size of a part's image when its long side is no longer than `side`."""
    height, width = part["height"], part["width"]
    if not height or not width or max(height, width) <= side:
        return None
    return max(1, round(side * height / max(height, width))), max(1, round(side * width / max(height, width)))


def _encode(image: NDArray[np.uint8], ending: str) -> bytes:
    import cv2

    done, data = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise DataError("the image cannot be drawn")
    return data.tobytes()
