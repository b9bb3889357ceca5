"""Score a stored image with the stored model again: does the same come out, here and now?"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import decode_image, read_bytes
from amiss.core.errors import AmissError, ImageError
from amiss.core.images import Content
from amiss.core.verdict import Label
from amiss.inspector import Inspector
from amiss.ledger.store import Store
from amiss.station.stored import read_model

EQUAL, WITHIN, DIFFERENT, MISSING = "equal bits", "within tolerance", "different", "not to be replayed"
"""What may come of it."""


@dataclass(frozen=True)
class Replayed:
    """One part, judged again.

    Args:
        part: As the store has it.
        outcome: One of the four.
        label: That it gets now, or None.
        score: That it gets now, or None.
        why: What differs, or is missing.
    """

    part: dict[str, Any]
    outcome: str
    label: str | None = None
    score: float | None = None
    why: str = ""

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        was = {name: self.part[name] for name in ("id", "seq", "name", "label", "score")}
        return {**was, "outcome": self.outcome, "label_now": self.label, "score_now": self.score, "why": self.why}


Decode = Callable[[bytes, int | None], NDArray[np.uint8]]
"""The pixels of an image file, whose values of 16 bits have so many; raises `ImageError`."""


def decode_here(data: bytes, bits: int | None) -> NDArray[np.uint8]:
    """Decode in this process, which an image that nobody trusts may end."""
    return decode_image(data, bits=bits)


class Replay:
    """Judges parts of a store again; each model is loaded once.

    Args:
        store: The store.
        decode: How images are decoded. A process that others rely on has it done by `amiss.station.decoding`.
    """

    def __init__(self, store: Store, decode: Decode = decode_here) -> None:
        self._store, self._decode = store, decode
        self._models: dict[str, Inspector | str] = {}

    def run(self, parts: Iterable[dict[str, Any]]) -> Iterator[Replayed]:
        """One result per part, in their order."""
        for part in parts:
            yield self._one(part)

    def _one(self, part: dict[str, Any]) -> Replayed:
        inspector = self._model(part["fingerprint"])
        if isinstance(inspector, str):
            return Replayed(part, MISSING, why=inspector)
        try:
            data = read_bytes(self._store.image(part["sha256"]))
        except ImageError:
            return Replayed(part, MISSING, why="its image is not kept any more")
        if Content("", data, None).sha256 != part["sha256"]:
            return Replayed(part, DIFFERENT, why="its image is not the one that was judged")
        try:
            verdict = inspector.inspect_one(self._decode(data, inspector.learned.bits))
        except ImageError as error:
            same = part["label"] == Label.ERROR
            return Replayed(part, EQUAL if same else DIFFERENT, str(Label.ERROR), why=error.reason)
        return compare(part, str(verdict.label), verdict.score, tolerance(inspector))

    def _model(self, fingerprint: str | None) -> Inspector | str:
        if fingerprint is None:
            return "no model has judged it"
        if fingerprint not in self._models:
            try:
                self._models[fingerprint] = read_model(self._store, fingerprint)
            except AmissError as error:
                self._models[fingerprint] = f"its model cannot be used: {error}"
        return self._models[fingerprint]


def tolerance(inspector: Inspector) -> float:
    """How far a score may move between machines: what golden images are allowed."""
    return inspector.learned.tolerance * float(np.abs(inspector.parts.golden.wanted).max())


def compare(part: dict[str, Any], label: str, score: float | None, allowed: float) -> Replayed:
    """What differs between then and now."""
    was = part["score"]
    if was is None or score is None:  # an error of the station then, such as a deadline: its image is fine
        why = f"it was an error then ({part['reason']})"
        return Replayed(part, DIFFERENT, label, score, why)
    if struct.pack("<f", was) == struct.pack("<f", score) and label == part["label"]:
        return Replayed(part, EQUAL, label, score)
    moved = abs(score - was)
    if label != part["label"]:
        return Replayed(part, DIFFERENT, label, score, f"{part['label']} then, {label} now; moved by {moved:.3g}")
    outcome = WITHIN if moved <= allowed else DIFFERENT
    return Replayed(part, outcome, label, score, f"moved by {moved:.3g}, {allowed:.3g} is allowed")
