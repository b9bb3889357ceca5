"""What int8 or float16 costs in detections and brings in time, on the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import resize
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.core.sentence import Sentence
from amiss.core.verdict import Label, Verdict
from amiss.core.words import low_to_high, sure
from amiss.inspector import Inspector
from amiss.metrics import Difference, estimate_auroc, paired_difference, units_of
from amiss.metrics.coverage import held
from amiss.runtime import Graph, fastest_runs
from amiss.synthesis.defects import draw_defect

DEFECTIVE = 200
"""Images with defects that are drawn at least; every normal image gets as many as any other."""

AREAS = Sentence(
    "Image AUROC on {good} good images and {defective} with synthetic defects: {first} in float32, {second} in "
    "{precision}; the difference is {difference} ({confidence} interval {interval}).",
    "bench/interval_coverage.py paired",
)

_STREAM = 5
"""Keeps these draws apart from others of the same seed."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Verdicts of both on the same images.

    Args:
        n: Number of images.
        changed: Images on which the verdicts differ.
        float32: Alarms of the float32 inspector.
        lower: Alarms of the other.
    """

    n: int
    changed: int
    float32: int
    lower: int

    def summary(self, precision: str) -> dict[str, int]:
        """Plain JSON values."""
        return {"n": self.n, "changed": self.changed, "float32": self.float32, precision: self.lower}


@dataclass(frozen=True, kw_only=True)
class Price:
    """A float32 inspector and its twin in int8 or float16 on good images, and on the same with synthetic defects.

    Args:
        precision: "int8" or "float16".
        auroc: Image AUROC: first float32, second the twin. For the interval, a good image and the
            defective ones made of it are one unit.
        good: Verdicts on the good images.
        defective: Verdicts on those with defects.
        seconds: Fastest run of one image, in float32 and of the twin; None without graphs.
        seed: Random seed of the defects.
    """

    precision: str
    auroc: Difference
    good: Flips
    defective: Flips
    seconds: tuple[float, float] | None
    seed: int

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "image_auroc": self.auroc.summary(),
            "good": self.good.summary(self.precision),
            "defective": self.defective.summary(self.precision),
            "milliseconds": None if self.seconds is None else [round(1000 * one, 3) for one in self.seconds],
            "seed": self.seed,
        }

    def lines(self) -> list[str]:
        """For a person."""
        words = [
            AREAS(
                good=self.good.n,
                defective=self.defective.n,
                first=f"{self.auroc.first:.4f}",
                second=f"{self.auroc.second:.4f}",
                precision=self.precision,
                difference=f"{self.auroc.difference:.4f}",
                confidence=sure(held("difference of auroc", several=True)),
                interval=low_to_high(self.auroc.interval, ".4f"),
            ),
            *(
                f"Verdicts that change: {one.changed} of {one.n} {name} images; alarms: {one.float32} in float32, "
                f"{one.lower} in {self.precision}."
                for name, one in (("good", self.good), ("defective", self.defective))
            ),
        ]
        if self.seconds is None:
            return words
        before, after = self.seconds
        slow = "keep the float32 model" if self.precision == "int8" else "it is meant for a card (--backend cuda)"
        gain = f"{before / after:.2f} times as fast" if after < before else f"not faster here: {slow}"
        return [
            *words,
            f"One image: {1000 * before:.1f} ms in float32, {1000 * after:.1f} ms in {self.precision}: {gain}.",
        ]


def measure_price(
    float32: Inspector, lower: Inspector, normal: Images, *, seed: int = 0, progress: Progress = silent
) -> Price:
    """Inspect good images, and the same with synthetic defects, with both.

    Args:
        float32: An inspector.
        lower: The same with another graph.
        normal: Good images that neither has learned from.
        seed: Random seed of the defects.
        progress: See `amiss.core.progress`.

    Raises:
        ImageError: An image cannot be used.
    """
    rounds = -(-DEFECTIVE // len(normal))
    images = normal.resized(float32.size) if float32.tiling is None else normal
    verdicts: tuple[list[Verdict], list[Verdict]] = ([], [])
    for done, image in enumerate(_images(images, rounds, seed), start=1):
        for inspector, kept in zip((float32, lower), verdicts, strict=True):
            kept.append(_small(inspector.inspect_one(image)))
        progress("comparing", done, len(images) * (1 + rounds))
    shape = (1 + rounds, len(images))
    scores = [np.array([verdict.score for verdict in one], np.float32).reshape(shape) for one in verdicts]
    graphs = [one.scorer for one in (float32, lower) if isinstance(one.scorer, Graph)]
    one = resize(images[0], float32.size)[None]
    times = fastest_runs(graphs, one, runs=10) if len(graphs) == 2 else None
    made = lower.learned.quantised
    return Price(
        precision="float32" if made is None else made.precision,
        auroc=_difference(scores[0], scores[1]),
        good=_flips(*(each[: len(images)] for each in verdicts)),
        defective=_flips(*(each[len(images) :] for each in verdicts)),
        seconds=None if times is None else (times[0], times[1]),
        seed=seed,
    )


def _images(normal: Images, rounds: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """All good ones, then all with a defect, once a round."""
    yield from normal
    for turn in range(rounds):
        for index, image in enumerate(normal):
            yield draw_defect(image, np.random.default_rng([_STREAM, seed, turn, index]))[0]


def _small(verdict: Verdict) -> Verdict:
    return Verdict(name=verdict.name, label=verdict.label, score=verdict.score)


def _flips(float32: list[Verdict], lower: list[Verdict]) -> Flips:
    labels = [[verdict.label for verdict in one] for one in (float32, lower)]
    return Flips(
        n=len(float32),
        changed=sum(one is not other for one, other in zip(*labels, strict=True)),
        float32=labels[0].count(Label.ANOMALOUS),
        lower=labels[1].count(Label.ANOMALOUS),
    )


def _difference(float32: NDArray[np.float32], lower: NDArray[np.float32]) -> Difference:
    """Of the AUROC; scores are (1 + rounds, n), the first row of good images, each column of one of them."""
    rounds, n = float32.shape
    units = units_of(np.repeat(np.arange(rounds) > 0, n), np.tile(np.arange(n), rounds))
    return paired_difference(*(estimate_auroc(units, one.ravel()) for one in (float32, lower)))
