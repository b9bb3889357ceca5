"""Damage to bytes and to plain values, drawn from a generator."""

from __future__ import annotations

import numpy as np

Draws = np.random.Generator


def _cut(data: bytes, draws: Draws) -> bytes:
    return data[: draws.integers(0, len(data))]


def _flip(data: bytes, draws: Draws) -> bytes:
    changed = bytearray(data)
    for _ in range(int(draws.integers(1, 5))):
        changed[draws.integers(0, len(data))] ^= 1 << int(draws.integers(0, 8))
    return bytes(changed)


def _flip_early(data: bytes, draws: Draws) -> bytes:
    """Where headers are."""
    head = min(len(data), 400)
    return _flip(data[:head], draws) + data[head:]


def _zero(data: bytes, draws: Draws) -> bytes:
    start, stop = sorted(draws.integers(0, len(data) + 1, 2).tolist())
    return data[:start] + bytes(stop - start) + data[stop:]


def _noise(data: bytes, draws: Draws) -> bytes:
    start = int(draws.integers(0, len(data)))
    noise = draws.bytes(int(draws.integers(1, 40)))
    return data[:start] + noise + data[start + len(noise) :]


def _insert(data: bytes, draws: Draws) -> bytes:
    start = int(draws.integers(0, len(data)))
    return data[:start] + draws.bytes(int(draws.integers(1, 20))) + data[start:]


def _repeat(data: bytes, draws: Draws) -> bytes:
    start, stop = sorted(draws.integers(0, len(data) + 1, 2).tolist())
    return data[:stop] + data[start:stop] + data[stop:]


DAMAGE = {
    "cut": _cut,
    "flip": _flip,
    "flip early": _flip_early,
    "zero": _zero,
    "noise": _noise,
    "insert": _insert,
    "repeat": _repeat,
}


def damaged(data: bytes, draws: Draws) -> bytes:
    """Damaged in one of the ways, never empty before."""
    ways = list(DAMAGE.values())
    return ways[draws.integers(0, len(ways))](data or b"\0", draws)


def deep(levels: int) -> object:
    """Lists inside one another."""
    value: object = []
    for _ in range(levels):
        value = [value]
    return value


def extreme(draws: Draws) -> object:
    """A plain value that nobody expects."""
    values: list[object] = [
        *(None, True, False, 0, -1, 1, 2**31, 2**62, 2**64, -(2**63), 10**30, 10**400, 1e308, -1e308, 1e-320, 0.5),
        *(
            "",
            "x",
            "\0",
            "x" * 5000,
            "file:/etc/passwd",
            "hf:a/b",
            "timm:resnet18",
            "os:system",
            "conformal",
            "../../x",
        ),
        *([], {}, [[]], {"name": "name"}, {"self": 1}, [1, "a"], [0, 0], [10**9, 10**9], deep(50), deep(900)),
    ]
    return values[draws.integers(0, len(values))]


def changed(value: object, draws: Draws) -> object:
    """The same value with something in it replaced, taken out or put in."""
    if isinstance(value, dict) and value and draws.random() < 0.85:
        names = sorted(value)
        name = names[draws.integers(0, len(names))]
        way = draws.random()
        if way < 0.1:
            return {key: each for key, each in value.items() if key != name}
        if way < 0.2:
            return {**value, str(["name", "self", "extra", "0"][draws.integers(0, 4)]): extreme(draws)}
        return {**value, name: changed(value[name], draws)}
    if isinstance(value, list) and value and draws.random() < 0.85:
        place = int(draws.integers(0, len(value)))
        return [*value[:place], changed(value[place], draws), *value[place + 1 :]]
    return extreme(draws)
