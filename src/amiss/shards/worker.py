"""The program of a worker process on this machine.

    python -m amiss.shards.worker

The first line that it reads is a task as JSON, every other one a block; for each of these it writes one line, the
answer. It ends with its input, so that it never outlives who started it for longer than a block.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from amiss.shards.blocks import Block
from amiss.shards.tasks import from_json


def main() -> None:
    """Answer until there is nothing more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever started it decides
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may speak there
    task = from_json(sys.stdin.readline())
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            answers.write(task.answer(Block.from_json(line)).to_json() + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
