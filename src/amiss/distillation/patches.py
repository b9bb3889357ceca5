"""Distilling a teacher of Uninformed Students on single patches, with up to three losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from amiss.core.checks import check_real
from amiss.core.decode import resize
from amiss.core.errors import InputError
from amiss.distillation.losses import compactness_loss, knowledge_loss, triplet_loss
from amiss.distillation.pixels import as_batch
from amiss.distillation.run import Run
from amiss.features import FeatureExtractor
from amiss.features.patch_network import PatchNetwork

SIDES = (4, 16)
"""Images are resized to a side between 4 and 16 patches before a patch is cut, as published."""

SEEN = 64
"""Side of what the backbone sees of a patch, at least, in pixels.

A stage of stride 16 then has 4 x 4 cells. Of 17 pixels it would have one, made of the padding more than of the patch.
"""

PROBES = 2048
"""Patches over which the backbone's descriptors are standardised."""

BATCH = 64

RATE = 1e-3
"""Of Adam at the start; published: 2e-4 throughout, for 50,000 steps."""

LIGHT, NOISE = 0.2, 0.02
"""Of the positive view: largest relative change of luminance, and standard deviation of the noise."""


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts. Published: 1, 0 and 1, of sums; `metric` is 1 where there is no backbone.

    Args:
        knowledge: The paper's lambda_k: distillation of the backbone through a linear decoder.
        metric: lambda_m: triplets.
        compactness: lambda_c: correlations between dimensions. At the published 1 it hinders the distillation, which
            is why the default is smaller.

    Raises:
        InputError: A negative weight, or all of them 0.
    """

    knowledge: float = 1.0
    metric: float = 0.0
    compactness: float = 0.1

    def __post_init__(self) -> None:
        for name in ("knowledge", "metric", "compactness"):
            check_real(name, getattr(self, name), least=0)
        if not self.knowledge + self.metric:
            raise InputError(
                "knowledge or metric must be above 0, got 0 for both; one must teach what patches look like"
            )


class PatchTargets:
    """The backbone's descriptor of a whole patch: the mean over the cells of each stage, concatenated.

    Args:
        features: The backbone.
    """

    def __init__(self, features: FeatureExtractor) -> None:
        self.features = features
        self.mean, self.std = torch.zeros(()), torch.ones(())

    @torch.no_grad()
    def raw(self, patches: Tensor) -> Tensor:
        """Descriptors (N, D) of patches (N, 3, p, p)."""
        side = max(SEEN, -(-patches.shape[2] // 32) * 32)
        seen = functional.interpolate(patches, size=(side, side), mode="bilinear", align_corners=False)
        stages = self.features(seen.contiguous(memory_format=torch.channels_last))
        return torch.cat([stage.mean(dim=(2, 3)) for stage in stages], dim=1)

    def learn_scale(self, patches: Tensor) -> None:
        """Find the mean and standard deviation of each dimension on some patches."""
        found = torch.cat([self.raw(part) for part in torch.split(patches, BATCH)])
        std = found.std(dim=0, correction=0)
        self.mean, self.std = found.mean(dim=0), torch.where(std > 1e-6, std, 1.0)

    def __call__(self, patches: Tensor) -> Tensor:
        """Standardised descriptors (N, D)."""
        return (self.raw(patches) - self.mean) / self.std


def draw_patches(
    pixels: NDArray[np.uint8], chosen: NDArray[np.integer], patch: int, rng: np.random.Generator, margin: int = 0
) -> Tensor:
    """One patch at a random scale and place of each chosen image.

    Cutting a square of ``side * patch / s`` pixels and resizing it to the patch is the same as resizing the image
    to a side of s pixels and cutting the patch out of it, and reads only what is needed.

    Args:
        pixels: Images, uint8 (N, side, side, 3).
        chosen: (B,) which of them.
        patch: p, in pixels.
        rng: Draws s from 4p, 4p + 1 ... 16p, and the place.
        margin: Pixels around the patch that are cut with it.

    Returns:
        (B, 3, p + 2 margin, p + 2 margin) in [0, 1].
    """
    side, width = pixels.shape[1], patch + 2 * margin
    scales = rng.integers(SIDES[0] * patch, SIDES[1] * patch + 1, size=len(chosen))
    widths = np.maximum(np.round(side * width / scales), 2).astype(int)
    corners = (rng.random((len(chosen), 2)) * (side - widths + 1)[:, None]).astype(int)
    squares = [
        resize(np.ascontiguousarray(pixels[index, y : y + wide, x : x + wide]), (width, width))
        for index, (y, x), wide in zip(chosen.tolist(), corners.tolist(), widths.tolist(), strict=True)
    ]
    return as_batch(np.stack(squares))


def other_view(wide: Tensor, margin: int, rng: np.random.Generator) -> Tensor:
    """The patches moved by up to `margin` pixels, darker or brighter, and with noise.

    Args:
        wide: (N, 3, p + 2 margin, p + 2 margin).
        margin: Largest move, in pixels.
        rng: Draws all of it.
    """
    patch = wide.shape[2] - 2 * margin
    moves = rng.integers(2 * margin + 1, size=(len(wide), 2)).tolist()
    moved = torch.stack([one[:, y : y + patch, x : x + patch] for one, (y, x) in zip(wide, moves, strict=True)])
    light = torch.from_numpy(rng.uniform(1 - LIGHT, 1 + LIGHT, (len(wide), 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(moved.shape, dtype=np.float32))
    return (moved * light.to(moved) + NOISE * noise.to(moved)).clamp(0, 1)


class PatchLoss:
    """The loss of one step, weighted by `LossWeights`; a `Loss` of `amiss.training`.

    Args:
        network: The teacher to be.
        decoder: Linear, from its descriptors to the backbone's; thrown away afterwards.
        targets: Targets of the backbone.
        pixels: Images, uint8 (N, side, side, 3).
        weights: See `LossWeights`.
    """

    def __init__(
        self,
        network: PatchNetwork,
        decoder: nn.Linear,
        targets: PatchTargets,
        pixels: NDArray[np.uint8],
        weights: LossWeights,
    ) -> None:
        self.network, self.decoder, self.targets = network, decoder, targets
        self.pixels, self.weights = pixels, weights
        self.margin = (network.patch - 1) // 4 if weights.metric else 0

    def __call__(self, step: int, rng: np.random.Generator) -> Tensor:
        """Draw patches, and compute the weighted sum."""
        order = rng.permutation(len(self.pixels))
        patch, margin = self.network.patch, self.margin
        place = self.decoder.weight.device
        wide = draw_patches(self.pixels, np.resize(order, BATCH), patch, rng, margin).to(place)
        patches = wide[:, :, margin : margin + patch, margin : margin + patch]
        descriptors = self.describe(patches)
        total = self.weights.compactness * compactness_loss(descriptors)
        if self.weights.knowledge:
            distilled = knowledge_loss(self.decoder(descriptors), self.targets(patches))
            total = total + self.weights.knowledge * distilled
        if self.weights.metric:
            others = draw_patches(self.pixels, np.resize(np.roll(order, 1), BATCH), patch, rng).to(place)
            positive, negative = self.describe(other_view(wide, margin, rng)), self.describe(others)
            total = total + self.weights.metric * triplet_loss(descriptors, positive, negative)
        return total

    def describe(self, patches: Tensor) -> Tensor:
        """Descriptors (N, C) of patches (N, 3, p, p)."""
        descriptors: Tensor = self.network(patches)
        return descriptors.flatten(1)


def distil_patches(
    network: PatchNetwork, features: FeatureExtractor, pixels: NDArray[np.uint8], weights: LossWeights, run: Run
) -> list[float]:
    """Train a teacher of Uninformed Students in place.

    Departs from the paper: the backbone sees patches enlarged to 64 pixels, and its descriptor is the mean over the
    cells of stages in the middle instead of the last one; its dimensions are standardised. Losses are means, see
    `amiss.distillation.losses`. Patches have the width that the network sees: 17, 32 and 60 pixels instead of 17, 33
    and 65.

    Args:
        network: A teacher to be, with random weights.
        features: The backbone.
        pixels: Images, uint8 (N, side, side, 3).
        weights: See `LossWeights`.
        run: Steps of 64 patches each, of as many images as there are.

    Returns:
        The loss of every step.

    Raises:
        InputError: One image alone, when triplets need another.
    """
    if weights.metric and len(pixels) < 2:
        raise InputError("the metric loss compares patches of different images and needs at least 2, got 1")
    targets, rng = PatchTargets(features), np.random.default_rng([run.seed, PROBES])
    place = features.mean.device
    targets.learn_scale(draw_patches(pixels, rng.integers(len(pixels), size=PROBES), network.patch, rng).to(place))
    decoder = nn.Linear(network.channels, sum(features.channels)).to(place)
    module = nn.ModuleDict({"network": network, "decoder": decoder})
    return run.train(module, PatchLoss(network, decoder, targets, pixels, weights), RATE)
