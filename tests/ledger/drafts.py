"""Events to test with: one of every kind, and as many verdicts as are asked for."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amiss.ledger.events import Draft, Event
from amiss.ledger.store import Store
from amiss.ledger.writer import Writer

LABELS = ("good", "good", "anomalous", "good", "review", "error")


def bytes_of(number: int) -> bytes:
    """Bytes that stand for an image."""
    return f"image {number}".encode() * 9


def part_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def judged(number: int, label: str | None = None, **changed: Any) -> Draft:
    """A verdict on part `number`, of a lot of ten parts."""
    label = label or LABELS[number % len(LABELS)]
    data = bytes_of(number)
    broken = label == "error"
    region = {"box": [number, 2, 3, 4], "area": 7, "peak": 1.5}
    facts: dict[str, Any] = {
        "id": part_id(number),
        "key": f"key {number}",
        "name": f"lot {number // 10}/{number:05d}.png",
        "recipe": "cloth",
        "version": 1,
        "fingerprint": "f" * 64,
        "sha256": hashlib.sha256(data).hexdigest(),
        "label": label,
        "audit": number % 25 == 24,
        "score": None if broken else (number * 37 % 101) / 101,
        "threshold": None if broken else 0.75,
        "p_value": None if broken else 0.25,
        "reason": "cut off" if broken else "",
        "regions": [region] if label == "anomalous" else [],
        "health": None if broken else {"brightness": 100.0, "contrast": 9.5, "sharpness": 0.25, "colour": 0.0},
        "ms": {"queue": 1.5, "decode": 2.0, "score": 20.25},
        "runtime": {"runtime": "onnxruntime", "cpu": "x86_64"},
        "serial": f"S{number:05d}",
        "lot": f"L{number // 10}",
        "camera": None,
        "taken_at": None,
        "image": {"bytes": len(data), "class": label, "keep_until": "2099-01-01T00:00:00.000000Z"},
        "watched": {"path": f"{number:05d}.png", "size": len(data), "mtime_ns": 10**18 + number},
        "sinks": ["result-folder"],
    }
    return Draft("judged", {**facts, **changed})


def bare(number: int, **changed: Any) -> Draft:
    """A verdict whose image is not kept."""
    return judged(number, image=None, **changed)


def every_kind() -> Iterator[tuple[Draft, bytes | None]]:
    """One of each kind, several verdicts among them, with what is to be kept."""
    about = {"method": "padim", "n": 40, "alpha": 0.05, "threshold": 0.75, "statement": "About 1 good part in 20."}
    version = {"recipe": "cloth", "version": 1, "fingerprint": "f" * 64, "about": about}
    yield Draft("versioned", version), None
    yield Draft("deployed", {"recipe": "cloth", "version": 1, "reason": "first"}, actor="anna"), None
    for number in range(30):
        yield judged(number), bytes_of(number)
    yield Draft("late", {"part": part_id(3), "label": "good", "score": 0.1, "reason": "640 ms"}), None
    label = {"part": part_id(2), "by": "anna", "truth": "good", "type": None, "boxes": [], "comment": "dust"}
    yield Draft("labelled", {**label, "blind": False, "pool": "learn"}, actor="anna"), None
    chart = {"recipe": "cloth", "alarm": True, "first": 20, "last": None, "kind": "light", "text": "Scores rose."}
    yield Draft("chart", chart), None
    yield Draft("shadow", {"recipe": "cloth", "version": 2, "reason": "new light"}, actor="anna"), None
    said = {"part": part_id(4), "recipe": "cloth", "acting": 1, "version": 2, "was": "good", "label": "anomalous"}
    yield Draft("compared", {**said, "differs": True, "score": 0.9, "threshold": 0.8, "p_value": 0.01}), None
    aside = {"recipe": "cloth", "first": 4, "last": 9, "lots": ["L0", "L1"], "reason": "lamp"}
    yield Draft("quarantined", aside, actor="anna"), None
    yield Draft("pruned", {"parts": [part_id(0), part_id(1)], "why": "age"}), None


def fill(folder: Path, parts: int | None = None) -> tuple[Store, list[Event]]:
    """A store with one event of every kind, or with so many verdicts."""
    store = Store.make(folder / "store")
    drafts = every_kind() if parts is None else ((judged(n), bytes_of(n)) for n in range(parts))
    with Writer(store) as writer:
        events = [one.result().event for one in [writer.submit(draft, image) for draft, image in drafts]]
    if parts is None:
        for number in (0, 1):
            store.image(judged(number).data["sha256"]).unlink()
    return store, events
