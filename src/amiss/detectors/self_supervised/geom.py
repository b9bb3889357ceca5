"""GEOM: a network learns to tell how a normal image was transformed, and is unsure of strange ones."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.background.dirichlet import FLOOR, fit_dirichlet, log_beta
from amiss.background.geometric_classifier import GeometricClassifier
from amiss.background.transformations import Transformation, all_transformations
from amiss.background.unbiased import LEAST_SIDE, contrast_normalised, shrunk
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, MultipleOf, OneOf, Positive, Share
from amiss.detectors.detector import Detector
from amiss.training import cosine, set_aside, train

FEWEST = 2
"""Transformations that are kept in any case: with one there is nothing to tell."""

CONCENTRATION = 1000.0
"""Most that the parameters of a distribution add up to. Of answers that are always nearly certain they grow without
end, and then the score is made of digits of the posterior that float32 does not have."""

NAMED = 6
"""Dropped transformations that are named in the remark."""


class GEOM(Detector):
    """A classifier of geometric transformations, learned from normal images alone, and how sure it is.

    Background model:
        Each normal image, shrunk to a square of `side` pixels, less its mean and divided by its mean absolute
        deviation, is shown in every combination of flips, shifts and quarter turns; a small convolutional network
        learns to tell which. A tenth of the images takes no part in that. Transformations of which it recognises less
        than `least` there are dropped, one after the other, since nobody can tell them apart: symmetric parts look the
        same turned, and textures shifted. Then, for each transformation T that is left, a Dirichlet distribution of
        the posterior probabilities p(T x) of all normal images is fitted, with parameters that add up to 1000 at most.

    Statistic:
        "dirichlet": minus the mean over the transformations of the log density of p(T x). "simple": 1 - the mean
        posterior of the right transformation. One number per image, no map.

    Assumes:
        Parts lie the same way in every image, and have no symmetry: what is left of the task on textures and round
        parts is little, and so is what can be seen by it. A defect changes how the whole part looks; small ones are
        lost in `side` pixels.

    Args:
        flips: Show images flipped, too.
        turns: Show images turned by 90, 180 and 270 degrees, too.
        shift: Share of the side by which images are moved up, down, left and right, too; 0 for not at all.
        measure: "dirichlet" or "simple".
        least: Share of the held-out images of which a transformation must be recognised to be kept, in (0, 1).
        side: Height and width of the shrunk image, a multiple of 8.
        width: Channels of the first convolution.
        dimension: Numbers of the last hidden layer.
        steps: Training steps.
        batch: Images per step, each in all its transformations.
        rate: Learning rate of AdamW at the start; it falls to 0 along a cosine.

    Raises:
        InputError: A hyper-parameter out of range, no transformations, or a single image.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With K transformations, 72 by default: about 50 K `side`^2 `width`^2 multiply-adds per image, 0.9 billion in the
        default preset, and three times that for each image of each step.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = GEOM(**GEOM.card.presets["tiny"]).fit(toy_part(16, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).image.shape
        (2,)

    References:
        Golan and El-Yaniv, "Deep anomaly detection using geometric transformations", NeurIPS 2018, arXiv 1805.10917.
        Minka, "Estimating a Dirichlet distribution", 2000.
        Differs from the paper: transformations that cannot be told apart are dropped; a small network with three
        convolutions instead of a wide residual one, bounded parameters of the distributions, AdamW with a falling rate
        instead of Adam, steps instead of epochs.
    """

    card: ClassVar[Card] = Card(
        name="geom",
        family="self_supervised",
        title="GEOM",
        paper="Golan and El-Yaniv, Deep anomaly detection using geometric transformations",
        url="https://arxiv.org/abs/1805.10917",
        year=2018,
        learning=Learning.GRADIENT,
        localises=False,
        weights_licence="none",
        presets={
            "default": {},
            "paper": {
                "side": 32,
                "width": 64,
                "dimension": 256,
                "steps": 5000,
                "least": 0.02,
                "batch": 4,
                "rate": 2e-3,
            },
            "tiny": {"turns": False, "width": 4, "dimension": 16, "side": 16, "steps": 60, "batch": 8, "rate": 1e-2},
        },
    )

    flips: bool = True
    turns: bool = True
    shift: Annotated[float, Between(0, 0.5, "left")] = 0.25
    measure: Annotated[str, OneOf("dirichlet", "simple")] = "dirichlet"
    least: Share = 0.5
    side: Annotated[Count, MultipleOf(LEAST_SIDE)] = 32
    width: Count = 16
    dimension: Count = 128
    steps: Count = 600
    batch: Count = 4
    rate: Annotated[float, Positive] = 2e-3
    kept: Tensor = buffer()
    alpha: Tensor = buffer()
    usual: Tensor = buffer()
    constant: Tensor = buffer()

    @property
    def transformations(self) -> tuple[Transformation, ...]:
        """All of them, the dropped ones too."""
        return all_transformations(flips=self.flips, turns=self.turns, shift=round(self.shift * self.side))

    def check_together(self) -> None:
        if len(self.transformations) < 2:
            raise InputError("flips, turns or shift must ask for transformations, got none of them")

    def build(self, *, pretrained: bool) -> None:
        count = len(self.transformations)
        self.classifier = GeometricClassifier(self.transformations, self.side, self.width, self.dimension)
        self.register_buffer("kept", torch.arange(count))
        self.register_buffer("alpha", torch.ones(count, count))
        self.register_buffer("usual", torch.zeros(count, count))
        self.register_buffer("constant", torch.zeros(count))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with torch.no_grad():
            normal = torch.cat([self.describe(batch) for batch in self.batches(images, "images", progress)])
        learning, aside = set_aside(len(normal), rng)
        shown = normal[torch.from_numpy(learning).to(normal.device)]
        train(
            self.classifier,
            torch.optim.AdamW(self.classifier.parameters(), lr=self.rate, weight_decay=1e-4),
            self.classifier.asked(shown, self.batch),
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        with torch.no_grad():
            held_out = torch.cat(
                [self.classifier(one[None]) for one in normal[torch.from_numpy(aside).to(normal.device)]]
            )
            self.kept = torch.tensor(told_apart(held_out.cpu().numpy(), self.least)).to(normal.device)
            logs = torch.cat([self._log_posterior(one[None]) for one in normal]).cpu().double().numpy()  # (N, K, K)
        alpha = fit_dirichlet(np.exp(logs).swapaxes(0, 1))
        alpha *= np.minimum(1, CONCENTRATION / alpha.sum(axis=1, keepdims=True))
        self.alpha = torch.from_numpy(alpha).float().to(normal.device)
        usual = logs.mean(axis=0)
        self.usual = torch.from_numpy(usual).float().to(normal.device)
        self.constant = torch.from_numpy(log_beta(alpha) - ((alpha - 1) * usual).sum(axis=1)).float().to(normal.device)

    def remarks(self) -> tuple[str, ...]:
        every, kept = self.transformations, set(self.kept.tolist())
        dropped = [one.name for number, one in enumerate(every) if number not in kept]
        if not dropped:
            return ()
        more = f" and {len(dropped) - NAMED} more" if len(dropped) > NAMED else ""
        few = " Hardly any can: this method sees little of such images; use another one." if len(kept) == FEWEST else ""
        return (
            f"{len(dropped)} of {len(every)} transformations could not be told apart on good images held out of "
            f"training, and are not asked for: {'; '.join(dropped[:NAMED])}{more}.{few}",
        )

    def statistic(self, batch: Tensor) -> Tensor:
        logs = self._log_posterior(self.describe(batch))  # (N, K, K)
        if self.measure == "simple":
            return 1 - logs.exp().diagonal(dim1=1, dim2=2).mean(dim=1)
        beyond = (self.alpha - 1) * (logs - self.usual)  # from the mean of normal images, to keep digits
        return (self.constant - beyond.sum(dim=2)).mean(dim=1)

    def describe(self, batch: Tensor) -> Tensor:
        """Shrunk images (N, 3, side, side) of a batch (N, 3, H, W)."""
        return contrast_normalised(shrunk(batch, self.side))

    def _log_posterior(self, images: Tensor) -> Tensor:
        """Log posterior probabilities of the K' transformations that are kept, in each of them, (N, K', K')."""
        logits: Tensor = self.classifier(images)[:, self.kept][:, :, self.kept]
        return logits.log_softmax(dim=2).clamp_min(float(np.log(FLOOR)))


def told_apart(logits: NDArray[np.float32], least: float) -> list[int]:
    """The transformations that a classifier recognises, dropping the one it recognises least until all are.

    Args:
        logits: Of N held-out images in K transformations, (N, K, K).
        least: Share of the images of which each that stays is recognised among those that stay.

    Returns:
        At least `FEWEST`, whatever they are recognised of.
    """
    kept = list(range(logits.shape[1]))
    while len(kept) > FEWEST:
        among = logits[:, kept][:, :, kept]
        recognised = (among.argmax(axis=2) == np.arange(len(kept))).mean(axis=0)
        weakest = len(kept) - 1 - int(recognised[::-1].argmin())  # of equals the last: the first is the plain image
        if recognised[weakest] >= least:
            break
        del kept[weakest]
    return kept
