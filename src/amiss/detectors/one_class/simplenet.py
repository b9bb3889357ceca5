"""SimpleNet: a small network that tells the features of normal patches from the same with noise."""

from __future__ import annotations

from typing import Annotated, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.border_level import BorderLevel
from amiss.background.gaussian import Gaussian
from amiss.background.reservoir import Reservoir
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, OddCount, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.reduce import smooth_upsample
from amiss.training import train

MARGIN = 0.5
"""Normal patches are pushed above it, noisy ones below minus it; what is beyond counts no more."""


class SimpleNet(Detector):
    """A network trained to tell features of normal patches from the same with noise; it then knows strange ones too.

    Background model:
        Features of a frozen network at each position, each channel in units of its standard deviation over normal
        patches. An adaptor, one linear layer, turns them; a discriminator, a hidden layer of width `hidden` with batch
        normalisation, says how normal they are. In each step half of the patches are normal ones, and the other half
        the same after the adaptor with Gaussian noise of standard deviation `noise`. The loss of a normal patch is
        ``max(0, 1/2 - D)``, of a noisy one ``max(0, 1/2 + D)``.

    Statistic:
        Minus the discriminator's output D at each position, brought near the border to the level inside
        (`amiss.background.border_level`), enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere. Defects change features in directions that normal patches do not
        take, by more than the noise.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        standardise: Measure each channel in units of its standard deviation, so that `noise` suits any backbone.
        noise: Standard deviation of the noise, above 0.
        hidden: Width of the discriminator's hidden layer.
        steps: Training steps.
        patches: Normal patches per step, with as many noisy ones.
        samples: Patches kept to draw those from, out of all normal images at random.
        adaptor_rate: Learning rate of the adaptor.
        rate: Learning rate of the discriminator.
        level_images: Normal images from which the level near the border is learned; 0 leaves scores as they are.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or images that do not vary.

    Cost:
        With H `hidden`. Learning: one pass of h w D^2 multiply-adds per image, then 6 `patches` D (D + H) per step;
        2 `samples` D numbers, whatever the number of images. Then `level_images` images are scored. Scoring:
        h w D (D + H) multiply-adds per image besides the network. State: D (D + H) numbers.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = SimpleNet(**SimpleNet.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Liu, Zhou, Xu and Wang, "SimpleNet: a simple network for image anomaly detection and localization", CVPR 2023,
        arXiv 2303.15140.
        Differs from the paper: the state after the last step is kept; the authors' code keeps the epoch that is best
        on the test set, without which the published figures are not reached. The whole image, no centre crop.
        Features are standardised, and the noise is larger in turn: the published 0.015 goes with the features of one
        network. Stages are concatenated, not resized to 1536 channels. Patches of a step come from all images, not
        from eight, which suits the batch normalisation; steps instead of epochs; AdamW also for the discriminator. The
        level near the border is ours; "paper" does without.
    """

    card: ClassVar[Card] = Card(
        name="simplenet",
        family="one_class",
        title="SimpleNet",
        paper="Liu et al., SimpleNet: a simple network for image anomaly detection and localization",
        url="https://arxiv.org/abs/2303.15140",
        year=2023,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (8, 16),
                "standardise": False,
                "noise": 0.015,
                "hidden": 1024,
                "steps": 4200,
                "patches": 8192,
                "rate": 2e-4,
                "level_images": 0,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "neighbourhood": 1,
                "hidden": 64,
                "steps": 150,
                "patches": 512,
                "rate": 2e-3,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (8, 16, 32)
    neighbourhood: OddCount = 3
    standardise: bool = True
    noise: Annotated[float, Positive] = 0.25
    hidden: Count = 512
    steps: Count = 1000
    patches: Count = 2048
    samples: Count = 100_000
    adaptor_rate: Annotated[float, Positive] = 1e-4
    rate: Annotated[float, Positive] = 2e-4
    level_images: Annotated[int, AtLeast(0)] = 32
    smoothing: Smoothing = 4.0
    mean: Tensor = buffer()
    deviation: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))
        self.adaptor = nn.Linear(dimension, dimension)
        self.discriminator = nn.Sequential(
            nn.Linear(dimension, self.hidden),
            nn.BatchNorm1d(self.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(self.hidden, 1, bias=False),
        )
        for layer in (self.adaptor, self.discriminator[0], self.discriminator[3]):
            nn.init.xavier_normal_(cast(nn.Linear, layer).weight)
        self.border = BorderLevel()

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        normal = self._sample(images, rng, progress)  # (n, D)

        def loss(step: int, rng: np.random.Generator) -> Tensor:
            return self.loss(normal[torch.from_numpy(rng.integers(len(normal), size=self.patches)).to(normal.device)])

        optimiser = torch.optim.AdamW(
            [
                {"params": self.adaptor.parameters(), "lr": self.adaptor_rate, "weight_decay": 1e-2},
                {"params": self.discriminator.parameters(), "lr": self.rate, "weight_decay": 1e-5},
            ]
        )
        train(
            nn.ModuleDict({"adaptor": self.adaptor, "discriminator": self.discriminator}),
            optimiser,
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            checkpoint=self.checkpoint,
            progress=progress,
        )
        if self.level_images > 0:
            chosen = images.subset(np.sort(rng.permutation(len(images))[: self.level_images]))
            self.border.learn(self.strangeness(batch) for batch in self.batches(chosen, "border", progress))

    @torch.no_grad()
    def _sample(self, images: Images, rng: np.random.Generator, progress: Progress) -> Tensor:
        """Standardised patches (n, D) drawn from all normal images; takes over their mean and deviation."""
        gaussian, reservoir = Gaussian(len(self.mean)), Reservoir(self.samples, rng)
        for batch in self.batches(images, "features", progress):
            patches = self.describe(batch).flatten(0, 2).cpu()  # mean 0, deviation 1 so far: as the network gives them
            gaussian.add(patches)
            reservoir.add(patches)
        if self.standardise:
            deviation = gaussian.covariance().diagonal().sqrt()
            largest = float(deviation.max())
            if largest == 0:
                raise InputError(f"patches must vary, got {gaussian.count} equal ones; more varied images are needed")
            self.mean = gaussian.mean.to(self.mean)
            self.deviation = deviation.clamp_min(1e-3 * largest).to(self.deviation)
        sample = reservoir.sample()
        del reservoir
        return sample.to(self.mean).sub_(self.mean).div_(self.deviation)

    def loss(self, patches: Tensor) -> Tensor:
        """The loss of normal patches (P, D) and of as many noisy ones."""
        normal = self.adaptor(patches)
        noisy = normal + self.noise * torch.randn_like(normal)
        said_normal, said_noisy = self.discriminator(torch.cat([normal, noisy])).squeeze(1).chunk(2)
        loss: Tensor = (MARGIN - said_normal).clamp_min(0).mean() + (MARGIN + said_noisy).clamp_min(0).mean()
        return loss

    def statistic(self, batch: Tensor) -> Tensor:
        strangeness = self.border(self.strangeness(batch))  # (N, h, w)
        return smooth_upsample(strangeness, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def strangeness(self, batch: Tensor) -> Tensor:
        """Minus the discriminator's output at each position of a batch (N, 3, H, W), (N, h, w)."""
        patches = self.describe(batch)  # (N, h, w, D)
        normality: Tensor = self.discriminator(self.adaptor(patches.flatten(0, 2))).reshape(patches.shape[:3])
        return -normality

    def describe(self, batch: Tensor) -> Tensor:
        """Standardised patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        patches = patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)
        return (patches - self.mean) / self.deviation
