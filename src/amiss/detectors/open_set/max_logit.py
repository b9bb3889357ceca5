"""Maximum logit: an image is strange when no class gets a large logit."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.detectors.known_classes import PRESETS, KnownClasses


class MaxLogit(KnownClasses):
    """Known classes, and an image that none of them claims strongly.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images.

    Statistic:
        Minus the largest logit: one number per image, no map.

    Assumes:
        The classifier says strongly what it knows, and only that. A normalised or over-smoothed classifier loses the
        size of its logits, and with it what is measured here; an image far away from all classes may get a large one.

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
        >>> detector = MaxLogit(**MaxLogit.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Vaze, Han, Vedaldi and Zisserman, "Open-set recognition: a good closed-set classifier is all you need", ICLR
        2022, arXiv 2110.06207. Hendrycks et al., "Scaling out-of-distribution detection for real-world settings", ICML
        2022.
        Differs from the paper: the paper's networks are deeper and learn for 600 epochs from larger sets; the preset
        "paper" comes as near as a small network of one's own does. AdamW instead of SGD, flips, quarter turns and
        shifts instead of RandAugment.
    """

    card: ClassVar[Card] = Card(
        name="max_logit",
        family="open_set",
        title="Maximum logit",
        paper="Vaze et al., Open-set recognition: a good closed-set classifier is all you need",
        url="https://arxiv.org/abs/2110.06207",
        year=2022,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            **PRESETS,
            "paper": PRESETS["paper"] | {"label_smoothing": 0.1},
        },
    )

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        return -logits.amax(dim=1)
