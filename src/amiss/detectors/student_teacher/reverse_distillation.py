"""Reverse distillation: a decoder rebuilds a frozen network's features from a code too small for what is strange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from amiss.background.pair import error_map, errors, make_pair, standardised
from amiss.background.reverse_decoder import check_halving
from amiss.background.standardising import learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, NotEmpty, OneOf, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import cached_features
from amiss.statistics.difference import COMPARISONS, over_stages
from amiss.training import cosine, set_aside, train


class ReverseDistillation(Detector):
    """A student that reads what its teacher says, keeps a little of it, and must say it again in reverse order.

    Background model:
        A frozen network, the teacher, gives a feature map at each of several depths, standardised. A one-class
        bottleneck fuses them into one code of half the deepest grid; a decoder, the student, mirrors the teacher and
        rebuilds its maps from the code, the deepest first. Both learn from normal images to make the teacher's and the
        student's vector agree at every position. The mean of their difference over normal images that were held out
        says what is usual at each depth.

    Statistic:
        That difference at each position (see `compare`), enlarged to the image and smoothed; summed over the stages,
        each as a multiple of what is usual.

    Assumes:
        Normal features need less room than the code has, and strange ones do not fit in beside them: with a code too
        wide, or after training much too long, the student learns to copy everything.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages, each twice the one before.
        width: Channels inside of a residual block, as a multiple of those that leave it.
        blocks: Residual blocks of the bottleneck and of each decoder stage, deepest first; the last number holds for
            all that follow.
        compare: "values", the mean squared difference; "angles", 1 - cosine; or "whole maps", for which each image's
            map is one long vector in learning, so that positions with large features weigh more, and what is scored
            are angles position by position.
        steps: Training steps.
        batch: Images per step, at least 2 for the batch normalisation.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        standardise: Bring each channel of the teacher to mean 0 and standard deviation 1 over the normal images
            first; else those that vary most decide alone.
        balance: Divide the map of each stage by its mean over a tenth of the normal images, one at least, that no
            step has seen. Else the stage that is hardest to rebuild drowns the others.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, stages that do not halve, a single
            image where one is held out, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: the teacher sees each image once (see `amiss.features.cache`); a step costs three times the student's
        multiply-adds per image. Those are 0.20 billion for 256 x 256 in the default preset, besides the teacher's 0.51
        in scoring. State: the student's weights, 1.8 million.

    Example:
        >>> from amiss.testing import toy_texture
        >>> method = ReverseDistillation
        >>> detector = method(**method.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Deng and Li, "Anomaly detection via reverse distillation from one-class embedding", CVPR 2022,
        arXiv 2201.10703.
        Differs from the paper: bottleneck and decoder take the channels and strides of any teacher. A decoder stage
        ends without a ReLU, since not every teacher's features are positive. The paper compares angles position by
        position, the authors' code whole maps, and so does the preset "paper"; the default standardises the teacher's
        features, compares values, balances the stages, and leaves stride 4 out (decision 12). Maps are enlarged
        between cell centres, not corners. The rate falls, every step has a full batch, and the last step is kept; in
        "paper" there are as many steps as 200 epochs of 224 images.
    """

    card: ClassVar[Card] = Card(
        name="reverse_distillation",
        family="student_teacher",
        title="Reverse distillation",
        paper="Deng and Li, Anomaly detection via reverse distillation from one-class embedding",
        url="https://arxiv.org/abs/2201.10703",
        year=2022,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (4, 8, 16),
                "width": 0.5,
                "blocks": (3, 3, 4, 6),
                "compare": "whole maps",
                "standardise": False,
                "balance": False,
                "steps": 2800,
                "batch": 16,
                "rate": 5e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (2, 4),
                "blocks": (1,),
                "steps": 100,
                "batch": 4,
                "rate": 0.05,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    width: Annotated[float, Positive] = 1.0
    blocks: Annotated[Sequence[Count], NotEmpty] = (2,)
    compare: Annotated[str, OneOf(*COMPARISONS)] = "values"
    steps: Count = 2400
    batch: Annotated[int, AtLeast(2)] = 16
    rate: Annotated[float, Positive] = 5e-3
    standardise: bool = True
    balance: bool = True
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        check_halving(self.stages)
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.standardising, self.student, self.balancing = make_pair(
            self.features.channels, width=self.width, blocks=self.blocks
        )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        chosen, held_out = set_aside(len(images), rng) if self.balance else (np.arange(len(images)), ())
        with cached_features(self.features, self.features.key(), images, progress, device=self.device) as cache:
            if self.standardise:
                learn_standardising(self.standardising, cache.batches())

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                teacher = self.teach(cache.batch(rng.choice(chosen, size=self.batch)))
                return self.loss(teacher, self.student(teacher))

            train(
                self.student,
                torch.optim.Adam(self.student.parameters(), lr=self.rate, betas=(0.5, 0.999)),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                checkpoint=self.checkpoint,
                progress=progress,
            )
            if self.balance:
                self.balancing.learn(self.distances(self.teach(cache.batch([index]))) for index in held_out)

    def teach(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What the student must say: the teacher's stages (N, C, h, w), standardised."""
        return standardised(self.standardising, features)

    def loss(self, teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
        """Mean distance of the two, summed over the stages (N, C, h, w)."""
        return over_stages(COMPARISONS[self.compare][0], teacher, student)

    def distances(self, teacher: Sequence[Tensor]) -> list[Tensor]:
        """How wrong the student is (N, h, w) at each position of each stage, from what it must say."""
        return errors(self.compare, teacher, self.student(teacher))

    def statistic(self, batch: Tensor) -> Tensor:
        grids = self.distances(self.teach(self.features(batch)))
        return error_map(self.balancing, grids, (batch.shape[2], batch.shape[3]), self.smoothing)
