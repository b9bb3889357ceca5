"""Nearest neighbours of all classes, on the classifier's last features."""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor
from torch.nn import functional

from amiss.background.memory_bank import add_bank, bank_distances, fill_bank
from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.parameters import buffer
from amiss.core.ranges import Between, Count
from amiss.detectors.known_classes import PRESETS, KnownClasses


class ClassNeighbours(KnownClasses):
    """Known images as directions of the classifier's last features, and an image far from those it resembles most.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images. Of each image learned from, its last features are kept, brought to length 1.

    Statistic:
        Euclidean distance of the last features, of length 1, to the k-th nearest of them: one number per image, no map.

    Assumes:
        Last features of known images fill their neighbourhood; `neighbours` is below the number of images of a class.

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
        neighbours: k; all where there are fewer images.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, images without labels, or of one
        class.

    Cost:
        Learning: each image goes through the network once per version, then the head learns in seconds; an own network
        takes three times the operations of scoring for each image of each step. Scoring: D M multiply-adds per image
        besides the network. State: M D numbers for M images.

    Example:
        >>> from amiss.testing import toy_classes
        >>> detector = ClassNeighbours(**ClassNeighbours.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Sun, Ming, Zhu and Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022, arXiv 2204.06507.
        Differs from the paper: in the training alone, which is that of `max_logit`.
    """

    card: ClassVar[Card] = Card(
        name="class_knn",
        family="open_set",
        title="Nearest neighbours of classes",
        paper="Sun et al., Out-of-distribution detection with deep nearest neighbors",
        url="https://arxiv.org/abs/2204.06507",
        year=2022,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            **PRESETS,
            "paper": PRESETS["paper"] | {"neighbours": 50},
            "tiny": PRESETS["tiny"] | {"neighbours": 3},
        },
    )

    one_length: bool = False
    dropout: Annotated[float, Between(0, 1, "left")] = 0.0
    neighbours: Count = 10
    center: Tensor = buffer()
    bank: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        add_bank(self, self.head.last)

    def keep(self, last: Tensor, logits: Tensor, numbers: Tensor) -> None:
        fill_bank(self, functional.normalize(last, dim=1))

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        return bank_distances(self, functional.normalize(last, dim=1), self.neighbours).amax(dim=1)
