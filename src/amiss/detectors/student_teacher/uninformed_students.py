"""Uninformed Students: several students predict a teacher's descriptors of patches; they err and differ on defects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from amiss.background.gaussian_field import GaussianField
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Count, Different, NotEmpty, OneOf, Positive
from amiss.detectors.detector import Detector
from amiss.features.cache import CachedFeatures, cached_features
from amiss.features.patch_network import ARCHITECTURES, MEAN, PatchNetwork
from amiss.features.teacher import EMBEDDED, LICENCES, RANDOM, Teacher, embedded_teachers
from amiss.statistics.reduce import place_patches
from amiss.training import cosine, set_aside, train

Architectures = Annotated[Sequence[Annotated[str, OneOf(*ARCHITECTURES)]], NotEmpty, Different]


class UninformedStudents(Detector):
    """Students that saw normal patches only guess at a teacher's descriptors; elsewhere they err, each in its own way.

    Background model:
        For each of `architectures`, a frozen teacher describes every patch by a vector, each of whose numbers is
        brought to mean 0 and deviation 1 over the normal images. An ensemble of `students` networks of the same
        build, each from its own random start, learns to give these vectors: the loss of a student is the squared
        distance, summed over the vector and averaged over positions. A step takes one image, one window of `crop`
        pixels of it, and, unless `dense`, every s-th position, s being the stride of the network's poolings, from a
        random first one: each position counts alike, as in the dense loss.

    Statistic:
        With t the teacher's vector at a position, s_i that of student i, and m the mean over the students: the error
        ``e = |m - t|^2`` and the variance ``v = mean of |s_i - m|^2``. Each is standardised, and they are added,
        ``(e - mean e) / std e + (v - mean v) / std v``, with mean and standard deviation over all positions of one
        normal image in ten (one at least) that are held out of everything before. A single student has no variance:
        the first term is all. The mean over the architectures is the map.

    Assumes:
        Defects change patches of the size of one of the architectures. Beyond its border an image is grey.

    Args:
        architectures: Some of "students-17", "students-33", "students-65", or of the same with "-xs", which are
            narrower; the number is the width of the patches in pixels. See `amiss.features.patch_network`.
        students: M, networks in each ensemble.
        teacher: Weights of the teachers: "embedded", a folder with a file ``<architecture>.safetensors`` of each, as
            `amiss distil` makes them, or "random" for tests.
        dense: Compare at every pixel, in learning too, as the paper does; otherwise one comparison every 4 pixels
            (33) or 8 (65), with linear interpolation between them.
        crop: Side of the window that a step learns from, in pixels; best a divisor of the images' side, so that no
            position is in more windows than another.
        steps: Training steps, of one image each.
        rate: Learning rate of Adam at the start; it falls to 0 along a cosine.

    Raises:
        InputError: A hyper-parameter out of range, no such teacher, a single image, or images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        An image costs 1 + M passes of each architecture: in the default preset 11 billion multiply-adds for 128 x 128
        pixels and 35 for 256 x 256. `dense` costs 16 times as much for 33 and 64 times for 65; 17 has no poolings and
        is always dense. A step costs 1 + 3 M passes over a window and its margin, 8 billion multiply-adds whatever
        the size of the images. These lie on disk while learning, 12 bytes per pixel.

    Example:
        >>> from amiss.testing import toy_texture
        >>> settings = UninformedStudents.card.presets["tiny"]
        >>> detector = UninformedStudents(**settings).fit(toy_texture(8, seed=0).images)
        >>> detector.score(toy_texture(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Bergmann, Fauser, Sattlegger and Steger, "Uninformed students: student-teacher anomaly detection with
        discriminative latent embeddings", CVPR 2020, arXiv 1911.02357.
        Differs from the paper: the default has our narrower networks, looks every 4 or 8 pixels, and takes fewer
        steps at a higher rate. The rate falls. Images are normalised by 0.5 and 0.25. The scale of the maps comes
        from images set aside in learning, where the paper takes the data set's validation images. A number of the
        teacher that hardly varies keeps 3 % of the deviation of the others. Networks see 17, 32 and 60 pixels of
        their patches (their poolings drop odd rows). In "paper" there are as many steps as 100 epochs of 220 images.
    """

    card: ClassVar[Card] = Card(
        name="uninformed_students",
        family="student_teacher",
        title="Uninformed Students",
        paper="Bergmann et al., Uninformed students: student-teacher anomaly detection with latent embeddings",
        url="https://arxiv.org/abs/1911.02357",
        year=2020,
        learning=Learning.GRADIENT,
        weights_licence=LICENCES["students-33-xs"],
        presets={
            "default": {},
            "paper": {
                "architectures": ("students-17", "students-33", "students-65"),
                "teacher": "teachers",
                "dense": True,
                "crop": 256,
                "steps": 22_000,
                "rate": 1e-4,
            },
            "tiny": {
                "architectures": ("students-tiny",),
                "students": 2,
                "teacher": RANDOM,
                "steps": 40,
                "rate": 5e-3,
            },
        },
    )

    architectures: Architectures = ("students-33-xs", "students-65-xs")
    students: Count = 3
    teacher: str = EMBEDDED
    dense: bool = False
    crop: Count = 64
    steps: Count = 3000
    rate: Annotated[float, Positive] = 1e-3
    level: Tensor = buffer()
    spread: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.features = Teachers(self.architectures, self.teacher, pretrained=pretrained)
        self.standardising = nn.ModuleList(Standardising(teacher.channels) for teacher in self.features.teachers())
        self.ensembles = nn.ModuleList(
            nn.ModuleList(PatchNetwork(name) for _ in range(self.students)) for name in self.architectures
        )
        terms = 1 if self.students == 1 else 2  # error, and variance if there is any
        self.register_buffer("level", torch.zeros(len(self.architectures), terms))
        self.register_buffer("spread", torch.ones(len(self.architectures), terms))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        training, held_out = set_aside(len(images), rng)
        with cached_features(lambda batch: [batch], "images", images, progress, device=self.device) as pixels:
            self._standardise(pixels, training, progress)
            self._train(pixels, training, rng, progress)
            self._learn_scale(pixels, held_out)

    @torch.no_grad()
    def _standardise(self, pixels: CachedFeatures, chosen: NDArray[np.intp], progress: Progress) -> None:
        """Mean and deviation of the teachers' vectors over the training images."""

        def answers() -> Iterator[list[Tensor]]:
            for done, index in enumerate(chosen, start=1):
                (image,) = pixels.batch([index])
                yield [self._describe(teacher, self._pad(image, teacher)) for teacher in self.features.teachers()]
                progress("teacher", done, len(chosen))

        learn_standardising(self.standardising, answers())

    def _train(
        self, pixels: CachedFeatures, chosen: NDArray[np.intp], rng: np.random.Generator, progress: Progress
    ) -> None:
        def loss(step: int, rng: np.random.Generator) -> Tensor:
            (image,) = pixels.batch([rng.choice(chosen)])
            return self.loss(image, rng)

        train(
            self.ensembles,
            torch.optim.Adam(self.ensembles.parameters(), lr=self.rate, weight_decay=1e-5),
            loss,
            steps=self.steps,
            seed=int(rng.integers(2**31)),
            schedule=cosine,
            checkpoint=self.checkpoint,
            progress=progress,
        )

    def loss(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Sum over all students of their losses on a random window of an image (1, 3, H, W)."""
        corner = [_corner(side, self.crop, rng) for side in image.shape[2:]]
        losses = []
        for teacher, ensemble, standardising in self._scales():
            padded = self._pad(image, teacher)
            phase = rng.integers(self._stride(teacher), size=2)
            rows, columns = (
                slice(start + first, min(start + self.crop, side) + teacher.patch - 1)
                for start, first, side in zip(corner, phase, image.shape[2:], strict=True)
            )
            window = padded[:, :, rows, columns]
            with torch.no_grad():
                target = standardising(self._describe(teacher, window))  # (1, C, h, w)
            losses += [(self._describe(student, window) - target).square().sum(dim=1).mean() for student in ensemble]
        return torch.stack(losses).sum()

    @torch.no_grad()
    def _learn_scale(self, pixels: CachedFeatures, held_out: NDArray[np.intp]) -> None:
        """Mean and standard deviation of error and variance of each ensemble over the held-out images."""
        fields = [GaussianField(self.level.shape[1], 1) for _ in self.architectures]
        for index in held_out:
            for field, grid in zip(fields, self.grids(*pixels.batch([index])), strict=True):
                field.add(grid.cpu().movedim(1, -1).flatten(0, 2)[:, :, None])  # (N h w, terms, 1)
        level = torch.stack([field.mean[:, 0] for field in fields])
        spread = torch.stack([field.variance()[:, 0].clamp_min(1e-12).sqrt() for field in fields])
        self.level, self.spread = level.to(self.level), spread.to(self.spread)

    def statistic(self, batch: Tensor) -> Tensor:
        maps = []
        scales = zip(self.features.teachers(), self.grids(batch), self.level, self.spread, strict=True)
        for teacher, grid, level, spread in scales:
            scores = ((grid - level.view(-1, 1, 1)) / spread.view(-1, 1, 1)).sum(dim=1)  # (N, h, w)
            maps.append(self._place(scores, teacher, batch))
        return torch.stack(maps).mean(dim=0)

    def grids(self, batch: Tensor) -> list[Tensor]:
        """Error and, of two students or more, variance at each position, before they are standardised.

        Args:
            batch: (N, 3, H, W) in [0, 1].

        Returns:
            One (N, 1 or 2, h, w) an architecture; h is H when dense, otherwise some more than H / stride.
        """
        found = []
        for teacher, ensemble, standardising in self._scales():
            padded = self._pad(batch, teacher)
            target = standardising(self._describe(teacher, padded))
            guesses = torch.stack([self._describe(student, padded) for student in ensemble])  # (M, N, C, h, w)
            mean = guesses.mean(dim=0)
            terms = [(mean - target).square().sum(dim=1)]
            if self.students > 1:
                terms.append((guesses - mean).square().sum(dim=2).mean(dim=0))
            found.append(torch.stack(terms, dim=1))
        return found

    def _scales(self) -> Iterator[tuple[Teacher, Sequence[PatchNetwork], nn.Module]]:
        """Teacher, students and `Standardising` of each architecture."""
        for teacher, ensemble, standardising in zip(
            self.features.teachers(), self.ensembles, self.standardising, strict=True
        ):
            students = [student for student in cast(nn.ModuleList, ensemble) if isinstance(student, PatchNetwork)]
            yield teacher, students, standardising

    def _stride(self, network: PatchNetwork) -> int:
        return 1 if self.dense else network.stride

    def _pad(self, batch: Tensor, network: PatchNetwork) -> Tensor:
        """Grey around the images: the first patch is that around the first pixel, none of the last ones is lost."""
        before, after = network.patch // 2, (network.patch - 1) // 2 + self._stride(network) - 1
        return functional.pad(batch, (before, after, before, after), value=MEAN)

    def _describe(self, network: PatchNetwork, padded: Tensor) -> Tensor:
        """Descriptors (N, C, h, w) of the patches that lie whole in a batch, one every `_stride` pixels."""
        vectors: Tensor = network.every_patch(padded) if self.dense else network(padded)
        return vectors

    def _place(self, scores: Tensor, network: PatchNetwork, batch: Tensor) -> Tensor:
        """Scores (N, h, w) of the padded patches to a map (N, H, W)."""
        height, width = batch.shape[2:]
        stride, before = self._stride(network), network.patch // 2
        if stride == 1:
            return scores
        padded = (height + network.patch + stride - 2, width + network.patch + stride - 2)
        large = place_patches(scores, padded, patch=network.patch, stride=stride)
        return large[:, before : before + height, before : before + width]


class Teachers(nn.ModuleList):
    """One frozen teacher per architecture.

    Args:
        architectures: Names of `amiss.features.patch_network.ARCHITECTURES`.
        weights: "embedded", "random", or a folder with a file ``<architecture>.safetensors`` of each.
        pretrained: False leaves the weights to be overwritten; no file is read then.

    Attributes:
        name: What they are, for people.
        licence: Licence of their weights.

    Raises:
        InputError: Unknown architecture or no such weights.
    """

    def __init__(self, architectures: Sequence[str], weights: str, *, pretrained: bool) -> None:
        _check_embedded(architectures if pretrained and weights == EMBEDDED else ())
        places = [
            weights if weights in (EMBEDDED, RANDOM) else str(Path(weights) / f"{name}.safetensors")
            for name in architectures
        ]
        found = [Teacher(name, place, pretrained=pretrained) for name, place in zip(architectures, places, strict=True)]
        super().__init__(found)
        self.name = f"{weights}: {', '.join(architectures)}"
        self.licence = found[0].licence

    def teachers(self) -> list[Teacher]:
        """The same as a list."""
        return [module for module in self if isinstance(module, Teacher)]


def _check_embedded(architectures: Sequence[str]) -> None:
    """Weights of all of them come with Amiss."""
    for name in architectures:
        if name not in embedded_teachers():
            raise InputError(
                f"no weights of {name} come with Amiss, only of {embedded_teachers()}; make some with "
                f"`amiss distil --arch {name} --output FOLDER/{name}.safetensors` and give FOLDER as the teacher"
            )


def _corner(side: int, crop: int, rng: np.random.Generator) -> int:
    """Where a window of `crop` pixels begins: at one of as many evenly spaced places as cover the whole side."""
    last = max(0, side - crop)
    return int(rng.choice(np.linspace(0, last, -(-last // crop) + 1).round().astype(int)))
