"""Ingredient 3: decision rules with controlled false alarms."""

from typing import Any

from amiss.core.checks import create_named
from amiss.core.rule import Rule
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.fixed import Fixed

RULES: dict[str, type[Rule]] = {rule.name: rule for rule in (Certified, Conformal, Fixed)}


def create_rule(name: str, **config: Any) -> Rule:
    """The rule of a name with its constructor's arguments.

    Raises:
        InputError: Unknown name or argument.
    """
    return create_named("rule", RULES, name, config)


__all__ = ["RULES", "Certified", "Conformal", "Fixed", "create_rule"]
