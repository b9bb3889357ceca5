"""What a worker does where many learn: features of a block, what a block leaves, or scores of a block."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import AmissError, InputError, OutputError
from amiss.core.extras import needs_fit
from amiss.core.images import Images
from amiss.core.pieces import cut_out
from amiss.core.progress import silent
from amiss.data import open_dataset
from amiss.recipe import Recipe
from amiss.registry import create, learns_classes
from amiss.runtime import Graph, Tiles
from amiss.scoring import score_image
from amiss.shards.alike import check_names, check_processor, environment
from amiss.shards.blocks import Block
from amiss.shards.tasks import Answer


@dataclass(frozen=True)
class LearnTask:
    """What a block leaves, into the folder of features that all workers share; see `amiss.shards.tasks.Task`.

    Args:
        data: Where the good images are, as `amiss fit` takes it.
        calibrate_on: The same of those to calibrate on; "" for none.
        pages: As `amiss fit` takes it.
        recipe: Of the fit, as JSON.
        names: SHA-256 (hex) of the names of all images.
        here: The folder that paths are relative to.
        folder: Shared by all workers, for features.
        processor: That they must have, see `say_processor`.
    """

    kind: ClassVar[str] = "learn"

    data: str
    calibrate_on: str
    pages: str
    recipe: str
    names: str
    here: str
    folder: str
    processor: str

    def answer(self, block: Block) -> Answer:
        """Do what the block says."""
        try:
            with environment(AMISS_CACHE=self.folder, AMISS_THREADS="1"):
                return _DUTIES[block.about["do"]](self, block)
        except OutputError as error:
            return Answer(str(error), full=True)
        except (AmissError, OSError, MemoryError) as error:
            return Answer(f"{type(error).__name__}: {error}")

    def images(self) -> tuple[Images, Recipe]:
        """All images of the fit, and its recipe; read once per process.

        Raises:
            DataError: Other images are here than where the fit began, or another kind of processor.
        """
        check_processor(self.processor)
        images, recipe = _images(self.here, self.data, self.calibrate_on, self.pages, self.recipe)
        check_names(self.data, images, self.names)
        return images, recipe


@lru_cache(maxsize=1)
def _images(here: str, data: str, calibrate_on: str, pages: str, recipe: str) -> tuple[Images, Recipe]:
    os.chdir(here)
    asked = Recipe.of(json.loads(recipe))
    classes = learns_classes(asked.method)
    sets = [
        open_dataset(each, seed=asked.seed, pages=pages, classes=classes).normal
        for each in (data, calibrate_on)
        if each
    ]
    return Images.join(sets).with_bits(asked.bits), asked


def fill_features(images: Images, recipe: Recipe, chosen: NDArray[np.intp], *, whole: int) -> None:
    """Put features of some images into AMISS_CACHE, computed as a fit of `whole` images would.

    Raises:
        InputError: The method keeps no features on disk.
        ImageError: An image cannot be used.
    """
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
        "learning can be shared by methods that learn by blocks, or keep features on disk, got "
        f"{recipe.method}, which sees each image once, in one process"
    )


def _features(task: LearnTask, block: Block) -> Answer:
    images, recipe = task.images()
    chosen = np.arange(block.start, block.start + block.about["images"])
    fill_features(images, recipe, chosen, whole=len(images))
    return Answer()


def _leave(task: LearnTask, block: Block) -> Answer:
    from amiss.detectors.by_blocks import KeptBlocks, gather_one
    from amiss.features.on_runtime import on_runtime

    detector, images, rng = _asked(task, block.about["request"])
    kept = KeptBlocks(Path(task.folder) / block.about["folder"], block.about["name"])
    some = range(block.start, block.start + block.about["images"])
    with on_runtime(detector, images, worth=1):
        kept.write(some, gather_one(detector, images, some, rng, silent))
    return Answer()


@lru_cache(maxsize=1)
def _asked(task: LearnTask, request: str) -> tuple[Any, Images, np.random.Generator]:
    """The detector that is to learn, built, the images that it learns from, and its generator."""
    known = json.loads((Path(task.folder) / request).read_text(encoding="utf-8"))
    everyone, _ = task.images()
    images = everyone.subset(known["images"])
    if known["side"]:
        images = cut_out(images, [(number, row, column) for number, row, column in known["places"]], known["side"])
    elif known["size"]:
        images = images.resized((known["size"][0], known["size"][1]))
    detector = create(known["method"], **known["settings"])
    detector.build(pretrained=True)
    rng = np.random.default_rng()
    rng.bit_generator.state = known["rng"]
    return detector, images, rng


def _rate(task: LearnTask, block: Block) -> Answer:
    images, recipe = task.images()
    some = images.subset([int(number) for number in block.names])
    graph, filters = _graph(Path(task.folder) / block.about["graph"]), recipe.make_score_filters()
    tiling = recipe.make_input()[1]
    scores = [score_image(graph, image, tiling, filters, name) for name, image in zip(some.names, some, strict=True)]
    return Answer(found=tuple(float(one.image[0]) for one in scores))


@lru_cache(maxsize=1)
def _graph(path: Path) -> Graph:
    return Graph(path.read_bytes(), cores=1)


_DUTIES: dict[str, Callable[[LearnTask, Block], Answer]] = {"features": _features, "leave": _leave, "rate": _rate}
"""What a block may ask for, in `about["do"]`."""
