"""Amiss learns what normal looks like from good images alone and tells where something is amiss.

Every detector has three ingredients: a background model learned from normal data, a statistic (the anomaly score),
and a decision rule with a stated false-alarm rate.
"""

from typing import TYPE_CHECKING

__all__ = [
    "AmissError",
    "Card",
    "Certified",
    "Conformal",
    "Decision",
    "Fixed",
    "Images",
    "Inspector",
    "MinArea",
    "Recipe",
    "Rule",
    "Scores",
    "Tail",
    "Triage",
    "Verdict",
    "certify",
    "compare",
    "create",
    "evaluate",
    "fit",
    "list_methods",
    "load",
    "open_dataset",
    "update",
]
__version__ = "0.1.0"

if TYPE_CHECKING:  # a type checker sees what each name is; a program imports it when it is asked for
    from amiss.core.card import Card
    from amiss.core.errors import AmissError
    from amiss.core.images import Images
    from amiss.core.rule import Rule
    from amiss.core.scores import Decision, Scores
    from amiss.core.verdict import Verdict
    from amiss.data import open_dataset
    from amiss.evaluation import certify, compare, evaluate
    from amiss.front import fit, load, update
    from amiss.inspector import Inspector
    from amiss.postprocess import MinArea
    from amiss.recipe import Recipe
    from amiss.registry import create, list_methods
    from amiss.rules import Certified, Conformal, Fixed, Tail, Triage
else:
    from importlib import import_module

    _WHERE = {
        "AmissError": "amiss.core.errors",
        "Card": "amiss.core.card",
        "Certified": "amiss.rules",
        "Conformal": "amiss.rules",
        "Decision": "amiss.core.scores",
        "Fixed": "amiss.rules",
        "Images": "amiss.core.images",
        "Inspector": "amiss.inspector",
        "MinArea": "amiss.postprocess",
        "Recipe": "amiss.recipe",
        "Rule": "amiss.core.rule",
        "Scores": "amiss.core.scores",
        "Tail": "amiss.rules",
        "Triage": "amiss.rules",
        "Verdict": "amiss.core.verdict",
        "certify": "amiss.evaluation",
        "compare": "amiss.evaluation",
        "evaluate": "amiss.evaluation",
        "create": "amiss.registry",
        "fit": "amiss.front",
        "list_methods": "amiss.registry",
        "load": "amiss.front",
        "open_dataset": "amiss.data",
        "update": "amiss.front",
    }

    def __getattr__(name):
        if name in _WHERE:
            return getattr(import_module(_WHERE[name]), name)
        raise AttributeError(f"module 'amiss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
