"""The conformance suite accepts an honest plug-in and catches each of these dishonest ones."""

import re
import unittest
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast
from amiss.detectors.detector import Detector
from amiss.registry import create
from amiss.statistics.reduce import smooth_upsample
from amiss.testing import check_detector, detector_checks
from amiss.testing.detector_checks import CHECKS
from amiss.training import train

PRESETS = {"default": {}, "paper": {}, "tiny": {}}
COMMON = {"paper": "None", "url": "https://example.org", "year": 2026, "weights_licence": "none", "presets": PRESETS}


class MeanImage(Detector):
    """A mean image; a pixel is as strange as it is far from the mean.

    Background model:
        The mean of the normal images.

    Statistic:
        Mean absolute difference over the colours, smoothed.

    Assumes:
        Parts lie at the same place.

    Args:
        smoothing: See `smooth_upsample`.

    Raises:
        InputError: Smoothing below 0.

    Cost:
        None to speak of.

    Example:
        >>> MeanImage(smoothing=4.0).smoothing
        4.0

    References:
        None.
        Differs from the paper: in nothing.
    """

    card: ClassVar[Card] = Card(
        name="mean-image", family="test", title="Mean image", learning=Learning.ONE_PASS, **COMMON
    )
    smoothing: Annotated[float, AtLeast(0)] = 8.0
    mean: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(0))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch: Tensor) -> Tensor:
        difference = (batch - self.mean).abs().mean(dim=1)
        return smooth_upsample(difference, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


class TrainedMean(MeanImage):
    """A coarse mean image, found by gradient descent."""

    card: ClassVar[Card] = Card(name="trained-mean", family="test", title="T", learning=Learning.GRADIENT, **COMMON)

    def build(self, *, pretrained: bool) -> None:
        self.coarse = nn.Parameter(torch.rand(3, 32, 32))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        batch = torch.cat(list(self.batches(images, "train", progress)))

        def loss(step: int, rng: np.random.Generator) -> Tensor:
            return self.residual(batch).square().sum() / len(batch)

        slope = torch.optim.SGD([self.coarse], lr=0.1)
        train(self, slope, loss, steps=30, seed=0, checkpoint=self.checkpoint, progress=progress)

    def residual(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        return batch - nn.functional.interpolate(self.coarse[None], size, mode="bilinear")

    def statistic(self, batch: Tensor) -> Tensor:
        strange = self.residual(batch).abs().mean(dim=1)
        return smooth_upsample(strange, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


class BeginsAnew(TrainedMean):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.checkpoint = None
        super().learn(images, rng, progress)


class SaysItTrains(TrainedMean):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.register_buffer("shift", torch.cat(list(self.batches(images, "mean", progress))).mean().view(1))

    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch) + self.shift


class TrainsTheWrongWay(TrainedMean):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        super().learn(images, rng, progress)
        with torch.no_grad():
            self.coarse.sub_(0.5).mul_(20 * torch.randn(32, 32))


class TorchOnly(MeanImage):
    """Cannot be exported: inspects in torch."""

    card: ClassVar[Card] = Card(
        name="torch-only", family="test", title="T", learning=Learning.ONE_PASS, exportable=False, **COMMON
    )

    def statistic(self, batch: Tensor) -> Tensor:
        return torch.from_numpy(super().statistic(batch).numpy(force=True))


class OneNumber(MeanImage):
    """Does not localise: one score per image."""

    card: ClassVar[Card] = Card(
        name="one-number", family="test", title="O", learning=Learning.ONE_PASS, localises=False, **COMMON
    )

    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch).amax(dim=(1, 2))


class LooksAtBatch(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        scores = super().statistic(batch)
        return scores / scores.amax()


class KeepsLearning(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        self.mean.mul_(0.99).add_(batch.mean(dim=0), alpha=0.01)
        return super().statistic(batch)


class Constant(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch) * 0 + 1


class Inverted(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        return -super().statistic(batch)


class PointsAside(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch).roll(20, dims=2)


class IgnoresTraining(MeanImage):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.mean = torch.full((3, 1, 1), 0.4)


class BuildsAtOnce(MeanImage):
    def __init__(self, *, smoothing: float = 8.0) -> None:
        super().__init__(smoothing=smoothing)
        self.build(pretrained=True)


class StoresMore(MeanImage):
    def __init__(self, *, smoothing: float = 8.0) -> None:
        super().__init__(smoothing=smoothing)
        self.radius = 3 * smoothing


class TakesMore(MeanImage):
    def __init__(self, *, smoothing: float = 8.0, radius: int = 3) -> None:
        super().__init__(smoothing=smoothing)
        self.radius = radius


class DrawsAtOnce(MeanImage):
    def __init__(self, *, smoothing: float = 8.0) -> None:
        super().__init__(smoothing=smoothing + 0 * float(torch.rand(1)))


class SwallowsOptions(MeanImage):
    def __init__(self, *, smoothing: float = 8.0, **options: float) -> None:
        super().__init__(smoothing=smoothing)


class DeclaresNoRange(MeanImage):
    smoothing: float = 8.0


class JudgesNothing(MeanImage):
    def __init__(self, *, smoothing: float = 8.0) -> None:
        super().__init__()
        self.smoothing = smoothing


class JudgesInOtherWords(MeanImage):
    def check_hyperparameters(self) -> None:
        with suppress(InputError):
            return super().check_hyperparameters()
        raise InputError("something is wrong")


class JudgesOnce(MeanImage):
    def fit(self, images: Images, **options: Any) -> Self:
        self.smoothing = 8.0
        return super().fit(images, **options)


class DrawsGlobally(MeanImage):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        super().learn(images, rng, progress)
        self.mean = self.mean + float(np.random.normal()) * 0.01


class WritesIntoInput(MeanImage):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        super().learn(images, rng, progress)
        images._items[0][:] = 0


class TakesAnything(MeanImage):
    def forward(self, batch: Tensor) -> Tensor:
        return self.statistic(batch)


class ForgetsWhatItLearned(MeanImage):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        super().learn(images, rng, progress)
        self.register_buffer("mean", self.mean, persistent=False)
        self.register_buffer("other", torch.zeros(1))


class ExportsAnotherGraph(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        scores = super().statistic(batch)
        return scores * 1.01 if torch.compiler.is_exporting() else scores


class Doubles(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch).double()


class SquareOnly(MeanImage):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch).transpose(1, 2)


class Undocumented(MeanImage):
    """A mean image."""


class WrongCard(MeanImage):
    __doc__ = MeanImage.__doc__
    card: ClassVar[Card] = Card(name="padim", family="test", title="P", learning=Learning.ONE_PASS, **COMMON)


CAUGHT = [
    (BuildsAtOnce, "constructor_stores", "makes|stores"),
    (StoresMore, "constructor_stores", "radius"),
    (DrawsAtOnce, "constructor_stores", "random"),
    (SwallowsOptions, "constructor_stores", "options"),
    (TakesMore, "constructor_stores", r"takes \['radius', 'smoothing'\] and \['smoothing'\] are declared"),
    (DeclaresNoRange, "bad_values", r"smoothing: Annotated\[float, AtLeast"),
    (JudgesNothing, "bad_values", "smoothing = -5e-324 is accepted"),
    (JudgesInOtherWords, "bad_values", "does not say 'smoothing must be'"),
    (JudgesOnce, "bad_values", "set later, is accepted"),
    (DrawsGlobally, "fit_repeats", "draw only from"),
    (DrawsGlobally, "fit_leaves_no_trace", "global random state"),
    (WritesIntoInput, "fit_leaves_no_trace", "input images"),
    (Doubles, "score_shape", "float64"),
    (Constant, "finds_defects", "got 0.500"),
    (Inverted, "finds_defects", "sign"),
    (PointsAside, "finds_defects", "peaks"),
    (Constant, "learns", "every image scores"),
    (IgnoresTraining, "learns", "learn ignores"),
    (SaysItTrains, "learns", "no parameter changes"),
    (TrainsTheWrongWay, "learns", "stand out"),
    (BeginsAnew, "resumes", "went on with step 1"),
    (LooksAtBatch, "pure", "one by one"),
    (KeepsLearning, "pure", r"changed \['mean'\]"),
    (SquareOnly, "sizes", "got a map of"),
    (TakesAnything, "bad_batches", "accepted"),
    (ForgetsWhatItLearned, "persistence", "fresh process"),
    (ExportsAnotherGraph, "export", "scores .* differently"),
    (Constant, "false_alarms", "0 of 500"),
    (Undocumented, "docstring", "Background model"),
    (WrongCard, "card", "registered as"),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_an_honest_plug_in_passes(check) -> None:
    with suppress(unittest.SkipTest):
        check(MeanImage)


def test_a_trained_plug_in_passes() -> None:
    for name in ("fit_repeats", "finds_defects", "learns", "resumes", "pure", "sizes"):
        getattr(detector_checks, f"check_{name}")(TrainedMean)


@pytest.mark.parametrize("detector", [TorchOnly, OneNumber])
def test_plug_ins_of_other_kinds_pass(detector: type[Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "__doc__", MeanImage.__doc__)
    check_detector(detector)


def test_a_check_that_does_not_apply_is_skipped_with_a_reason() -> None:
    with pytest.raises(unittest.SkipTest, match="torch-only says exportable=False"):
        detector_checks.check_export(TorchOnly)


@pytest.mark.parametrize(("detector", "check", "message"), CAUGHT, ids=lambda it: getattr(it, "__name__", None))
def test_a_dishonest_one_is_caught(detector: type[Detector], check: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(detector_checks, f"check_{check}")(detector)


def test_a_slow_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_checks, "BUDGET", 0)
    with pytest.raises(AssertionError, match="must take at most 0 yardsticks"):
        detector_checks.check_budget(MeanImage)


def test_every_check_is_seen_to_fail() -> None:
    names = {check.__name__.removeprefix("check_") for check in CHECKS}
    assert names == {check for _, check, _ in CAUGHT} | {"budget"}


def test_check_detector_runs_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(detector_checks, "CHECKS", [lambda make, name=name: ran.append(name) for name in "abc"])
    check_detector(MeanImage)
    assert ran == ["a", "b", "c"]


@pytest.mark.parametrize("check", ["pure", "export"])
def test_reweighting_stays_within_its_image(check: str) -> None:
    """A known bug elsewhere: with more than one image, the weight of the first was given to all."""
    getattr(detector_checks, f"check_{check}")(lambda: create("patchcore", "tiny", reweight=9))


def test_checks_are_documented() -> None:
    for check in CHECKS:
        assert re.match(r"\*[A-Z][\w ]+\*: ", check.__doc__ or ""), check
