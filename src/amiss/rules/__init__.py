"""Ingredient 3: decision rules with controlled false alarms."""

from amiss.rules.batch import BatchDecision, benjamini_hochberg
from amiss.rules.bootstrap import Bootstrap
from amiss.rules.certified import Certified
from amiss.rules.conformal import Conformal
from amiss.rules.each_class import EachClass
from amiss.rules.few_shot import FewShot
from amiss.rules.fixed import Fixed
from amiss.rules.parse import parse_rule
from amiss.rules.quantile import Quantile
from amiss.rules.sigma import Sigma
from amiss.rules.table import RULES, create_rule, find_rule, list_rules
from amiss.rules.tail import Tail
from amiss.rules.triage import Triage

__all__ = [
    "RULES",
    "BatchDecision",
    "Bootstrap",
    "Certified",
    "Conformal",
    "EachClass",
    "FewShot",
    "Fixed",
    "Quantile",
    "Sigma",
    "Tail",
    "Triage",
    "benjamini_hochberg",
    "create_rule",
    "find_rule",
    "list_rules",
    "parse_rule",
]
