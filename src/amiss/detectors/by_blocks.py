"""Learning by blocks: what a block leaves depends on its images alone, and is folded in the order of the blocks.

So it does not matter who works on which block: one process or many machines give the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Protocol, Self, cast

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from amiss.core.images import Images
from amiss.core.processor import processor
from amiss.core.progress import Progress
from amiss.detectors.detector import Detector
from amiss.device import one_thread
from amiss.features.cache import VARIABLE, Filled, is_filling
from amiss.features.extractor import FeatureExtractor
from amiss.features.shared import StageView
from amiss.record import plain
from amiss.storage import read_entry, write_entry

BLOCK = 256
"""Images of a block: a whole number of batches, so that blocks change no batch."""

State = Mapping[str, Tensor]
"""What a block leaves, by name."""


class ByBlocks(Detector):
    """A detector that learns in one pass, in three steps instead of `learn`.

    Up to `BLOCK` images are one block, and all three draw from one generator. Of more, each block draws from a copy of
    the generator as `prepare` has left it, and `fold` from another one.
    """

    @property
    def by_blocks(self) -> bool:
        return True

    def prepare(self, images: Images, rng: np.random.Generator) -> None:
        """Draw what all blocks share; nothing by default.

        Args:
            images: All that are learned from.
            rng: Where it is drawn.
        """

    @abstractmethod
    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        """What a block leaves; nothing else is changed.

        Args:
            images: All that are learned from.
            block: Numbers of those of the block.
            rng: See the class.
            progress: Reports the stage "features".
        """

    @abstractmethod
    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        """Learn from what all blocks have left, which may be changed.

        Args:
            states: In the order of the blocks.
            images: All that are learned from.
            rng: See the class.
            progress: See `amiss.core.progress`.
        """

    before = 0
    """Images that it had learned from before those that it is learning from."""

    @property
    def takes_more(self) -> bool:
        return type(self).known is not ByBlocks.known

    def known(self, images: Images, count: int, rng: np.random.Generator) -> State:
        """What images that it has learned from have left, from what it has learned; in place of `prepare`.

        Args:
            images: More images, which it is to take in.
            count: How many it has learned from.
            rng: Where what is not known any more is drawn.
        """
        raise NotImplementedError

    @torch.no_grad()
    def take_in(self, images: Images, known: int, rng: np.random.Generator, progress: Progress) -> None:
        if not self.takes_more:
            super().take_in(images, known, rng, progress)
        self.before = known
        old = self.known(images, known, rng)
        new = (self.gather(images, block, copy.deepcopy(rng), progress) for block in blocks_of(len(images)))
        rng = np.random.Generator(cast(np.random.PCG64, rng.bit_generator).jumped())
        self.fold(chain([old], new), images, rng, progress)
        self.before = 0

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        begun = copy.deepcopy(rng)
        self.prepare(images, rng)
        if len(images) <= BLOCK:
            if is_filling():  # one block is no work to be shared
                raise Filled
            states = iter([self.gather(images, range(len(images)), rng, progress)])
        else:
            states = (_GATHERER.get() or gather_here)(self, images, begun, progress)
            rng = np.random.Generator(cast(np.random.PCG64, rng.bit_generator).jumped())
        self.fold(states, images, rng, progress)


class Gatherer(Protocol):
    """Who has blocks done, see `gathered_by`."""

    def __call__(
        self, detector: ByBlocks, images: Images, rng: np.random.Generator, progress: Progress
    ) -> Iterator[State]:
        """What each block of the images leaves, in order.

        Args:
            detector: Built and prepared.
            images: All that are learned from.
            rng: The generator as it was before `prepare`.
            progress: Reports the stage "features".
        """
        ...


_GATHERER: ContextVar[Gatherer | None] = ContextVar("gatherer", default=None)


@contextmanager
def gathered_by(gatherer: Gatherer) -> Iterator[None]:
    """Within the block, detectors that learn from more than one block have them done by this."""
    token = _GATHERER.set(gatherer)
    try:
        yield
    finally:
        _GATHERER.reset(token)


def gather_here(detector: ByBlocks, images: Images, rng: np.random.Generator, progress: Progress) -> Iterator[State]:
    """Block after block in this process, but for those that lie in AMISS_CACHE already; see `Gatherer`."""
    kept = KeptBlocks.of(detector, images, rng) if os.environ.get(VARIABLE) else None
    for block in blocks_of(len(images)):
        state = None if kept is None else kept.read(block)
        yield gather_one(detector, images, block, rng, progress) if state is None else state


@torch.no_grad()
def gather_one(detector: ByBlocks, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
    """What one of several blocks leaves; the same bits on any number of cores.

    Args:
        detector: Built.
        images: All that are learned from.
        block: Numbers of those of the block.
        rng: The generator as it was before `prepare`; a copy of it is drawn from.
        progress: See `amiss.core.progress`.
    """

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        progress(stage, block.start + done, len(images), note)

    own = copy.deepcopy(rng)
    with one_thread():
        detector.prepare(images, own)
        return detector.gather(images, block, own, report)


def blocks_of(count: int) -> Iterator[range]:
    """The blocks of so many images.

    Example:
        >>> [*blocks_of(300)]
        [range(0, 256), range(256, 300)]
    """
    return (range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


@dataclass(frozen=True)
class KeptBlocks:
    """What blocks have left, on disk.

    Args:
        folder: Of the files.
        name: Of what is learned, and from which images: the same on every machine that sees the same files.
    """

    folder: Path
    name: str

    @classmethod
    def of(cls, detector: ByBlocks, images: Images, rng: np.random.Generator) -> Self:
        """In AMISS_CACHE, for what this detector learns from these images.

        Args:
            detector: Built.
            images: All that are learned from.
            rng: The generator as it was before `prepare`.

        Raises:
            ImageError: A file is gone.
        """
        networks = [each.key() for each in detector.modules() if isinstance(each, (FeatureExtractor, StageView))]
        known = {
            "versions": [version(name) for name in ("amiss", "torch", "onnxruntime")],
            "processor": processor(),
            "method": detector.card.name,
            "settings": plain("hyper-parameters", detector.hyperparameters()),
            "networks": networks,
            "rng": str(rng.bit_generator.state),
            "images": [images.size, images.bits, *map(images.mark, range(len(images)))],
        }
        name = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
        return cls(Path(os.environ[VARIABLE]) / f"blocks-{name[:16]}", name)

    def read(self, block: range) -> State | None:
        """What a block has left; None where there is nothing, or it is damaged."""
        data = read_entry(self._file(block), self._key(block))
        return None if data is None else load(data)

    def write(self, block: range, state: State) -> None:
        """Keep what a block has left.

        Raises:
            OutputError: It cannot be written.
        """
        data = save({name: tensor.contiguous() for name, tensor in state.items()})
        write_entry(self._file(block), data, self._key(block))

    def has(self, block: range) -> bool:
        """Whether there is a file, whole or not."""
        return self._file(block).is_file()

    def _file(self, block: range) -> Path:
        return self.folder / f"{block.start:08d}.safetensors"

    def _key(self, block: range) -> str:
        return f"{self.name} {block.start} {block.stop}"
