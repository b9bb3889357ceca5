"""A model of toy parts, a manifest with everything that comes up, and workers in this process."""

import csv
from collections import deque
from pathlib import Path

import pytest

import amiss
from amiss.inspector import Inspector
from amiss.shards.blocks import Block
from amiss.shards.manifest import Manifest
from amiss.shards.run import Options, Scored, score
from amiss.shards.score import ScoreTask
from amiss.shards.tasks import Answer, Task
from amiss.testing import toy_part, write_images

SIZE = 5
ROWS = (
    "000.png",
    "001.png",
    "",
    "000.png",
    "gone.png",
    "../outside.png",
    "text.png",
    *(f"{n:03}.png" for n in range(16)),
)
"""Copies, a row without a path, a missing file, one outside the folder, one that is not an image."""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "toy.amiss"
    images = toy_part(40, seed=0).images
    amiss.fit(images, method="padim", preset="tiny", size=64, calibration=0.5).save(path)
    return path


@pytest.fixture(scope="session")
def inspector(model: Path) -> Inspector:
    return amiss.load(model)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 rows."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, toy_part(16, seed=1).images)
    (folder / "text.png").write_text("words")
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "lot"], *([name, "a"] for name in ROWS)])
    return folder / "list.csv"


class Here:
    """A pool in this process: no blocks at once, but one after the other."""

    room = 2

    def __init__(self, task: Task, reverse: bool = False) -> None:
        self.task, self.asked, self.reverse, self.count = task, deque[Block](), reverse, 0

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, block: Block) -> None:
        self.asked.append(block)

    def take(self) -> tuple[Block, Answer]:
        self.count += 1
        block = self.asked.pop() if self.reverse else self.asked.popleft()
        return block, self.task.answer(block)


def tell(model: Path, source: Path, output: Path):
    """What workers are told."""
    return lambda run: ScoreTask(str(model), "onnxruntime", "", "", str(Manifest(source).root), str(output), run)


def go(inspector: Inspector, model: Path, source: Path, output: Path, size: int = SIZE, **options: object) -> Scored:
    return score(inspector, tell(model, source, output), Manifest(source), output, Options(**options), size=size)
