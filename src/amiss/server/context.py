"""`Context`: what routes work with, made once when the server begins."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from amiss.ledger.events import spell
from amiss.server.answers import Refused
from amiss.server.metrics import Metrics
from amiss.server.people import People
from amiss.server.settings import Settings
from amiss.station.engine import Station
from amiss.station.learnings import Learnings
from amiss.station.recipes import Deployed
from amiss.station.views import Views

LEASE = 300.0
"""Seconds for which a part belongs to whoever has claimed it."""


@dataclass
class Context:
    """Everything that routes need.

    Args:
        station: Entered.
        settings: What amiss.toml says.
        people: Who may do what.
        views: Of parts.
        learnings: Models in the making.
        metrics: What is counted.
        claims: Whoever has claimed a part, and until when.
        ready: Whether every model is loaded.
        began: When the server began, as `spell` writes it.
    """

    station: Station
    settings: Settings
    people: People
    views: Views
    learnings: Learnings
    metrics: Metrics
    claims: dict[str, tuple[str, float]] = field(default_factory=dict)
    ready: bool = False
    began: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def judging(self, recipe: str) -> Deployed | None:
        """What judges a kind of part now; None where nothing does."""
        return next((one for one in self.station.recipes.all if one.recipe == recipe), None)

    def about(self, recipe: str) -> dict[str, Any]:
        """Alpha and n of what judges a kind of part now."""
        found = self.judging(recipe)
        return {} if found is None else {"alpha": found.inspector.rule.alpha, "n": found.inspector.rule.n}

    def check_recipe(self, recipe: str) -> None:
        """Refuse a recipe that nothing judges: coming again would not help.

        Raises:
            Refused: There is none.
        """
        if self.ready and self.judging(recipe) is None:
            names = ", ".join(one.recipe for one in self.station.recipes.all) or "none"
            raise Refused(404, f"recipe must be one that a model judges ({names}), got {recipe!r}")

    def claim(self, part: str, name: str) -> str | None:
        """Let a part belong to somebody for a while; until when, or None while it is somebody else's."""
        with self._lock:
            now = time.time()
            self.claims = {one: held for one, held in self.claims.items() if held[1] > now}
            owner, _ = self.claims.get(part, (name, 0.0))
            if owner != name:
                return None
            self.claims[part] = (name, now + LEASE)
        return spell(datetime.fromtimestamp(now + LEASE, UTC))

    def claimed_by_others(self, name: str) -> list[str]:
        """Parts that somebody else has."""
        now = time.time()
        return [part for part, (owner, until) in list(self.claims.items()) if owner != name and until > now]

    def release(self, part: str) -> None:
        """Nobody has it any more."""
        with self._lock:
            self.claims.pop(part, None)


def context(request: Request) -> Context:
    """The context of the application that a request came to."""
    found: Context = request.app.state.context
    return found
