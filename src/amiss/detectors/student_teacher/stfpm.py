"""STFPM: a student of the teacher's own build learns its features at several depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import Count, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import cached_features
from amiss.features.student import Student
from amiss.statistics.difference import cosine_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train


class STFPM(Detector):
    """A network that never saw anything but normal images copies one that has seen the world; they part on the rest.

    Background model:
        A frozen network, the teacher, and a student of the same build with random weights. The student learns from
        normal images to give features of the teacher's direction at every position of every stage: the loss is half
        the squared distance of the two unit vectors, which is 1 - cosine of their angle, averaged over the positions
        and summed over the stages.

    Statistic:
        The same distance at each position, enlarged to the image, and the geometric mean over the stages: a pixel
        is strange when the two disagree at every depth.

    Assumes:
        A student that was not taught strange features does not have them by chance. Defects show at all stages.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of stochastic gradient descent with momentum 0.9 at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map of each stage, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        A pass of the student costs what one of the teacher does: 0.32 billion multiply-adds for 256 x 256 in the
        default preset. Learning: the teacher sees each image once (see `amiss.features.cache`), a step costs three
        passes per image; images lie beside the features on disk. Scoring: two passes. State: twice the weights of the
        backbone up to the deepest stage.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = STFPM(**STFPM.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Wang, Han, Ding and Huang, "Student-teacher feature pyramid matching for anomaly detection", BMVC 2021,
        arXiv 2103.04257.
        Differs from the paper: the map is the root of the product over the stages, which ranks alike and keeps the
        size of one stage's distance. The rate falls. All normal images are learned from, and the last step is kept;
        the authors set a fifth aside and keep the epoch with the smallest distances there. In "paper" there are as
        many steps as 100 epochs of 224 images.
    """

    card: ClassVar[Card] = Card(
        name="stfpm",
        family="student_teacher",
        title="STFPM",
        paper="Wang et al., Student-teacher feature pyramid matching for anomaly detection",
        url="https://arxiv.org/abs/2103.04257",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:resnet18.safetensors",
                "steps": 700,
                "batch": 32,
                "smoothing": 0.0,
                "rate": 0.4,
            },
            "tiny": {"backbone": "tiny-random", "stages": (4, 8), "steps": 300, "batch": 4, "smoothing": 12.0},
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (4, 8, 16)
    steps: Count = 600
    batch: Count = 8
    rate: Annotated[float, Positive] = 0.4
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.teacher = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.student = Student(self.teacher.name, self.stages)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        def extract(batch: Tensor) -> list[Tensor]:
            return [batch, *self.teacher(batch)]

        with cached_features(
            extract, f"images and {self.teacher.key()}", images, progress, device=self.device
        ) as cache:

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                batch, *teacher = cache.batch(rng.integers(len(cache), size=self.batch))
                return torch.stack([one.mean() for one in self.distances(teacher, batch)]).sum()

            train(
                self.student,
                torch.optim.SGD(self.student.parameters(), lr=self.rate, momentum=0.9, weight_decay=1e-4),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def distances(self, teacher: Sequence[Tensor], batch: Tensor) -> list[Tensor]:
        """Distance (N, h, w) of each stage between the teacher's features (N, C, h, w) and the student's of a batch."""
        return [cosine_distance(one, other) for one, other in zip(teacher, self.student(batch), strict=True)]

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        grids = self.distances(self.teacher(batch), batch)
        maps = torch.stack([smooth_upsample(grid, size, smoothing=self.smoothing) for grid in grids])
        return maps.prod(dim=0) ** (1 / len(grids))
