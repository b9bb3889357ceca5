"""WinCLIP: windows of an image, held against words for a good part and for a damaged one. No image is learned from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.detectors.language import LanguageWindows
from amiss.statistics.reduce import smooth_upsample, with_peak

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"backbone": "hf:vit-b-16-plus-240"},
    "tiny": {"backbone": "tiny-random", "temperature": 1.0, "smoothing": 8.0},
}


class WinCLIP(LanguageWindows):
    """An image is as anomalous as CLIP finds it, and each of its windows, nearer to words for damage than for none.

    Background model:
        None from images. Each of the `normal_states` and `anomalous_states` of the part is put into every one of the
        `templates`, and the text tower of CLIP encodes them when the detector is built; the mean of each group is a
        direction. The text tower is not needed after that.

    Statistic:
        For the whole image, and for every square window of `scales` patches, the probability of the anomalous
        direction, with cosines divided by `temperature`; of a window the class token sees its patches alone. A cell
        of the grid gets the harmonic mean over the windows that cover it, then over the scales and the whole image. The
        map is enlarged, smoothed, and scaled so that its maximum is the score of the whole image.

    Assumes:
        Words tell a damaged part from a good one, to a network that learned from photographs of the internet: scratches
        and stains rather than a wrong position or a missing screw. What is good on your line plays no role, except that
        it calibrates the rule.

    Args:
        backbone: A CLIP of your own, "hf:NAME" from the local cache or "hf:FOLDER".
        noun: What the part is, in English.
        normal_states: Texts with {} where the noun goes.
        anomalous_states: The same for parts that are not good.
        templates: Texts with {} where such a state goes.
        scales: Sides of the windows, in patches.
        temperature: By which cosines are divided, above 0.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, a text without {}, a folder that holds no CLIP, or a window that is
            larger than its grid.

    Cost:
        The image tower on the whole image, and on every window: with 15 x 15 patches 196 sequences of 5 tokens and 169
        of 10, 12 times the tokens of the image. State: the image tower.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = WinCLIP(**WinCLIP.card.presets["tiny"], noun="tile").fit(toy_texture(1, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Jeong, Zou, Kim, Zhang, Ravichandran and Dabeer, "WinCLIP: zero-/few-shot anomaly classification and
        segmentation", CVPR 2023, arXiv 2303.14814.
        Differs from the paper: images of any size are resized to those of the CLIP. The map is smoothed, and scaled by
        the score of its image, so that one threshold serves image and pixels. The paper's CLIP has 16 x 16 patches of
        240 pixels and was trained on LAION-400M (preset "paper": a folder of that); other people's figures with other
        weights are much lower.
    """

    card: ClassVar[Card] = Card(
        name="winclip",
        family="zero_shot",
        title="WinCLIP",
        paper="Jeong et al., WinCLIP: zero-/few-shot anomaly classification and segmentation",
        url="https://arxiv.org/abs/2303.14814",
        year=2023,
        learning=Learning.NONE,
        weights_licence="your own",
        presets=PRESETS,
    )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        """Nothing."""

    def statistic(self, batch: Tensor) -> Tensor:
        whole, _, seen = self.look(batch)
        image, grid = self.read(whole, seen)
        return with_peak(smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing), image)
