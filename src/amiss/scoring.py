"""How a detector scores one picture on the line: resized or in tiles, filtered, and as it did when it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.errors import ImageError, InputError, ParityError
from amiss.core.images import Size
from amiss.core.scores import Scores
from amiss.core.tiling import Tiling
from amiss.postprocess import ScoreFilter, apply_score_filters
from amiss.runtime import score_tiles


class Scorer(Protocol):
    """What an inspector needs of a detector: an exported graph, or torch where a method cannot be exported."""

    size: Size

    def run(self, pixels: NDArray[np.uint8]) -> Scores:
        """Scores of a batch, uint8 (N, H, W, 3) of that size."""
        ...


def score_picture(
    scorer: Scorer,
    picture: NDArray[np.uint8],
    tiling: Tiling | None,
    score_filters: Sequence[ScoreFilter] = (),
    name: str = "image",
) -> Scores:
    """Raw scores of one picture of any size, resized or cut into tiles, and filtered: what every rule is calibrated on.

    Raises:
        ImageError: Pictures are cut into tiles, and this one is smaller than a tile or does not fit a filter.
    """
    if tiling is None:
        return apply_score_filters(scorer.run(resize(picture, scorer.size)[None]), score_filters)
    scores = score_tiles(scorer.run, picture, tiling, name)
    try:
        return apply_score_filters(scores, score_filters)
    except InputError as error:
        raise ImageError(name, str(error)) from error


def check_parity(scorer: Scorer, golden: Mapping[str, NDArray[Any]], tolerance: float) -> None:
    """Score the golden pictures and compare with the scores they must get.

    Args:
        scorer: The detector as it runs here.
        golden: "pixels", "image", and "map" where the method localises.
        tolerance: How far a score may move, as a share of the largest golden score.

    Raises:
        ParityError: A score moved further.
    """
    scores = scorer.run(golden["pixels"])
    wanted = golden.get("map", golden["image"])
    found = scores.map if "map" in golden else scores.image
    if found is None or found.shape != wanted.shape:
        raise ParityError(f"golden scores of shape {wanted.shape} are expected; the graph gives another shape")
    moved = float(np.abs(found - wanted).max())
    allowed = tolerance * float(np.abs(wanted).max())
    if not moved <= allowed:
        raise ParityError(f"golden pictures score up to {moved:.3g} differently here; {allowed:.3g} is allowed")
