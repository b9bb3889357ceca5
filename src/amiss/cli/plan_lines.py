"""Words of `amiss plan` about proofs that are likely to succeed, and about comparing two models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from amiss.core.checks import read_rate
from amiss.core.words import counted_percent, percent

if TYPE_CHECKING:
    from amiss.rules.sampling import Proofs


def proof_lines(events: str, proofs: Proofs) -> Iterator[str]:
    """Three ways to show a rate when the true one is smaller."""
    yield (
        f"When the true rate is {percent(proofs.true_rate)}, that at most {percent(proofs.rate)} is shown with "
        f"{percent(proofs.confidence)} confidence and a chance of {percent(proofs.power)} or more by"
    )
    one, two, looks = proofs.single, proofs.double, proofs.sequential
    yield f"  one sample:   {one.n} parts, at most {one.events} {events} (chance {counted_percent(one.chance)})"
    if two is None:
        yield "  two samples:  no pair of samples takes fewer parts on average"
    else:
        yield (
            f"  two samples:  {two.n1} parts: with at most {two.events1} {events} shown, with more than {two.events2} "
            f"failed; else {two.n2} more, at most {two.events2} in all: {two.average:.0f} parts on average (chance "
            f"{counted_percent(two.chance)})"
        )
    if looks is not None:
        yield (
            f"  sequential:   stops when shown (amiss certify --sequential), given up after {looks.most} parts: "
            f"{looks.average:.0f} parts on average (chance {counted_percent(looks.chance)})"
        )


def plan_comparison(rates: str, margin: str | None, power: float, confidence: float) -> dict[str, Any]:
    """Parts for a paired comparison, for three answers to how often the two models differ on a part.

    Raises:
        InputError: Not two rates, no difference and no margin, or a true difference as large as the margin.
    """
    from amiss.core.errors import InputError
    from amiss.metrics.paired_rates import parts_for_difference, parts_for_non_inferiority

    words = rates.split(",")
    if len(words) != 2:
        raise InputError(f"--compare must be two rates such as 90%,95%, got {rates!r}")
    first, second = (read_rate("compare", word) for word in words)
    allowed = None if margin is None else read_rate("margin", margin)
    independent = first * (1 - second) + second * (1 - first)
    least = abs(first - second)
    rows = []
    for kind, differ in (("rarely", least), ("sometimes", (least + independent) / 2), ("as if by chance", independent)):
        only = (differ + first - second) / 2, (differ - first + second) / 2
        if allowed is None:
            n = parts_for_difference(*only, power, 1 - confidence)
        else:
            n = parts_for_non_inferiority(*only, allowed, power, confidence)
        rows.append({"kind": kind, "differ": differ, "n": n})
    named = {"first": first, "second": second, "margin": allowed, "power": power, "confidence": confidence}
    return {**named, "rows": rows}


def comparison_lines(plan: dict[str, Any]) -> Iterator[str]:
    """The plan as text."""
    pair = f"{percent(plan['first'])} and {percent(plan['second'])} of verdicts right"
    if plan["margin"] is None:
        yield (
            f"Two models with {pair}, on the same parts: a difference is found (McNemar's exact test at "
            f"{percent(1 - plan['confidence'])}) with a chance of {percent(plan['power'])} on"
        )
    else:
        yield (
            f"Two models with {pair}, on the same parts: that the second is worse by less than "
            f"{percent(plan['margin'])} is shown (Tango's score bound, {percent(plan['confidence'])} confidence) with "
            f"a chance of {percent(plan['power'])} on"
        )
    for row in plan["rows"]:
        yield f"  {row['n']:>7} parts, when they differ {row['kind']}: on {counted_percent(row['differ'])} of parts"
    yield "Good and defective parts are compared apart: so many are needed of the kind that matters."
