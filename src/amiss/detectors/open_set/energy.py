"""Energy: an image is strange when all classes together claim it weakly."""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.ranges import Positive
from amiss.detectors.known_classes import PRESETS, KnownClasses


class Energy(KnownClasses):
    """Known classes, and an image that all of them together claim weakly.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images.

    Statistic:
        The free energy of the logits z: -T log sum exp(z / T), one number per image, no map. A small temperature T
        makes it `max_logit`.

    Assumes:
        As `max_logit`: the size of the logits says how well an image is known.

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
        temperature: T, in units of the logits.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, images without labels, or of one
        class.

    Cost:
        Learning: each image goes through the network once per version, then the head learns in seconds; an own network
        takes three times the operations of scoring for each image of each step. Scoring: the network alone.

    Example:
        >>> from amiss.testing import toy_classes
        >>> detector = Energy(**Energy.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Liu, Wang, Owens and Li, "Energy-based out-of-distribution detection", NeurIPS 2020, arXiv 2010.03759.
        Differs from the paper: the score of a classifier as it is, without the fine-tuning on images of strange things.
        Of training: the paper takes Wide ResNets learned on CIFAR; here it is that of `max_logit`.
    """

    card: ClassVar[Card] = Card(
        name="energy",
        family="open_set",
        title="Energy",
        paper="Liu et al., Energy-based out-of-distribution detection",
        url="https://arxiv.org/abs/2010.03759",
        year=2020,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets=PRESETS,
    )

    temperature: Annotated[float, Positive] = 1.0

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        return -self.temperature * (logits / self.temperature).logsumexp(dim=1)
