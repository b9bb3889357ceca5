"""How verbs are told a rule: ``--rule NAME:VALUES``, and its three most usual values as options of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.console import parse_number

if TYPE_CHECKING:
    from amiss.core.rule import Rule
    from amiss.inspector import Inspector

RuleWords = Annotated[
    str | None,
    typer.Option(
        help="Rule: conformal, certified, tail:0.1%, triage:5%,0.5%, quantile:0.99, sigma:3, bootstrap:5%, fixed:2.5."
    ),
]
Alpha = Annotated[
    str | None,
    typer.Option(help="False-alarm rate: 5%, 0.05, or auto (5 %, or the smallest that the good images support)."),
]
Confidence = Annotated[
    str | None, typer.Option(help="Confidence level, for the rules certified (default 95%) and triage.")
]
Threshold = Annotated[
    float | None, typer.Option(parser=parse_number, metavar="<float>", help="Threshold, for the rule fixed.")
]
Future = Annotated[
    str | None,
    typer.Option(
        help="Where lots are known, whose parts the promise is for: new-lots, or these-lots (further parts of the "
        "same lots). Default: new-lots."
    ),
]


def trade_of(inspector: Inspector) -> tuple[list[str], list[dict[str, Any]]]:
    """What other alphas would be: as a table for people, and as JSON."""
    from amiss.rules.trade import trade, trade_legend, trade_lines

    rows = trade(inspector.rule)
    text = [*trade_lines(rows), trade_legend(inspector.rule)] if rows else []
    return text, [row.summary() for row in rows]


def read_rule(
    words: str | None,
    alpha: str | None,
    confidence: str | None,
    threshold: float | None,
    *,
    present: Rule | None = None,
) -> Rule:
    """The rule that these options describe. Without a name: the present rule with other values, else conformal.

    Raises:
        InputError: Unknown rule or value, one missing, or one given twice.
    """
    from amiss.rules import parse_rule
    from amiss.rules.parse import parse_value

    options = {
        "alpha": None if alpha is None else parse_value(alpha),
        "confidence": None if confidence is None else parse_value(confidence),
        "threshold": threshold,
    }
    if words is None and present is not None:
        given = {key: value for key, value in options.items() if value is not None}
        return parse_rule(present.name, **{**present.config(), **given})
    return parse_rule(words or "conformal", **options)
