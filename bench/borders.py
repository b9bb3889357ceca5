"""What should stand beyond the border of an image: PatchCore's default preset with each remedy (decision 14).

    AMISS_DATA=... python bench/borders.py [--seeds 0,1,2] [--data PART] [--with-level] [REMEDY ...]

On the development sets only. Keeps docs/results/borders.json: image AUROC, AUPRO where there are masks, the share of
good test images that peak on the rim, and milliseconds of the network for one image. The criterion, fixed before: the
mean of image AUROC over the sets; where two lie within 0.005, the cheaper one.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from development import SETS, SIZE, figures, learned, open_set
from lines import Line, keep, kept
from torch import Tensor
from torch.nn import functional as F

from amiss.core.threads import threads
from amiss.data import Dataset
from amiss.detectors.memory_bank.patchcore import PatchCore
from amiss.features import FeatureExtractor
from amiss.features.borders import PaddedConv2d, repeat_inner

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "borders.json"
REMEDIES = ("zeros", "ring", "frame", "repeat", "frame ring", "repeat ring")
FRAME = 32


class Bordered(FeatureExtractor):
    """EfficientNet-Lite with one of `REMEDIES`.

    zeros: as it was trained. ring: zeros, and the outermost cells are replaced by their neighbours. frame: zeros around
    an image that is mirrored by 32 pixels first. repeat: each convolution repeats its outermost pixels. Two
    words: both.
    """

    remedy = "ring"

    def forward(self, batch: Tensor) -> list[Tensor]:
        if self.run is not None and self.run.takes(batch):
            return self.run(batch)
        self._beyond = False
        if "frame" in self.remedy:
            maps = super().forward(F.pad(batch, (FRAME,) * 4, mode="reflect"))
            pairs = ((one, FRAME // cell) for one, cell in zip(maps, self.cells, strict=True))
            maps = [one[:, :, cut:-cut, cut:-cut] for one, cut in pairs]
        else:
            maps = super().forward(batch)
        if "ring" in self.remedy:
            maps = repeat_inner(maps)
        return maps

    def key(self) -> str:
        return f"{self.remedy} {super().key()}"

    def take(self, remedy: str) -> None:
        """Change the convolutions where the remedy asks for it.

        A block widens its input pixel by pixel before it filters it channel by channel. Repeating the outermost pixels
        commutes with the widening, and is done before it, where there is a sixth of the channels to copy.
        """
        self.remedy = remedy
        if "repeat" not in remedy:
            return
        for block in self.modules():
            if isinstance(block, PaddedConv2d):
                block.mode = "replicate"
            widening, filtering = (getattr(block, name, None) for name in ("_expand_conv", "_depthwise_conv"))
            if isinstance(widening, PaddedConv2d) and isinstance(filtering, PaddedConv2d):
                widening.sides, filtering.sides = filtering.sides, widening.sides


def measure(remedy: str, level: bool, data: Dataset, seed: int) -> Line:
    """Learn from four fifths of the normal images and score the test images."""

    class Candidate(PatchCore):
        def build(self, *, pretrained: bool) -> None:
            super().build(pretrained=pretrained)
            self.features = Bordered(self.backbone, self.stages, pretrained=pretrained)
            self.features.take(remedy)

    settings: dict[str, Any] = {} if level else {"level_images": 0}
    detector = Candidate(**settings).fit(learned(data, seed), seed=seed)
    return figures(data, detector.score(data.test.resized(SIZE)))


def milliseconds(remedy: str) -> float:
    """Of the network alone, torch's graph on ONNX Runtime, one image; the best of 30 runs."""
    from amiss.features.on_runtime import network_graph

    extractor = Bordered("efficientnet-lite2", (8, 16))
    extractor.take(remedy)
    graph = network_graph(extractor, SIZE)
    assert graph is not None
    batch, times = torch.rand(1, 3, *SIZE), []
    for _ in range(30):
        start = time.perf_counter()
        graph(batch)
        times.append(time.perf_counter() - start)
    return round(1000 * min(times), 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("remedies", nargs="*", metavar="REMEDY")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--data", default="")
    parser.add_argument("--with-level", action="store_true", help="Not without the level of `BorderLevel`.")
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    lines = kept(RESULTS, "data", "remedy", "level", "seed")
    for name in (name for name in SETS if asked.data in name):
        data = open_set(name)
        for remedy in asked.remedies or REMEDIES:
            for level in (True,) if asked.with_level else (True, False):
                for seed in map(int, asked.seeds.split(",")):
                    what = {"data": name, "remedy": remedy, "level": level, "seed": seed}
                    if tuple(what.values()) in lines:
                        continue
                    line = {**what, **measure(remedy, level, data, seed), "network_ms": milliseconds(remedy)}
                    lines[name, remedy, level, seed] = line
                    print(json.dumps(line), flush=True)
                    keep(RESULTS, lines.values())


if __name__ == "__main__":
    main()
