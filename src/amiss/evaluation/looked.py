"""What evaluation keeps of one test image, without its map; images may be looked at anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from amiss.core.images import Images
from amiss.core.scores import Region
from amiss.core.verdict import Label, Verdict
from amiss.evaluation.tried import Alternatives
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.metrics.border import peaks_on_rim, rim_area


@dataclass(frozen=True)
class Looked:
    """What is kept of one image.

    Args:
        verdict: Without its arrays.
        tried: What each other alpha would have said, see `Alternatives`.
        rim: Whether its map has its maximum on the rim, and which share of the pixels that is; None without a map.
        seconds: That it took; of an image that could not be used, not a number.
    """

    verdict: Verdict
    tried: tuple[Label, ...]
    rim: tuple[bool, float] | None
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON values."""
        rim = None if self.rim is None else [bool(self.rim[0]), self.rim[1]]
        seconds = None if math.isnan(self.seconds) else self.seconds
        return {"verdict": self.verdict.summary(), "tried": [*map(str, self.tried)], "rim": rim, "seconds": seconds}

    @classmethod
    def of_plain(cls, known: dict[str, Any]) -> Self:
        """What `to_plain` gave."""
        values = {name: value for name, value in known["verdict"].items() if name not in ("margin", "recognised")}
        regions = tuple(Region(box=tuple(r["box"]), area=r["area"], peak=r["peak"]) for r in values["regions"])
        verdict = Verdict(**{**values, "label": Label(values["label"]), "regions": regions})
        rim = None if known["rim"] is None else (known["rim"][0], known["rim"][1])
        seconds = math.nan if known["seconds"] is None else known["seconds"]
        return cls(verdict, tuple(map(Label, known["tried"])), rim, seconds)


def look_at(
    inspector: Inspector, images: Images, keep: Callable[[int, Verdict], None] = lambda index, verdict: None
) -> Iterator[Looked]:
    """Inspect images, in order.

    Args:
        inspector: Ready to inspect.
        images: To be looked at.
        keep: Called with the number of each image and its verdict, with its arrays.
    """
    stream, others = inspector.inspect(images), Alternatives(inspector)
    for index in range(len(images)):
        start = time.perf_counter()
        verdict = next(stream)
        seconds = math.nan if verdict.label is Label.ERROR else time.perf_counter() - start
        found = verdict.map
        rim = None if found is None else (bool(peaks_on_rim(found)), rim_area(*found.shape))
        keep(index, verdict)
        yield Looked(verdict.without_arrays(), others.labels(verdict), rim, seconds)


class RimCount:
    """How many good maps are strangest on their rim, and how large that rim is."""

    def __init__(self) -> None:
        self._found: list[tuple[bool, float]] = []

    def add(self, rim: tuple[bool, float]) -> None:
        """Count the map of a good image, see `Looked.rim`."""
        self._found.append(rim)

    @property
    def peaks(self) -> Rate | None:
        """Maps with their maximum on the rim; None before there is any."""
        return Rate(sum(peak for peak, _ in self._found), len(self._found)) if self._found else None

    @property
    def area(self) -> float:
        """Mean share of the pixels that lie on the rim."""
        return float(np.mean([area for _, area in self._found])) if self._found else math.nan
