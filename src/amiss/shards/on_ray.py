"""Workers on a Ray cluster; the only file that knows Ray. Extra "cluster"."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from amiss.core.extras import needs_extra
from amiss.evaluation.benchmark.lines import Line, Run
from amiss.evaluation.benchmark.runs import answer_request, figures_of, request_of
from amiss.shards.blocks import Block
from amiss.shards.tasks import Answer, Task, from_json, to_json


class RayTasks:
    """One function on many machines: on the cluster of RAY_ADDRESS, else on one that is started on this machine.

    Amiss must be installed on every node, and files lie there under the same paths.

    Args:
        function: Texts to a text.
        workers: Cores that are used at once; None for all of the cluster.

    Attributes:
        room: How many may be on their way at once: one waits, so that no core does.
    """

    def __init__(self, function: Callable[..., str], workers: int | None) -> None:
        with needs_extra("--on ray", "cluster"):
            import ray
        self._ray, self._function, self._workers = ray, function, workers
        self._running: dict[Any, Any] = {}
        self._mine = False
        self.room = 1

    def __enter__(self) -> Self:
        ray = self._ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            here = {} if address else {"num_cpus": self._workers, "include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **here)
            self._mine = True
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.room = min(self._workers or cores, cores) + 1
        self._remote = ray.remote(num_cpus=1, max_retries=0)(self._function)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._mine:
            self._ray.shutdown()

    def send(self, key: Any, *texts: str) -> None:
        """Have the function called; `receive` gives the key with what it returned."""
        self._running[self._remote.remote(*texts)] = key

    def receive(self) -> tuple[Any, str, str]:
        """Wait for any call: its key, what it returned, and why there is nothing, as when its worker or node died."""
        (reference,), _ = self._ray.wait(list(self._running), num_returns=1)
        key = self._running.pop(reference)
        try:
            return key, self._ray.get(reference), ""
        except self._ray.exceptions.RayError as error:
            return key, "", f"a worker was lost ({' '.join(str(error).split())[:200]})"


def _answer(task: str, block: str) -> str:
    return from_json(task).answer(Block.from_json(block)).to_json()


class RayPool(RayTasks):
    """Blocks; see `amiss.shards.pool.Pool`. A worker or node that is lost is a failed try of its block.

    Args:
        task: What workers do.
        workers: As for `RayTasks`.
    """

    def __init__(self, task: Task, workers: int | None) -> None:
        super().__init__(_answer, workers)
        self._task = to_json(task)

    def submit(self, block: Block) -> None:
        """See `Pool`."""
        self.send(block, self._task, block.to_json())

    def take(self) -> tuple[Block, Answer]:
        """See `Pool`."""
        block, text, lost = self.receive()
        return block, Answer(lost) if lost else Answer.from_json(text)


def launch_runs(runs: Sequence[Run], workers: int | None = None) -> Iterator[tuple[Run, Line]]:
    """Runs of a benchmark as tasks, each in a fresh process of its node, as they come to an end.

    A run whose node is lost is a failed one, which a later call does again.

    Args:
        runs: Their data sets lie under the same paths on every node.
        workers: As for `RayTasks`.
    """
    waiting = list(reversed(runs))
    running = 0
    with RayTasks(answer_request, workers) as tasks:
        while waiting or running:
            while waiting and running < tasks.room:
                run = waiting.pop()
                tasks.send(run, request_of(run))
                running += 1
            run, text, lost = tasks.receive()
            running -= 1
            yield run, figures_of(run, {"refused": lost} if lost else json.loads(text))
