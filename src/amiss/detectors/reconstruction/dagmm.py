"""DAGMM: compression and mixture learned together, and the energy of a patch under the mixture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.mixture import Mixture, maximise
from amiss.background.reservoir import Reservoir
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import AtLeast, Between, Count, NotEmpty, OddCount, Positive, Smoothing, Stages
from amiss.detectors.detector import Detector
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.statistics.nll import mixture_nll
from amiss.statistics.reduce import smooth_upsample
from amiss.training import cosine, train

SHORT = 1e-8
"""Added to squared lengths, so that a vector of length 0 has a finite relative distance and slope."""

MEMBERSHIP = 10
"""Width of the layer inside of the estimation network, as published."""


class DAGMM(Detector):
    """A patch compressed to a few numbers, how badly it was rebuilt, and a mixture of Gaussians, all learned together.

    Background model:
        The features of a frozen network at each position, standardised, are a vector x. A compression network of
        fully connected layers makes a code c of it and y, what is rebuilt of x. Together with the relative distance
        ``|x - y| / |x|`` and the cosine of x and y the code is z. An estimation network says how far z belongs to each
        of K components, of which weights, means and covariances follow. All are trained on `samples` normal patches to
        lower ``mean of |x - y|^2 + energy E(z) + penalty sum of 1 / variance`` over the variances of all components,
        where ``E(z) = -log sum of w_k N(z; m_k, S_k)``. Mixture and energy are computed in float64; each S_k has
        `floor` added to its diagonal before its Cholesky factor is taken, so that it can be taken where a component has
        collapsed. In the end the mixture is that of all patches that were drawn.

    Statistic:
        The energy E at each position, enlarged to the image and smoothed.

    Assumes:
        What is normal somewhere is normal everywhere. Normal patches are of a few kinds that a short code tells apart.
        A strange patch that is compressed to an ordinary code and rebuilt as well as normal ones is not seen. The two
        aims pull apart: the energy is least where all codes are alike, which only `penalty` and `floor` forbid.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the square over which features are averaged first, in cells; 1 does not average.
        hidden: Widths of the layers between x and the code; the way back mirrors them.
        code: Numbers of the code.
        components: K.
        energy: Weight of the mean energy.
        penalty: Weight of the inverse variances.
        floor: Variance added to every direction of every component, > 0, in the unit of z squared.
        dropout: Share of the numbers inside of the estimation network that are left out in training, in [0, 1).
        samples: Patches drawn, of all normal images.
        steps: Training steps.
        batch: Patches per step; mixture and penalty are those of the batch, so it should be large.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Learning: one pass of the network over the images; then a step is three passes of `batch` patches through the
        compression network, some 2 D `hidden`[0] multiply-adds each: less than a second per hundred steps. Memory
        D `samples` numbers. Scoring: h w times such a pass, and h w K `code`^2, besides the network.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = DAGMM(**DAGMM.card.presets["tiny"] | {"steps": 5}).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Zong, Song, Min, Cheng, Lumezanu, Cho and Chen, "Deep autoencoding Gaussian mixture model for unsupervised
        anomaly detection", ICLR 2018.
        Differs from the paper: the paper is about tables; here a row is what a frozen network says of a patch.
        Compression has leaky ReLUs for tanh, which would answer all that lies far out alike. The floor of the
        covariances is not in the paper, and the rate falls. "paper" has the code, layers, weights and rate of its first
        data set.
    """

    card: ClassVar[Card] = Card(
        name="dagmm",
        family="reconstruction",
        title="DAGMM",
        paper="Zong et al., Deep autoencoding Gaussian mixture model for unsupervised anomaly detection",
        url="https://openreview.net/forum?id=BJJLHbb0-",
        year=2018,
        learning=Learning.GRADIENT,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {"hidden": (60, 30, 10), "code": 1, "steps": 20_000, "rate": 1e-4, "batch": 1024},
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "hidden": (16,),
                "code": 2,
                "components": 2,
                "samples": 1000,
                "steps": 150,
                "batch": 128,
                "rate": 1e-2,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite0"
    stages: Stages = (16, 32)
    neighbourhood: OddCount = 1
    hidden: Annotated[Sequence[Count], NotEmpty] = (128, 32)
    code: Count = 8
    components: Count = 4
    energy: Annotated[float, AtLeast(0)] = 0.1
    penalty: Annotated[float, AtLeast(0)] = 0.005
    floor: Annotated[float, Positive] = 1e-4
    dropout: Annotated[float, Between(0, 1, "left")] = 0.5
    samples: Count = 20_000
    steps: Count = 2000
    batch: Count = 1024
    rate: Annotated[float, Positive] = 1e-3
    smoothing: Smoothing = 4.0
    log_weights: Tensor = buffer()
    means: Tensor = buffer()
    whitening: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        widths = [sum(self.features.channels), *self.hidden, self.code]
        self.standardising = Standardising(widths[0])
        self.compress, self.rebuild = _layers(widths), _layers(widths[::-1])
        self.estimate = nn.Sequential(
            nn.Linear(self.code + 2, MEMBERSHIP),
            nn.Tanh(),
            nn.Dropout(self.dropout),
            nn.Linear(MEMBERSHIP, self.components),
        )
        self.register_buffer("log_weights", torch.zeros(self.components))
        self.register_buffer("means", torch.zeros(self.components, self.code + 2))
        self.register_buffer("whitening", torch.zeros(self.components, self.code + 2, self.code + 2))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        patches = self._sample(images, rng, progress)
        networks = nn.ModuleList([self.compress, self.rebuild, self.estimate])

        def loss(step: int, draw: np.random.Generator) -> Tensor:
            chosen = torch.from_numpy(draw.integers(len(patches), size=self.batch)).to(patches.device)
            return self.training_loss(patches[chosen])

        train(
            networks,
            torch.optim.Adam(networks.parameters(), lr=self.rate),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            clip=10.0,
            checkpoint=self.checkpoint,
            progress=progress,
        )
        with torch.no_grad():
            mixture = self.mixture_of(self.represent(patches)[0])
        self.log_weights, self.means = mixture.log_weights.float(), mixture.means.float()
        self.whitening = mixture.whitening.float()

    @torch.no_grad()
    def _sample(self, images: Images, rng: np.random.Generator, progress: Progress) -> Tensor:
        """Standardised descriptors of patches of all images, (n, D) on the detector's device."""
        reservoir = Reservoir(self.samples, rng)
        for batch in self.batches(images, "features", progress):
            reservoir.add(self._descriptors(batch).permute(0, 2, 3, 1).flatten(0, 2).cpu())
        patches = reservoir.sample().to(self.device)
        learn_standardising([self.standardising], [[patches[:, :, None]]])
        standardised: Tensor = self.standardising(patches)
        return standardised

    def _descriptors(self, batch: Tensor) -> Tensor:
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood)

    def represent(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Of standardised vectors x (..., D): z (..., code + 2), which is code, distance and cosine; and |x - y|^2."""
        code = self.compress(vectors).to(vectors)  # mixed precision would leave the mixture three digits
        rebuilt = self.rebuild(code).to(vectors)
        error = (vectors - rebuilt).square().sum(dim=-1)
        own, other = (one.square().sum(dim=-1) + SHORT for one in (vectors, rebuilt))
        relative, cosine = ((error + SHORT) / own).sqrt(), (vectors * rebuilt).sum(dim=-1) * (own * other).rsqrt()
        return torch.cat([code, torch.stack([relative, cosine], dim=-1)], dim=-1), error

    def mixture_of(self, z: Tensor) -> Mixture:
        """The mixture (float64) that follows from how far each z (n, code + 2) belongs to each component."""
        return maximise(z.double(), self.estimate(z).double().softmax(dim=-1), "full", self.floor)

    def training_loss(self, vectors: Tensor) -> Tensor:
        """What is lowered on standardised vectors (n, D)."""
        z, error = self.represent(vectors)
        if not bool(z.isfinite().all()):
            return error.mean() * torch.nan  # for `train`, which knows the step; no covariance could be factored
        mixture = self.mixture_of(z)
        energy = mixture_nll(z.double(), mixture.log_weights, mixture.means, mixture.whitening).mean()
        roots: Tensor = torch.linalg.inv(mixture.whitening)  # Cholesky factors of the covariances
        narrow = roots.square().sum(dim=-1).reciprocal().sum()
        return error.mean() + self.energy * energy + self.penalty * narrow

    def statistic(self, batch: Tensor) -> Tensor:
        vectors = self.standardising(self._descriptors(batch)).permute(0, 2, 3, 1)
        energy = mixture_nll(self.represent(vectors)[0], self.log_weights, self.means, self.whitening)
        return smooth_upsample(energy, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Fully connected layers with a leaky ReLU between them, and none after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
