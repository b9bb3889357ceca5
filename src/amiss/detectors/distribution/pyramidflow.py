"""PyramidFlow: an invertible, volume-preserving map of a Laplacian pyramid in which normal images are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.flow import Flow, convolutions
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OddCount, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import CachedFeatures, cached_features
from amiss.statistics.reduce import resized, smooth_upsample
from amiss.training import cosine, train


class PyramidFlow(Detector):
    """A latent image in which normal parts are all alike; a pixel is as strange as it differs from their mean.

    Background model:
        A map of the image (a stage of a frozen network, or the image itself with its colours spread over
        `channels`) is taken apart into a Laplacian pyramid. Couplings change every level by what its neighbours show,
        those of even number and those of odd number in turn. Their scales multiply to 1 at every place, so volume is
        preserved: differences can only shrink in one direction by growing in another. Training lowers the mean
        amplitude of the Fourier transform of the difference between the latent pyramids of two normal images. The
        mean latent pyramid of all normal images is kept, the template.

    Statistic:
        Mean absolute difference from the template over the channels, on each level; enlarged to the image,
        smoothed and summed.

    Assumes:
        Parts lie at the same place and turned the same way in every image.

    Args:
        backbone: See `amiss.features.create_backbone`; or "none" for the image itself.
        stage: Stride of the stage; of no account with backbone "none".
        channels: Channels over which the colours are spread with backbone "none"; of no account otherwise. At least 3.
        levels: Levels of the pyramid, at least 2; each is half as wide as the one before.
        stacks: Rounds of couplings over all levels.
        kernel: Odd width of the convolutions in a coupling.
        hidden: Channels between its two convolutions, as a multiple of what they read.
        clamp: Largest absolute logarithm of a scale in one coupling, before volume normalisation.
        steps: Training steps.
        pairs: Pairs of images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, a single normal image, normal images
            that do not vary, or scoring at another size than that of the learned template.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        A coupling costs `hidden` (R^2 + R C) `kernel`^2 multiply-adds per cell, R the channels that it reads: C / 2 and
        C for each neighbouring level. The default preset takes 260 million per image of 256 x 256, and three times
        that in learning. State: the template, 4/3 C h w numbers.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = PyramidFlow(**PyramidFlow.card.presets["tiny"]).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Lei et al., "PyramidFlow: high-resolution defect contrastive localization using pyramid normalizing flow",
        CVPR 2023, arXiv 2303.02595.
        Differs from the paper: by default one stage of the embedded network instead of the image at full resolution,
        which takes hours on two cores; levels are coupled within themselves under the condition of their neighbours,
        with fixed permutations instead of learned 1x1 convolutions; volume is normalised over the channels in every
        preset; colours and features are standardised first. The last step is kept.
    """

    card: ClassVar[Card] = Card(
        name="pyramidflow",
        family="distribution",
        title="PyramidFlow",
        paper="Lei et al., PyramidFlow: high-resolution defect contrastive localization",
        url="https://arxiv.org/abs/2303.02595",
        year=2023,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "none",
                "levels": 4,
                "stacks": 4,
                "kernel": 7,
                "hidden": 1.0,
                "steps": 1500,
                "pairs": 1,
                "rate": 2e-4,
                "smoothing": 0.0,
            },
            "tiny": {
                "backbone": "tiny-random",
                "levels": 2,
                "stacks": 1,
                "steps": 60,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stage: Count = 4
    channels: Annotated[int, AtLeast(3)] = 16
    levels: Annotated[int, AtLeast(2)] = 3
    stacks: Count = 2
    kernel: OddCount = 3
    hidden: Annotated[float, Positive] = 0.5
    clamp: Annotated[float, Positive] = 2.0
    steps: Count = 300
    pairs: Count = 4
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features: FeatureExtractor | None = None
        entering, channels = 3, self.channels
        if self.backbone != "none":
            self.features = FeatureExtractor(self.backbone, (self.stage,), pretrained=pretrained)
            entering = channels = self.features.channels[0]
        self.standardising = nn.ModuleList([Standardising(entering)])
        self.register_buffer("spreading", torch.linalg.qr(torch.randn(channels, entering)).Q)  # columns of norm 1
        self.flow = PyramidCouplings(
            channels, self.levels, self.stacks, kernel=self.kernel, hidden=self.hidden, clamp=self.clamp
        )
        for level in range(self.levels):
            self.register_buffer(f"template_{level}", torch.zeros(0, 0, 0))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        if len(images) < 2:
            raise InputError("pyramidflow needs at least 2 normal images to see how they differ, got 1")
        key = "pixels" if self.features is None else self.features.key()
        with cached_features(self.describe, key, images, progress, device=self.device) as cache:
            learn_standardising(self.standardising, cache.batches())

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                drawn = [rng.choice(len(cache), size=2, replace=False) for _ in range(self.pairs)]
                latent = self.latent(cache.batch(np.concatenate(drawn))[0])
                spectra = [torch.fft.fft2(level[0::2] - level[1::2], norm="ortho").abs() for level in latent]
                return torch.stack([spectrum.mean() for spectrum in spectra]).mean()

            train(
                self.flow,
                torch.optim.Adam(self.flow.parameters(), lr=self.rate, betas=(0.5, 0.9), weight_decay=1e-5),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                clip=1.0,
                checkpoint=self.checkpoint,
                progress=progress,
            )
            self._learn_template(cache)

    @torch.no_grad()
    def _learn_template(self, cache: CachedFeatures) -> None:
        sums: list[Tensor] = []
        for (maps,) in cache.batches():
            parts = [level.cpu().double().sum(dim=0) for level in self.latent(maps)]
            sums = [one + two for one, two in zip(sums, parts, strict=True)] if sums else parts
        for level, total in enumerate(sums):
            setattr(self, f"template_{level}", (total / len(cache)).float().to(self.device))

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        latent = self.latent(self.describe(batch)[0])
        templates: list[Tensor] = [getattr(self, f"template_{level}") for level in range(self.levels)]
        if latent[0].shape[1:] != templates[0].shape:
            raise InputError(
                f"an image must have {tuple(templates[0].shape[1:])} cells, as it has learned, got "
                f"{tuple(latent[0].shape[2:])}: score at the same size"
            )
        maps = [(one - other).abs().mean(dim=1) for one, other in zip(latent, templates, strict=True)]
        return torch.stack([smooth_upsample(one, size, smoothing=self.smoothing) for one in maps]).sum(dim=0)

    def describe(self, batch: Tensor) -> list[Tensor]:
        """The map from which everything starts, (N, C, h, w) alone in a list: features, or the colours as they are."""
        return [batch] if self.features is None else self.features(batch)

    def latent(self, maps: Tensor) -> list[Tensor]:
        """The latent pyramid of maps (N, C, h, w): one (N, C, h_l, w_l) a level, finest first."""
        maps = self.standardising[0](maps)
        if self.features is None:
            maps = torch.einsum("dc,nchw->ndhw", self.get_buffer("spreading"), maps)
        levels: list[Tensor] = self.flow(split_pyramid(maps, self.levels))
        return levels


class PyramidCouplings(nn.Module):
    """Couplings of each level of a pyramid, under the condition of its neighbours; invertible, of volume 1.

    Args:
        channels: C, of every level.
        levels: Levels, at least 2.
        stacks: Rounds over all levels: those of even number, then those of odd number.
        kernel: See `amiss.background.flow.convolutions`.
        hidden: See `amiss.background.flow.convolutions`.
        clamp: See `amiss.background.flow.Coupling`.
    """

    def __init__(self, channels: int, levels: int, stacks: int, *, kernel: int, hidden: float, clamp: float) -> None:
        super().__init__()
        self.order = [*range(0, levels, 2), *range(1, levels, 2)] * stacks
        nets = [convolutions(kernel, hidden)] * 2  # two couplings reach all channels
        self.flows = nn.ModuleList(
            Flow(
                channels,
                nets,
                clamp=clamp,
                conditions=channels * len({level - 1, level + 1} & set(range(levels))),
                volume_preserving=True,
            )
            for level in self.order
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """One (N, C, h_l, w_l) a level to the same shapes; the log-determinant is 0 and is not returned."""
        changed = list(levels)
        for level, flow in zip(self.order, self.flows, strict=True):
            changed[level] = flow(changed[level], _neighbours(changed, level))[0]
        return changed

    def inverse(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels that `forward` takes to these."""
        changed = list(levels)
        for level, flow in zip(reversed(self.order), reversed(self.flows), strict=True):
            changed[level] = cast(Flow, flow).inverse(changed[level], _neighbours(changed, level))
        return changed


def _neighbours(levels: Sequence[Tensor], level: int) -> Tensor:
    """The levels before and after one, brought to its size: (N, C or 2 C, h, w)."""
    around = [levels[other] for other in (level - 1, level + 1) if 0 <= other < len(levels)]
    return torch.cat([resized(one, levels[level].shape[2:]) for one in around], dim=1)


def split_pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """Laplacian pyramid of maps (N, C, h, w): what each level adds to the next, finest first, and the coarsest itself.

    Each level has half the height and width of the one before, rounded up. `join_pyramid` undoes it for any size.

    Example:
        >>> [tuple(level.shape) for level in split_pyramid(torch.zeros(1, 2, 7, 4), 3)]
        [(1, 2, 7, 4), (1, 2, 4, 2), (1, 2, 2, 1)]
    """
    pyramid = []
    for _ in range(levels - 1):
        coarse = resized(x, torch.Size([(x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2]))
        pyramid.append(x - resized(coarse, x.shape[2:]))
        x = coarse
    return [*pyramid, x]


def join_pyramid(levels: Sequence[Tensor]) -> Tensor:
    """The maps (N, C, h, w) from which `split_pyramid` made these levels."""
    x = levels[-1]
    for level in reversed(levels[:-1]):
        x = level + resized(x, level.shape[2:])
    return x
