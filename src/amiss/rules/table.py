"""Every rule that comes with Amiss, by name."""

from __future__ import annotations

from typing import Any

from amiss.core.checks import create_named
from amiss.core.rule import Rule
from amiss.rules.bootstrap import Bootstrap
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.fixed import Fixed
from amiss.rules.quantile import Quantile
from amiss.rules.sigma import Sigma
from amiss.rules.tail import Tail
from amiss.rules.triage import Triage

RULES: dict[str, type[Rule]] = {
    rule.name: rule for rule in (Bootstrap, Certified, Conformal, Fixed, Quantile, Sigma, Tail, Triage)
}


def create_rule(name: str, **config: Any) -> Rule:
    """The rule of a name with its constructor's arguments.

    Raises:
        InputError: Unknown name or argument.
    """
    return create_named("rule", RULES, name, config)
