"""Amiss learns what normal looks like from good images alone and tells where something is amiss.

Every detector has three ingredients: a background model learned from normal data, a statistic (the anomaly score),
and a decision rule with a stated false-alarm rate.
"""

from importlib import import_module
from typing import Any

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
    "Rule": "amiss.core.rule",
    "Scores": "amiss.core.scores",
    "Verdict": "amiss.core.verdict",
    "create": "amiss.registry",
    "list_methods": "amiss.registry",
    "open_dataset": "amiss.data",
}

__all__ = sorted(_WHERE)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'amiss' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
