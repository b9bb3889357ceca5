"""Blocks through workers, whoever these are: each gets three tries, and one that fails does not stop the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from amiss.core.errors import OutputError
from amiss.shards.blocks import Block
from amiss.shards.tasks import Answer

TRIES = 3


class Pool(Protocol):
    """Workers: on this machine (`amiss.shards.local`), or on a cluster (`amiss.shards.on_ray`)."""

    @property
    def room(self) -> int:
        """Blocks that may be on their way at once."""
        ...

    def submit(self, block: Block) -> None:
        """Have it done."""
        ...

    def take(self) -> tuple[Block, Answer]:
        """Wait for a block that is done, or has failed."""
        ...


def run_blocks(pool: Pool, blocks: Iterable[Block]) -> Iterator[tuple[Block, Answer]]:
    """Every block with its answer, as they come; an answer with an error is that of the last try.

    Blocks are taken from the stream as there is room for them: memory does not grow with their number.

    Raises:
        OutputError: A part cannot be written, as when the disk is full.
    """
    stream, again, tries, running = iter(blocks), deque[Block](), Counter[int](), 0
    while True:
        while running < pool.room:
            block = again.popleft() if again else next(stream, None)
            if block is None:
                break
            pool.submit(block)
            running += 1
        if not running:
            return
        block, answer = pool.take()
        running -= 1
        if answer.full:
            raise OutputError(answer.error)
        if answer.error:
            tries[block.number] += 1
            if tries[block.number] < TRIES:
                again.append(block)
                continue
        tries.pop(block.number, None)
        yield block, answer
