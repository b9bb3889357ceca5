"""PNI: a memory bank of which each place may use only what is likely there, by its position and its neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.background.coreset import k_center_greedy
from amiss.background.memory_bank import add_bank, fill_bank
from amiss.background.reservoir import Reservoir
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OddCount, Positive, Share, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.cache import CachedFeatures, cached_features
from amiss.statistics.knn import closeness, distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import train

_POOL = 100
"""Patches from which each bank vector is chosen: the paper's 1 %."""


class Surroundings(nn.Module):
    """Predicts what a patch is from the patches around it, without looking at the patch itself.

    Args:
        dimension: D of the descriptors.
        window: Odd width of the neighbourhood, in feature cells.
        reduction: Numbers to which each descriptor is reduced first.
        width: Neurons of each hidden layer.
        depth: Hidden layers, at least 1; the first sees the neighbourhood.
        classes: Answers to choose from.
    """

    around: Tensor

    def __init__(self, dimension: int, window: int, reduction: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(dimension, reduction, 1, bias=False)
        self.gather = nn.Conv2d(reduction, width, window, padding=window // 2, bias=False)
        layers = [nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5)]
        for _ in range(depth - 1):
            layers += [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.5)]
        self.answer = nn.Sequential(*layers, nn.Conv2d(width, classes, 1))
        around = torch.ones(1, 1, window, window)
        around[..., window // 2, window // 2] = 0
        self.register_buffer("around", around, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (N, K, h, w) of descriptors (N, D, h, w); beyond the border there are zeros."""
        small = self.reduce(patches)
        logits: Tensor = self.answer(F.conv2d(small, self.gather.weight * self.around, padding=self.gather.padding))
        return logits


class PNI(Detector):
    """A bank of normal patches; a patch is as strange as it is far from those that are likely at its place.

    Background model:
        As in PatchCore, a greedy k-centre coreset of `bank_size` patch descriptors. Two estimates say which of them
        are normal at a place. By position: how often each bank vector was the nearest at this position or up to
        `window` // 2 cells away. By neighbourhood: a network sees the `window` x `window` patches around a place, not
        the one in the middle, and predicts which of the first `distribution_size` bank vectors is nearest to it; it
        is trained by cross entropy, and its logits are divided by `temperature`. Each bank vector stands in the group
        of that one of the first which is nearest, and is as likely as its group.

    Statistic:
        A bank vector is allowed where its probability exceeds `gamma` / M. The distance of each patch to the nearest
        vector allowed by neighbourhood and that to the nearest allowed by position are averaged, enlarged to the
        image and smoothed. This is minus the logarithm of the paper's likelihood, max over c of
        exp(-distance to c) [p(c) > gamma / M], with the two estimates averaged.

    Assumes:
        Parts lie at about the same place in every image, or their surroundings tell what they are.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged; 1 does not average.
        bank_size: M, vectors kept.
        projection: Dimension in which the coreset is chosen; 0 uses all of them.
        distribution_size: K, bank vectors that the network tells apart.
        window: Odd width of the neighbourhood that it sees, in feature cells; 9 at stride 8 is 72 pixels.
        reduction: Numbers to which it reduces each descriptor first.
        width: Neurons of its hidden layers.
        depth: Number of its hidden layers.
        temperature: Above 1 makes its answers less certain; > 0.
        gamma: Least probability of an allowed vector, in units of 1 / M; in (0, 1), so that one is always allowed.
        steps: Training steps.
        images: Images per step.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or scoring at another size than
            that of the learned positions.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        With P = h w: learning keeps up to 200 M D numbers in memory and 4 P D bytes per image on disk; each step costs
        three times the network's `images` x P (window^2 x reduction x width + (depth - 1) width^2 + K width)
        multiply-adds, 5 billion by default. Scoring: P (M D + the same bracket) multiply-adds and 2 P M numbers
        per image besides the backbone. State: M D numbers, P M bytes, and the network.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = PNI(**{**PNI.card.presets["tiny"], "steps": 5}).fit(toy_part(4, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Bae, Lee and Kim, "PNI: industrial anomaly detection using position and neighborhood information", ICCV 2023,
        arXiv 2211.12634.
        Differs from the paper: no refinement network trained on synthetic defects, which sharpens its maps; no ensemble
        of backbones. The network works on all positions at once, on reduced descriptors, and is small; its last step is
        kept instead of the best on a held-out part. The bank is chosen from at most 100 M patches drawn at random.
        Patches at the border count as any other. The default preset does not average locally. The preset "paper" has
        the paper's Wide ResNet-101-2, patches of 5 x 5, and sizes for 209 images of 480 x 480: the bank is 1 % of their
        patches, and there are as many steps as 15 epochs of them take in batches of 2,048. The published figures are of
        images of 512 x 512 cropped to 480 x 480, with the refinement network.
    """

    card: ClassVar[Card] = Card(
        name="pni",
        family="memory_bank",
        title="PNI",
        paper="Bae, Lee and Kim, PNI: industrial anomaly detection using position and neighborhood information",
        url="https://arxiv.org/abs/2211.12634",
        year=2023,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet101_2.safetensors",
                "neighbourhood": 5,
                "bank_size": 7500,
                "projection": 0,
                "distribution_size": 2048,
                "reduction": 1024,
                "width": 2048,
                "depth": 9,
                "steps": 5500,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "bank_size": 100,
                "projection": 0,
                "distribution_size": 100,
                "window": 5,
                "reduction": 8,
                "width": 64,
                "depth": 1,
                "temperature": 1.0,
                "gamma": 0.9,
                "steps": 60,
                "images": 8,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    neighbourhood: OddCount = 1
    bank_size: Count = 2000
    projection: Annotated[int, AtLeast(0)] = 64
    distribution_size: Count = 256
    window: OddCount = 9
    reduction: Count = 32
    width: Count = 256
    depth: Count = 3
    temperature: Annotated[float, Positive] = 2.0
    gamma: Share = 0.5
    steps: Count = 1500
    images: Count = 2
    smoothing: Smoothing = 4.0
    center: Tensor = buffer()
    bank: Tensor = buffer()
    group: Tensor = buffer()
    here: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.surroundings = Surroundings(
            dimension, self.window, self.reduction, self.width, self.depth, min(self.distribution_size, self.bank_size)
        )
        add_bank(self, dimension)
        self.register_buffer("group", torch.zeros(0, dtype=torch.long))
        self.register_buffer("here", torch.zeros(0, 0, 0, dtype=torch.bool))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        with cached_features(self.features, self.features.key(), images, progress, device=self.device) as cache:
            self._choose_bank(cache, rng, progress)
            self._count_positions(cache, progress)
            self._train(cache, rng, progress)

    def statistic(self, batch: Tensor) -> Tensor:
        patches = self._centred(self.features(batch))  # (N, D, h, w)
        grid, learned = tuple(patches.shape[2:]), tuple(self.here.shape[:2])
        if grid != learned:
            raise InputError(f"an image must have {learned} feature cells, got {grid}: score at the same size")
        probability = (self.surroundings(self._scaled(patches)) / self.temperature).softmax(dim=1)  # (N, K, h, w)
        likely = (probability > self.gamma / len(self.bank)).movedim(1, 3)[..., self.group]  # (N, h, w, M)
        queries = patches.movedim(1, 3)  # (N, h, w, D)
        close = closeness(queries, self.bank)  # (N, h, w, M)
        found = [
            distance(queries, self.bank[close.where(allowed, -torch.inf).argmax(dim=3)])
            for allowed in (likely, self.here)
        ]
        mean = (found[0] + found[1]) / 2  # (N, h, w)
        return smooth_upsample(mean, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def _centred(self, maps: Sequence[Tensor]) -> Tensor:
        """Descriptors (N, D, h, w) less the bank's mean."""
        return patch_descriptors(maps, neighbourhood=self.neighbourhood) - self.center[:, None, None]

    def _scaled(self, patches: Tensor) -> Tensor:
        """What the network sees: centred descriptors with a mean square of about 1."""
        return patches / self.bank.square().mean().sqrt().clamp(min=1e-12)

    @torch.no_grad()
    def _choose_bank(self, cache: CachedFeatures, rng: np.random.Generator, progress: Progress) -> None:
        reservoir = Reservoir(_POOL * self.bank_size, rng)
        for maps in cache.batches():
            patches = patch_descriptors(maps, neighbourhood=self.neighbourhood)
            reservoir.add(patches.movedim(1, 3).flatten(0, 2).cpu())
        pool = reservoir.sample()
        del reservoir
        points = pool
        if 0 < self.projection < pool.shape[1]:
            matrix = rng.standard_normal((pool.shape[1], self.projection)) / np.sqrt(self.projection)
            points = pool @ torch.from_numpy(matrix).to(pool)
        chosen = k_center_greedy(points, self.bank_size, first=int(rng.integers(len(pool))), progress=progress)
        fill_bank(self, pool[chosen].to(self.device))
        self.group = closeness(self.bank, self.bank[: self.distribution_size]).argmax(dim=1)

    @torch.no_grad()
    def _count_positions(self, cache: CachedFeatures, progress: Progress) -> None:
        """Where each bank vector is common: `here` (h, w, M)."""
        counts: Tensor | None = None
        for done, maps in enumerate(cache.batches(1)):
            queries = self._centred(maps).movedim(1, 3)[0]  # (h, w, D)
            owner = closeness(queries, self.bank).argmax(dim=2, keepdim=True)  # (h, w, 1)
            counts = self.bank.new_zeros(*owner.shape[:2], len(self.bank)) if counts is None else counts
            counts.scatter_add_(2, owner, torch.ones_like(owner, dtype=counts.dtype))
            progress("positions", done + 1, len(cache))
        if counts is None:
            raise InputError("there must be images to learn from, got none")
        near = F.avg_pool2d(counts.movedim(2, 0), self.window, 1, self.window // 2, divisor_override=1).movedim(0, 2)
        self.here = near > self.gamma / len(self.bank) * near.sum(dim=2, keepdim=True)

    def _train(self, cache: CachedFeatures, rng: np.random.Generator, progress: Progress) -> None:
        first = self.bank[: self.distribution_size]

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            some = draw.choice(len(cache), min(self.images, len(cache)), replace=False)
            patches = self._centred(cache.batch(some))
            truth = closeness(patches.movedim(1, 3), first).argmax(dim=3)  # (B, h, w)
            return F.cross_entropy(self.surroundings(self._scaled(patches)), truth)

        train(
            self.surroundings,
            torch.optim.Adam(self.surroundings.parameters(), lr=1e-3),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=lambda done: 0.1 ** int(3 * done),
            checkpoint=self.checkpoint,
            stage="surroundings",
            progress=progress,
        )
