"""Stragglers, and spot nodes that vanish: what they cost a run of 10 million images on 64 nodes of 16 cores.

    python bench/shards_simulation.py --output docs/results/shards_simulation.json

Nothing is scored. Blocks of 1,000 images take the CPU seconds that `bench/shards_cost.py` has measured, times the pace
of their node. Blocks are handed out as cores become free (a cluster), or a fixed share to each node (a job array). A
spot node vanishes at an exponential time, with the blocks it has in hand, and another takes its place five minutes
later; of a job array it goes on with that share. Times are in seconds.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amiss.shards.blocks import TO_SCORE, Shard, count_blocks
from amiss.shards.pool import TRIES
from amiss.storage import write_file

ROOT = Path(__file__).parents[1]
IMAGES, NODES, CORES = 10_000_000, 64, 16
REPLACED = 300.0
"""Seconds until another node takes the place of one that has vanished."""


@dataclass
class World:
    """One run.

    Args:
        seconds: Of a block on a node of speed 1.
        spread: Standard deviation of the logarithm of a node's speed.
        slow: Share of nodes that take three times as long.
        life: Mean seconds until a node vanishes; 0 for never.
        fixed: Whether each node has a fixed share, as of a job array.
    """

    seconds: float
    spread: float = 0.0
    slow: float = 0.0
    life: float = 0.0
    fixed: bool = False
    nodes: int = NODES
    blocks: int = field(default=count_blocks(IMAGES, TO_SCORE))

    def run(self, rng: np.random.Generator) -> dict[str, float]:
        """Until every block is done or has failed three times."""
        pace = np.exp(self.spread * rng.standard_normal(self.nodes))
        pace[rng.random(self.nodes) < self.slow] *= 3
        found = _Run(self, pace, rng)
        while found.free:
            found.step(*heapq.heappop(found.free))
        ideal = self.seconds * self.blocks / CORES / float((1 / pace).sum())
        return {
            "seconds": found.last,
            "over_ideal": found.last / ideal,
            "blocks_lost": found.lost,
            "blocks_failed": found.failed,
        }


class _Run:
    """What is going on: cores by when they are free, blocks that wait, and when each node vanishes."""

    def __init__(self, world: World, pace: np.ndarray, rng: np.random.Generator) -> None:
        self.world, self.pace, self.rng = world, pace, rng
        self.ends = np.array([self._life() for _ in range(world.nodes)])
        every = deque(range(world.blocks))
        self.queues = [every] * world.nodes
        if world.fixed:
            shares = [Shard(node, world.nodes) for node in range(world.nodes)]
            self.queues = [deque(number for number in every if share.has(number)) for share in shares]
        self.free = [(0.0, node) for node in range(world.nodes) for _ in range(CORES)]
        self.waiting: list[tuple[float, int, int]] = []  # blocks whose loss is not known before a time
        self.tries, self.failed, self.lost, self.last = Counter[int](), 0, 0, 0.0

    def _life(self) -> float:
        return float(self.rng.exponential(self.world.life)) if self.world.life else np.inf

    def step(self, now: float, node: int) -> None:
        """A core is free."""
        while self.waiting and self.waiting[0][0] <= now:
            _, block, home = heapq.heappop(self.waiting)
            self.queues[home].append(block)
        if now >= self.ends[node]:  # its replacement
            born = self.ends[node] + REPLACED
            if now < born:
                heapq.heappush(self.free, (born, node))
                return
            self.ends[node] = born + self._life()
        if self.queues[node]:
            self._take(self.queues[node].popleft(), now, node)
        elif later := [when for when, _, home in self.waiting if home == node or not self.world.fixed]:
            heapq.heappush(self.free, (min(later), node))

    def _take(self, block: int, now: float, node: int) -> None:
        done, end = now + self.world.seconds * self.pace[node], float(self.ends[node])
        if done <= end:
            self.last = max(self.last, done)
            heapq.heappush(self.free, (done, node))
            return
        self.lost += 1
        self.tries[block] += 1
        heapq.heappush(self.free, (end + REPLACED, node))
        if self.tries[block] < TRIES:
            heapq.heappush(self.waiting, (end, block, node))
        else:
            self.failed += 1


def main() -> None:
    """Every case, several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--times", type=int, default=20)
    asked = parser.parse_args()
    cost = json.loads((ROOT / "docs/results/shards_cost.json").read_text(encoding="utf-8"))
    seconds = cost["default"]["cpu_seconds_per_block"]
    cases = {
        "alike": {},
        "speeds differ by 20 %": {"spread": 0.2},
        "one node in ten takes three times as long": {"slow": 0.1},
        "spot nodes live an hour": {"life": 3600.0},
        "spot nodes live ten minutes": {"life": 600.0},
    }
    found = []
    for name, how in cases.items():
        for fixed in (False, True):
            runs = [World(seconds, fixed=fixed, **how).run(np.random.default_rng(seed)) for seed in range(asked.times)]
            mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
            worst = {"worst_over_ideal": max(run["over_ideal"] for run in runs)}
            found.append({"case": name, "shares": "fixed" if fixed else "as cores become free", **mean, **worst})
            print(json.dumps(found[-1]))
    if asked.output:
        result = {"images": IMAGES, "nodes": NODES, "cores": CORES, "seconds_per_block": seconds, "runs": asked.times}
        write_file(asked.output, (json.dumps({**result, "cases": found}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
