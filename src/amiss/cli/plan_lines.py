"""Words of `amiss plan` about proofs that are likely to succeed, and about comparing two models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from amiss.core.checks import read_rate
from amiss.core.sentence import Sentence
from amiss.core.words import counted_percent, percent, rounded_down, sure

if TYPE_CHECKING:
    from amiss.rules.sampling import Proofs

SHOWN_BY = Sentence(
    "When the true rate is {true_rate}, that at most {rate} is shown with {confidence} confidence and a chance of "
    "{power} or more by",
    "tests/rules/test_sequential.py::test_double_samples_by_enumeration",
)
ONE = Sentence(
    "  one sample:   {n} parts, at most {allowed} {events} (chance {chance})",
    "tests/rules/test_sequential.py::test_a_single_sample_is_the_smallest",
)
NO_TWO = Sentence(
    "  two samples:  no pair of samples takes fewer parts on average",
    "tests/rules/test_sequential.py::test_double_samples_by_enumeration",
)
TWO = Sentence(
    "  two samples:  {n1} parts: with at most {events1} {events} shown, with more than {events2} failed; else {n2} "
    "more, at most {events2} in all: {average} parts on average (chance {chance})",
    "tests/rules/test_sequential.py::test_double_samples_by_enumeration",
)
LOOKS = Sentence(
    "  sequential:   stops when shown (amiss certify --sequential), given up after {most} parts: {average} parts on "
    "average (chance {chance})",
    "tests/rules/test_sequential.py::test_the_recursion_against_simulation",
)
DIFFERENCE = Sentence(
    "Two models with {pair}, on the same parts: a difference is found (McNemar's exact test at {level}) with a chance "
    "of {power} on",
    "tests/metrics/test_paired_rates.py::test_the_power_of_mcnemar_by_simulation",
)
MARGIN = Sentence(
    "Two models with {pair}, on the same parts: that the second is worse by less than {margin} is shown (Tango's score "
    "bound, {confidence} confidence) with a chance of {power} on",
    "bench/verdicts.py margins",
)


def proof_lines(events: str, proofs: Proofs) -> Iterator[str]:
    """Three ways to show a rate when the true one is smaller."""
    yield SHOWN_BY(
        true_rate=percent(proofs.true_rate),
        rate=percent(proofs.rate),
        confidence=sure(proofs.confidence),
        power=sure(proofs.power),
    )
    one, two, looks = proofs.single, proofs.double, proofs.sequential
    yield ONE(n=one.n, allowed=one.events, events=events, chance=rounded_down(one.chance))
    if two is None:
        yield NO_TWO()
    else:
        yield TWO(
            n1=two.n1,
            events1=two.events1,
            events2=two.events2,
            n2=two.n2,
            events=events,
            average=f"{two.average:.0f}",
            chance=rounded_down(two.chance),
        )
    if looks is not None:
        yield LOOKS(most=looks.most, average=f"{looks.average:.0f}", chance=rounded_down(looks.chance))


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
        yield DIFFERENCE(pair=pair, level=percent(1 - plan["confidence"]), power=sure(plan["power"]))
    else:
        yield MARGIN(
            pair=pair,
            margin=percent(plan["margin"]),
            confidence=sure(plan["confidence"]),
            power=sure(plan["power"]),
        )
    for row in plan["rows"]:
        yield f"  {row['n']:>7} parts, when they differ {row['kind']}: on {counted_percent(row['differ'])} of parts"
    yield "Good and defective parts are compared apart: so many are needed of the kind that matters."
