"""Shares of a fit for job arrays: each puts what its blocks leave, or features, into one folder; then one learns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.recipe import Recipe
from amiss.shards.blocks import TO_LEARN, Shard
from amiss.shards.crew import learns_by_blocks
from amiss.shards.learn import fill_features

if TYPE_CHECKING:
    from amiss.detectors.by_blocks import ByBlocks

_PROBE = 16  # images that show whether a method keeps features


@dataclass(frozen=True)
class Share:
    """What a shard has put into the folder.

    Args:
        kind: "images", or "blocks" where what these leave is all that is learned from.
        done: How many of them.
        whole: Of how many.
    """

    kind: str
    done: int
    whole: int


def fill_cache(
    images: Images,
    recipe: Recipe,
    shard: Shard,
    *,
    calibrate_on: Images | None = None,
    origins: Sequence[Origin] = (),
    size: int = TO_LEARN,
    progress: Progress = silent,
) -> Share:
    """Put what a shard can know into the folder AMISS_CACHE, where `amiss.fit` with this recipe finds it.

    What is there already is not computed again. Each entry is that of one image or one block, so whoever learns from
    all of them gets the bits that it would have got alone, on processors of one kind.

    Args:
        images: All normal images that a fit would be given.
        recipe: Of that fit.
        shard: Whose blocks.
        calibrate_on: As for that fit.
        origins: As for that fit.
        size: Images per block, of features.
        progress: Reports the stages of a fit.

    Raises:
        InputError: AMISS_CACHE is not set, the method can only be learned by one process, or a contamination.
        ImageError: An image cannot be used.
        MissingExtraError: torch is not installed.
    """
    if not os.environ.get("AMISS_CACHE"):
        raise InputError("--shard must have a shared folder for features, got no AMISS_CACHE in the environment")
    if recipe.contamination is not None:
        raise InputError("--shard must come without contamination: which images learn is known only once some have")
    if learns_by_blocks(recipe):
        return _leave(images, recipe, shard, calibrate_on, origins, progress)
    images = images.with_bits(recipe.bits)
    everyone = np.arange(len(images))
    mine = everyone[everyone // size % shard.count == shard.index]
    if len(mine) > 0:
        fill_features(images, recipe, mine[:_PROBE], whole=len(images))
    for start in range(0, len(mine), size):
        fill_features(images, recipe, mine[start : start + size], whole=len(images))
        progress("images", min(start + size, len(mine)), len(mine))
    return Share("images", len(mine), len(images))


def _leave(
    images: Images,
    recipe: Recipe,
    shard: Shard,
    calibrate_on: Images | None,
    origins: Sequence[Origin],
    progress: Progress,
) -> Share:
    from amiss.detectors.by_blocks import gathered_by
    from amiss.features.cache import Filled, filling
    from amiss.fitting import fit_inspector

    own = _Own(shard)
    with gathered_by(own), filling(), suppress(Filled):
        fit_inspector(images, recipe, calibrate_on=calibrate_on, origins=origins, progress=progress)
    return Share("blocks", own.done, own.whole)


class _Own:
    """A `Gatherer` that does the blocks of a shard, keeps what they leave, and ends the fit there."""

    def __init__(self, shard: Shard) -> None:
        self._shard, self.done, self.whole = shard, 0, 0

    def __call__(
        self, detector: ByBlocks, images: Images, rng: np.random.Generator, progress: Progress
    ) -> Iterator[NoReturn]:
        from amiss.detectors.by_blocks import KeptBlocks, blocks_of, gather_one
        from amiss.features.cache import Filled

        kept = KeptBlocks.of(detector, images, rng)
        for number, block in enumerate(blocks_of(len(images))):
            self.whole += 1
            if self._shard.has(number):
                self.done += 1
                if kept.read(block) is None:
                    kept.write(block, gather_one(detector, images, block, rng, progress))
        raise Filled
