"""WinCLIP+: words as in WinCLIP, and besides a few good images that windows and patches are held against."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Count
from amiss.detectors.language import LEAST, LanguageWindows
from amiss.statistics.reduce import smooth_upsample, with_peak


class WinCLIPPlus(LanguageWindows):
    """Strange is what words call damaged, and what no window and no patch of a few good images looks like.

    Background model:
        The directions of the words, as in `winclip`; and of up to `shots` good images, drawn at random, the patch
        tokens before the last layer and the embeddings of all windows, each of unit length.

    Statistic:
        Of a patch, and of a window of each scale, half of 1 less the largest cosine with those that are kept; of
        windows a cell gets the harmonic mean over those that cover it. The mean over patches and scales, and the map
        of the words, are averaged. The score of an image is the mean of what words say of the whole image and the
        maximum of the former; the map is scaled so that its maximum is that.

    Assumes:
        What `winclip` assumes; and that the images show how good parts vary.

    Args:
        backbone: A CLIP of your own, "hf:NAME" from the local cache or "hf:FOLDER".
        noun: What the part is, in English.
        normal_states: Texts with {} where the noun goes.
        anomalous_states: The same for parts that are not good.
        templates: Texts with {} where such a state goes.
        scales: Sides of the windows, in patches.
        temperature: By which cosines are divided, above 0.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.
        shots: Most good images that are kept.

    Raises:
        InputError: A hyper-parameter out of range, a text without {}, a folder that holds no CLIP, or a window that is
            larger than its grid.

    Cost:
        That of `winclip`, and cosines with `shots` times as many patches and windows as an image has: 3.4 million per
        kept image with 15 x 15 patches. State: the image tower, and 600 vectors per kept image.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = WinCLIPPlus(**WinCLIPPlus.card.presets["tiny"]).fit(toy_texture(4, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Jeong, Zou, Kim, Zhang, Ravichandran and Dabeer, "WinCLIP: zero-/few-shot anomaly classification and
        segmentation", CVPR 2023, arXiv 2303.14814.
        Differs from the paper: as `winclip` does.
    """

    card: ClassVar[Card] = Card(
        name="winclip_plus",
        family="zero_shot",
        title="WinCLIP+",
        paper="Jeong et al., WinCLIP: zero-/few-shot anomaly classification and segmentation",
        url="https://arxiv.org/abs/2303.14814",
        year=2023,
        learning=Learning.ONE_PASS,
        weights_licence="your own",
        presets={
            "default": {},
            "paper": {"backbone": "hf:vit-b-16-plus-240", "shots": 4},
            "tiny": {"backbone": "tiny-random", "temperature": 1.0, "smoothing": 8.0},
        },
    )

    shots: Count = 8
    patches: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.register_buffer("patches", torch.zeros(0, self.tower.shape.width))
        for scale in self.scales:
            self.register_buffer(f"windows_{scale}", torch.zeros(0, self.tower.shape.embedding))

    @torch.no_grad()
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        chosen = np.sort(rng.permutation(len(images))[: self.shots])
        looks = [self.look(batch) for batch in self.batches(images.subset(chosen), "features", progress)]
        self.patches = F.normalize(torch.cat([patches for _, patches, _ in looks]).flatten(0, 1), dim=1)
        for number, scale in enumerate(self.scales):
            setattr(self, f"windows_{scale}", torch.cat([seen[number] for _, _, seen in looks]).flatten(0, 1))

    def statistic(self, batch: Tensor) -> Tensor:
        whole, patches, seen = self.look(batch)
        image, language = self.read(whole, seen)
        known = [getattr(self, f"windows_{scale}") for scale in self.scales]
        windows = self.grids([apart(each, bank) for each, bank in zip(seen, known, strict=True)])
        grid = apart(F.normalize(patches, dim=2), self.patches).view_as(language)
        shown = torch.stack([grid, *windows]).mean(dim=0)
        map = smooth_upsample((language + shown) / 2, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
        return with_peak(map, (image + shown.amax(dim=(1, 2))) / 2)


def apart(vectors: Tensor, bank: Tensor) -> Tensor:
    """Half of 1 less the largest cosine of vectors (N, n, D) with those of a bank (M, D), of unit length, (N, n)."""
    return ((1 - (vectors @ bank.T).amax(dim=2)) / 2).clamp_min(LEAST)
