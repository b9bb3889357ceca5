"""`Desk`: which part a person has in hand, and which verdicts have been seen: is what is said of an audited part blind?

Whoever labels parts is not shown the verdict of one that was drawn for an audit until a label of it is on disk. A label
counts as blind only where its part was taken from the queue and the verdict had not been shown to that person before.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from amiss.ledger.events import now, spell
from amiss.server.people import Who

LEASE = 300.0
"""Seconds for which a part belongs to whoever has claimed it."""

BLIND = ("label", "score", "threshold", "margin", "p_value", "regions", "reason", "accept", "late", "was", "differs")
"""What is not said of a part that a person judges without knowing the verdict, be it the one of the shadow."""

MOST = 100_000
"""Parts of which it is known who has seen the verdict; those looked at last."""


class Desk:
    """What people have in hand and have seen. In memory: after a restart no older label can be followed by a blind one.

    Args:
        began: When the server began, as `spell` writes it; now when None.
    """

    def __init__(self, began: str | None = None) -> None:
        self._began = now() if began is None else began
        self._claims: dict[str, tuple[str, float]] = {}
        self._seen: OrderedDict[str, set[str]] = OrderedDict()
        self._copies: dict[str, int] = {}
        self._lock = threading.Lock()

    def claim(self, part: str, name: str) -> str | None:
        """Let a part belong to somebody for a while; until when, or None while it is somebody else's."""
        with self._lock:
            clock = time.time()
            self._claims = {one: held for one, held in self._claims.items() if held[1] > clock}
            owner, _ = self._claims.get(part, (name, 0.0))
            if owner != name:
                return None
            self._claims[part] = (name, clock + LEASE)
        return spell(datetime.fromtimestamp(clock + LEASE, UTC))

    def held_by_others(self, name: str) -> list[str]:
        """Parts that somebody else has."""
        clock = time.time()
        return [part for part, (owner, until) in list(self._claims.items()) if owner != name and until > clock]

    def release(self, part: str) -> None:
        """Nobody has it any more."""
        with self._lock:
            self._claims.pop(part, None)

    def show(self, row: dict[str, Any], truth: str | None, who: Who) -> bool:
        """Whether somebody may see the verdict of a part; what is seen of an audited one is noted."""
        if not row["audit"] or "label" not in who.may:
            return True
        if truth is None and row["label"] != "error":  # an error is no verdict that anybody could judge
            return False
        with self._lock:
            self._seen.setdefault(row["id"], set()).add(who.name)
            self._seen.move_to_end(row["id"])
            if len(self._seen) > MOST:
                self._seen.popitem(last=False)
        return True

    def copied(self, name: str, seq: int) -> None:
        """Somebody takes a copy of the record up to an event, verdicts and all."""
        with self._lock:
            self._copies[name] = max(seq, self._copies.get(name, 0))

    def blind(self, row: dict[str, Any], who: Who, labels: Sequence[dict[str, Any]]) -> bool:
        """Whether what somebody says of a part now is said without having seen its verdict.

        Args:
            row: The part.
            who: Says it.
            labels: What was said of it before.
        """
        with self._lock:
            owner, until = self._claims.get(row["id"], ("", 0.0))
            held = owner == who.name and until > time.time()
            seen = who.name in self._seen.get(row["id"], ()) or row["seq"] <= self._copies.get(who.name, 0)
            # the verdict was open to all after each label; who looked at it is known only since the server began
            known = all(label["at"] >= self._began for label in labels)
        return bool(row["audit"]) and held and known and not seen


def blinded(part: dict[str, Any]) -> dict[str, Any]:
    """A part without its verdict."""
    return {**{name: value for name, value in part.items() if name not in BLIND}, "blind": True}
