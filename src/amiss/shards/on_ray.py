"""Workers on a Ray cluster; the only file that knows Ray. Extra "cluster"."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from amiss.core.extras import needs_extra
from amiss.shards.blocks import Block
from amiss.shards.score import Answer, Task, answer


def _answer(task: str, block: str) -> str:
    return answer(Task.from_json(task), Block.from_json(block)).to_json()


class RayPool:
    """Tasks on a cluster: that of RAY_ADDRESS, else one that is started on this machine.

    Model, images and output must lie under the same paths on every node, and Amiss must be installed there.

    Args:
        task: What they do.
        workers: Cores that are used at once; None for all of the cluster.
    """

    def __init__(self, task: Task, workers: int | None) -> None:
        with needs_extra("--on ray", "cluster"):
            import ray
        self._ray, self._task, self._workers = ray, task.to_json(), workers
        self._running: dict[Any, Block] = {}
        self._mine = False
        self.room = workers or 1

    def __enter__(self) -> Self:
        ray = self._ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            here = {} if address else {"num_cpus": self._workers, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **here)
            self._mine = True
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.room = min(self._workers or cores, cores) + 1  # one waits, so that no core does
        self._remote = ray.remote(num_cpus=1, max_retries=0)(_answer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._mine:
            self._ray.shutdown()

    def submit(self, block: Block) -> None:
        """See `amiss.shards.pool.Pool`."""
        self._running[self._remote.remote(self._task, block.to_json())] = block

    def take(self) -> tuple[Block, Answer]:
        """See `amiss.shards.pool.Pool`. A worker or node that is lost is a failed try of its block."""
        (reference,), _ = self._ray.wait(list(self._running), num_returns=1)
        block = self._running.pop(reference)
        try:
            return block, Answer.from_json(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            return block, Answer(f"a worker was lost ({' '.join(str(error).split())[:200]})")
