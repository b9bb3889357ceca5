"""What workers are told, and what they answer: the same words on this machine and on a cluster."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self, cast

from amiss.shards.blocks import Block


@dataclass(frozen=True)
class Answer:
    """What came of a block.

    Args:
        error: Why there is nothing; "" when there is.
        full: Whether the output could not be written, which no second try mends.
        errors: Images that could not be used.
        found: A plain JSON value per image, where that was all that was asked for.
    """

    error: str = ""
    full: bool = False
    errors: int = 0
    found: tuple[Any, ...] = ()

    def to_json(self) -> str:
        """One line, in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        known = json.loads(text)
        return cls(**{**known, "found": tuple(known["found"])})


class Task(Protocol):
    """What a worker must know beside its block; a dataclass of plain JSON values."""

    kind: ClassVar[str]

    def answer(self, block: Block) -> Answer:
        """Do a block; what goes wrong is told, not raised."""
        ...


KINDS = {
    "score": "amiss.shards.score:ScoreTask",
    "learn": "amiss.shards.learn:LearnTask",
    "judge": "amiss.shards.judge:JudgeTask",
}
"""Tasks by their kind, imported when they are needed: only learning needs torch."""


def to_json(task: Task) -> str:
    """One line, in ASCII, for a worker."""
    return json.dumps({"kind": task.kind, **asdict(cast(Any, task))})


def from_json(text: str) -> Task:
    """What `to_json` wrote."""
    known = json.loads(text)
    module, name = KINDS[known.pop("kind")].split(":")
    task: Task = getattr(import_module(module), name)(**known)
    return task
