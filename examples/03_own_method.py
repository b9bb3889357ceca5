"""A method of your own in thirty lines, checked by the suite that Amiss uses for its own methods.

Background model: the mean picture. Statistic: squared difference to it, smoothed.
"""

import torch
from torch.nn.functional import avg_pool2d

from amiss.core.card import Card, Learning
from amiss.detectors.detector import Detector
from amiss.testing import toy_part
from amiss.testing.detector_checks import check_pure


class MeanPicture(Detector):
    """Distance to the mean normal picture."""

    card = Card(
        name="mean_picture",
        family="reconstruction",
        title="Mean picture",
        paper="this example",
        url="https://example.org",
        year=2026,
        learning=Learning.ONE_PASS,
        weights_licence="none",
        presets={"default": {}, "paper": {}, "tiny": {}},
    )

    def __init__(self, *, window: int = 5) -> None:
        super().__init__()
        self.window = window

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(0, 0, 0))

    def learn(self, images, rng, progress) -> None:
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch):
        difference = (batch - self.mean).square().mean(dim=1)  # (N, H, W)
        return avg_pool2d(difference, self.window, 1, self.window // 2)


detector = MeanPicture().fit(toy_part(20, seed=0).images)
print("good:     ", detector.score(toy_part(3, seed=1).images).image)
print("defective:", detector.score(toy_part(3, seed=2, defective=True).images).image)
check_pure(MeanPicture)  # one of the checks; amiss.testing.check_detector runs them all
