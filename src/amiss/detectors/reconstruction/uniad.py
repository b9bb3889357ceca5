"""UniAD: a transformer rebuilds a frozen network's features of a place without looking at that place."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.standardising import Standardising, learn_standardising
from amiss.background.transformer import Look, Places, Think, check_heads, hide_neighbours, to_map, to_tokens
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Between, Count, OddCount, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, on_deepest_grid
from amiss.features.cache import cached_features
from amiss.statistics.reduce import smooth_upsample
from amiss.training import drop, train


class UniAD(Detector):
    """A transformer rebuilds features from their surroundings and from queries that know no image.

    Background model:
        Some stages of a frozen network on the grid of the deepest one, side by side: a token per cell. A transformer
        encodes the tokens, and layers of a decoder, each with learned queries of its own, rebuild them. No attention
        may look at a cell or its neighbours, and in learning the tokens that enter are jittered, so that what is
        rebuilt cannot be copied. It is trained on normal images to lower the mean squared difference of what was
        rebuilt and what came in.

    Statistic:
        Length of the difference between each token and the one rebuilt, enlarged to the image and smoothed.

    Assumes:
        What is normal at a place follows from its surroundings and from where it is. A defect much larger than the
        neighbours that are hidden is rebuilt from its own inside. What is finer than a cell of the deepest stage is
        blurred, and often missed. Several products can share one model; it then need not see that a part is of the
        wrong product.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages, ascending; the last one's grid is that of the tokens.
        width: Channels of a token inside the transformer, a multiple of `heads`.
        heads: Heads of every attention.
        depth: Layers of the encoder, and as many of the decoder.
        growth: Channels between the two linear layers of a layer, as a multiple of `width`.
        neighbours: Side of the square of cells around each that it may not look at.
        side: Cells on each side of the grid of learned places and queries; other grids take them bilinearly.
        jitter: How much noise is added to a token of C channels in learning: a Gaussian in each channel, of standard
            deviation `jitter` times the token's length over C. 0 for none.
        dropout: Share of what a layer adds that learning leaves out.
        standardise: Bring each channel to mean 0 and standard deviation 1 over the normal images first; else those
            that vary most decide alone.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of AdamW; it falls to a tenth at 80 % of the steps.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, images of so few cells that every one
            would be hidden from some cell, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: the frozen network sees each image once (see `amiss.features.cache`); a step takes three times the
        transformer's multiply-adds per image. With T tokens and D = `width` these are about
        ``depth T (12 D^2 + 4 growth D^2 + 6 T D)``: 0.35 billion for 256 x 256 in the default preset, besides the
        network's 0.51 in scoring.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = UniAD(**UniAD.card.presets["tiny"] | {"steps": 3}).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        You, Cui, Shen, Yang, Lu, Zheng and Le, "A unified model for multi-class anomaly detection", NeurIPS 2022,
        arXiv 2206.03687.
        Differs from the paper: learned places have a vector per cell, not one per row and one per column, and they and
        the queries are brought to grids of other sizes, so that images may have any; stages are averaged over whole
        cells, not read off between corners; the map is smoothed, and an image scores its maximum, not that of means
        over 16 x 16 pixels. The default standardises the channels, runs on EfficientNet-Lite2, and is smaller and
        trained for fewer steps; "paper" has as many as 1000 epochs of 224 images in batches of 64.
    """

    card: ClassVar[Card] = Card(
        name="uniad",
        family="reconstruction",
        title="UniAD",
        paper="You et al., A unified model for multi-class anomaly detection",
        url="https://arxiv.org/abs/2206.03687",
        year=2022,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "timm:efficientnet_b4",
                "stages": (2, 4, 8, 16),
                "width": 256,
                "heads": 8,
                "depth": 4,
                "side": 14,
                "dropout": 0.1,
                "standardise": False,
                "steps": 3500,
                "batch": 64,
                "rate": 1e-4,
                "smoothing": 0.0,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (2, 4),
                "width": 32,
                "heads": 2,
                "depth": 1,
                "growth": 2,
                "neighbours": 3,
                "jitter": 3.0,
                "steps": 40,
                "batch": 2,
                "rate": 5e-3,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (4, 8, 16)
    width: Count = 128
    heads: Count = 4
    depth: Count = 2
    growth: Count = 4
    neighbours: OddCount = 7
    side: Count = 16
    jitter: Annotated[float, AtLeast(0)] = 20.0
    dropout: Annotated[float, Between(0, 1, "left")] = 0.0
    standardise: bool = True
    steps: Count = 4000
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def check_together(self) -> None:
        check_heads(self.width, self.heads)

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        channels = sum(self.features.channels)
        self.standardising = Standardising(channels)
        self.network = Rebuilder(
            channels,
            width=self.width,
            heads=self.heads,
            depth=self.depth,
            inner=self.growth * self.width,
            side=self.side,
            dropout=self.dropout,
        )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with cached_features(
            self.gather, f"{self.features.key()} gathered", images, progress, device=self.device
        ) as kept:
            hide_neighbours(kept.shapes[0][1:], self.neighbours)
            if self.standardise:
                learn_standardising([self.standardising], kept.batches())

            def loss(step: int, draw: np.random.Generator) -> Tensor:
                (found,) = kept.batch(draw.integers(len(kept), size=self.batch))
                wanted: Tensor = self.standardising(found)
                difference = self.rebuild(jittered(wanted, self.jitter)) - wanted
                return difference.square().mean()

            train(
                self.network,
                torch.optim.AdamW(self.network.parameters(), lr=self.rate, weight_decay=1e-4),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=drop(0.8),
                clip=0.1,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def gather(self, batch: Tensor) -> list[Tensor]:
        """The stages of images (N, 3, H, W) side by side on the grid of the deepest, one map (N, C, h, w)."""
        return [torch.cat(on_deepest_grid(self.features(batch)), dim=1)]

    def rebuild(self, maps: Tensor) -> Tensor:
        """What the surroundings say, (N, C, h, w), of maps of that shape."""
        hidden = hide_neighbours((maps.shape[2], maps.shape[3]), self.neighbours)
        rebuilt: Tensor = self.network(maps, torch.from_numpy(hidden).to(maps.device))
        return rebuilt

    def statistic(self, batch: Tensor) -> Tensor:
        wanted = self.standardising(self.gather(batch)[0])
        grid = (self.rebuild(wanted) - wanted).square().sum(dim=1).sqrt()
        return smooth_upsample(grid, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


class Rebuilder(nn.Module):
    """An encoder of tokens, and a decoder in which every layer asks anew with learned queries.

    A layer of the decoder begins with its own queries, which look at the encoded tokens and then at what the layer
    before has rebuilt; nothing of the image goes past the attention.

    Args:
        channels: Channels of the maps, C.
        width: Channels of a token inside.
        heads: Heads of every attention.
        depth: Layers of the encoder, and of the decoder.
        inner: Channels between the two linear layers of a layer.
        side: Cells on each side of the learned grids.
        dropout: See `Look` and `Think`.
    """

    def __init__(
        self, channels: int, *, width: int, heads: int, depth: int, inner: int, side: int, dropout: float
    ) -> None:
        super().__init__()

        def looks() -> nn.ModuleList:
            return nn.ModuleList(Look(width, heads, dropout) for _ in range(depth))

        def thinks() -> nn.ModuleList:
            return nn.ModuleList(Think(width, inner, dropout) for _ in range(depth))

        self.entering, self.leaving = nn.Linear(channels, width), nn.Linear(width, channels)
        self.places = Places(width, side, spread=0.3)
        self.encoder, self.encoder_think = looks(), thinks()
        self.queries = nn.ModuleList(Places(width, side, spread=1.0) for _ in range(depth))
        self.at_memory, self.at_rebuilt, self.decoder_think = looks(), looks(), thinks()
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, maps: Tensor, hidden: Tensor) -> Tensor:
        """Maps (N, C, h, w) rebuilt, where cell i may not look at the cells at which row i of `hidden` is True."""
        grid = (maps.shape[2], maps.shape[3])
        places = self.places(grid)
        memory = self.entering(to_tokens(maps))
        for look, think in zip(self.encoder, self.encoder_think, strict=True):
            memory = think(look(memory, memory, places, hidden))
        rebuilt = memory
        for queries, first, second, think in zip(
            self.queries, self.at_memory, self.at_rebuilt, self.decoder_think, strict=True
        ):
            asked = queries(grid).expand(maps.shape[0], -1, -1)
            rebuilt = think(second(first(asked, memory, places, hidden), rebuilt, places, hidden))
        return to_map(self.leaving(self.norm(rebuilt)), grid)


def jittered(maps: Tensor, scale: float) -> Tensor:
    """Maps (N, C, h, w) with noise in proportion to the length of the vector at each cell: `scale` length / C.

    Example:
        >>> torch.equal(jittered(torch.ones(1, 4, 2, 2), 0.0), torch.ones(1, 4, 2, 2))
        True
    """
    length = maps.square().sum(dim=1, keepdim=True).sqrt()
    return maps + scale * length / maps.shape[1] * torch.randn_like(maps)
