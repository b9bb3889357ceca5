"""Mahalanobis distance to the nearest class, on the classifier's last features."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from amiss.background.gaussian import Gaussian
from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.parameters import buffer
from amiss.core.ranges import Between
from amiss.detectors.known_classes import PRESETS, KnownClasses
from amiss.statistics.mahalanobis import inverse_root


class ClassMahalanobis(KnownClasses):
    """Known classes as Gaussians with one covariance, and an image far from all of their means.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images. Of its last features, the mean of each class, and the covariance within classes, shrunk by the
        intensity of Ledoit and Wolf.

    Statistic:
        Mahalanobis distance of the last features to the nearest mean: one number per image, no map.

    Assumes:
        The last features of all classes spread alike around their means.

    Args:
        network: "backbone" for features of a frozen network, "own" for a small one that learns from pixels.
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the backbone's stages, each with mean and deviation over the image.
        versions: Changed versions of each image from which the head learns, the first as it is.
        widths: Channels of the stages of an own network; between two the map is halved.
        hidden: Numbers of a hidden layer before the logits; 0 for none.
        one_length: Whether standardised features are brought to one length, so that logits do not grow with it.
        dropout: Share of them, and of the hidden layer, that is left out in each step.
        flips: Whether images are mirrored while learning.
        quarter_turns: Whether they are turned by multiples of 90 degrees.
        shift: Share of their sides by which they are moved.
        label_smoothing: Share of each label that is spread over all classes.
        steps: Training steps.
        batch: Images per step.
        learning_rate: Of AdamW; falls to 0 along a cosine.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, images without labels, or of one
        class.

    Cost:
        Learning: each image goes through the network once per version, then the head learns in seconds; an own network
        takes three times the operations of scoring for each image of each step. Scoring: D^2 + K D multiply-adds per
        image besides the network. State: D^2 + K D numbers.

    Example:
        >>> from amiss.testing import toy_classes
        >>> detector = ClassMahalanobis(**ClassMahalanobis.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Lee, Lee, Lee and Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
        attacks", NeurIPS 2018, arXiv 1807.03888.
        Differs from the paper: the last features alone, without the earlier layers and without noise on the input,
        whose weights the paper chooses on strange images; a shrunk covariance. The class is that of the classifier.
    """

    card: ClassVar[Card] = Card(
        name="class_mahalanobis",
        family="open_set",
        title="Mahalanobis of classes",
        paper="Lee et al., A simple unified framework for detecting out-of-distribution samples",
        url="https://arxiv.org/abs/1807.03888",
        year=2018,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets=PRESETS,
    )

    one_length: bool = False
    dropout: Annotated[float, Between(0, 1, "left")] = 0.0
    means: Tensor = buffer()
    whitening: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.register_buffer("means", torch.zeros(len(self.classes), self.head.last))
        self.register_buffer("whitening", torch.zeros(self.head.last, self.head.last))

    def keep(self, last: Tensor, logits: Tensor, numbers: Tensor) -> None:
        self.means = torch.stack([last[numbers == number].mean(dim=0) for number in range(len(self.classes))])
        within = Gaussian(last.shape[1])
        within.add((last - self.means[numbers]).cpu())
        within.check_varies()
        self.whitening = inverse_root(within.shrunk()).to(last)

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        centred = last.unsqueeze(1) - self.means  # (N, K, D)
        return (centred @ self.whitening.T).square().sum(dim=2).amin(dim=1).sqrt()
