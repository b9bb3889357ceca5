"""A run: which blocks there are, which are done already, who does the others, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amiss.core.checks import check_choice, check_count
from amiss.core.errors import OutputError
from amiss.core.progress import Progress, silent
from amiss.core.threads import threads
from amiss.inspector import Inspector
from amiss.shards.blocks import TO_SCORE, Block, Shard, count_blocks, cut
from amiss.shards.local import LocalPool
from amiss.shards.manifest import Manifest
from amiss.shards.merge import RUN, Kinds
from amiss.shards.parts import FOLDER, Head, begin_run, read_part
from amiss.shards.pool import Pool, run_blocks
from amiss.shards.score import ScoreTask, golden_scores, machine_kind, on_one_core
from amiss.shards.tasks import Task
from amiss.storage import sweep

ENGINES = ("local", "ray")
"""What `--on` takes."""


@dataclass(frozen=True)
class Options:
    """How a run is done; nothing here changes what comes out.

    Args:
        on: One of `ENGINES`.
        workers: Processes; cores of this machine when None, or for Ray those of its cluster.
        shard: Which blocks.
        mixed: See `amiss.shards.merge.merge`.
    """

    on: str = "local"
    workers: int | None = None
    shard: Shard = field(default_factory=Shard)
    mixed: bool = False

    def __post_init__(self) -> None:
        check_choice("on", self.on, ENGINES)
        if self.workers is not None:
            check_count("workers", self.workers)


@dataclass(frozen=True)
class Scored:
    """What a run did.

    Args:
        images: Of this shard.
        blocks: Of this shard.
        before: Blocks of it that were done before.
        errors: Images that could not be used, in blocks that were not.
        failed: Why each block that failed has no part, by number.
    """

    images: int
    blocks: int
    before: int
    errors: int
    failed: dict[int, str]


def run_id(inspector: Inspector, manifest: Manifest, size: int = TO_SCORE) -> Head:
    """What the parts of a run have in common: the model, the images, the size of a block."""
    count, digest = manifest.look()
    rule = inspector.rule
    return {
        "schema": 1,
        "fingerprint": inspector.fingerprint,
        "method": inspector.learned.method,
        "images": count,
        "names": digest,
        "size": size,
        "tolerance": inspector.learned.tolerance,
        "rule": {"name": rule.name, "threshold": rule.threshold, "alpha": rule.alpha, "n": rule.n},
    }


def score(
    inspector: Inspector,
    task: Callable[[Head], ScoreTask],
    manifest: Manifest,
    output: Path,
    options: Options,
    *,
    size: int = TO_SCORE,
    progress: Progress = silent,
) -> Scored:
    """Score the blocks of a shard that have no part yet.

    Args:
        inspector: The model, loaded.
        task: What workers are told, for this run.
        manifest: The images.
        output: Where parts go; a folder that all workers share.
        options: How.
        size: Images per block.
        progress: Reports the stage "blocks".

    Raises:
        DataError: The manifest cannot be used, or this is another kind of machine than that of the parts that are
            there.
        OutputError: The output belongs to another run, or cannot be written.
    """
    run = run_id(inspector, manifest, size)
    begin_run(output, RUN, run)
    (output / FOLDER).mkdir(exist_ok=True)
    sweep(output / FOLDER)
    kinds = Kinds(run["tolerance"], options.mixed)
    if options.on == "local":
        kinds.add(machine_kind(inspector), golden_scores(on_one_core(inspector)))
    todo = _Todo(output, run, options.shard, kinds)
    mine = sum(options.shard.has(number) for number in range(count_blocks(run["images"], size)))
    failed, errors, done = dict[int, str](), 0, 0
    with open_pool(options, task(run)) as pool:
        for block, answer in run_blocks(pool, todo.blocks(manifest)):
            done, errors = done + 1, errors + answer.errors
            if answer.error:
                failed[block.number] = answer.error
            progress("blocks", todo.before + done, mine)
    if not done:
        progress("blocks", mine, mine)
    return Scored(todo.images, mine, todo.before, errors, dict(sorted(failed.items())))


class _Todo:
    """The blocks of a shard that have no whole part; counts those that have."""

    def __init__(self, output: Path, run: Head, shard: Shard, kinds: Kinds) -> None:
        self._output, self._run, self._shard, self._kinds = output, run, shard, kinds
        self.before = self.images = 0

    def blocks(self, manifest: Manifest) -> Iterator[Block]:
        for block in cut(manifest.names(), self._run["size"]):
            if not self._shard.has(block.number):
                continue
            self.images += len(block)
            part = read_part(self._output, self._run, block)
            if part is None:
                yield block
            else:
                self.before += 1
                self._kinds.add(part.kind, part.golden)


def open_pool(options: Options, task: Task) -> AbstractContextManager[Pool]:
    """The workers.

    Raises:
        MissingExtraError: Ray is asked for and not installed.
    """
    if options.on == "ray":
        from amiss.shards.on_ray import RayPool

        return RayPool(task, options.workers)
    return LocalPool(task, options.workers or threads())


def check_output(output: Path) -> None:
    """Before any work: whether parts can be written there.

    Raises:
        OutputError: They cannot.
    """
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} must be a folder, got a file; choose another name")
    above = next((folder for folder in output.absolute().parents if folder.exists()), output)
    if not above.is_dir():
        raise OutputError(f"{output} cannot be written ({above} is a file)")
    if not os.access(output if output.exists() else above, os.W_OK):
        raise OutputError(f"{output} cannot be written (permission denied)")


def summary(scored: Scored) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "images": scored.images,
        "blocks": scored.blocks,
        "done_before": scored.before,
        "errors": scored.errors,
        "failed": {str(number): why for number, why in scored.failed.items()},
    }
