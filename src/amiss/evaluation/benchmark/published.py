"""Figures that others have published for the methods of the field, each with its source and how well we know it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

FILE = "published.jsonl"

EVIDENCE = {
    "verified": "read at the source itself: repository, table or page",
    "secondary": "quoted by another source",
    "recalled": "from memory of the paper; check it before citing",
}
"""How well a published figure is known, best first."""

COMPARABLE = ("default", "paper")
"""Presets beside which a published figure may stand: others, such as tiny, are made for something else."""

MEAN_OF_MVTEC = "mvtec"
"""Name under which the means over the 15 categories of MVTec AD are listed; a category is ``mvtec_<category>``."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure.

    Args:
        method: Registry name; also of methods that Amiss does not have.
        data: Name of the data set, as folders are called here.
        metric: One of image_auroc, pixel_auroc, pixel_aupro.
        value: In [0, 1].
        evidence: One of `EVIDENCE`.
        source: Where it was published.
        note: What was different: network, size, choices on test data.
    """

    method: str
    data: str
    metric: str
    value: float
    evidence: str
    source: str
    note: str

    def origin(self) -> str:
        """Source, note and evidence, for a reference list."""
        return f"{self.source}{f' ({self.note})' if self.note else ''}; {self.evidence}"


def published(*, method: str | None = None, data: str | None = None, metric: str | None = None) -> list[Published]:
    """The published figures of a method, data set and metric; best known first. None leaves a word open.

    Example:
        >>> [figure.value for figure in published(method="padim", data="mvtec_screw", metric="pixel_aupro")]
        [0.944]
    """
    wanted = {"method": method, "data": data, "metric": metric}
    return [one for one in _all() if all(word in (None, getattr(one, name)) for name, word in wanted.items())]


@cache
def _all() -> tuple[Published, ...]:
    text = resources.files("amiss.evaluation.benchmark").joinpath(FILE).read_text(encoding="utf-8")
    found = [Published(**json.loads(line)) for line in text.splitlines()]
    order = list(EVIDENCE)
    return tuple(sorted(found, key=lambda one: (one.method, one.data, one.metric, order.index(one.evidence))))
