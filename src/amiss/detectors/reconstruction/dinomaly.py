"""Dinomaly: tokens of a frozen network go through noise, and are rebuilt by attention that cannot focus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.standardising import Standardising, learn_standardising
from amiss.background.transformer import LinearBlock, check_heads, to_map, to_tokens
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Between, Count, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, on_deepest_grid
from amiss.features.cache import cached_features
from amiss.stable_adamw import StableAdamW
from amiss.statistics.difference import cosine_distance, whole_map_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train

RAMP = 0.1
"""Share of the run over which the share of easy cells grows from 0 to `mining`."""

WARM = 0.01
"""Share of the run over which the rate grows from 0."""

EASED = 0.1
"""What is left of the gradient of an easy cell."""

SPREAD, WIDEST = 0.01, 768
"""Standard deviation of the weights before learning, with so many channels; larger with fewer, so that what the decoder
says is of no less length."""

LAST = 0.1
"""The rate at the end of the run, as a share of the full one."""


def _warmed(done: float) -> float:
    """From 0 to the full rate, then along half a cosine to a tenth."""
    if done < WARM:
        return max(done / WARM, 1e-3)
    return LAST + (1 - LAST) * cosine((done - WARM) / (1 - WARM))


class Dinomaly(Detector):
    """A decoder rebuilds what a frozen network says from a bottleneck of noise, by attention that sees all at once.

    Background model:
        Stages of a frozen network, a token per cell of the deepest one's grid. Their mean goes through two linear
        layers with dropout, the noisy bottleneck, and from there through blocks of linear attention, which cannot look
        at one other token alone and so not copy. Stages, and blocks in reverse order, are divided into a few groups;
        the mean of a group of blocks must point the way of the mean of a group of stages. The loss is 1 - cosine of
        whole maps, with little of the gradient of those cells that are rebuilt well already. Where stages differ in
        channels, they are put side by side instead of averaged, and a linear layer per group brings blocks to these
        channels.

    Statistic:
        1 - cosine between the two at each cell, averaged over the groups, enlarged to the image and smoothed.

    Assumes:
        What the network says of normal images goes through the noise, and what it says of strange ones does not. What
        is finer than a cell is blurred, and often missed; so is what only changes the length of the features.

    Args:
        backbone: See `amiss.features.create_backbone`; meant for vision transformers, such as DINOv2 or DINOv3.
        stages: Strides of the stages, ascending; of a vision transformer: numbers of its layers, from 1.
        groups: Groups of neighbouring stages and blocks, at most as many as there are of each.
        depth: Blocks of the decoder.
        width: Channels of the tokens that the decoder works on, a multiple of `heads`; 0 for those of the stages,
            which must then be the same at all of them.
        heads: Heads of the attention.
        growth: Channels between two linear layers, as a multiple of the tokens'.
        dropout: Share of the numbers that the bottleneck loses in learning, before each of its layers and after.
        mining: Share of the cells, the easy ones, whose gradient counts a tenth; reached after a tenth of the steps.
        standardise: Bring each channel to mean 0 and standard deviation 1 over the normal images first; else what all
            images have in common makes all angles small.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of StableAdamW; it rises for 1 % of the steps, and falls to a tenth along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, more groups than stages or blocks, or
            normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: the frozen network sees each image once (see `amiss.features.cache`); a step takes three times the
        decoder's multiply-adds per image, about ``T D^2 (depth (4 + 2 growth) + 2 growth)`` with T tokens of D
        channels: 0.30 billion for 256 x 256 in the default preset, besides the network's 0.51 in scoring.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = Dinomaly(**Dinomaly.card.presets["tiny"] | {"steps": 3}).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Guo, Lu, Zhang, Chen, Li and Liao, "Dinomaly: the less is more philosophy in multi-class unsupervised anomaly
        detection", CVPR 2025, arXiv 2405.14325.
        Differs from the paper: class and register tokens are not decoded; the image is resized, not cropped; maps are
        enlarged between cell centres, not corners; an image scores the maximum of its map, not the mean of its largest
        percent. The default runs on the convolutional EfficientNet-Lite2, since no vision transformer comes with Amiss:
        three of its stages side by side, with standardised channels; and is smaller and trained for fewer steps.
    """

    card: ClassVar[Card] = Card(
        name="dinomaly",
        family="reconstruction",
        title="Dinomaly",
        paper="Guo et al., Dinomaly: the less is more philosophy in multi-class unsupervised anomaly detection",
        url="https://arxiv.org/abs/2405.14325",
        year=2025,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "timm:vit_base_patch14_reg4_dinov2.lvd142m",
                "stages": (3, 4, 5, 6, 7, 8, 9, 10),
                "depth": 8,
                "width": 0,
                "heads": 12,
                "standardise": False,
                "steps": 10_000,
                "batch": 16,
                "rate": 2e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "width": 16,
                "heads": 2,
                "growth": 2,
                "dropout": 0.1,
                "steps": 100,
                "batch": 4,
                "rate": 1e-2,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (4, 8, 16)
    groups: Count = 2
    depth: Count = 2
    width: Annotated[int, AtLeast(0)] = 192
    heads: Count = 8
    growth: Count = 4
    dropout: Annotated[float, Between(0, 1, "left")] = 0.2
    mining: Annotated[float, Between(0, 1, "left")] = 0.9
    standardise: bool = True
    steps: Count = 2000
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def check_together(self) -> None:
        if self.width:
            check_heads(self.width, self.heads)
        if self.groups > min(len(self.stages), self.depth):
            raise InputError(
                f"groups must be at most as many as stages and blocks, got {self.groups} groups, {len(self.stages)} "
                f"stages and depth {self.depth}"
            )

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        channels = [self._mixed_channels(self.features.channels[part]) for part in _runs(len(self.stages), self.groups)]
        entering = self._mixed_channels(channels)
        if not self.width and not self._alike:
            raise InputError(
                f"width must be at least 1 where stages differ in channels, got 0 and {self.features.channels} channels"
            )
        width = self.width or entering
        self.standardising = nn.ModuleList(Standardising(count) for count in channels)
        self.bottleneck = nn.Sequential(
            nn.Dropout(self.dropout),
            nn.Linear(entering, self.growth * entering),
            nn.GELU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.growth * entering, width),
            nn.Dropout(self.dropout),
        )
        self.blocks = nn.ModuleList(LinearBlock(width, self.heads, self.growth) for _ in range(self.depth))
        self.leaving = nn.ModuleList(nn.Identity() if count == width else nn.Linear(width, count) for count in channels)
        spread = SPREAD * (WIDEST / width) ** 0.5
        for module in self._learned().modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=spread, a=-3 * spread, b=3 * spread)
                nn.init.zeros_(module.bias)

    @property
    def _alike(self) -> bool:
        """Whether all stages have the same channels, so that they can be averaged."""
        return len(set(self.features.channels)) == 1

    def _mixed_channels(self, channels: Sequence[int]) -> int:
        return channels[0] if self._alike else sum(channels)

    def _mixed(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (N, C, h, w) averaged, or side by side where they differ in channels."""
        return torch.stack(list(maps)).mean(dim=0) if self._alike else torch.cat(list(maps), dim=1)

    def _learned(self) -> nn.ModuleList:
        return nn.ModuleList([self.bottleneck, self.blocks, self.leaving])

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        key = f"{self.features.key()} in {self.groups} groups"
        with cached_features(self.gather, key, images, progress, device=self.device) as kept:
            if self.standardise:
                learn_standardising(self.standardising, kept.batches())

            def loss(step: int, draw: np.random.Generator) -> Tensor:
                wanted = self.standardised(kept.batch(draw.integers(len(kept), size=self.batch)))
                return mined_loss(wanted, self.rebuild(wanted), self.mining * min(1.0, step / (RAMP * self.steps)))

            learned = self._learned()
            train(
                learned,
                StableAdamW(learned.parameters(), lr=self.rate, weight_decay=1e-4),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=_warmed,
                clip=0.1,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def gather(self, batch: Tensor) -> list[Tensor]:
        """The mean of each group of stages, or the stages of it side by side: a map (N, C, h, w) per group."""
        stages = on_deepest_grid(self.features(batch))
        return [self._mixed(stages[part]) for part in _runs(len(stages), self.groups)]

    def standardised(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What the decoder must say: the map (N, C, h, w) of each group, standardised."""
        return [layer(one) for layer, one in zip(self.standardising, maps, strict=True)]

    def rebuild(self, wanted: Sequence[Tensor]) -> list[Tensor]:
        """What the decoder says: a map (N, C, h, w) per group, from those that it must say."""
        grid = (wanted[0].shape[2], wanted[0].shape[3])
        tokens = self.bottleneck(to_tokens(self._mixed(wanted)))
        said = []
        for block in self.blocks:
            tokens = block(tokens)
            said.append(tokens)
        groups = [torch.stack(said[::-1][part]).mean(dim=0) for part in _runs(len(said), self.groups)]
        return [to_map(layer(one), grid) for layer, one in zip(self.leaving, groups, strict=True)]

    def statistic(self, batch: Tensor) -> Tensor:
        wanted = self.standardised(self.gather(batch))
        grids = [cosine_distance(one, other) for one, other in zip(wanted, self.rebuild(wanted), strict=True)]
        grid = torch.stack(grids).mean(dim=0)
        return smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


def _runs(count: int, groups: int) -> list[slice]:
    """So many things divided into runs of neighbours, as equal as can be."""
    ends = np.cumsum([len(run) for run in np.array_split(np.arange(count), groups)]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def mined_loss(wanted: Sequence[Tensor], rebuilt: Sequence[Tensor], share: float) -> Tensor:
    """1 - cosine of whole maps, with a tenth of the gradient of the cells that agree best; the mean over the groups.

    Args:
        wanted: A map (N, C, h, w) per group.
        rebuilt: The same shapes.
        share: Share of the cells of a batch that are easy, in [0, 1).
    """
    pairs = [
        whole_map_distance(one, eased(one, other, share)).mean() for one, other in zip(wanted, rebuilt, strict=True)
    ]
    return torch.stack(pairs).mean()


def eased(wanted: Tensor, rebuilt: Tensor, share: float) -> Tensor:
    """What was rebuilt (N, C, h, w), number by number, with a tenth of the gradient at its easiest cells."""
    with torch.no_grad():
        distance = cosine_distance(wanted, rebuilt)
        hard = max(1, int(distance.numel() * (1 - share)))
        easy = (distance < distance.flatten().topk(hard).values[-1])[:, None]
    return torch.where(easy, EASED * rebuilt + (1 - EASED) * rebuilt.detach(), rebuilt)
