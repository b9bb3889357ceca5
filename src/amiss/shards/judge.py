"""Scores to calibrate on and verdicts to evaluate, by many: both are small, and maps are not kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import AmissError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.data import Dataset, open_dataset
from amiss.evaluation import open_for
from amiss.evaluation.looked import Looked, look_at
from amiss.inspector import Inspector
from amiss.shards.alike import check_names, check_processor, environment, names_digest, say_processor
from amiss.shards.blocks import TO_LEARN, Block, cut
from amiss.shards.pool import Pool, run_all
from amiss.shards.run import Options, open_pool
from amiss.shards.score import load_model
from amiss.shards.tasks import Answer


@dataclass(frozen=True)
class Model:
    """A model, for those who load it again.

    Args:
        path: Of the artefact.
        backend: The runtime, as `--backend` takes it.
        trusted_key: See `amiss.load`; "" for none.
        accepted: See `amiss.load`; "" for none.
    """

    path: str
    backend: str
    trusted_key: str = ""
    accepted: str = ""


@dataclass(frozen=True)
class JudgeTask:
    """What becomes of images of a data set; see `amiss.shards.tasks.Task`.

    Args:
        model: See `Model`, as are backend, trusted_key and accepted.
        fingerprint: Of the model.
        data: Where the images are, as the verb takes it.
        pages: As the verb takes it.
        chosen: "normal" or "test" images.
        names: SHA-256 (hex) of their names.
        here: The folder that paths are relative to.
        processor: That workers must have, see `say_processor`.
    """

    kind: ClassVar[str] = "judge"

    model: str
    backend: str
    trusted_key: str
    accepted: str
    fingerprint: str
    data: str
    pages: str
    chosen: str
    names: str
    here: str
    processor: str

    def answer(self, block: Block) -> Answer:
        """Image scores of normal images, or what evaluation keeps of test images."""
        try:
            with environment(AMISS_THREADS="1"):
                check_processor(self.processor)
                os.chdir(self.here)
                inspector = load_model(self.model, self.backend, self.trusted_key, self.accepted, self.fingerprint)
                everyone = _images(self)
                check_names(self.data, everyone, self.names)
                images = everyone.subset([int(number) for number in block.names])
                if self.chosen == "normal":
                    return Answer(found=tuple(float(score) for score in inspector.image_scores(images).image))
                return Answer(found=tuple(one.to_plain() for one in look_at(inspector, images)))
        except (AmissError, OSError, MemoryError) as error:
            return Answer(f"{type(error).__name__}: {error}")


@lru_cache(maxsize=1)
def _images(task: JudgeTask) -> Images:
    inspector = load_model(task.model, task.backend, task.trusted_key, task.accepted, task.fingerprint)
    if task.chosen == "normal":
        return open_dataset(task.data, seed=inspector.record.seed, pages=task.pages).normal
    return open_for(task.data, inspector, pages=task.pages).test


@dataclass(frozen=True)
class Judges:
    """Workers, and the images that they know.

    Args:
        pool: Of processes that do a `JudgeTask`.
        images: All normal or test images.
    """

    pool: Pool
    images: Images

    def rate(self, images: Images, progress: Progress) -> NDArray[np.float32]:
        """Image scores (N,) of some of them, see `Inspector.calibrate`."""
        found, done = np.zeros(len(images), np.float32), 0
        for block, answer in run_all(self.pool, self._blocks(images)):
            found[block.start : block.start + len(block)] = answer.found
            done += len(block)
            progress("scoring", done, len(images))
        return found

    def look(self, images: Images) -> Iterator[Looked]:
        """What evaluation keeps of some of them, in order, see `amiss.evaluation.evaluate.evaluate`."""
        waiting: dict[int, Answer] = {}
        following = 0
        for block, answer in run_all(self.pool, self._blocks(images)):
            waiting[block.number] = answer
            while following in waiting:
                yield from map(Looked.of_plain, waiting.pop(following).found)
                following += 1

    def _blocks(self, images: Images) -> Iterator[Block]:
        return cut(map(str, images.numbers_in(self.images)), TO_LEARN)


@contextmanager
def judges(
    model: Model, inspector: Inspector, data: str, dataset: Dataset, chosen: str, options: Options, pages: str = "one"
) -> Iterator[Judges | None]:
    """Within the block, others judge images of a data set; None where `options` name nobody.

    Args:
        model: Where workers find the model.
        inspector: The same, loaded.
        data: Where workers find the data set.
        dataset: The same, opened.
        chosen: "normal" or "test" images.
        options: Who works.
        pages: As the verb takes it.
    """
    if options.on == "local" and options.workers is None:
        yield None
        return
    images = dataset.normal if chosen == "normal" else dataset.test
    task = JudgeTask(
        model=str(Path(model.path).absolute()),
        backend=model.backend,
        trusted_key=model.trusted_key,
        accepted=model.accepted,
        fingerprint=inspector.fingerprint,
        data=data,
        pages=pages,
        chosen=chosen,
        names=names_digest(images),
        here=str(Path.cwd()),
        processor=say_processor(),
    )
    with open_pool(options, task) as pool:
        yield Judges(pool, images)
