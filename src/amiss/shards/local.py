"""Workers on this machine: a process per core, each started anew when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from amiss.shards.blocks import Block
from amiss.shards.tasks import Answer, Task, to_json


class LocalPool:
    """Processes of `amiss.shards.worker`.

    Args:
        task: What they do.
        workers: How many.
    """

    def __init__(self, task: Task, workers: int) -> None:
        self.room = workers
        self._task = task
        self._asked: SimpleQueue[Block | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Block, Answer]] = SimpleQueue()
        self._children: list[_Child] = [_Child(task) for _ in range(workers)]
        self._threads = [threading.Thread(target=self._serve, args=(child,), daemon=True) for child in self._children]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children if kind is not None else ():
            child.kill()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def submit(self, block: Block) -> None:
        """See `Pool`."""
        self._asked.put(block)

    def take(self) -> tuple[Block, Answer]:
        """See `Pool`."""
        return self._done.get()

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that run now."""
        return [child.process.pid for child in self._children if child.process is not None]

    def _serve(self, child: _Child) -> None:
        while (block := self._asked.get()) is not None:
            self._done.put((block, child.ask(block)))
        child.end()


class _Child:
    """One process, started when it is needed."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._stopped = False
        self.process: subprocess.Popen[str] | None = None

    def ask(self, block: Block) -> Answer:
        """What comes of a block; an error where the process dies of it."""
        if self._stopped:
            return Answer("stopped")
        try:
            process = self.process or self._start()
            if process.stdin is None or process.stdout is None:
                return Answer("a worker has no pipes")
            process.stdin.write(block.to_json() + "\n")
            process.stdin.flush()
            if line := process.stdout.readline():
                return Answer.from_json(line)
        except (OSError, ValueError) as error:
            self.end()
            return Answer(f"a worker cannot be reached ({error})")
        code = self.end()
        return Answer(f"a worker died ({f'signal {-code}' if code < 0 else f'exit code {code}'})")

    def kill(self) -> None:
        """End the process at once; from any thread."""
        self._stopped = True
        if self.process is not None:
            self.process.kill()

    def end(self) -> int:
        """Let the process end; its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return process.wait()

    def _start(self) -> subprocess.Popen[str]:
        one = {"AMISS_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "amiss.shards.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="ascii",
            env={**os.environ, **one},
        )
        if self.process.stdin is not None:
            self.process.stdin.write(to_json(self._task) + "\n")
        return self.process
