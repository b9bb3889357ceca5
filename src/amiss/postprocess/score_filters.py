"""Filters before the rule. They change scores, so they are calibrated with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from amiss.core.checks import check_count, create_named
from amiss.core.errors import InputError
from amiss.core.scores import Scores
from amiss.postprocess.region_of_interest import RegionOfInterest


class ScoreFilter(Protocol):
    """Scores to scores, each image by itself."""

    name: ClassVar[str]

    def __call__(self, scores: Scores) -> Scores: ...

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        ...


@dataclass(frozen=True)
class IgnoreBorder:
    """Give the outermost pixels of the map the lowest score of their image, so that they cannot alarm.

    Args:
        pixels: Width of the border, in pixels of the map.

    Raises:
        InputError: Not a whole number of at least 1, scores without a map, or a border that leaves nothing.
    """

    pixels: int
    name: ClassVar[str] = "ignore_border"

    def __post_init__(self) -> None:
        check_count("pixels", self.pixels)

    def __call__(self, scores: Scores) -> Scores:
        if scores.map is None:
            raise InputError("ignore_border needs a score map; this detector gives one score per image")
        edge = self.pixels
        if 2 * edge >= min(scores.map.shape[1:]):
            raise InputError(f"a border of {edge} pixels leaves nothing of a map of {scores.map.shape[1:]}")
        inner = scores.map[:, edge:-edge, edge:-edge]
        filtered = scores.map.copy()
        filtered[:] = inner.min(axis=(1, 2), keepdims=True)
        filtered[:, edge:-edge, edge:-edge] = inner
        return Scores.of_map(filtered, scores.classes)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return asdict(self)


SCORE_FILTERS: dict[str, type[ScoreFilter]] = {kind.name: kind for kind in (IgnoreBorder, RegionOfInterest)}


def create_score_filter(name: str, /, **config: Any) -> ScoreFilter:
    """The filter with this name and these constructor arguments.

    Raises:
        InputError: Unknown name or argument.
    """
    return create_named("score filter", SCORE_FILTERS, name, config)


def apply_score_filters(scores: Scores, filters: Sequence[ScoreFilter]) -> Scores:
    """The scores after all filters, in order."""
    for score_filter in filters:
        scores = score_filter(scores)
    return scores
