"""Blocks through workers, whoever these are: each gets three tries, and one that fails does not stop the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from amiss.core.errors import DataError, OutputError
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


def run_all(pool: Pool, blocks: Iterable[Block]) -> Iterator[tuple[Block, Answer]]:
    """As `run_blocks`, where all blocks are needed: those that are done, as they come.

    Raises:
        DataError: Some failed three times; once all have been tried, so that what is kept of the others serves later.
        OutputError: See `run_blocks`.
    """
    failed: dict[int, str] = {}
    for block, answer in run_blocks(pool, blocks):
        if answer.error:
            failed[block.number] = answer.error
        elif not failed:
            yield block, answer
    if failed:
        names = "; ".join(f"block {number}: {why}" for number, why in sorted(failed.items())[:3])
        raise DataError(f"{len(failed)} blocks failed three times ({names}); the same command tries them again")
