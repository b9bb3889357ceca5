"""Words of `amiss inspect --batch --shift`: which images are named, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amiss.cli.console import say, say_json
from amiss.core.checks import read_rate
from amiss.core.errors import CalibrationError, InputError
from amiss.core.sentence import Sentence
from amiss.core.words import percent

if TYPE_CHECKING:
    from amiss.core.rule import Rule

ONLINE = Sentence(
    "Part by part, {named} of {judged} images are named anomalous; in a shift of {shift} parts on average at most "
    "{rate} of such names are good parts (LOND, n = {n}).",
    "tests/rules/test_online.py::test_the_false_discovery_rate_of_a_shift",
)


def read_batch(batch: str | None, shift: int | None) -> float | None:
    """The share of false discoveries that was asked for, or None.

    Raises:
        InputError: No rate, or a shift without a batch.
    """
    if shift is not None and batch is None:
        raise InputError("--shift must come with --batch")
    return None if batch is None else read_rate("batch", batch)


def decide_in_turn(judged: Sequence[tuple[str, float | None]], rate: float, shift: int, rule: Rule, json: bool) -> None:
    """LOND over names and p-values in the order of inspection.

    Raises:
        CalibrationError: The rule was never calibrated, so there are no p-values.
    """
    from amiss.rules.online import OnlineDiscovery

    if rule.n == 0:
        raise CalibrationError("--batch needs p-values, and this rule was never calibrated; see amiss calibrate")
    procedure = OnlineDiscovery(rate, shift, rule.resolution, "lots" if rule.by_lot else "images")
    named = [name for name, p_value in judged if procedure.decide(p_value)]
    if json:
        told = {"rate": rate, "shift": shift, "judged": procedure.judged, "named": named, "warning": procedure.warning}
        say_json({"online": told})
        return
    say(
        ONLINE(named=len(named), judged=procedure.judged, rate=percent(rate), shift=shift, n=rule.n),
        *(f"  {name}" for name in named),
        *([f"Mind: {procedure.warning}"] if procedure.warning else []),
    )
