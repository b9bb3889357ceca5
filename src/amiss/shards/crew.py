"""One fit by many: who hands out its blocks, and takes what they leave in their order."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError, InputError
from amiss.core.extras import needs_fit
from amiss.core.images import Images
from amiss.core.pieces import places_of
from amiss.core.progress import Progress, silent
from amiss.recipe import Recipe
from amiss.record import plain
from amiss.registry import address_of, create
from amiss.shards.alike import environment, names_digest, say_processor
from amiss.shards.blocks import TO_LEARN, Block, cut
from amiss.shards.learn import LearnTask, fill_features
from amiss.shards.pool import Pool, run_all
from amiss.shards.run import Options, open_pool
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.detectors.by_blocks import ByBlocks, State

VARIABLE = "AMISS_CACHE"


@dataclass(frozen=True)
class Data:
    """Where the images of a fit are, for those who open them again.

    Args:
        data: As `amiss fit` takes it.
        calibrate_on: The same of images to calibrate on, or None.
        pages: As `amiss fit` takes it.
    """

    data: str
    calibrate_on: str | None = None
    pages: str = "one"


@dataclass(frozen=True)
class Crew:
    """Workers of one fit.

    Args:
        pool: Of processes that do a `LearnTask`.
        images: All images of the fit, with bits.
        folder: That all workers share.
    """

    pool: Pool
    images: Images
    folder: Path

    def gather(
        self, detector: ByBlocks, images: Images, rng: np.random.Generator, progress: Progress
    ) -> Iterator[State]:
        """What each block leaves, in order; see `amiss.detectors.by_blocks.Gatherer`.

        Raises:
            DataError: A block failed three times.
        """
        from amiss.detectors.by_blocks import KeptBlocks, blocks_of, gather_one

        kept, blocks = KeptBlocks.of(detector, images, rng), [*blocks_of(len(images))]
        about = {
            "do": "leave",
            "request": self._request(detector, images, rng, kept.name),
            "folder": kept.folder.name,
            "name": kept.name,
        }
        there = {block.start for block in blocks if kept.has(block)}
        asked = (
            Block(number, block.start, (), {**about, "images": len(block)})
            for number, block in enumerate(blocks)
            if block.start not in there
        )
        answers, done = run_all(self.pool, asked), sum(len(block) for block in blocks if block.start in there)
        for block in blocks:
            fresh = block.start not in there
            while block.start not in there:
                one, _ = next(answers)
                there.add(one.start)
                done += one.about["images"]
                progress("features", done, len(images))
            state = kept.read(block)
            if state is None and fresh:
                raise DataError(f"{kept.folder} must be a folder that all workers share, got nothing from one of them")
            yield gather_one(detector, images, block, rng, silent) if state is None else state

    def features(self, progress: Progress) -> None:
        """Have features of all images put on disk."""
        everyone, done = len(self.images), 0
        blocks = (
            Block(start // TO_LEARN, start, (), {"do": "features", "images": min(TO_LEARN, everyone - start)})
            for start in range(0, everyone, TO_LEARN)
        )
        for block, _ in run_all(self.pool, blocks):
            done += block.about["images"]
            progress("features", done, everyone)

    def rate(self, graph: bytes, images: Images, progress: Progress) -> NDArray[np.float32]:
        """Image scores (N,) of whole images by a graph, filtered as the recipe says."""
        name = f"{hashlib.sha256(graph).hexdigest()[:16]}.onnx"
        write_file(self.folder / name, graph)
        numbers = images.original().numbers_in(self.images)
        found, done = np.zeros(len(images), np.float32), 0
        about = {"do": "rate", "graph": name}
        cuts = cut(map(str, numbers), TO_LEARN)
        blocks = (Block(each.number, each.start, each.names, about) for each in cuts)
        for block, answer in run_all(self.pool, blocks):
            found[block.start : block.start + len(block)] = answer.found
            done += len(block)
            progress("scoring", done, len(images))
        return found

    def _request(self, detector: ByBlocks, images: Images, rng: np.random.Generator, name: str) -> str:
        """Tell workers what is learned, and from which images: the name of the file that says so."""
        pieces = places_of(images)
        whole = images if pieces is None else pieces[0]
        known: dict[str, Any] = {
            "method": address_of(detector),
            "settings": plain("hyper-parameters", detector.hyperparameters()),
            "rng": rng.bit_generator.state,
            "images": whole.numbers_in(self.images),
            "size": images.size,
            "side": 0 if pieces is None or images.size is None else images.size[0],
            "places": [] if pieces is None else pieces[1],
        }
        file = f"request-{name[:16]}.json"
        write_file(self.folder / file, json.dumps(known).encode())
        return file


@contextmanager
def crew(
    data: Data, images: Images, recipe: Recipe, options: Options, progress: Progress = silent
) -> Iterator[Crew | None]:
    """Within the block, detectors that learn by blocks have them done by many; others find their features on disk.

    Args:
        data: Where workers find the images.
        images: The same, opened: those to learn from, then those to calibrate on.
        recipe: Of the fit.
        options: Who works. None of them is there for one process alone: then nothing is changed.
        progress: Reports the stage "features".

    Yields:
        Who can score the images to calibrate on, too.

    Raises:
        InputError: The method can only be learned by one process, or machines share no folder.
        DataError: A block failed three times.
    """
    if options.on == "local" and options.workers is None:
        yield None
        return
    with needs_fit("learning"):
        from amiss.detectors.by_blocks import gathered_by
    images = images.with_bits(recipe.bits)
    with ExitStack() as stack:
        folder = Path(os.environ.get(VARIABLE) or stack.enter_context(_own_folder(options)))
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(environment(**{VARIABLE: str(folder.absolute())}))
        shared = learns_by_blocks(recipe)
        if not shared:
            fill_features(images, recipe, np.arange(min(16, len(images))), whole=len(images))  # or refuse
        pool = stack.enter_context(open_pool(options, _task(data, images, recipe, folder)))
        found = Crew(pool, images, folder)
        if not shared:
            found.features(progress)
        stack.enter_context(gathered_by(found.gather))
        yield found


def learns_by_blocks(recipe: Recipe) -> bool:
    """Whether what is kept of blocks is all that the method learns from."""
    with needs_fit("learning"):
        detector = create(recipe.method, recipe.preset, **recipe.settings)
    detector.build(pretrained=False)
    return detector.by_blocks


def _task(data: Data, images: Images, recipe: Recipe, folder: Path) -> LearnTask:
    return LearnTask(
        data=data.data,
        calibrate_on=data.calibrate_on or "",
        pages=data.pages,
        recipe=json.dumps(recipe.to_dict()),
        names=names_digest(images),
        here=str(Path.cwd()),
        folder=str(folder.absolute()),
        processor=say_processor(),
    )


@contextmanager
def _own_folder(options: Options) -> Iterator[str]:
    """Gone afterwards.

    Raises:
        InputError: Other machines would not see it.
    """
    if options.on == "ray" and os.environ.get("RAY_ADDRESS"):
        raise InputError(
            f"--on ray must have a folder that all nodes share, got no {VARIABLE} in the environment, which names it"
        )
    with tempfile.TemporaryDirectory(prefix="amiss-blocks-") as folder:
        yield folder
