"""PatchCore: a small set of normal patches, and the distance to the nearest of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.background.border_level import BorderLevel
from amiss.background.coreset import StreamingCoreset, draw_projection
from amiss.background.foreground import Foreground
from amiss.background.memory_bank import add_bank, fill_bank
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress, silent
from amiss.core.ranges import AtLeast, Count, OddCount, Share, Smoothing, Stages
from amiss.detectors.by_blocks import ByBlocks, State
from amiss.features import FeatureExtractor, patch_descriptors
from amiss.features.batch import turned
from amiss.statistics.knn import closeness, nearest_distance, principal_axes
from amiss.statistics.knn import distance as distances
from amiss.statistics.reduce import smooth_upsample

_SHOWN = 16  # images that show what the background looks like
_BLOCK = 1024  # bank vectors that are compared with the whole bank at a time


class PatchCore(ByBlocks):
    """A memory bank of normal patches; a patch is as strange as it is far from the bank.

    Background model:
        Every patch of every normal image is described by the features of two stages of a frozen network, each
        averaged over a square of `neighbourhood` cells. A greedy k-centre coreset of `bank_size` descriptors is
        kept: no normal patch is far from it. Distances for the choice are measured after a random projection to
        `projection` numbers, which keeps them nearly and makes it fast. With `rotations` > 1 every normal image is
        looked at in so many orientations: of a few images a part that lies otherwise is then known too.

        Patches near the border lie farther from the bank than those inside. How much farther is learned from up to
        `level_images` normal images, each without the bank vectors that come from it.

    Statistic:
        Euclidean distance of each patch to its nearest bank vector, near the border brought to the level inside, see
        `BorderLevel`; enlarged to the image and smoothed. With `search`
        = K > 0 the nearest is looked for along the K principal axes of the bank, with one number more for the length
        of the rest, and the distance to what is found is measured in full: sooner, at most a little too large.
        With `reweight` = b > 1 the map of an image is multiplied by the paper's weight: with q the patch farthest
        from the bank, m* its nearest vector and N_b(m*) the b bank vectors nearest to m*,
        ``1 - exp(|q - m*|) / sum over m in N_b(m*) of exp(|q - m|)``. With `foreground` only patches of the part
        count, see `Foreground`: what lies in the background is not looked at.

    Assumes:
        What is normal somewhere is normal everywhere: position plays no role.

    Args:
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of the stages; the finest sets the grid.
        neighbourhood: Odd width of the averaging square, in feature cells; 1 does not average. The paper's 3 suits
            its ResNets; the embedded networks do better without (decision 5).
        bank_size: M. A whole number: vectors kept, whatever the number of images, on which time and memory on the line
            depend. A number between 0 and 1: the share of all patches that is kept, as in the paper.
        projection: Dimension in which the coreset is chosen; 0 uses all of them.
        search: Axes along which the nearest vector is looked for; 0 looks at everything and is exact.
        reweight: b of the re-weighting, 1 or 0 for none.
        level_images: Normal images from which the level near the border is learned; 0 leaves distances as they are.
        rotations: Orientations in which each normal image is learned, evenly around the circle.
        foreground: Whether the background is told from the part, and left out, where both can be seen.
        smoothing: Gaussian on the map, in pixels of an image whose shorter side is 256.

    Raises:
        InputError: A hyper-parameter out of range, an unknown backbone or stage.

    Cost:
        Learning: see `StreamingCoreset`; no more memory from 262,144 patches or 8 M on, however many images; with a
        share, M grows with them. Then `level_images` images are scored. With re-weighting, M^2 D multiply-adds and
        1024 M numbers. Scoring: h w D M multiply-adds, with `search` = K h w (K + 1) M, and h w M numbers per image
        besides the network. State: M D numbers, and b M with re-weighting.

    Example:
        >>> from amiss.testing import toy_texture
        >>> detector = PatchCore(**PatchCore.card.presets["tiny"]).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, arXiv 2106.08265.
        Differs from the paper: the whole image, no centre crop. Of the 25, 10 or 1 % of all patches that the paper
        keeps, the preset "paper" takes 10 %. The search is exact. The image score is the maximum of the smoothed map,
        so that one threshold serves image and pixels. The level near the border is ours; "paper" does without. The
        default preset does not average locally. Features are not resized to 1024 channels, and are centred on the
        bank's mean, which changes no distance but saves digits.
        Presets "few_shot" and "anomaly_dino" are for 1 to 8 images, after Damm, Laszkiewicz, Lederer and Fischer,
        "AnomalyDINO: boosting patch-based few-shot anomaly detection with DINOv2", WACV 2025, arXiv 2405.14529. They
        differ from it: Euclidean distances, the maximum of the smoothed map, and a background found by Otsu's method.
    """

    card: ClassVar[Card] = Card(
        name="patchcore",
        family="memory_bank",
        title="PatchCore",
        paper="Roth et al., Towards total recall in industrial anomaly detection",
        url="https://arxiv.org/abs/2106.08265",
        year=2022,
        learning=Learning.ONE_PASS,
        weights_licence="Apache-2.0",
        presets={
            "default": {},
            "paper": {
                "backbone": "file:wide_resnet50_2.safetensors",
                "neighbourhood": 3,
                "bank_size": 0.1,
                "projection": 128,
                "reweight": 9,
                "level_images": 0,
            },
            "few_shot": {"rotations": 8},
            "anomaly_dino": {
                "backbone": "hf:facebook/dinov2-small",
                "stages": (12,),
                "bank_size": 10_000,
                "rotations": 8,
                "foreground": True,
            },
            "tiny": {
                "backbone": "tiny-random",
                "stages": (4, 8),
                "neighbourhood": 3,
                "bank_size": 100,
                "projection": 0,
                "smoothing": 8.0,
            },
        },
    )

    backbone: str = "efficientnet-lite2"
    stages: Stages = (8, 16)
    neighbourhood: OddCount = 1
    bank_size: Count | Share = 2000
    projection: Annotated[int, AtLeast(0)] = 64
    search: Annotated[int, AtLeast(0)] = 0
    reweight: Annotated[int, AtLeast(0)] = 0
    level_images: Annotated[int, AtLeast(0)] = 32
    rotations: Count = 1
    foreground: bool = False
    smoothing: Smoothing = 4.0
    center: Tensor = buffer()
    bank: Tensor = buffer()
    axes: Tensor = buffer()
    neighbours: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor(self.backbone, self.stages, pretrained=pretrained)
        dimension = sum(self.features.channels)
        add_bank(self, dimension)
        self.register_buffer("axes", torch.zeros(dimension, min(self.search, dimension)))
        self.register_buffer("neighbours", torch.zeros(0, 0, dtype=torch.long))
        self.border = BorderLevel()
        self.part = Foreground(dimension) if self.foreground else None

    def prepare(self, images: Images, rng: np.random.Generator) -> None:
        vars(self)["_projection"] = draw_projection(len(self.center), self.projection, rng)  # no part of the state

    def known(self, images: Images, count: int, rng: np.random.Generator) -> State:
        self.prepare(images, rng)
        patches = (
            self.describe(next(self.batches(images.subset([0]), "features", silent))).shape[1:3].numel()
            * self.rotations
        )
        origins = torch.full((len(self.bank),), -1)
        numbers = {"seen": torch.tensor(count * patches), "images": torch.tensor(count)}
        return {"vectors": self.bank + self.center, "origins": origins} | numbers

    def gather(self, images: Images, block: range, rng: np.random.Generator, progress: Progress) -> State:
        number, coreset = block.start, None
        own = rng if len(block) == len(images) else np.random.default_rng([int(rng.integers(2**63)), block.start])
        for batch in self.batches(images.subset(block), "features", progress):
            degrees = [360 * turn / self.rotations for turn in range(self.rotations)]
            views = torch.stack([self.describe(turned(batch, angle)) for angle in degrees], dim=1)
            for patches in views.flatten(1, 3):  # (P, D) of each image
                if coreset is None:
                    coreset = self._coreset((self.before + len(images)) * len(patches), own)
                coreset.add(patches, number)
                number += 1
        if coreset is None:
            raise InputError("there must be images to learn from, got none")
        if len(block) < len(images):
            coreset.reduce()
        return coreset.state() | {"images": torch.tensor(len(block))}

    def fold(self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress) -> None:
        bank, origins = self._choose(states, images, rng, progress)  # (M, D), (M,)
        fill_bank(self, bank)
        self.axes = principal_axes(self.bank, self.axes.shape[1])
        if self.reweight > 1:
            self.neighbours = neighbours(self.bank, self.reweight)
        chosen = np.sort(rng.permutation(len(images))[: self.level_images])
        if self.before > 0:  # what the part is, and the level of a bank, do not change with more images
            return
        if self.part is not None:
            self._learn_part(self.part, images, progress)
        if len(chosen) > 0:
            self.border.learn(self._unseen_distances(images, chosen, origins, progress))

    def _choose(
        self, states: Iterator[State], images: Images, rng: np.random.Generator, progress: Progress
    ) -> tuple[Tensor, Tensor]:
        """The bank (M, D), not centred, and the number of the image of each vector (M,)."""
        coreset: StreamingCoreset | None = None
        for state in states:
            if coreset is None:
                patches = int(state["seen"]) // int(state["images"])  # of each image
                coreset = self._coreset((self.before + len(images)) * patches, rng)
            coreset.merge(state)
        if coreset is None:
            raise InputError("there must be images to learn from, got none")
        return coreset.choose(progress)

    def _coreset(self, patches: int, rng: np.random.Generator) -> StreamingCoreset:
        """Of a stream of so many patches."""
        projection: Tensor | None = vars(self)["_projection"]
        return StreamingCoreset(self._count(patches), len(self.center), rng, projection=projection)

    def _unseen_distances(
        self, images: Images, chosen: NDArray[np.intp], origins: Tensor, progress: Progress
    ) -> Iterator[Tensor]:
        """Distances (1, h, w) of some normal images, each to the bank vectors of the others."""
        numbers = iter(chosen)
        for batch in self.batches(images.subset(chosen), "border", progress):
            for patches in self.describe(batch) - self.center:  # (h, w, D)
                others = self.bank[origins != int(next(numbers))]
                if len(others) > 0:
                    yield self._distance(patches[None], others)

    def _learn_part(self, part: Foreground, images: Images, progress: Progress) -> None:
        """What the background looks like, in the first of the images."""
        some = self.batches(images.subset(range(min(len(images), _SHOWN))), "background", progress)
        part.learn(torch.cat([self.describe(batch) for batch in some]) - self.center)

    def remarks(self) -> tuple[str, ...]:
        """Whether a background is left out."""
        if self.part is None:
            return ()
        if not bool(self.part.told):
            return ("No background could be told from the part, so all of the image is judged.",)
        return ("What looks like the background of the good images is not judged.",)

    def _distance(self, patches: Tensor, bank: Tensor) -> Tensor:
        """Distance (N, h, w) of centred patches (N, h, w, D) to the nearest vector of a bank (M, D)."""
        return nearest_distance(patches, bank, axes=self.axes if self.search > 0 else None)

    def statistic(self, batch: Tensor) -> Tensor:
        patches = self.describe(batch) - self.center  # (N, h, w, D)
        distance = self.border(self._distance(patches, self.bank))  # (N, h, w)
        if self.part is not None:
            distance = distance * self.part(patches)
        if self.reweight > 1:
            distance = distance * self._weight(patches.flatten(1, 2), distance.flatten(1))
        return smooth_upsample(distance, (batch.shape[2], batch.shape[3]), smoothing=self.smoothing)

    def describe(self, batch: Tensor) -> Tensor:
        """Patch descriptors (N, h, w, D) of a batch (N, 3, H, W)."""
        return patch_descriptors(self.features(batch), neighbourhood=self.neighbourhood).permute(0, 2, 3, 1)

    def _weight(self, patches: Tensor, distance: Tensor) -> Tensor:
        """The paper's weight of each image (N, 1, 1), from patches (N, P, D) and their distances (N, P)."""
        farthest = distance.argmax(dim=1)[:, None, None]  # (N, 1, 1)
        query = patches.gather(1, farthest.expand(-1, 1, patches.shape[2])).squeeze(1)  # (N, D)
        around = distances(query[:, None], self.bank[self.neighbours[closeness(query, self.bank).argmax(dim=1)]])
        nearest = around.amin(dim=1, keepdim=True)  # m* is its own neighbour
        return 1 - 1 / (around - nearest).exp().sum(dim=1).view(-1, 1, 1)

    def _count(self, patches: int) -> int:
        """Vectors to keep of so many patches."""
        return self.bank_size if isinstance(self.bank_size, int) else max(1, round(self.bank_size * patches))


def neighbours(bank: Tensor, count: int) -> Tensor:
    """Numbers of the `count` vectors nearest to each of a bank (M, D), itself among them; (M, min(count, M))."""
    parts = [bank[start : start + _BLOCK] for start in range(0, len(bank), _BLOCK)]
    return torch.cat([closeness(part, bank).topk(min(count, len(bank))).indices for part in parts])
