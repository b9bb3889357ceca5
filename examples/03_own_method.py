"""A method of your own, checked by the suite that Amiss uses for its own methods.

Background model: the mean image. Statistic: squared difference to it, smoothed.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from amiss.core.card import Card, Learning
from amiss.core.parameters import buffer
from amiss.core.ranges import AtLeast, Odd
from amiss.detectors.detector import Detector
from amiss.testing import check_detector, toy_part


class MeanImage(Detector):
    """Distance to the mean normal image.

    Background model:
        The mean of the normal images, pixel by pixel.

    Statistic:
        Squared difference to the mean, averaged over the colours and over a square window.

    Assumes:
        Parts lie at the same place, and normal ones differ little.

    Args:
        window: Side of the window, in pixels.

    Raises:
        InputError: An even window, or one below 1.

    Cost:
        Learning: one pass. Scoring: 3 H W multiply-adds per image. State: one image.

    Example:
        >>> MeanImage(window=9).window
        9

    References:
        None; this is an example.
        Differs from the paper: there is none.
    """

    card: ClassVar[Card] = Card(
        name="mean_image",
        family="reconstruction",
        title="Mean image",
        paper="this example",
        url="https://example.org",
        year=2026,
        learning=Learning.ONE_PASS,
        weights_licence="none",
        presets={"default": {}, "paper": {}, "tiny": {}},
    )

    window: Annotated[int, AtLeast(1), Odd] = 5  # a keyword of the constructor: its name, type, range and default
    mean: Tensor = buffer()  # made in build

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(0, 0, 0))

    def learn(self, images, rng, progress) -> None:
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch):
        difference = (batch - self.mean).square().mean(dim=1)  # (N, H, W)
        return avg_pool2d(difference, self.window, 1, self.window // 2, count_include_pad=False)


if __name__ == "__main__":
    detector = MeanImage().fit(toy_part(20, seed=0).images)
    print("good:     ", detector.score(toy_part(3, seed=1).images).image)
    print("defective:", detector.score(toy_part(3, seed=2, defective=True).images).image)
    check_detector(MeanImage)
    print("all checks passed")
