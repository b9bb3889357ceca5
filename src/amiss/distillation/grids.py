"""Distilling a patch description network (PDN) on whole grids of features, as EfficientAD does.

The backbone sees an image at twice the side, so that a stage of stride 8 has one cell for every 4 pixels, as many as
the PDN has descriptors. The PDN does not pad (the published distillation does, and only there): it describes the cells
whose patches lie whole in the image, and is compared with these alone. So nothing is learned from borders that
detection never sees, and a teacher is used exactly as it was made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.distillation.normalised import fold, normalise
from amiss.distillation.pixels import as_batch
from amiss.distillation.run import Run
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.cache import CachedFeatures, cached_features
from amiss.features.on_runtime import on_runtime
from amiss.features.patch_network import PatchNetwork

ENLARGE = 2
"""The backbone's image is so many times as wide as the PDN's: 512 and 256 pixels as published."""

NEIGHBOURHOOD = 3
"""Cells over which each stage is averaged, as PatchCore does."""

CROP, BATCH = 96, 16

RATE = 5e-3
"""Of Adam at the start; published: 1e-4 throughout, without normalisation, for 60,000 steps."""

MOMENTS = 64
"""Batches over which the moments are taken that normalise the layers in the end."""


class GridTargets:
    """What a PDN learns to predict, before it is standardised.

    Args:
        features: The backbone; its finest stage has `ENLARGE` times the PDN's stride.
        channels: Number of channels of the PDN; neighbouring channels of the backbone are averaged to so many.
    """

    def __init__(self, features: FeatureExtractor, channels: int) -> None:
        self.features, self.channels = features, channels

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> list[Tensor]:
        """One grid (N, C, h, w) of a batch of enlarged images."""
        stages = self.features(batch.contiguous(memory_format=torch.channels_last))
        grid = patch_descriptors(stages, neighbourhood=NEIGHBOURHOOD)  # (N, D, h, w)
        pooled = functional.adaptive_avg_pool1d(grid.flatten(2).transpose(1, 2), self.channels)  # (N, h * w, C)
        return [pooled.transpose(1, 2).reshape(len(grid), self.channels, *grid.shape[2:])]

    def key(self) -> str:
        """For `amiss.features.cache`."""
        return f"grid targets, {NEIGHBOURHOOD} cells, {self.channels} channels of {self.features.key()}"


@dataclass(frozen=True)
class Alignment:
    """Where a PDN's descriptors lie in the grid of its targets.

    Args:
        patch: Width of the PDN's patches, in pixels.
        stride: Pixels from one descriptor to the next, and from one target to the next.
    """

    patch: int
    stride: int

    @property
    def first(self) -> int:
        """The target that belongs to the first descriptor.

        The middle of the first patch lies at patch / 2 pixels, that of the first target at stride / 2.
        """
        return round((self.patch - self.stride) / (2 * self.stride))

    def crop(self, grids: Tensor, starts: NDArray[np.integer], count: int) -> Tensor:
        """Targets (N, C, count, count) of crops.

        Args:
            grids: Targets (N, C, h, w) of whole images.
            starts: (N, 2) row and column of the crops' first pixels, divided by the stride.
            count: Descriptors along a side of a crop.
        """
        places = [(slice(y, y + count), slice(x, x + count)) for y, x in (starts + self.first).tolist()]
        return torch.stack([grid[:, rows, columns] for grid, (rows, columns) in zip(grids, places, strict=True)])


def distil_grids(network: PatchNetwork, features: FeatureExtractor, pixels: NDArray[np.uint8], run: Run) -> list[float]:
    """Train a PDN in place; its output becomes the backbone's features, standardised channel by channel.

    Departs from the paper: crops of 96 of the 256 pixels instead of whole images, so that a step sees as many
    images at a seventh of the cost; the backbone sees the PDN's own image enlarged, and so no detail that the PDN
    cannot see; no padding (above); each layer but the last is normalised over the batch, at a higher rate, and the
    normalisation becomes part of the layer in the end.

    Args:
        network: A PDN.
        features: See `GridTargets`.
        pixels: Images, uint8 (N, side, side, 3).
        run: Steps of 16 crops each. Progress reports "features" first.

    Returns:
        The loss of every step: the mean squared error, 1 for a network that knows nothing but the mean.

    Raises:
        InputError: A backbone whose grid has not the PDN's stride, or fewer channels than the PDN.
    """
    if features.cells[0] != ENLARGE * network.stride:
        raise InputError(
            f"cells of the first stage must be {ENLARGE * network.stride} pixels wide, got {features.cells[0]}"
        )
    if sum(features.channels) < network.channels:
        raise InputError(
            f"the stages must have at least {network.channels} channels, as many as the PDN, got "
            f"{sum(features.channels)}: name more stages, or take a wider backbone"
        )
    side = pixels.shape[1]
    targets, alignment = GridTargets(features, network.channels), Alignment(network.patch, network.stride)
    crop = min(CROP, side) // network.stride * network.stride
    enlarged = Images(list(pixels), size=(ENLARGE * side, ENLARGE * side))
    place, key = features.mean.device, targets.key()
    with (
        on_runtime(features, enlarged),
        cached_features(targets, key, enlarged, run.progress, device=place) as cache,
    ):
        mean, std = channel_moments(cache)

        def crops(rng: np.random.Generator) -> tuple[NDArray[np.integer], NDArray[np.integer], Tensor]:
            chosen = rng.integers(len(pixels), size=BATCH)
            starts = rng.integers((side - crop) // network.stride + 1, size=(BATCH, 2))
            return chosen, starts, as_batch(cut(pixels, chosen, starts * network.stride, crop)).to(place)

        def loss(step: int, rng: np.random.Generator) -> Tensor:
            chosen, starts, batch = crops(rng)
            found = network(batch)
            wanted = alignment.crop(cache.batch(chosen)[0], starts, found.shape[2])
            return functional.mse_loss(found, (wanted - mean) / std)

        normalise(network)
        losses = run.train(network, loss, RATE)
        rng = np.random.default_rng(run.seed)
        fold(network, (crops(rng)[2] for _ in range(MOMENTS)))
        return losses


def cut(
    pixels: NDArray[np.uint8], chosen: NDArray[np.integer], corners: NDArray[np.integer], side: int
) -> NDArray[np.uint8]:
    """Squares (N, side, side, 3) out of the chosen images, from their upper left corners (N, 2) on."""
    places = zip(chosen.tolist(), corners.tolist(), strict=True)
    return np.stack([pixels[index, y : y + side, x : x + side] for index, (y, x) in places])


def channel_moments(cache: CachedFeatures) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C, 1, 1) of each channel over all cells of all images.

    A channel that hardly varies keeps its scale: divided by 1e-6 it would be all noise.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for (found,) in cache.batches():
        grid = found.cpu()
        count += len(grid) * grid.shape[2] * grid.shape[3]
        total = total + grid.double().sum(dim=(0, 2, 3))
        squares = squares + grid.double().square().sum(dim=(0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std > 1e-6, std, 1.0)
    return mean.float()[:, None, None].to(cache.device), std.float()[:, None, None].to(cache.device)
