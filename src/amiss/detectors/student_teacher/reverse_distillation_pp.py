"""RD++: reverse distillation behind projections that are taught to take the strange out of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amiss.background.pair import error_map, errors, make_pair, standardised
from amiss.background.reverse_decoder import check_halving
from amiss.background.standardising import learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Count, NotEmpty, OneOf, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor
from amiss.features.cache import CachedFeatures, cached_features
from amiss.statistics.difference import COMPARISONS, cosine_distance, over_stages, unit, whole_map_distance
from amiss.statistics.transport import sinkhorn_divergence
from amiss.synthesis.noise import simplex_noise
from amiss.training import cosine, set_aside, train

OCTAVES, PERSISTENCE = 6, 0.6
"""Of the noise: how many scales, and the amplitude of each as a share of the next coarser one's."""

POINTS, BLUR = 32, 0.05
"""Positions per map that are taken to compare two images, and the length below which they are not told apart."""

PROJECTION, RECONSTRUCTION, CONTRAST, MARGIN = 0.2, 0.01, 0.1, 0.5
"""Weights of the projection's losses, and the cosine up to which noisy and projected features may agree."""


class ReverseDistillationPP(Detector):
    """Reverse distillation whose bottleneck reads projected features, in which added noise has been made to vanish.

    Background model:
        That of reverse distillation: a frozen teacher whose features are standardised, a bottleneck, and a
        decoder as student that rebuilds the teacher's maps from the code. In between, each stage goes through a
        projection, four 3x3 convolutions to a half, a quarter, a half and all of its channels, each followed by
        instance normalisation and a leaky ReLU. Besides the student's loss, its difference from the
        teacher, there are three for the projections. *Transport*: the projected vectors of one normal image
        and of another form clouds that should lie close together (Sinkhorn divergence). *Reconstruction*: a
        image with a patch of simplex noise should be projected to what it is without (1 - cosine at each
        position). *Contrast*: the teacher's features of the noisy image and the projected normal ones should
        differ (cosine of the whole maps at most 1/2). In all ``distillation + 0.2 (transport + 0.01
        reconstruction + 0.1 contrast) / 1.11``, each summed over the stages; `transport` is a factor of the first.

    Statistic:
        The difference of the teacher's and the student's vector at each position (see `compare`), enlarged to the
        image and smoothed; summed over the stages, each as a multiple of its mean over held-out normal images.

    Assumes:
        What reverse distillation assumes; and defects change features somewhat as patches of noise do.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages, each twice the one before.
        width: Channels inside of a residual block, as a multiple of those that leave it.
        blocks: Residual blocks of the bottleneck and of each decoder stage, deepest first; the last number holds for
            all that follow.
        compare: "values", the mean squared difference; "angles", 1 - cosine; or "whole maps", for which each image's
            map is one long vector in learning, so that positions with large features weigh more, and what is scored
            are angles position by position.
        noise: Amplitude of the coarsest noise, as a share of white.
        versions: Noisy versions of each image, drawn once.
        steps: Training steps.
        batch: Images a batch, at least 2: each is compared with another.
        accumulate: Batches a step, whose losses are averaged.
        rate: Learning rate of Adam for bottleneck and decoder at the start; it falls to 0 along a cosine.
        projection_rate: The same for the projections.
        transport: Weight of the transport among the projections' losses; 0 leaves it out.
        standardise: Bring each channel of the teacher to mean 0 and standard deviation 1 over the normal images
            first; else those that vary most decide alone.
        balance: Divide the map of each stage by its mean over a tenth of the normal images, one at least, that no
            step has seen. Else the stage that is hardest to rebuild drowns the others.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, stages that do not halve, a single
            image where one is held out, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: the teacher sees each image 1 + `versions` times (see `amiss.features.cache`); a step costs three
        times the student's and six times the projections' multiply-adds per image. For 256 x 256 in the default preset
        those are 0.20 and 0.07 billion. State: their weights, 2.0 million.

    Example:
        >>> from amiss.testing import toy_texture
        >>> method = ReverseDistillationPP
        >>> detector = method(**method.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Tien et al., "Revisiting reverse distillation for anomaly detection", CVPR 2023, pages 24511-24520.
        Differs from the paper: the published code measures transport between the images of a batch and the same
        images in another order. As clouds these are equal, so that the divergence and its gradient are 0; here the
        clouds are the vectors of one image and of another, of length 1, at some positions drawn anew. Each image has
        a few noisy versions that are drawn once, since features of ever new noise would need the teacher in each step;
        the noise is the same in all colours. The sign and the margin of the contrast changed between versions of that
        code; here noisy and normal are driven apart. The last step is kept, after one number of steps for all data; the
        published figures come from numbers of epochs chosen for each class and from the epoch that is best on its test
        images. Where the decoder differs from the paper's, see reverse distillation. In "paper" a step averages two
        batches, as the authors' accumulated gradients do, and there are as many as on 200 epochs of 224 images. The
        preset keeps the cosine of the rate; theirs is constant.
    """

    card: ClassVar[Card] = Card(
        name="reverse_distillation_pp",
        family="student_teacher",
        title="RD++",
        paper="Tien et al., Revisiting reverse distillation for anomaly detection",
        url="https://openaccess.thecvf.com/content/CVPR2023/html/Tien_Revisiting_Reverse_Distillation_for_Anomaly_Detection_CVPR_2023_paper.html",
        year=2023,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "stages": (4, 8, 16),
                "width": 0.5,
                "blocks": (3, 3, 4, 6),
                "compare": "whole maps",
                "standardise": False,
                "balance": False,
                "accumulate": 2,
                "steps": 1400,
                "projection_rate": 1e-3,
                "batch": 16,
                "rate": 5e-3,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (2, 4),
                "blocks": (1,),
                "versions": 1,
                "steps": 50,
                "batch": 3,
                "rate": 0.05,
                "projection_rate": 0.01,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    width: Annotated[float, Positive] = 1.0
    blocks: Annotated[Sequence[Count], NotEmpty] = (2,)
    compare: Annotated[str, OneOf(*COMPARISONS)] = "values"
    noise: Annotated[float, Positive] = 0.2
    versions: Count = 2
    steps: Count = 2400
    batch: Annotated[int, AtLeast(2)] = 16
    accumulate: Count = 1
    rate: Annotated[float, Positive] = 5e-3
    projection_rate: Annotated[float, Positive] = 5e-3
    transport: Annotated[float, AtLeast(0)] = 1.0
    standardise: bool = True
    balance: bool = True
    smoothing: Smoothing = 4.0

    def build(self, *, pretrained: bool) -> None:
        check_halving(self.stages)
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        self.projections = nn.ModuleList(projection(channels) for channels in self.features.channels)
        self.standardising, self.student, self.balancing = make_pair(
            self.features.channels, width=self.width, blocks=self.blocks
        )

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        chosen, held_out = set_aside(len(images), rng) if self.balance else (np.arange(len(images)), ())
        noisy_images = noisy(images, self.noise, self.versions, seed=int(rng.integers(2**31)))
        key = self.features.key()
        with (
            cached_features(self.features, key, images, progress, device=self.device) as cache,
            cached_features(self.features, key, noisy_images, progress, device=self.device) as noisy_cache,
        ):
            if self.standardise:
                learn_standardising(self.standardising, cache.batches())
            train(
                nn.ModuleDict({"projections": self.projections, "student": self.student}),
                torch.optim.Adam(
                    [
                        {"params": self.projections.parameters(), "lr": self.projection_rate},
                        {"params": self.student.parameters(), "lr": self.rate},
                    ],
                    betas=(0.5, 0.999),
                ),
                lambda step, rng: self._step(cache, noisy_cache, chosen, rng),
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=cosine,
                checkpoint=self.checkpoint,
                progress=progress,
            )
            if self.balance:
                self.balancing.learn(self.distances(self.teach(cache.batch([index]))) for index in held_out)

    def _step(
        self,
        cache: CachedFeatures,
        noisy_cache: CachedFeatures,
        chosen: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> Tensor:
        """The mean loss of `accumulate` batches of the images chosen, normalised one batch at a time."""
        losses = [self._batch_loss(cache, noisy_cache, chosen, rng) for _ in range(self.accumulate)]
        return torch.stack(losses).mean()

    def _batch_loss(
        self,
        cache: CachedFeatures,
        noisy_cache: CachedFeatures,
        chosen: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> Tensor:
        drawn = rng.choice(chosen, size=self.batch)
        version = rng.integers(self.versions, size=self.batch)
        normal = self.teach(cache.batch(drawn))
        strange = self.teach(noisy_cache.batch(drawn * self.versions + version))
        return self.loss(normal, strange, shift=int(rng.integers(1, self.batch)))

    def loss(self, normal: Sequence[Tensor], strange: Sequence[Tensor], shift: int) -> Tensor:
        """The whole loss of a batch.

        Args:
            normal: What the student must say of normal images, (N, C, h, w) per stage.
            strange: What it says of the same images with noise.
            shift: Each image is compared with the one so many places further on.
        """
        projected, from_noise = self.project(normal), self.project(strange)
        distillation = over_stages(COMPARISONS[self.compare][0], normal, self.student(projected))
        transport = (
            torch.stack([transport_distance(one, shift).mean() for one in projected]).sum() if self.transport else 0.0
        )
        reconstruction = over_stages(cosine_distance, from_noise, projected)
        contrast = over_stages(contrast_loss, strange, projected)
        extra = self.transport * transport + RECONSTRUCTION * reconstruction + CONTRAST * contrast
        return distillation + PROJECTION * extra / (1 + RECONSTRUCTION + CONTRAST)

    def teach(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What the student must say: the teacher's stages (N, C, h, w), standardised."""
        return standardised(self.standardising, features)

    def project(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Projected stages (N, C, h, w) of the teacher's."""
        return [one(feature) for one, feature in zip(self.projections, features, strict=True)]

    def distances(self, teacher: Sequence[Tensor]) -> list[Tensor]:
        """How wrong the student is (N, h, w) at each position of each stage, from what it must say."""
        return errors(self.compare, teacher, self.student(self.project(teacher)))

    def statistic(self, batch: Tensor) -> Tensor:
        grids = self.distances(self.teach(self.features(batch)))
        return error_map(self.balancing, grids, (batch.shape[2], batch.shape[3]), self.smoothing)


def projection(channels: int) -> nn.Module:
    """From C channels to C/2, C/4, C/2 and C: 3x3 convolutions, each with instance normalisation and leaky ReLU."""
    layers = list[nn.Module]()
    entering = channels
    for share in (2, 4, 2, 1):
        leaving = max(1, channels // share)
        layers += [nn.Conv2d(entering, leaving, 3, padding=1), InstanceNorm(), nn.LeakyReLU(0.01)]
        entering = leaving
    return nn.Sequential(*layers)


class InstanceNorm(nn.Module):
    """Each channel of each image to mean 0 and standard deviation 1 over the positions; a constant one to 0.

    torch's own refuses maps of a single cell while training, and becomes another operator when exported.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        return centred * (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-5).rsqrt()


def transport_distance(projected: Tensor, shift: int) -> Tensor:
    """Sinkhorn divergence between the vectors of each image and those of the one `shift` places on, (N,).

    Vectors are brought to length 1 and taken at up to `POINTS` positions from torch's random state.
    """
    positions = torch.randperm(projected.shape[2] * projected.shape[3])[:POINTS].to(projected.device)
    clouds = unit(projected).flatten(2)[:, :, positions].transpose(1, 2)  # (N, P, C)
    return sinkhorn_divergence(clouds, clouds.roll(shift, dims=0), blur=BLUR)


def contrast_loss(strange: Tensor, projected: Tensor) -> Tensor:
    """By how much the cosine of two whole maps (N, C, h, w) exceeds `MARGIN`, (N,)."""
    return (1 - whole_map_distance(strange, projected) - MARGIN).clamp_min(0)


def noisy(images: Images, strength: float, versions: int, *, seed: int) -> Images:
    """Images with a patch of simplex noise, `versions` of each in a row; made when read, the same every time.

    Args:
        images: With a size.
        strength: Amplitude of the coarsest noise, as a share of white.
        versions: How many noisy images become of each.
        seed: Seed of the noise.
    """
    noisy = [
        _Noisy(images, index, strength, (seed, index, version))
        for index in range(len(images))
        for version in range(versions)
    ]
    return Images(noisy, size=images.size)


@dataclass(frozen=True)
class _Noisy:
    """An image with noise in a rectangle whose sides are 1/25 to 1/8 of the image's shorter one."""

    images: Images
    index: int
    strength: float
    seed: tuple[int, int, int]

    @property
    def name(self) -> str:
        """What it was, and that it is noisy."""
        return f"{self.images.names[self.index]} with noise"

    def read(self) -> NDArray[np.uint8]:
        """Its pixels, uint8 (H, W, 3)."""
        pixels, rng = self.images[self.index], np.random.default_rng(self.seed)
        side = min(pixels.shape[:2])
        least, most = max(2, side // 25), max(3, side // 8)
        height, width = (int(rng.integers(least, most)) for _ in range(2))
        top, left = (
            int(rng.integers(all - part + 1)) for all, part in zip(pixels.shape, (height, width), strict=False)
        )
        field = simplex_noise((height, width), 8 * min(height, width) / side, rng, OCTAVES, PERSISTENCE)
        loud = 255 * self.strength * float(np.sum(PERSISTENCE ** np.arange(OCTAVES)))  # the field lies in [-1, 1]
        result = pixels.astype(np.float32)
        result[top : top + height, left : left + width] += loud * field[:, :, None]
        return result.round().clip(0, 255).astype(np.uint8)
