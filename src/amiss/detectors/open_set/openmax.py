"""OpenMax: logits made smaller by how far an image lies from the mean of each class."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from amiss.background.weibull import LEAST, fit_tail, weibull_cdf
from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.parameters import buffer
from amiss.core.ranges import AtLeast, Count, OneOf
from amiss.detectors.known_classes import PRESETS, KnownClasses


class OpenMax(KnownClasses):
    """Known classes with Weibull tails, and the share of the logits that goes to a class of the unknown.

    Background model:
        A classifier of the labelled images: mean and deviation of a frozen network's features over the image, or a
        small network of its own, and a linear head, with or without a hidden layer. It learns from mirrored, turned and
        shifted images. For each class the mean of the logits of its images that are told rightly, and a Weibull
        distribution, from 0 on, of the `tail` largest distances to it (eta in the paper).

    Statistic:
        The `top` largest logits (alpha in the paper), the i-th by (top + 1 - i) / top, lose the share that the Weibull
        of their class gives for the image's distance to its mean; what they lose together is the logit of the unknown,
        z_0. The score is z_0 less the log-sum-exp of the others: the log odds of the unknown. One number per image, no
        map.

    Assumes:
        Distances of known images to the mean of their class have a tail that a few of them show. It depends on `tail`,
        and a class needs some 20 images.

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
        tail: eta, the largest distances of a class that its Weibull is fitted to; at most half of them.
        top: alpha, the classes whose logits may become smaller; all where there are fewer.
        distance: "euclidean", "cosine", or "both": a two-hundredth of the first and the second, as in the paper.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, images without labels, or of one
        class. Or a class of which fewer than 3 images are told rightly, or all lie equally far from their mean.

    Cost:
        Learning: each image goes through the network once per version, then the head learns in seconds; an own network
        takes three times the operations of scoring for each image of each step. Scoring: K^2 operations per image
        besides the network. State: K^2 + 2 K numbers.

    Example:
        >>> from amiss.testing import toy_classes
        >>> detector = OpenMax(**OpenMax.card.presets["tiny"]).fit(toy_classes(12, seed=0).images)
        >>> detector.classes, detector.score(toy_classes(4, seed=1).images).classes.tolist()
        (('cloth', 'part'), [0, 1, 0, 1])

    References:
        Bendale and Boult, "Towards open set deep networks", CVPR 2016, arXiv 1511.06233.
        Differs from the paper: the Weibull has its origin at 0 and is fitted by maximum likelihood; libMR, which the
        authors use, shifts the tail to begin at 1, whatever the unit. Log odds in place of the probability, which is
        the same order. One number per image, without the paper's second test on the largest probability. Of training:
        that of `max_logit`.
    """

    card: ClassVar[Card] = Card(
        name="openmax",
        family="open_set",
        title="OpenMax",
        paper="Bendale and Boult, Towards open set deep networks",
        url="https://arxiv.org/abs/1511.06233",
        year=2016,
        learning=Learning.GRADIENT,
        learns_from=LearnsFrom.CLASSES,
        localises=False,
        weights_licence="Apache-2.0",
        presets={
            **PRESETS,
            "paper": PRESETS["paper"] | {"distance": "both"},
            "tiny": PRESETS["tiny"] | {"one_length": False, "dropout": 0.0},
        },
    )

    tail: Annotated[int, AtLeast(LEAST)] = 20
    top: Count = 10
    distance: Annotated[str, OneOf("euclidean", "cosine", "both")] = "euclidean"
    means: Tensor = buffer()
    shape: Tensor = buffer()
    scale: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        count = len(self.classes)
        for name, sides in (("means", (count, count)), ("shape", (count,)), ("scale", (count,))):
            self.register_buffer(name, torch.ones(sides))

    def keep(self, last: Tensor, logits: Tensor, numbers: Tensor) -> None:
        right = logits.argmax(dim=1) == numbers
        chosen = [logits[right & (numbers == number)] for number in range(len(self.classes))]
        for name, own in zip(self.classes, chosen, strict=True):
            if len(own) < LEAST:
                raise InputError(
                    f"openmax must tell at least {LEAST} images of each class rightly, got {len(own)} of {name!r}; "
                    "give more images, or choose max_logit or energy"
                )
        self.means = torch.stack([own.mean(dim=0) for own in chosen])
        far = [self.distances(own)[:, number] for number, own in enumerate(chosen)]
        tails = [fit_tail(one.cpu().numpy(), self.tail, name) for one, name in zip(far, self.classes, strict=True)]
        self.shape, self.scale = (torch.tensor(values).to(logits) for values in zip(*tails, strict=True))

    def distances(self, logits: Tensor) -> Tensor:
        """How far logits (N, K) lie from the mean of each class, (N, K)."""
        straight = (logits.unsqueeze(1) - self.means).square().sum(dim=2).sqrt()
        if self.distance == "euclidean":
            return straight
        angle = 1 - functional.normalize(logits, dim=1) @ functional.normalize(self.means, dim=1).T
        return angle if self.distance == "cosine" else straight / 200 + angle

    def strangeness(self, last: Tensor, logits: Tensor) -> Tensor:
        top = min(self.top, len(self.classes))
        order = logits.topk(len(self.classes), dim=1).indices
        share = torch.arange(top, top - len(self.classes), -1, device=logits.device).clamp_min(0) / top  # by rank
        beyond = weibull_cdf(self.distances(logits), self.shape, self.scale)
        lost = logits.gather(1, order) * share * beyond.gather(1, order)
        return lost.sum(dim=1) - (logits.gather(1, order) - lost).logsumexp(dim=1)
