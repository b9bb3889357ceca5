"""MKD: a small cloner learns the values and directions of a large network's features at several depths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OneOf, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector, check_batch
from amiss.features import FeatureExtractor, whole_cells
from amiss.features.cache import cached_features
from amiss.statistics.difference import cosine_distance, whole_map_distance
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train

SCORED = 3
"""Stages that are scored: the last ones. The cloner learns from all."""

KINDS = ("plain", "smooth", "guided")
"""Of gradients: as they are, averaged over noisy images, or without what is negative at a ReLU."""

NOISY, NOISE = 50, 0.1
"""Noisy images of the kind "smooth", and the standard deviation of the noise on pixels in [0, 1]."""


class MKD(Detector):
    """A small network learns to answer as a large one on normal images; where it answers otherwise, something is new.

    Background model:
        A frozen source network and a cloner, a chain of 3x3 convolutions and poolings with `width` channels inside and
        the source's shapes at the end of each stage. On normal images the cloner learns the source's features a_i at
        all `stages` at once, by value and by direction: the loss is ``sum of [1 - cos(a_i, b_i)] + value_weight x
        mean of (a_i - b_i)^2``, with one cosine for a whole map taken as one vector.

    Statistic:
        The same two terms at each position of the last three stages, with the cosine over the channels, enlarged to
        the image, smoothed and averaged over the stages. This map needs no gradients and is what is exported.
        The paper's own quantities are offered beside it, in torch only: `loss`, its score of a whole image, and
        `gradient_map`, its localisation by the gradient of that loss with respect to the pixels. An exported
        graph computes no gradients, so those maps cannot be exported.

    Assumes:
        A cloner so small learns the source's answers on what it was shown and not in general.

    Args:
        backbone: The source; see `amiss.features.create_backbone`.
        stages: Strides of its stages. The last three are scored, all are learned.
        width: Channels of the cloner between the stages.
        value_weight: Weight of the squared difference against the direction.
        standardise: Bring each of the source's channels to mean 0 and standard deviation 1 over the normal images
            first: networks differ in the size of their features, and the squared difference with it.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the maps, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        In the default preset 0.2 billion multiply-adds for 128 x 128 pixels, 0.8 for 256 x 256, a little less than half
        of it in the cloner; a gradient map costs twice as much, a smooth one a hundred times. Learning: a step costs
        three passes of the cloner over `batch` images. The source sees each image once; its features lie on disk
        beside the images (see `amiss.features.cache`).

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = MKD(**MKD.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Salehi, Sadjadi, Baselizadeh, Rohban and Rabiee, "Multiresolution knowledge distillation for anomaly
        detection", CVPR 2021, arXiv 2011.11108.
        Differs from the paper: the score of an image is the maximum of the forward map, not the loss of the whole
        image. The default source is EfficientNet-Lite0, standardised, and the paper's VGG-16 is a file of the
        user's; images reach the source normalised as it was trained. The cloner's first pooling, which is not
        matched, has batch normalisation and ReLU before it too. The rate falls. Gradient maps are neither clipped nor
        scaled by what else is in the image; the opening works on grey values, which opens the mask of every
        threshold at once. In "paper", for 128 x 128 pixels, there are as many steps as 600 epochs of 220 images.
    """

    card: ClassVar[Card] = Card(
        name="mkd",
        family="student_teacher",
        title="MKD",
        paper="Salehi et al., Multiresolution knowledge distillation for anomaly detection",
        url="https://arxiv.org/abs/2011.11108",
        year=2021,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:vgg16.safetensors",
                "standardise": False,
                "steps": 2400,
                "batch": 64,
                "smoothing": 8.0,
                "rate": 1e-3,
                "width": 16,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (2, 4, 8),
                "width": 4,
                "steps": 60,
                "batch": 2,
                "rate": 1e-2,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (4, 8, 16, 32)
    width: Count = 16
    value_weight: Annotated[float, AtLeast(0)] = 0.5
    standardise: bool = True
    steps: Count = 1500
    batch: Count = 8
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.standardising = nn.ModuleList(Standardising(channels) for channels in self.features.channels)
        self.cloner = Cloner(self.features.channels, self.features.cells, self.width)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        def extract(batch: Tensor) -> list[Tensor]:
            return [batch, *self.features(batch)]

        with cached_features(
            extract, f"images and {self.features.key()}", images, progress, device=self.device
        ) as cache:
            if self.standardise:
                learn_standardising(self.standardising, (features for _, *features in cache.batches()))

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                batch, *features = cache.batch(rng.integers(len(cache), size=self.batch))
                pairs = self.pairs(batch, features)
                return torch.stack([self._loss(source, clone).mean() for source, clone in pairs]).sum()

            train(
                self.cloner,
                torch.optim.Adam(self.cloner.parameters(), lr=self.rate),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                checkpoint=self.checkpoint,
                progress=progress,
            )

    def pairs(self, batch: Tensor, features: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Source and cloner (N, C, h, w) at each stage, from a batch (N, 3, H, W) and the source's features of it."""
        sources = [layer(feature) for layer, feature in zip(self.standardising, features, strict=True)]
        clones = self.cloner(whole_cells(batch, self.features.cells[-1]))
        return list(zip(sources, clones, strict=True))

    def _loss(self, source: Tensor, clone: Tensor) -> Tensor:
        """Loss of one stage for each image, (N,)."""
        value = (source - clone).square().flatten(1).mean(dim=1)
        return whole_map_distance(source, clone) + self.value_weight * value

    def statistic(self, batch: Tensor) -> Tensor:
        size = (batch.shape[2], batch.shape[3])
        maps = []
        for source, clone in self.pairs(batch, self.features(batch))[-SCORED:]:
            value = (source - clone).square().mean(dim=1)  # (N, h, w)
            grid = cosine_distance(source, clone) + self.value_weight * value
            maps.append(smooth_upsample(grid, size, smoothing=self.smoothing))
        return torch.stack(maps).mean(dim=0)

    def loss(self, batch: Tensor) -> Tensor:
        """The paper's score of whole images: the loss of the last three stages, summed, (N,).

        Args:
            batch: (N, 3, H, W) in [0, 1].
        """
        pairs = self.pairs(batch, self.features(batch))[-SCORED:]
        return torch.stack([self._loss(source, clone) for source, clone in pairs]).sum(dim=0)

    def gradient_map(self, batch: Tensor, kind: str = "guided") -> Tensor:
        """The paper's localisation: where a change of the pixels changes `loss` most. In torch only.

        The absolute gradient, summed over the colours, smoothed by a Gaussian as the map of the statistic is, and
        opened (see `opened`), which takes off spots smaller than a cross of 3 x 3.

        Args:
            batch: (N, 3, H, W) in [0, 1].
            kind: See `input_gradient`.

        Returns:
            (N, H, W), at least 0.

        Raises:
            InputError: An unknown kind, or a batch of another shape, type or range.
        """
        gradient = self.input_gradient(check_batch(batch), kind).abs().sum(dim=1)
        smooth = smooth_upsample(gradient, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)
        return opened(smooth)

    def input_gradient(self, batch: Tensor, kind: str = "plain") -> Tensor:
        """Gradient of `loss` with respect to the pixels, (N, 3, H, W).

        Args:
            batch: (N, 3, H, W).
            kind: "plain"; "smooth" for the mean over 50 images with noise of standard deviation 0.1 (SmoothGrad);
                "guided" for guided back-propagation, in which no ReLU of source or cloner passes on a negative
                gradient.

        Raises:
            InputError: An unknown kind.
        """
        OneOf(*KINDS).check("kind", kind)
        if kind != "smooth":
            return self._gradient(batch, guided=kind == "guided")
        return torch.stack([self._gradient(batch + noise, guided=False) for noise in noises(batch)]).mean(dim=0)

    def _gradient(self, batch: Tensor, *, guided: bool) -> Tensor:
        pixels = batch.detach().clone().requires_grad_(True)
        with torch.enable_grad(), _GuidedReLU() if guided else nullcontext():
            (gradient,) = torch.autograd.grad(self.loss(pixels).sum(), pixels)
        return gradient


class Cloner(nn.Module):
    """A chain of 3x3 convolutions and poolings, much narrower than the network whose stages' shapes it has.

    As in VGG-16 there are two convolutions before each of the first two poolings, and three before any other. All
    have batch normalisation and a ReLU but the last of each stage, which has the stage's channels.

    Args:
        channels: Channels of each stage.
        cells: Width of a cell of each stage, in pixels, ascending.
        width: Channels of the other convolutions.
    """

    def __init__(self, channels: Sequence[int], cells: Sequence[int], width: int) -> None:
        super().__init__()
        entering, before, poolings = 3, 1, 0
        self.stages = nn.ModuleList()
        for leaving, cell in zip(channels, cells, strict=True):
            factors = _factors(cell // before)
            layers: list[nn.Module] = []
            for number, factor in enumerate(factors):
                last = number == len(factors) - 1
                for _ in range((1 if poolings < 2 else 2) + (not last)):
                    layers += [_convolution(entering, width), nn.BatchNorm2d(width), nn.ReLU()]
                    entering = width
                if last:
                    layers.append(_convolution(entering, leaving))
                    entering = leaving
                if factor > 1:
                    layers.append(nn.MaxPool2d(factor, ceil_mode=True))
                    poolings += 1
            self.stages.append(nn.Sequential(*layers))
            before = cell

    def forward(self, batch: Tensor) -> list[Tensor]:
        """Features of a batch (N, 3, H, W) in [0, 1] of whole cells: one (N, C, h, w) per stage."""
        x, found = batch, []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def _factors(cell: int) -> list[int]:
    """Poolings that make one cell out of so many: twos, and what is left; [1] for none."""
    factors = []
    while cell % 2 == 0:
        factors.append(2)
        cell //= 2
    return factors + [cell] * (cell > 1 or not factors)


def _convolution(entering: int, leaving: int) -> nn.Conv2d:
    layer = nn.Conv2d(entering, leaving, 3, padding=1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer


class _GuidedReLU(TorchFunctionMode):
    """Inside of it, what leaves any ReLU takes no negative gradient: guided back-propagation (Springenberg 2015)."""

    RELUS = (
        *(torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
        *(functional.relu, functional.relu6, functional.hardtanh, functional.leaky_relu),
    )

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in self.RELUS and result.requires_grad:
            result.register_hook(lambda gradient: gradient.clamp_min(0))
        return result


def noises(batch: Tensor) -> list[Tensor]:
    """The noise that "smooth" adds, always the same for images of one size, whatever is in them."""
    generator = torch.Generator().manual_seed(0)
    shape = batch.shape[1:]
    return [(torch.randn(shape, generator=generator) * NOISE).to(batch) for _ in range(NOISY)]


def opened(maps: Tensor) -> Tensor:
    """Grey opening (N, H, W) by a cross of 3 x 3: bright spots into which no cross fits are taken off.

    Example:
        >>> grid = torch.zeros(1, 5, 7)
        >>> grid[0, 1:4, 2], grid[0, 2, 1:4], grid[0, 2, 6] = 1.0, 1.0, 9.0
        >>> opened(grid)[0].int().tolist()[2]
        [0, 1, 1, 1, 0, 0, 0]
    """
    return _widened(-_widened(-maps))


def _widened(maps: Tensor) -> Tensor:
    """Largest of each pixel and its four neighbours."""
    height, width = maps.shape[1:]
    padded = functional.pad(maps, (1, 1, 1, 1), value=-torch.inf)
    shifts = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    return torch.stack([padded[:, y : y + height, x : x + width] for y, x in shifts]).amax(dim=0)
