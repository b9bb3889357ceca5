"""Every rule by name: those that come with Amiss, and those of plug-ins."""

from __future__ import annotations

from typing import Any

from amiss.core.checks import check_choice, create_named
from amiss.core.errors import InputError
from amiss.core.plugins import plugged_in
from amiss.core.rule import Rule
from amiss.rules.bootstrap import Bootstrap
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.each_class import EachClass
from amiss.rules.few_shot import FewShot
from amiss.rules.fixed import Fixed
from amiss.rules.quantile import Quantile
from amiss.rules.sigma import Sigma
from amiss.rules.tail import Tail
from amiss.rules.triage import Triage

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (Bootstrap, Certified, Conformal, EachClass, FewShot, Fixed, Quantile, Sigma, Tail, Triage)
}


ENTRY_POINTS = "amiss.rules"
"""Group in which a plug-in names its rules: ``name = "package.module:Class"``."""


def list_rules() -> dict[str, str]:
    """Name and address ("module:Class") of every rule, own and plugged in, by name."""
    own = {name: f"{rule.__module__}:{rule.__qualname__}" for name, rule in RULES.items()}
    plugged = {point.name: point.value for point in plugged_in(ENTRY_POINTS)}
    return dict(sorted({**plugged, **own}.items()))


def find_rule(name: str) -> type[Rule]:
    """The class of a rule; a plug-in's code is imported here and not before, and never replaces one of our own.

    Raises:
        InputError: Unknown name, with near misses pointed out; or a plug-in that is not a rule of that name.
    """
    check_choice("rule", name, list_rules())
    if name in RULES:
        return RULES[name]
    point = next(point for point in plugged_in(ENTRY_POINTS) if point.name == name)
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, Rule) and found.name == name):
        raise InputError(f"entry point {name} = {point.value} must name a Rule whose name is {name!r}, got {found!r}")
    return found


def create_rule(name: str, /, **config: Any) -> Rule:
    """The rule with this name and these constructor arguments.

    Raises:
        InputError: Unknown name or argument.
    """
    return create_named("rule", {name: find_rule(name)}, name, config)
