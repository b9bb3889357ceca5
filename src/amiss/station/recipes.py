"""`Recipes`: which version of which model judges a kind of part; versions are only ever added, and stay loaded."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from amiss.core.errors import InputError, NotReadyError
from amiss.core.threads import threads
from amiss.inspector import Inspector
from amiss.ledger.events import Draft
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer
from amiss.scoring import MANY, for_many

LOADED = 3
"""Versions of one recipe that stay in memory, for a quick way back."""


@dataclass(frozen=True)
class Deployed:
    """A version that is ready to judge.

    Args:
        recipe: What kind of part.
        version: Its number within the recipe, from 1.
        fingerprint: Of the artefact.
        inspector: Ready: one thread per image where it can be so.
        turn: Held while it scores, where only one thread may.
        runtime: What its scores depend on beside the artefact.
    """

    recipe: str
    version: int
    fingerprint: str
    inspector: Inspector = field(repr=False)
    turn: AbstractContextManager[Any] = field(repr=False)
    runtime: dict[str, Any] = field(repr=False)


def prepare(recipe: str, version: int, inspector: Inspector) -> Deployed:
    """Make an inspector ready to judge part by part, and try it.

    Raises:
        ParityError: Its golden images score differently.
    """
    scorer, workers = for_many(inspector.scorer, inspector.tiling, MANY)
    ready = replace(inspector, scorer=scorer)
    ready.check_parity()
    ready.inspect_one(np.zeros((*ready.size, 3), np.uint8))  # warm
    alone = workers == 1 and threads() > 1
    program = getattr(scorer, "program", None)
    runtime = {"runtime": "torch" if program is None else program.runtime, "machine": machine()}
    turn = threading.Lock() if alone else nullcontext()
    return Deployed(recipe, version, inspector.fingerprint, ready, turn, runtime)


def machine() -> str:
    """The processor's type, on which the last bits of scores may depend."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{platform.machine()} {names[0] if names else platform.processor()}".strip()


class Recipes:
    """What judges what. Every change is an event before it counts.

    Args:
        writer: Of the store.
        reader: Of the same store.
    """

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._loaded: dict[str, list[Deployed]] = {}
        self._lock = threading.Lock()
        self._known: dict[str, list[tuple[int, str]]] = {}
        for row in reader.versions():
            self._known.setdefault(row["recipe"], []).append((row["version"], row["fingerprint"]))
        self._current = {row["recipe"]: int(row["version"]) for row in reader.deployments()}

    def current(self, recipe: str) -> Deployed:
        """What judges a kind of part now.

        Raises:
            NotReadyError: Nothing.
        """
        found = self._loaded.get(recipe)
        if not found:
            names = ", ".join(sorted(self._loaded)) or "none"
            raise NotReadyError(f"recipe must be one that a model is deployed for ({names}), got {recipe!r}")
        return found[-1]

    @property
    def all(self) -> list[Deployed]:
        """What judges each kind of part now."""
        return [found[-1] for found in self._loaded.values()]

    def deploy(self, recipe: str, inspector: Inspector, *, reason: str, actor: str = "station") -> Deployed:
        """Let an inspector judge a kind of part from now on; parts on their way stay with the one before.

        The same artefact again is the same version. It is loaded, tried, stored and recorded before it judges.

        Raises:
            ParityError: Its golden images score differently.
            OutputError: The store cannot be written; then nothing has changed.
        """
        with self._lock:
            known = self._known.setdefault(recipe, [])
            fingerprint = inspector.fingerprint
            version = next((number for number, one in known if one == fingerprint), len(known) + 1)
            ready = prepare(recipe, version, inspector)
            path = self._writer.store.model(fingerprint)
            if not path.exists():
                inspector.save(path)
            if version > len(known):
                about = _about(inspector)
                facts = {"recipe": recipe, "version": version, "fingerprint": fingerprint, "about": about}
                self._writer.submit(Draft("versioned", facts, actor)).result()
                known.append((version, fingerprint))
            self._switch(ready, reason, actor)
        return ready

    def roll_back(self, recipe: str, *, reason: str, actor: str = "station") -> Deployed:
        """Let the version judge again that did so before the present one, at once: it is still loaded.

        Raises:
            InputError: There was none since the station began.
        """
        with self._lock:
            found = self._loaded.get(recipe, [])
            if len(found) < 2:
                raise InputError(f"recipe {recipe!r} must have had another version since the station began")
            before = found[-2]
            self._switch(before, reason, actor)
        return before

    def _switch(self, ready: Deployed, reason: str, actor: str) -> None:
        if self._current.get(ready.recipe) != ready.version:
            facts = {"recipe": ready.recipe, "version": ready.version, "reason": reason}
            self._writer.submit(Draft("deployed", facts, actor)).result()
            self._current[ready.recipe] = ready.version
        others = [one for one in self._loaded.get(ready.recipe, []) if one.version != ready.version]
        self._loaded[ready.recipe] = [*others[1 - LOADED :], ready]


def _about(inspector: Inspector) -> dict[str, Any]:
    rule = inspector.rule
    facts = {"method": inspector.learned.method, "size": list(inspector.size), "rule": rule.name, "n": rule.n}
    return {**facts, "alpha": rule.alpha, "threshold": rule.threshold, "statement": inspector.statement()}
