"""``amiss plan``: how many parts a promise or a proof needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.common_options import Json
from amiss.cli.console import say, say_json
from amiss.core.checks import read_rate
from amiss.core.sentence import Sentence
from amiss.core.words import percent, sure

if TYPE_CHECKING:
    from amiss.rules.planning import PartsPlan

NEEDED = "tests/evaluation/test_certificate.py::test_parts_needed_by_search"

ALARMS = Sentence("At most {rate} of good parts raise an alarm, with {confidence} confidence:", NEEDED)
ESCAPES = Sentence("At most {rate} of defective parts pass as good, with {confidence} confidence:", NEEDED)
HEAD = Sentence(
    "chance to succeed when the true rate is {rate}",
    "tests/evaluation/test_certificate.py::test_a_plan_is_what_certified_needs",
)
ON_AVERAGE = Sentence(
    "On average over calibration sets only (rule conformal): {parts} good parts.",
    "tests/evaluation/test_certificate.py::test_a_plan_is_what_certified_needs",
)
BY_LOTS = Sentence(
    "For parts of new lots each lot counts once, however many parts it has: {lots} lots without a false alarm, or "
    "{average} lots on average. When a fifth of the lots is held out, {held} or {held_average} lots in all; by folds "
    "(--calibration folds) {lots} or {average}.",
    "tests/rules/test_lots.py::test_with_whole_lots_above_the_bound_is_that_of_clopper_and_pearson",
)
AT_HAND = Sentence(
    "{count} {kind} parts without {event} show: at most {bound} {verb}, with {confidence} confidence.", NEEDED
)
LOTS_AT_HAND = Sentence(
    "{count}, however many good parts each: for parts of new lots at best alpha = {average} on average (rule "
    "conformal), {certified} with {confidence} confidence (rule certified, or to prove).{more} For further parts of "
    "the same lots (--future these-lots) parts count.",
    "tests/rules/test_lots.py::test_with_whole_lots_above_the_bound_is_that_of_clopper_and_pearson",
)


FalseAlarm = Annotated[
    str | None, typer.Option(help="Largest share of good parts that may raise an alarm: 0.005 or 0.5%.")
]
Escape = Annotated[str | None, typer.Option(help="Largest share of defective parts that may pass as good: 0.01 or 1%.")]
ConfidenceOption = Annotated[str, typer.Option(help="Confidence level: 0.95 or 95%.")]
Good = Annotated[int | None, typer.Option(help="Number of good parts at hand: what can they show?", min=0)]
Defective = Annotated[int | None, typer.Option(help="Number of defective parts at hand: what can they show?", min=0)]
TrueRate = Annotated[
    str | None,
    typer.Option(help="With --false-alarm or --escape: the rate it truly has, as you think; plans three proofs."),
]
Compare = Annotated[
    str | None,
    typer.Option(help="Rates of right verdicts of two models, such as 90%,95%: how many parts tell them apart?"),
]
Margin = Annotated[
    str | None,
    typer.Option(help="With --compare: show instead that the second is worse by less than this, such as 3%."),
]
Power = Annotated[str, typer.Option(help="Chance to succeed that --true-rate and --compare plan for.")]
Lots = Annotated[
    int | None, typer.Option(help="Number of lots at hand: what can they promise for parts of new lots?", min=1)
]


def plan(
    false_alarm: FalseAlarm = None,
    escape: Escape = None,
    confidence: ConfidenceOption = "0.95",
    good: Good = None,
    defective: Defective = None,
    true_rate: TrueRate = None,
    compare: Compare = None,
    margin: Margin = None,
    power: Power = "0.9",
    lots: Lots = None,
    json: Json = False,
) -> None:
    """Say how many good or defective parts to collect, or what those at hand can show."""
    from dataclasses import asdict

    from amiss.cli.plan_lines import comparison_lines, plan_comparison, proof_lines
    from amiss.core.errors import InputError
    from amiss.rules.planning import plan as make
    from amiss.rules.sampling import plan_proofs

    if all(option is None for option in (false_alarm, escape, good, defective, lots, compare)):
        raise InputError("nothing to plan; give --false-alarm, --escape, --good, --defective, --lots or --compare")
    if true_rate is not None and false_alarm is None and escape is None:
        raise InputError("--true-rate must come with --false-alarm or --escape")
    if margin is not None and compare is None:
        raise InputError("--margin must come with --compare")
    sure = read_rate("confidence", confidence)
    alarms = None if false_alarm is None else make(read_rate("false-alarm", false_alarm), sure)
    escapes = None if escape is None else make(read_rate("escape", escape), sure)
    hand = {"good": good, "defective": defective}
    chance = read_rate("power", power)
    proofs = {
        events: plan_proofs(read_rate(events, text), read_rate("true-rate", true_rate), sure, chance)
        for events, text in (("false alarms", false_alarm), ("escapes", escape))
        if text is not None and true_rate is not None
    }
    pair = None if compare is None else plan_comparison(compare, margin, chance, sure)
    if json:
        more = {"proofs": {events: asdict(found) for events, found in proofs.items()}, "comparison": pair}
        say_json(_summary(alarms, escapes, hand, sure) | more | {"lots_show": _shown_by_lots(lots, sure)})
        return
    for lines, events, table in ((_alarm_lines, "false alarms", alarms), (_escape_lines, "escapes", escapes)):
        if table is not None:
            say(*lines(table), *(proof_lines(events, proofs[events]) if events in proofs else []))
    if pair is not None:
        say(*comparison_lines(pair))
    say(*(_hand_line(kind, count, sure) for kind, count in hand.items() if count is not None), *_lots_lines(lots, sure))


def _alarm_lines(plan: PartsPlan) -> list[str]:
    from amiss.rules.planning import held_out_total

    fewest = plan.rows[0].n
    held = [held_out_total(count, 0.2) for count in (fewest, plan.on_average)]
    return [
        ALARMS(rate=percent(plan.rate), confidence=sure(plan.confidence)),
        *_table(plan, "false alarms"),
        "Each row is enough, both to calibrate (rule certified: so many calibration scores may lie above the "
        "threshold) and to prove it afterwards on parts that the model never saw (amiss certify).",
        f"These parts are apart from those learned from: when a fifth is held out, {fewest} need {held[0]} good parts "
        "in all.",
        ON_AVERAGE(parts=plan.on_average),
        BY_LOTS(lots=fewest, average=plan.on_average, held=held[0], held_average=held[1]),
    ]


def _escape_lines(plan: PartsPlan) -> list[str]:
    return [
        ESCAPES(rate=percent(plan.rate), confidence=sure(plan.confidence)),
        *_table(plan, "escapes"),
        "The defects must be drawn like those of the line: what is shown holds for these kinds and no others.",
    ]


def _table(plan: PartsPlan, events: str) -> list[str]:
    head = HEAD(rate=percent(plan.rate / 10))
    rows = [f"  {row.events:>12}  {row.n:>12}  {int(100 * row.chance)} %" for row in plan.rows]
    return [f"  {events:>12}  {'parts needed':>12}  {head}", *rows]


def _hand_line(kind: str, count: int, confidence: float) -> str:
    from amiss.rules.planning import rate_shown

    event, verb = ("a false alarm", "raise an alarm") if kind == "good" else ("an escape", "pass as good")
    bound = percent(rate_shown(count, confidence))
    return AT_HAND(count=count, kind=kind, event=event, bound=bound, verb=verb, confidence=sure(confidence))


def _shown_by_lots(lots: int | None, confidence: float) -> dict[str, float] | None:
    """The smallest rates that so many lots can promise for parts of new lots."""
    from amiss.rules import Certified, Conformal

    if lots is None:
        return None
    return {"conformal": Conformal().least_alpha(lots), "certified": Certified(confidence=confidence).least_alpha(lots)}


def _lots_lines(lots: int | None, confidence: float) -> list[str]:
    rates = _shown_by_lots(lots, confidence)
    if rates is None:
        return []
    count = "1 lot" if lots == 1 else f"{lots} lots"
    more = " One lot says next to nothing about the next." if lots == 1 else ""
    return [
        LOTS_AT_HAND(
            count=count,
            average=percent(rates["conformal"]),
            certified=percent(rates["certified"]),
            confidence=sure(confidence),
            more=more,
        )
    ]


def _summary(
    alarms: PartsPlan | None, escapes: PartsPlan | None, hand: dict[str, int | None], confidence: float
) -> Any:
    from dataclasses import asdict

    from amiss.rules.planning import rate_shown

    return {
        "confidence": confidence,
        "false_alarm": None if alarms is None else asdict(alarms),
        "escape": None if escapes is None else asdict(escapes),
        **{f"{kind}_show": None if n is None else rate_shown(n, confidence) for kind, n in hand.items()},
    }
