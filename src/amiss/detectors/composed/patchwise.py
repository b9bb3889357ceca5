"""Patchwise: a method for whole images, applied to every window of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.pieces import cut_out
from amiss.core.progress import Progress
from amiss.core.ranges import Count
from amiss.detectors.detector import Detector, score_of
from amiss.features import FeatureExtractor
from amiss.registry import create
from amiss.statistics.windows import cut_windows, spread_windows, window_starts

DEFAULT_SETTINGS: Mapping[str, Any] = {}


class Patchwise(Detector):
    """A method that gives one number per image learns windows of normal images, and scores windows: a map.

    Background model:
        That of the inner method, learned from square windows of the normal images as if each were an image. Up to
        `windows` of them are drawn, from the places where windows are scored.

    Statistic:
        The inner method's score of each window, every `stride` pixels. A pixel gets the mean of the windows that cover
        it, weighted by how close it is to their centres: with windows that overlap by half, the linear interpolation
        between the centres.

    Assumes:
        What is normal in one window is normal in any other. A defect fills enough of a window to change its score.

    Args:
        method: The inner method: one of `amiss.registry.list_methods` that does not localise.
        settings: Hyper-parameters of the inner method that differ from its default preset, by name.
        window: Side of the windows, in pixels of the detector's input.
        stride: Pixels from one window to the next, at most `window`.
        windows: Most windows learned from; what the inner method can take.

    Raises:
        InputError: A hyper-parameter out of range, an inner method that localises or is not known, or images smaller
            than a window.

    Cost:
        Learning: that of the inner method for `windows` small images; none of them is kept in memory. Scoring: about
        H W / `stride`^2 windows per image, all in one batch; the network sees (`window` / `stride`)^2 times as many
        pixels as the image has. State: that of the inner method.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = Patchwise(**Patchwise.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Bergmann, Löwe, Fauser, Sattlegger and Steger, "Improving unsupervised defect segmentation by applying
        structural similarity to autoencoders", 2019, arXiv 1807.02011, and many others slide a window over the
        image.
        Differs from the paper: the paper trains an autoencoder on windows and compares pixels by structural similarity;
        the autoencoder here localises by itself, so the preset "paper" has its windows of 128 x 128 pixels every 30
        only, with `mvg` inside, and its figures are not to be expected. Any method for whole images serves;
        overlapping windows are averaged with weights that fall towards their borders.
    """

    card: ClassVar[Card] = Card(
        name="patchwise",
        family="composed",
        title="Patchwise",
        paper="Bergmann et al., Improving unsupervised defect segmentation by applying structural similarity",
        url="https://arxiv.org/abs/1807.02011",
        year=2019,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"window": 128, "stride": 30, "windows": 10_000},
            "tiny": {
                "settings": {"backbone": "tiny-random", "stages": [4, 8]},
                "window": 16,
                "stride": 4,
                "windows": 500,
            },
        },
    )

    method: str = "mvg"
    settings: Mapping[str, Any] = DEFAULT_SETTINGS
    window: Count = 64
    stride: Count = 32
    windows: Count = 2000

    def check_together(self) -> None:
        if self.stride > self.window:
            raise InputError(f"stride must be at most window = {self.window}, to leave no pixel out, got {self.stride}")

    def build(self, *, pretrained: bool) -> None:
        self.inner = create(self.method, **self.settings)
        if (learns := self.inner.card.learns_from) is not LearnsFrom.NORMAL:
            raise InputError(
                f"method must be one that learns from normal images, got {self.method!r}, which learns from {learns}"
            )
        self.inner.build(pretrained=pretrained)
        card = self.inner.card  # which may depend on its settings, and is that of its class before it is built
        if card.localises:
            raise InputError(f"method must be one that does not localise by itself, got {self.method!r}")
        vars(self)["card"] = replace(  # of this detector: the class cannot know what is inside
            type(self).card,
            learning=card.learning,
            exportable=card.exportable,
            weights_licence=card.weights_licence,
        )

    @property
    def features(self) -> FeatureExtractor | None:
        """The inner method's backbone; None before `build`, or when it has none."""
        found = getattr(getattr(self, "inner", None), "features", None)
        return found if isinstance(found, FeatureExtractor) else None

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments; once built, with a name of the backbone that loads without its weight file."""
        settings = super().hyperparameters()
        if self.features is not None:
            settings["settings"] = {**self.settings, "backbone": self.features.name}
        return settings

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.inner.checkpoint = self.checkpoint
        self.inner.learn(self.draw(images, rng), rng, progress)

    def statistic(self, batch: Tensor) -> Tensor:
        windows = cut_windows(batch, self.window, self.stride)  # (N, a, b, 3, window, window)
        scores = score_of(self.inner.statistic(windows.flatten(0, 2))).reshape(-1, *windows.shape[1:3])  # (N, a, b)
        return spread_windows(scores, (batch.shape[2], batch.shape[3]), self.window, self.stride)

    def draw(self, images: Images, rng: np.random.Generator) -> Images:
        """Windows of normal images, up to `windows`, as images that are cut out when they are asked for."""
        height, width = images.size or (0, 0)
        rows, columns = (window_starts(side, self.window, self.stride) for side in (height, width))
        places = (len(images), len(rows), len(columns))
        total = int(np.prod(places))
        chosen = np.sort(rng.choice(total, min(total, self.windows), replace=False))
        pieces = [
            (int(number), rows[row], columns[column])
            for number, row, column in zip(*np.unravel_index(chosen, places), strict=True)
        ]
        return cut_out(images, pieces, self.window)
