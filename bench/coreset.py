"""The coreset: how quick, and how well it covers, beside the plain greedy loop; kept in docs/results/coreset.json.

    python bench/coreset.py [--images 1000]
    python bench/coreset.py --by-blocks --images 768

On patch descriptors of patchcore's default network from real solar cells that are repeated with jitter (see
`bench/growth.py`). First 200 images: the choice in rounds against the loop of the textbook, which compares each new
centre with all points; same points, same first one. Then all images: the choice from a stream with its bounded room
against the greedy choice from everything at once. With --by-blocks instead: blocks that are reduced apart and folded
against the stream; kept in docs/results/coreset_blocks.json. The radius is the largest distance of any descriptor to
its nearest chosen one, in the space where they are chosen (64 numbers) and in full.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growth import SIZE, Jittered
from torch import Tensor

from amiss import Images
from amiss.background.coreset import ROOM, StreamingCoreset, k_center_greedy
from amiss.core.progress import silent
from amiss.core.threads import threads
from amiss.data.elpv import read_elpv
from amiss.detectors.by_blocks import BLOCK
from amiss.detectors.memory_bank.patchcore import PatchCore
from amiss.features.on_runtime import on_runtime
from amiss.statistics.knn import nearest_distance
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "coreset.json"
COUNT, PROJECTION, SEEDS = 2000, 64, 2


@torch.no_grad()
def descriptors(count: int) -> Tensor:
    """All patches of so many images, (n, D)."""
    cells = [path for path in read_elpv("mono").normal.paths if path is not None]
    images = Images([Jittered(cells[number % len(cells)], number) for number in range(count)], size=SIZE)
    detector = PatchCore()
    detector.build(pretrained=True)
    with on_runtime(detector, images):
        return torch.cat([detector.describe(batch).flatten(0, 2) for batch in detector.batches(images, "", silent)])


def plain_greedy(points: Tensor, count: int, first: int) -> Tensor:
    """The loop of the textbook."""
    points = points - points.mean(dim=0)
    squares, nearest, chosen = points.square().sum(dim=1), torch.full((len(points),), torch.inf), [first]
    while len(chosen) < count:
        last = chosen[-1]
        nearest = torch.minimum(nearest, squares + squares[last] - 2 * (points @ points[last]))
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def radius(points: Tensor, chosen: Tensor) -> float:
    """Largest distance of any point to the nearest chosen vector."""
    middle = chosen.mean(dim=0)
    return max(float(nearest_distance(part - middle, chosen - middle).max()) for part in points.split(8192))


def timed(action: Callable[[], Tensor]) -> tuple[Tensor, float]:
    start = time.perf_counter()
    return action(), round(time.perf_counter() - start, 2)


def in_rounds(points: Tensor) -> dict[str, Any]:
    """Both ways on the same points."""
    rounds = []
    quick, quick_seconds = timed(lambda: k_center_greedy(points, COUNT, first=0, progress=lambda *_: rounds.append(1)))
    plain, plain_seconds = timed(lambda: plain_greedy(points, COUNT, 0))
    return {
        "points": len(points),
        "seconds_plain": plain_seconds,
        "seconds_in_rounds": quick_seconds,
        "rounds": len(rounds),
        "chosen_by_both": len(set(quick.tolist()) & set(plain.tolist())),
        "radius_over_plain": round(radius(points, points[quick]) / radius(points, points[plain]), 4),
    }


def of_a_stream(vectors: Tensor, points: Tensor, projected: Tensor) -> dict[str, Any]:
    """The stream's choice against the choice from all."""
    coreset = StreamingCoreset(COUNT, vectors.shape[1], np.random.default_rng(0), projection=projected)
    for part in vectors.split(8192):
        coreset.add(part)
    streamed, _ = coreset.choose()
    whole = vectors[k_center_greedy(points, COUNT, first=0)]
    return {
        "points": len(vectors),
        "room": ROOM,
        "radius_over_whole_projected": round(
            radius(points, streamed @ projected) / radius(points, whole @ projected), 4
        ),
        "radius_over_whole_in_full": round(radius(vectors, streamed) / radius(vectors, whole), 4),
    }


def by_blocks(vectors: Tensor, projected: Tensor, patches: int) -> dict[str, Any]:
    """The choice from blocks that are reduced apart and folded, as `patchcore` makes it, against the stream's."""
    ratios = []
    for seed in range(SEEDS):
        streamed = StreamingCoreset(COUNT, vectors.shape[1], np.random.default_rng(seed), projection=projected)
        folded = StreamingCoreset(COUNT, vectors.shape[1], np.random.default_rng(seed), projection=projected)
        for number, part in enumerate(vectors.split(BLOCK * patches)):
            streamed.add(part)
            block = StreamingCoreset(
                COUNT, vectors.shape[1], np.random.default_rng([seed, number]), projection=projected
            )
            block.add(part)
            block.reduce()
            folded.merge(block.state())
        one, other = (each.choose()[0] for each in (streamed, folded))
        points = vectors @ projected
        ratios.append(
            (
                radius(points, other @ projected) / radius(points, one @ projected),
                radius(vectors, other) / radius(vectors, one),
            )
        )
    search, full = zip(*ratios, strict=True)
    return {
        "blocks": -(-len(vectors) // (BLOCK * patches)),
        "seeds": SEEDS,
        "radius_over_stream_projected": [round(ratio, 4) for ratio in search],
        "radius_over_stream_in_full": [round(ratio, 4) for ratio in full],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and covering radius of the coreset")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--by-blocks", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    vectors = descriptors(asked.images)
    matrix = np.random.default_rng(0).standard_normal((vectors.shape[1], PROJECTION)) / np.sqrt(PROJECTION)
    projected = torch.from_numpy(matrix).float()  # that of the stream, which draws it first
    points = vectors @ projected
    patches = len(vectors) // asked.images
    if asked.by_blocks:
        keep(RESULTS.with_name("coreset_blocks.json"), by_blocks(vectors, projected, patches))
        return
    results = {
        "cores": threads(),
        "in_rounds": in_rounds(points[: 200 * patches]),
        "of_a_stream": of_a_stream(vectors, points, projected),
    }
    keep(RESULTS, results)


def keep(path: Path, results: dict[str, Any]) -> None:
    """Write them down, and show them."""
    write_file(path, (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
