"""`Context`: what routes work with, made once when the server begins."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from amiss.core.errors import AmissError
from amiss.ledger.events import Event
from amiss.server.answers import Refused
from amiss.server.desk import Desk
from amiss.server.metrics import Metrics
from amiss.server.people import People
from amiss.server.settings import Settings
from amiss.station.engine import Station
from amiss.station.learnings import Learnings
from amiss.station.recipes import Deployed
from amiss.station.views import Views


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
        desk: Who has which part in hand, and who has seen which verdict.
        ready: Whether every model is loaded.
        began: When the server began, as `spell` writes it.
    """

    station: Station
    settings: Settings
    people: People
    views: Views
    learnings: Learnings
    metrics: Metrics
    desk: Desk = field(default_factory=Desk)
    ready: bool = False
    began: str = ""
    _facts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict, init=False, repr=False)
    """Alpha and n of versions, which never change."""

    def judging(self, recipe: str) -> Deployed | None:
        """What judges a kind of part now; None where nothing does."""
        return next((one for one in self.station.recipes.all if one.recipe == recipe), None)

    def about(self, event: Event) -> dict[str, Any]:
        """Alpha and n of the version that judged a part, which need not be the one that judges now."""
        asked = event.data["recipe"], event.data["version"]
        now = self.judging(asked[0])
        if now is not None and now.version == asked[1]:
            return {"alpha": now.inspector.rule.alpha, "n": now.inspector.rule.n}
        if asked not in self._facts:
            with suppress(AmissError):
                for row in self.station.reader.versions():
                    facts = {name: row["about"].get(name) for name in ("alpha", "n")}
                    self._facts[row["recipe"], row["version"]] = facts
        return self._facts.get(asked, {})

    def check_recipe(self, recipe: str) -> None:
        """Refuse a recipe that nothing judges: coming again would not help.

        Raises:
            Refused: There is none.
        """
        if self.ready and self.judging(recipe) is None:
            names = ", ".join(one.recipe for one in self.station.recipes.all) or "none"
            raise Refused(404, f"recipe must be one that a model judges ({names}), got {recipe!r}")


def context(request: Request) -> Context:
    """The context of the application that a request came to."""
    found: Context = request.app.state.context
    return found


async def given_context(request: Request) -> Context:
    """The same as a dependency: asynchronous, since others change threads."""
    return context(request)
