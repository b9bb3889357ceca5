"""`Recipes`: which version of which model judges a kind of part; versions are only ever added, and stay loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from amiss.core.errors import AmissError, ConflictError, InputError, NotReadyError, UntrustedArtefactError
from amiss.core.threads import threads
from amiss.inspector import Inspector
from amiss.ledger.events import Draft
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer
from amiss.rules.parse import parse_rule, parse_value
from amiss.scoring import MANY, for_many
from amiss.signature import signature_path
from amiss.station.pools import calibrated_on_pool
from amiss.station.stored import keep_model, load_own, read_model

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
        self._load_judge: Callable[[str], Inspector] = load_own
        self._loaded: dict[str, list[Deployed]] = {}
        self._lock = threading.Lock()
        self._known: dict[str, list[tuple[int, str]]] = {}
        for row in reader.versions():
            self._known.setdefault(row["recipe"], []).append((row["version"], row["fingerprint"]))
        self._history: dict[str, list[int]] = {}
        for row in reader.deployments():
            self._history.setdefault(row["recipe"], []).append(int(row["version"]))
        self._current = {recipe: versions[-1] for recipe, versions in self._history.items()}
        self._shadows: dict[str, Deployed] = {}
        self._shadowing = reader.shadows()

    def hold_to(self, load: Callable[[str], Inspector]) -> None:
        """Let only such models judge, and come in from outside, as this loads: signed ones, where it asks for that.

        Args:
            load: From an artefact's path to its inspector; a signature lies beside the artefact, in the store as well.
        """
        self._load_judge = load

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

    def shadow(self, recipe: str) -> Deployed | None:
        """What judges a kind of part in the shadow now, if anything does."""
        return self._shadows.get(recipe)

    @property
    def all(self) -> list[Deployed]:
        """What judges each kind of part now."""
        return [found[-1] for found in self._loaded.values()]

    def has(self, recipe: str) -> bool:
        """Whether something judges, or once judged, a kind of part."""
        return recipe in self._current

    def resume(self) -> dict[str, str]:
        """Load what judged last, out of the store; recipes that cannot judge, and why."""
        failures = {}
        with self._lock:
            for recipe, version in self._current.items():
                try:
                    self._loaded[recipe] = [self._load(recipe, version)]
                except AmissError as error:
                    failures[recipe] = str(error)
            for recipe, version in self._shadowing.items():
                try:
                    self._shadows[recipe] = self._load(recipe, version)
                except AmissError as error:
                    failures[f"{recipe}, in the shadow,"] = str(error)
        return failures

    def add(
        self, recipe: str, inspector: Inspector, *, actor: str = "station", signature: Path | None = None
    ) -> Deployed:
        """Make an inspector a version of a recipe, ready but not in use. The same artefact again is the same version.

        It is loaded, tried, stored and recorded; it judges once it is deployed.

        Args:
            recipe: What kind of part.
            inspector: The version.
            actor: Who adds it.
            signature: File of its signature, which is kept with it; there may be none.

        Raises:
            ParityError: Its golden images score differently.
            OutputError: The store cannot be written; then nothing has changed.
        """
        with self._lock:
            return self._add(recipe, inspector, actor, signature)

    def add_file(self, recipe: str, path: Path, *, actor: str) -> Deployed:
        """Make a model from outside a version of a recipe, ready but not in use; its signature lies beside it.

        Raises:
            ArtefactError: It cannot be used, or is not one that may judge, see `hold_to`.
            OutputError: The store cannot be written; then nothing has changed.
        """
        return self.add(recipe, self._load_judge(str(path)), actor=actor, signature=signature_path(path))

    def refusal(self, recipe: str, version: int) -> str:
        """Why a version that is in the store may not judge; empty where it may."""
        with self._lock:
            try:
                self._load(recipe, version)
            except AmissError as error:
                return str(error)
        return ""

    def recalibrate(
        self, recipe: str, rule: str, alpha: str | None, *, pool: Reader | None = None, actor: str = "station"
    ) -> Deployed:
        """Make what judges now another version, with another rule or on other parts; not in use.

        Args:
            recipe: What kind of part.
            rule: In words, see `amiss.rules.parse_rule`.
            alpha: Such as 1%, 0.01 or auto; None for what the rule's words say.
            pool: Whose audited parts it is calibrated on, see `amiss.station.pools`; None for the calibration scores
                that it has.
            actor: Who asks.

        Raises:
            InputError: Not such a rule.
            CalibrationError: Too few scores for it.
            NotReadyError: Nothing judges.
        """
        asked = parse_rule(rule, alpha=None if alpha is None else parse_value(alpha))
        now = self.current(recipe).inspector
        return self.add(
            recipe, now.with_rule(asked) if pool is None else calibrated_on_pool(pool, recipe, now, asked), actor=actor
        )

    def version(self, recipe: str, version: int) -> Deployed:
        """A version that is in the store, to be tried and not to judge, so that nobody need have signed it.

        Raises:
            InputError: No such version.
            ArtefactError: Its artefact cannot be used.
        """
        with self._lock:
            return self._in_memory(recipe, version) or self._from_store(recipe, version, load_own)

    def put_in_shadow(self, recipe: str, version: int | None, *, reason: str, actor: str = "station") -> None:
        """Let a version judge beside the one that judges, in idle time and without a say; None lets none do so.

        Raises:
            InputError: No such version.
            ConflictError: It is the one that judges.
            NotReadyError: Nothing judges.
            ArtefactError: Its artefact cannot be used.
        """
        with self._lock:
            if version is not None and version == self.current(recipe).version:
                raise ConflictError(f"the version in the shadow must be another one than judges, got {version}")
            ready = None if version is None else self._load(recipe, version)
            self._put_in_shadow(recipe, ready, reason, actor)

    def _put_in_shadow(self, recipe: str, ready: Deployed | None, reason: str, actor: str) -> None:
        before = self._shadows.get(recipe)
        version = None if ready is None else ready.version
        if (None if before is None else before.version) != version:
            self._writer.submit(
                Draft("shadow", {"recipe": recipe, "version": version, "reason": reason}, actor)
            ).result()
        self._shadows.pop(recipe, None)
        if ready is not None:
            self._shadows[recipe] = ready

    def deploy(
        self,
        recipe: str,
        inspector: Inspector,
        *,
        reason: str,
        actor: str = "station",
        signature: Path | None = None,
    ) -> Deployed:
        """Let an inspector judge a kind of part from now on; parts on their way stay with the one before.

        Args:
            recipe: What kind of part.
            inspector: The version.
            reason: Why, for those who read the record.
            actor: Who does it.
            signature: File of its signature, which is kept with it; there may be none.

        Raises:
            ParityError: Its golden images score differently.
            OutputError: The store cannot be written; then nothing has changed.
        """
        with self._lock:
            ready = self._add(recipe, inspector, actor, signature)
            self._switch(ready, reason, actor)
        return ready

    def deploy_version(
        self, recipe: str, version: int, *, reason: str, actor: str = "station", instead_of: int | None = None
    ) -> Deployed:
        """Let a version judge that is in the store.

        Args:
            recipe: What kind of part.
            version: Its number.
            reason: Why, for those who read the record.
            actor: Who does it.
            instead_of: The version that must judge now, or nothing is changed; None asks for none.

        Raises:
            InputError: No such version.
            ConflictError: Another one judges now.
            ArtefactError: Its artefact cannot be used.
            OutputError: The store cannot be written; then nothing has changed.
        """
        with self._lock:
            now = self._current.get(recipe)
            if instead_of is not None and now != instead_of:
                raise ConflictError(f"version {instead_of} of {recipe!r} must judge now, got version {now}")
            ready = self._load(recipe, version)
            self._switch(ready, reason, actor)
        return ready

    def roll_back(self, recipe: str, *, reason: str, actor: str = "station") -> Deployed:
        """Let the version judge again that did so before the present one; at once where it is still loaded.

        Raises:
            InputError: There was none.
            ArtefactError: Its artefact cannot be used.
        """
        with self._lock:
            before = self._before(recipe)
            if before is None:
                raise InputError(f"recipe {recipe!r} must have had another version before, to go back to")
            ready = self._load(recipe, before)
            self._switch(ready, reason, actor)
        return ready

    def _add(self, recipe: str, inspector: Inspector, actor: str, signature: Path | None) -> Deployed:
        known = self._known.setdefault(recipe, [])
        fingerprint = inspector.fingerprint
        version = next((number for number, one in known if one == fingerprint), len(known) + 1)
        ready = prepare(recipe, version, inspector)
        keep_model(self._writer.store, inspector, signature)
        if version > len(known):
            about = about_inspector(inspector)
            facts = {"recipe": recipe, "version": version, "fingerprint": fingerprint, "about": about}
            self._writer.submit(Draft("versioned", facts, actor)).result()
            known.append((version, fingerprint))
        return ready

    def _load(self, recipe: str, version: int) -> Deployed:
        """A version that may judge: in memory, or else in the store."""
        try:
            return self._in_memory(recipe, version) or self._from_store(recipe, version, self._load_judge)
        except UntrustedArtefactError as error:
            raise UntrustedArtefactError(
                f"version {version} of {recipe!r} may not judge: {error}; have this very model signed (amiss sign) "
                "and add it again with its signature; where models must be accepted, have it accepted (amiss accept)"
            ) from error

    def _in_memory(self, recipe: str, version: int) -> Deployed | None:
        ready = [*self._loaded.get(recipe, []), *filter(None, [self._shadows.get(recipe)])]
        return next((one for one in ready if one.version == version), None)

    def _from_store(self, recipe: str, version: int, load: Callable[[str], Inspector]) -> Deployed:
        fingerprint = dict(self._known.get(recipe, [])).get(version)
        if fingerprint is None:
            raise InputError(f"version must be one of recipe {recipe!r}, got {version}")
        return prepare(recipe, version, read_model(self._writer.store, fingerprint, load))

    def _before(self, recipe: str) -> int | None:
        """The version that judged before the present one; going back is no step forward."""
        now = self._current.get(recipe)
        stack: list[int] = []
        for version in self._history.get(recipe, []):
            if len(stack) > 1 and stack[-2] == version:
                stack.pop()
            elif not stack or stack[-1] != version:
                stack.append(version)
        return stack[-2] if len(stack) > 1 and stack[-1] == now else None

    def _switch(self, ready: Deployed, reason: str, actor: str) -> None:
        if self._current.get(ready.recipe) != ready.version:
            facts = {"recipe": ready.recipe, "version": ready.version, "reason": reason}
            self._writer.submit(Draft("deployed", facts, actor)).result()
            self._current[ready.recipe] = ready.version
            self._history.setdefault(ready.recipe, []).append(ready.version)
            if (shadow := self._shadows.get(ready.recipe)) is not None and shadow.version == ready.version:
                self._put_in_shadow(ready.recipe, None, reason, actor)
        others = [one for one in self._loaded.get(ready.recipe, []) if one.version != ready.version]
        self._loaded[ready.recipe] = [*others[1 - LOADED :], ready]


def about_inspector(inspector: Inspector) -> dict[str, Any]:
    """What is stated of a version, as plain JSON values."""
    rule = inspector.rule
    facts = {"method": inspector.learned.method, "size": list(inspector.size), "rule": rule.name, "n": rule.n}
    return {**facts, "alpha": rule.alpha, "threshold": rule.threshold, "statement": inspector.statement()}
