"""EfficientAD: a student for the details of an image, an autoencoder for its arrangement."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from amiss.background.autoencoder import Autoencoder
from amiss.background.standardising import Standardising, learn_standardising
from amiss.core.card import Card, Learning
from amiss.core.images import Images, Size
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.core.ranges import Between, Count, OneOf, Positive
from amiss.detectors.detector import Detector
from amiss.features.batch import to_batch
from amiss.features.cache import cached_features
from amiss.features.patch_network import MEAN, STD, PatchNetwork
from amiss.features.teacher import LICENCES, Teacher
from amiss.statistics.reduce import place_patches
from amiss.synthesis.images import procedural_images
from amiss.training import cosine, drop, set_aside, train

WIDTHS = {"tiny": 8, "xs": 32, "s": 64, "m": 64}
"""Channels inside the autoencoder, by variant."""

QUANTILES = (0.9, 0.995)
"""Of the maps of held-out normals: what becomes 0 and 0.1."""

SCHEDULES = {"cosine": cosine, "drop": drop(0.95)}
"""Of the learning rate."""

LEAST_SIDE = 64
"""Of a procedural image in pixels; else it is half as high and as wide as the normal ones."""

GREY = 0.3
"""Share of the strangers that lose their colour."""


class EfficientAD(Detector):
    """What a small student cannot predict of its teacher, and what an autoencoder cannot of the whole image.

    Background model:
        A frozen, distilled teacher describes patches of 33 x 33 pixels, one every 4 pixels; each of its C channels is
        brought to mean 0 and deviation 1 over the normal images. Three things are learned together. The first half
        of a student with 2 C channels predicts the teacher; only the hardest share of the errors counts, those above
        the quantile `p_hard`, and on images of anything else its output is drawn to 0 (`penalty`), so that it does
        not learn to predict the teacher in general. An autoencoder with 64 numbers in its middle predicts the teacher
        from the whole image. The second half of the student predicts the autoencoder, with its blur.

    Statistic:
        Two maps, each a mean over the channels: the squared difference of teacher and first half (what is wrong in a
        patch), and that of autoencoder and second half (what is wrong about the arrangement, such as a part too many).
        Each becomes ``0.1 (M - q_a) / (q_b - q_a)`` with the quantiles 0.9 and 0.995 of its cells over held-out
        normals; then they are averaged, and put where their patches are.

    Assumes:
        Images are registered as far as the arrangement matters. Parts that each occur, in a combination that does
        not, are found least (decision 13: 0.71 image AUROC against 0.97 and more for parts missing or misplaced). No
        layer of teacher and student pads, so there is no patch whose middle lies within 16 pixels of the border:
        pixels there get the score of the nearest patch, which sees them if they lie in it. A defect is found up to the
        border then, but outlined less exactly. A tenth of the normal images, one at least, takes no part in training;
        of fewer than 15 it is one, and its quirks set the scale of both maps against each other.

    Args:
        variant: "s" and "m" are the paper's networks, "xs" is narrower, for machines without a GPU; "tiny" for tests.
        teacher: Weights of the teacher, "embedded", a file that `amiss distil` made, or "random" for tests.
        penalty: Images of anything else: "procedural" are drawn by Amiss; a folder of your own; or "none".
        start: Where the student begins: "teacher", with the teacher's layers but for the last, which begins at 0 (the
            autoencoder then with layers drawn as He et al. do); or "random", both as torch draws layers.
        dropout: Share of the autoencoder's numbers that are set to 0 in training.
        p_hard: Quantile of the squared errors of an image above which they count; 0 for all.
        steps: Training steps.
        batch: Images per step.
        rate: Learning rate of Adam.
        schedule: What becomes of the rate: "cosine" goes to 0, "drop" to a tenth for the last twentieth of the steps.

    Raises:
        InputError: A hyper-parameter out of range, no such teacher or folder, images below 33 x 33 pixels, only one
            image, or normal images that do not vary.
        DivergedError: Training came to a loss that is not finite.

    Cost:
        Scoring, for 256 x 256: 3.1 billion multiply-adds with `xs`, 38 with `s`, 118 with `m`. Learning: a step runs
        the teacher once, the student three times with half of its last layer, and the autoencoder; the two last
        backwards too. The images and the teacher's answers lie on disk meanwhile, 1.4 MB per image with `xs` and 5.6
        MB with `s` and `m`.

    Example:
        >>> from amiss.testing import toy_part
        >>> detector = EfficientAD(**EfficientAD.card.presets["tiny"]).fit(toy_part(8, seed=0).images)
        >>> detector.score(toy_part(2, seed=1).images).map.shape
        (2, 64, 64)

    References:
        Batzner, Heckler, Koenig, "EfficientAD: accurate visual anomaly detection at millisecond-level latencies", WACV
        2024, arXiv 2303.14535.
        Differs from the paper: the teachers are those of `amiss distil`. Scores stand at the middles of their patches
        (the paper's map lies 1.5 pixels below and to the right), and the border of the map repeats the nearest score,
        where the paper's is 0 and so the maximum of an image whose every patch is below q_a. Images are normalised
        by 0.5 and 0.25. `p_hard` is a quantile of each image, which is the same in batches of one. Images are
        drawn with replacement. A channel of the teacher that hardly varies keeps 3 % of the deviation of the others. A
        tenth is held out of every data set, and also where it brings its own validation images. For images of
        another size the autoencoder's last map is resized to 8 x 8. The default preset has a narrower network of ours,
        procedural images of half the side for the penalty, and fewer steps at a higher rate along a cosine, without
        dropout; its student begins with the teacher's layers (decision 13).
    """

    card: ClassVar[Card] = Card(
        name="efficient_ad",
        family="student_teacher",
        title="EfficientAD",
        paper="Batzner et al., EfficientAD: accurate visual anomaly detection at millisecond-level latencies",
        url="https://arxiv.org/abs/2303.14535",
        year=2024,
        learning=Learning.GRADIENT,
        weights_licence=LICENCES["pdn-xs"],
        presets={
            "default": {},
            "paper": {
                "variant": "s",
                "teacher": "pdn-s.safetensors",
                "penalty": "imagenet/train",
                "start": "random",
                "dropout": 0.2,
                "steps": 70_000,
                "batch": 1,
                "rate": 1e-4,
                "schedule": "drop",
            },
            "tiny": {
                "variant": "tiny",
                "teacher": "random",
                "start": "random",
                "dropout": 0.2,
                "steps": 100,
                "batch": 2,
                "rate": 5e-3,
            },
        },
    )

    variant: Annotated[str, OneOf(*WIDTHS)] = "xs"
    teacher: str = "embedded"
    penalty: str = "procedural"
    start: Annotated[str, OneOf("teacher", "random")] = "teacher"
    dropout: Annotated[float, Between(0, 1, "left")] = 0.0
    p_hard: Annotated[float, Between(0, 1, "left")] = 0.999
    steps: Count = 6000
    batch: Count = 1
    rate: Annotated[float, Positive] = 1e-3
    schedule: Annotated[str, OneOf(*SCHEDULES)] = "cosine"
    low: Tensor = buffer()
    high: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.frozen = Teacher(f"pdn-{self.variant}", self.teacher, pretrained=pretrained)
        channels = self.frozen.channels
        self.standardising = Standardising(channels)
        self.student = PatchNetwork(f"pdn-{self.variant}", channels=2 * channels)
        self.autoencoder = Autoencoder(channels, WIDTHS[self.variant], self.dropout)
        if self.start == "teacher":
            _begin_like(self.student, self.frozen)
            self.autoencoder.draw()
        self.register_buffer("low", torch.zeros(2))
        self.register_buffer("high", torch.ones(2))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        training, held_out = (images.subset(np.sort(part)) for part in set_aside(len(images), rng))
        strangers = self._strangers(images, rng)
        key = f"{self.frozen.key()} and images"
        with cached_features(
            lambda batch: [self.frozen(batch), batch], key, training, progress, device=self.device
        ) as cache:
            learn_standardising([self.standardising], ([features] for features, _ in cache.batches()))

            def loss(step: int, rng: np.random.Generator) -> Tensor:
                answers, batch = cache.batch(rng.integers(len(cache), size=self.batch))
                total = self.loss(batch, self.standardising(answers), jitter(batch, rng))
                if strangers is None:
                    return total
                drawn = _draw(strangers, self.batch, batch.shape[2:], rng)
                return total + self.penalty_loss(drawn.to(batch))

            train(
                nn.ModuleDict({"student": self.student, "autoencoder": self.autoencoder}),
                torch.optim.Adam(
                    [*self.student.parameters(), *self.autoencoder.parameters()], lr=self.rate, weight_decay=1e-5
                ),
                loss,
                steps=self.steps,
                seed=int(rng.integers(2**31)),
                schedule=SCHEDULES[self.schedule],
                checkpoint=self.checkpoint,
                progress=progress,
            )
        self._learn_scale(held_out, progress)

    def loss(self, images: Tensor, answers: Tensor, jittered: Tensor) -> Tensor:
        """The three losses on normal images, added up.

        Args:
            images: (N, 3, H, W) in [0, 1].
            answers: The teacher's, standardised, (N, C, h, w).
            jittered: The images with other colours.
        """
        first, second = self._halves()
        coded = self._encode(jittered, answers.shape[2:])
        hard = hardest((answers - self.student(images, first)).square(), self.p_hard)
        rebuilt = (self.standardising(self.frozen(jittered)) - coded).square().mean()
        total: Tensor = hard + rebuilt + (coded - self.student(jittered, second)).square().mean()
        return total

    def penalty_loss(self, strangers: Tensor) -> Tensor:
        """Mean square of what the student predicts of the teacher on images (N, 3, H, W) of anything else."""
        size: Tensor = self.student(strangers, self._halves()[0]).square().mean()
        return size

    def _halves(self) -> tuple[slice, slice]:
        """The student's channels that predict the teacher, and those that predict the autoencoder."""
        return slice(None, self.frozen.channels), slice(self.frozen.channels, None)

    def statistic(self, batch: Tensor) -> Tensor:
        low, high = self.low.view(2, 1, 1, 1), self.high.view(2, 1, 1, 1)
        grid = (0.1 * (self.differences(batch) - low) / (high - low)).mean(dim=0)  # (N, h, w)
        size = (batch.shape[2], batch.shape[3])
        return place_patches(grid, size, patch=self.frozen.patch, stride=self.frozen.stride)

    def differences(self, batch: Tensor) -> Tensor:
        """Both maps as they are, (2, N, h, w): teacher against student, autoencoder against student."""
        answers = self.standardising(self.frozen(batch))  # (N, C, h, w)
        first, second = self.student(batch).chunk(2, dim=1)
        coded = self._encode(batch, answers.shape[2:])
        return torch.stack([(answers - first).square().mean(dim=1), (coded - second).square().mean(dim=1)])

    def _encode(self, batch: Tensor, size: torch.Size) -> Tensor:
        coded: Tensor = self.autoencoder((batch - MEAN) / STD, (size[0], size[1]))
        return coded

    @torch.no_grad()
    def _learn_scale(self, held_out: Images, progress: Progress) -> None:
        maps = [self.differences(batch) for batch in self.batches(held_out, "scale of the maps", progress)]
        cells = torch.cat(maps, dim=1).flatten(1).cpu().double().numpy()  # (2, N h w)
        low, high = np.quantile(cells, QUANTILES, axis=1)
        self.low = torch.from_numpy(low).to(self.low)
        self.high = torch.from_numpy(np.maximum(high, low + 1e-3 * np.abs(high) + 1e-12)).to(self.high)

    def _strangers(self, images: Images, rng: np.random.Generator) -> Images | None:
        """Images of anything else, for `_draw`."""
        if self.penalty == "none":
            return None
        height, width = images[0].shape[:2]
        if self.penalty == "procedural":
            size = max(LEAST_SIDE, height // 2), max(LEAST_SIDE, width // 2)
            return procedural_images(self.steps * self.batch, size, int(rng.integers(2**31)))
        return Images(self.penalty, size=(2 * height, 2 * width))


@torch.no_grad()
def _begin_like(student: PatchNetwork, teacher: PatchNetwork) -> None:
    """Give a student the teacher's layers, but for those at the end that are wider; the last begins at 0.

    So it begins with the teacher's mean, which is 0 when standardised.
    """
    for layer, known in zip(student.parameters(), teacher.parameters(), strict=True):
        if layer.shape == known.shape:
            layer.copy_(known)
    for parameter in student.convolutions[-1].parameters():
        parameter.zero_()


def _draw(strangers: Images, count: int, size: Size | torch.Size, rng: np.random.Generator) -> Tensor:
    """Some strangers (count, 3, h, w), cut to their middle where they are larger than `size`, and partly grey."""
    chosen = np.stack([strangers[int(index)] for index in rng.integers(len(strangers), size=count)])
    top, left = (max(0, (had - wanted) // 2) for had, wanted in zip(chosen.shape[1:3], size, strict=True))
    batch = to_batch(torch.from_numpy(chosen[:, top : top + size[0], left : left + size[1]]))
    grey = torch.from_numpy(rng.random(count) < GREY).view(-1, 1, 1, 1)
    return torch.where(grey, _grey(batch), batch)


def hardest(errors: Tensor, p_hard: float) -> Tensor:
    """Mean of those errors that reach the quantile `p_hard` of their image, over all images.

    Args:
        errors: (N, ...), of any number of elements.
        p_hard: In [0, 1); 0 for all errors.

    Example:
        >>> float(hardest(torch.arange(10.0)[None], 0.8)), float(hardest(torch.arange(10.0)[None], 0))
        (8.5, 4.5)
    """
    errors = errors.flatten(1)
    elements = errors.shape[1]
    count = elements - math.ceil(p_hard * (elements - 1))  # the quantile lies between two elements, or on one
    return errors.topk(count, dim=1, sorted=False).values.mean()


def jitter(batch: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast or saturation of each image times a factor from 0.8 to 1.2.

    All three move a pixel away from a colour or towards it: from black, from the image's mean grey, from its own
    grey.

    Args:
        batch: (N, 3, H, W) in [0, 1].
        rng: Draws which of the three, and the factor.
    """
    grey = _grey(batch)
    anchors = torch.stack([torch.zeros_like(grey), grey.mean(dim=(2, 3), keepdim=True).expand_as(grey), grey])
    which, factor = rng.integers(3, size=len(batch)), torch.from_numpy(rng.uniform(0.8, 1.2, len(batch))).to(batch)
    anchor = torch.stack([anchors[kind, place] for place, kind in enumerate(which)])
    return (anchor + factor.view(-1, 1, 1, 1) * (batch - anchor)).clamp(0, 1)


def _grey(batch: Tensor) -> Tensor:
    """Luma of (N, 3, H, W), in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114]).to(batch)
    return (batch * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True).expand_as(batch)
