"""A check of the conformance suite makes several demands: cheats for those that `test_suite_can_fail` leaves out."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.detectors.detector import Detector
from amiss.testing import detector_checks
from amiss.training import train

PRESETS = {"default": {}, "paper": {}, "tiny": {}}
COMMON = {"paper": "None", "url": "https://example.org", "year": 2026, "weights_licence": "none", "presets": PRESETS}


class Mean(Detector):
    """Far from the mean image is anomalous."""

    card: ClassVar[Card] = Card(name="mean", family="test", title="Mean", learning=Learning.ONE_PASS, **COMMON)
    mean: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(0))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch: Tensor) -> Tensor:
        return (batch - self.mean).abs().mean(dim=1)


class RemembersEarlierFits(Mean):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        super().learn(images, rng, progress)
        self.mean = self.mean + 0.1 * getattr(self, "before", 0.0)
        self.before = self.mean.clone().mean().item()


class LosesARow(Mean):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch)[:, 1:]


class DividesByNothing(Mean):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch) / 0.0


class GrowsWhileScoring(Mean):
    def statistic(self, batch: Tensor) -> Tensor:
        self.register_buffer("last", batch[0].clone())
        return super().statistic(batch)


class FailsOnOneImage(Mean):
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        if len(images) < 2:
            raise ZeroDivisionError("division by zero")
        super().learn(images, rng, progress)


class CannotBeTraced(Mean):
    def statistic(self, batch: Tensor) -> Tensor:
        return torch.stack([scores if scores.max() > 0.5 else 2 * scores for scores in super().statistic(batch)])


class Drifts(Mean):
    """Scores of the first 200 images that it ever sees are lower than all others."""

    card: ClassVar[Card] = Card(
        name="drifts", family="test", title="D", learning=Learning.ONE_PASS, exportable=False, **COMMON
    )

    def statistic(self, batch: Tensor) -> Tensor:
        self.looked = getattr(self, "looked", 0) + len(batch)
        return super().statistic(batch) + (self.looked > 200)


class TrainsByItself(Mean):
    card: ClassVar[Card] = Card(name="own-loop", family="test", title="O", learning=Learning.GRADIENT, **COMMON)

    def build(self, *, pretrained: bool) -> None:
        self.mean = nn.Parameter(torch.zeros(3, 64, 64))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        wanted = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)
        with torch.no_grad():
            self.mean.copy_(wanted)


class ForgetsWhenItIsKilled(TrainsByItself):
    """Weighs each step by how many it has taken in this process."""

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        wanted = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)
        taken = []

        def loss(step: int, rng: np.random.Generator) -> Tensor:
            taken.append(step)
            return (self.mean - wanted).square().mean() / len(taken)

        slope = torch.optim.SGD([self.mean], lr=100.0)
        train(self, slope, loss, steps=9, seed=0, checkpoint=self.checkpoint, progress=progress)


class Kinds(Mean):
    """Far from the mean image of every class is anomalous."""

    card: ClassVar[Card] = Card(
        **{
            "name": "kinds",
            "family": "test",
            "title": "K",
            "learning": Learning.ONE_PASS,
            "localises": False,
            **COMMON,
        },
        learns_from=LearnsFrom.CLASSES,
    )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        batch = torch.cat(list(self.batches(images, "mean", progress)))
        numbers = torch.tensor([self.classes.index(label) for label in images.labels])
        self.mean = torch.stack([batch[numbers == number].mean(dim=0) for number in range(len(self.classes))])

    def statistic(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        distances = (batch.unsqueeze(1) - self.mean).abs().mean(dim=(2, 3, 4))
        return distances.amin(dim=1), distances.argmin(dim=1)


class TellsNoClass(Kinds):
    def statistic(self, batch: Tensor) -> Tensor:
        return super().statistic(batch)[0]


class TellsClassesThatAreNotThere(Kinds):
    def statistic(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = super().statistic(batch)
        return scores, classes + 2


class TellsOtherClassesInTheGraph(Kinds):
    def statistic(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = super().statistic(batch)
        return scores, torch.zeros_like(classes) if torch.compiler.is_exporting() else classes


CAUGHT = [
    (TellsNoClass, "score_shape", "the class of each image exactly when the card says"),
    (TellsClassesThatAreNotThere, "score_shape", "below 2"),
    (TellsOtherClassesInTheGraph, "export", "tells other classes than torch"),
    (RemembersEarlierFits, "fit_repeats", "after one to other images"),
    (LosesARow, "score_shape", r"got \(3, 63, 64\)"),
    (DividesByNothing, "score_shape", "not finite"),
    (GrowsWhileScoring, "pure", "added or removed"),
    (FailsOnOneImage, "sizes", "fitting one image gives ZeroDivisionError"),
    (CannotBeTraced, "export", "cannot trace the statistic"),
    (Drifts, "false_alarms", "of 500"),
    (TrainsByItself, "resumes", "fewer than seven training steps"),
    (ForgetsWhenItIsKilled, "resumes", "killed and resumed"),
]


@pytest.mark.parametrize(("detector", "check", "message"), CAUGHT, ids=lambda it: getattr(it, "__name__", None))
def test_a_dishonest_one_is_caught(detector: type[Detector], check: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(detector_checks, f"check_{check}")(detector)


@pytest.mark.parametrize("check", sorted({check for _, check, _ in CAUGHT} - {"resumes", "false_alarms"}))
def test_the_honest_one_passes(check: str) -> None:
    getattr(detector_checks, f"check_{check}")(Mean)
    getattr(detector_checks, f"check_{check}")(Kinds)
