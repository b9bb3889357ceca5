"""Features of very many images to learn from: each machine puts those of its blocks into one cache, then one learns."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.core.extras import needs_fit
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.recipe import Recipe
from amiss.registry import create
from amiss.runtime import Tiles
from amiss.shards.blocks import TO_LEARN, Shard

_PROBE = 16  # images that show whether a method keeps features


def fill_cache(
    images: Images, recipe: Recipe, shard: Shard, *, size: int = TO_LEARN, progress: Progress = silent
) -> int:
    """Put the features of a shard's images into the folder AMISS_CACHE, where `amiss.fit` with this recipe finds them.

    Those that are there already are not computed again. Each entry is that of one image, so whoever learns from all of
    them gets the bits that it would have got alone, on processors of one kind.

    Args:
        images: All normal images that a fit would be given.
        recipe: Of that fit.
        shard: Whose blocks.
        size: Images per block.
        progress: Reports the stage "images".

    Returns:
        How many images the shard has.

    Raises:
        InputError: AMISS_CACHE is not set, or the method keeps no features on disk, since it sees each image once.
        ImageError: An image cannot be used.
        MissingExtraError: torch is not installed.
    """
    if not os.environ.get("AMISS_CACHE"):
        raise InputError("--shard must have a shared folder for features, got no AMISS_CACHE in the environment")
    images = images.with_bits(recipe.bits)
    everyone = np.arange(len(images))
    mine = everyone[everyone // size % shard.count == shard.index]
    if len(mine) == 0:
        return 0
    _fill(images, recipe, mine[:_PROBE], whole=len(images))
    for start in range(0, len(mine), size):
        _fill(images, recipe, mine[start : start + size], whole=len(images))
        progress("images", min(start + size, len(mine)), len(mine))
    return len(mine)


def _fill(images: Images, recipe: Recipe, chosen: NDArray[np.intp], *, whole: int) -> None:
    """The features of some images, computed as a fit of `whole` images would."""
    with needs_fit("learning"):
        from amiss.features.cache import Filled, filling
        from amiss.features.on_runtime import WORTH
    side, tiling = recipe.make_input()
    some = images.subset(chosen)
    seen = some.resized(side) if tiling is None else Tiles(some, tiling).of(np.arange(len(some)))
    detector = create(recipe.method, recipe.preset, **recipe.settings)
    detector.worth = 1 if detector.card.exportable or whole >= WORTH else whole + 1
    with filling():
        try:
            detector.fit(seen, seed=recipe.seed, device=recipe.device)
        except Filled:
            return
    raise InputError(
        f"--shard must come with a method that keeps features on disk, got {recipe.method}, which sees each image once "
        "and learns from a stream"
    )
