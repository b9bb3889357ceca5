"""How verbs are told a rule: ``--rule NAME:VALUES``, and its three most usual values as options of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from amiss.core.rule import Rule

RuleWords = Annotated[
    str | None,
    typer.Option(
        help="Rule: conformal, certified, tail:0.1%, triage:5%,0.5%, quantile:0.99, sigma:3, bootstrap:5%, fixed:2.5."
    ),
]
Alpha = Annotated[str | None, typer.Option(help="False-alarm rate: auto, 0.05 or 5%.")]
Confidence = Annotated[
    str | None, typer.Option(help="Confidence level, for the rules certified (default 95%) and triage.")
]
Threshold = Annotated[float | None, typer.Option(help="Threshold, for the rule fixed.")]
Future = Annotated[
    str | None,
    typer.Option(
        help="Where lots are known, whose parts the promise is for: new-lots, or these-lots (further parts of the "
        "same lots). Default: new-lots."
    ),
]


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
