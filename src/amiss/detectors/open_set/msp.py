"""Maximum softmax probability: an image is strange when the classifier is not sure."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.detectors.known_classes import PRESETS, KnownClasses


class MaxSoftmax(KnownClasses):
    """Known classes, and an image of which the classifier is not sure.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images.

    Statistic:
        The log odds against the likeliest class of the softmax, log((1 - p) / p): it orders images as 1 - p does,
        without all sure ones being equal in 32 bits. One number per image, no map.

    Assumes:
        An image of no class lies between classes. One far away from all of them can be called with certainty;
        `class_mahalanobis` and `class_knn` see that, this does not.

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
        takes three times the operations of scoring for each image of each step. Scoring: the network alone.

    Example:
        >>> from amiss.testing import toy_classes
        >>> detector = MaxSoftmax(**MaxSoftmax.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Hendrycks and Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural
        networks", ICLR 2017, arXiv 1610.02136.
        Differs from the paper: log odds in place of the probability, which is the same order. Of training: that of
        `max_logit`.
    """

    card: ClassVar[Card] = Card(
        name="msp",
        family="open_set",
        title="Maximum softmax probability",
        paper="Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples",
        url="https://arxiv.org/abs/1610.02136",
        year=2017,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets=PRESETS,
    )

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        ordered = logits.topk(logits.shape[1], dim=1).values  # the likeliest first
        return ordered[:, 1:].logsumexp(dim=1) - ordered[:, 0]
