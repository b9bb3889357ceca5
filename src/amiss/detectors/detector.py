"""The contract of ingredients 1 and 2: a detector learns what normal looks like and says how strange an image is."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amiss.core.card import Card, Learning, LearnsFrom
from amiss.core.classes import find_classes
from amiss.core.errors import InputError, NotReadyError
from amiss.core.images import Images, Size
from amiss.core.parameters import Parameter, buffer, declared, signature
from amiss.core.progress import Progress, silent
from amiss.core.scores import Scores
from amiss.device import AUTO, choose_device, seeded, seeded_there
from amiss.features.batch import to_batch
from amiss.features.on_runtime import WORTH, on_runtime
from amiss.training import Checkpoint

BATCH = 8
"""Images per batch: enough to keep two cores busy, little memory."""

STRETCH = 3.0
"""Ratio of the scores of unseen to learned images beyond which a detector knows the latter by heart (decision 15)."""

Statistic = Tensor | tuple[Tensor, Tensor]
"""A map (N, H, W) or scores (N,), float32; of a method that learns classes a pair: that, and the class of each image,
int64 (N,)."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(buffer,))
class Detector(nn.Module):
    """A background model and a statistic.

    A method is a subclass that writes five things: a `card`, its hyper-parameters, and the three methods below. The
    rest is written here, once. Hyper-parameters are declared in the class body, as name, type, range and default::

        noise: Annotated[float, Positive] = 0.25
        stages: Stages = (8, 16, 32)
        mean: Tensor = buffer()

    They are the keyword-only arguments of the constructor. The last line is none: it says that `build` registers a
    tensor of this name. The marks are in `amiss.core.ranges`. A subclass may change a default.
    """

    card: ClassVar[Card]

    declared: ClassVar[Mapping[str, Parameter]] = MappingProxyType({})
    """Hyper-parameters by name."""

    __signature__: ClassVar[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= getattr(base, "declared", {})
        cls.declared = MappingProxyType(declared(cls, inherited))
        cls.__signature__ = signature(cls.declared, None if cls.__init__ is Detector.__init__ else cls.__init__)

    def __init__(self, **settings: Any) -> None:
        unknown = settings.keys() - self.declared.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__}() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
        super().__init__()
        for name, parameter in self.declared.items():
            setattr(self, name, settings.get(name, parameter.default))
        self.check_hyperparameters()

    def check_hyperparameters(self) -> None:
        """Check what is declared; called by the constructor and, as attributes may have been set since, by `fit` and
        `load_state`.

        Raises:
            InputError: One has another type, is out of range, or does not go with the others.
        """
        for name, parameter in self.declared.items():
            setattr(self, name, parameter.check(getattr(self, name)))
        self.check_together()

    def check_together(self) -> None:
        """Check what several hyper-parameters must satisfy at once; each alone has been checked before.

        Raises:
            InputError: They do not go together.
        """

    @abstractmethod
    def build(self, *, pretrained: bool) -> None:
        """Make modules and buffers. With `pretrained=False` no weight file is read: the weights come later."""

    @abstractmethod
    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        """Fit the background model to normal images, which all have one size."""

    @abstractmethod
    def statistic(self, batch: Tensor) -> Statistic:
        """How strange: a batch (N, 3, H, W) in [0, 1] to a map (N, H, W), or to one score per image (N,).

        Larger = more anomalous. Pure: the score of an image depends on nothing but the image and the model. A method
        whose card says that it learns classes gives a pair: this, and the number of the class that each image is most
        like, int64 (N,), among `classes`.
        """

    def forward(self, batch: Tensor) -> Statistic:
        """The statistic of a checked batch: `detector(batch)`. The exported graph is the statistic alone.

        Raises:
            InputError: Anything but float32 (N, 3, H, W) in [0, 1].
        """
        return self.statistic(check_batch(batch))

    @property
    def takes_more(self) -> bool:
        """Whether it can learn from more images without those that it has learned from before, see `update`."""
        return False

    def take_in(self, images: Images, known: int, rng: np.random.Generator, progress: Progress) -> None:
        """Learn from more normal images, of the size of the `known` ones that it has learned from before.

        Raises:
            InputError: The method keeps too little of those for it.
        """
        raise InputError(
            f"{self.card.name} cannot take in more images without those that it has learned from; learn from all of "
            "them, with fit"
        )

    def remarks(self) -> tuple[str, ...]:
        """What a user should know of this detector once it has learned; `fit` writes it down."""
        return ()

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments as they are now."""
        return {name: getattr(self, name) for name in self.declared}

    classes: tuple[str, ...] = ()
    """Names of the classes that it tells apart, sorted, where its card says so: those of the images' labels, known from
    before `build` on. Whoever loads a saved state sets it first."""

    checkpoint: Checkpoint | None = None
    """Where training leaves its state; set by `fit`, for `amiss.training.train`."""

    worth: int = WORTH
    """Images from which its frozen network runs as a graph, see `amiss.features.on_runtime`. `fit_inspector` sets 1
    where the detector will be exported: the graph is needed then in any case."""

    @property
    def by_blocks(self) -> bool:
        """Whether it learns from what blocks of images leave, see `amiss.detectors.by_blocks`; once built."""
        return False

    @property
    def device(self) -> torch.device:
        """Where its networks are: an accelerator while a gradient method learns on one, else the CPU."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    def fit(
        self,
        images: Images,
        *,
        seed: int = 0,
        progress: Progress = silent,
        checkpoint: Path | None = None,
        device: str = AUTO,
    ) -> Self:
        """Build, then learn from normal images. The same seed and images give the same detector.

        Args:
            images: Normal images with a `size`; with labels where the card says that it learns classes.
            seed: Seed of everything that is drawn; global random states are left as they were.
            progress: See `amiss.core.progress`.
            checkpoint: A folder in which gradient methods leave their state as they go, and from which an interrupted
                fit goes on bit for bit on a CPU; None for neither.
            device: Where gradient methods learn, see `amiss.device.choose_device`; mixed precision on CUDA.
                Others learn in one pass on the CPU. Afterwards the detector is on the CPU.

        Raises:
            InputError: No images, images without a size, a hyper-parameter out of range, a device that is not there,
                the checkpoint of another run, or labels from which classes cannot be learned.
            DivergedError: Training came to a loss that is not finite.
        """
        _check_images(images)
        self.check_hyperparameters()
        if self.card.learns_from is LearnsFrom.CLASSES:
            self.classes = find_classes(images)
        self.checkpoint = None if checkpoint is None else Checkpoint(checkpoint, self._identity(images, seed))
        with seeded(seed, torch.device("cpu")):
            self.build(pretrained=True)
            place = choose_device(device if self.card.learning is Learning.GRADIENT else "cpu")  # the card once built
            with seeded_there(seed, place), on_runtime(self.to(place), images, worth=self.worth):
                self.learn(images, np.random.default_rng(seed), progress)
        for part in self.modules():
            if isinstance(part, Detector):
                part.checkpoint = None
        return self.cpu().eval()

    def update(self, images: Images, known: int, *, seed: int = 0, progress: Progress = silent) -> Self:
        """Take in more normal images, as if it had learned from them too.

        Args:
            images: Normal images of the size of those that it has learned from.
            known: How many these were.
            seed: See `fit`.
            progress: See `amiss.core.progress`.

        Raises:
            InputError: No images, images without a size, or a method that cannot, see `takes_more`.
        """
        _check_images(images)
        with seeded(seed, self.device), on_runtime(self, images, worth=self.worth):
            self.take_in(images, known, np.random.default_rng(seed), progress)
        return self.eval()

    def _identity(self, images: Images, seed: int) -> str:
        """What a checkpoint belongs to."""
        digest = hashlib.sha256("".join(images.sha256(index) for index in range(len(images))).encode())
        digest.update("\0".join(images.labels).encode())
        return f"{self.card.name} {self.hyperparameters()} {seed} {images.size} {images.bits} {digest.hexdigest()}"

    @torch.no_grad()
    def score(self, images: Images, *, progress: Progress = silent) -> Scores:
        """Score every image with torch. `amiss.runtime` does the same with the exported graph, faster.

        Raises:
            NotReadyError: Before `fit`.
            ImageError: An image cannot be used.
        """
        if not any(True for _ in chain(self.parameters(), self.buffers())):
            raise NotReadyError(f"{self.card.name} has not learned yet; call fit(images)")
        with on_runtime(self, images, worth=self.worth):
            return Scores.join([_scores(self(batch)) for batch in self.batches(images, "scoring", progress)])

    def batches(self, images: Images, stage: str, progress: Progress) -> Iterator[Tensor]:
        """Batches (N, 3, H, W) in [0, 1] on the detector's device; reports the images done."""
        device, done = self.device, 0
        for pixels in images.batches(BATCH):
            yield to_batch(torch.from_numpy(pixels).to(device))
            done += len(pixels)
            progress(stage, done, len(images))

    def load_state(self, state: Mapping[str, Tensor]) -> Self:
        """Build without pretrained weights and take over a saved state, whatever the size of its buffers.

        Raises:
            InputError: The state does not belong to this method with these hyper-parameters, or one of them is out of
                range.
        """
        self.check_hyperparameters()
        self.build(pretrained=False)
        for name, tensor in list(self.named_buffers()):
            if name in state and state[name].shape != tensor.shape:
                owner, _, last = name.rpartition(".")
                setattr(self.get_submodule(owner), last, torch.empty_like(state[name]))
        try:
            self.load_state_dict(dict(state))
        except RuntimeError as error:
            raise InputError(f"the saved state does not fit {self.card.name}: {error}") from error
        return self.eval()


class TorchScorer:
    """Scores images of one size in torch: stands in for the graph of a method that cannot be exported.

    Args:
        detector: A learned detector.
        size: Height and width it learned.
    """

    def __init__(self, detector: Detector, size: Size) -> None:
        self.detector, self.size = detector, size

    def run(self, pixels: NDArray[np.uint8]) -> Scores:
        """Scores of a batch, uint8 (N, H, W, 3)."""
        with torch.no_grad():
            return _scores(self.detector(to_batch(torch.from_numpy(pixels))))


def _check_images(images: Images) -> None:
    if images.size is None or len(images) == 0:
        raise InputError(
            f"images must be at least one and have a size, as images.resized((256, 256)) have, got {images!r}"
        )


def score_of(output: Statistic) -> Tensor:
    """Map or scores, without the classes."""
    return output[0] if isinstance(output, tuple) else output


def _scores(output: Statistic) -> Scores:
    values = score_of(output).float().numpy(force=True)
    classes = output[1].numpy(force=True) if isinstance(output, tuple) else None
    return Scores.of_map(values, classes) if values.ndim == 3 else Scores(values, classes=classes)


def check_batch(batch: Tensor) -> Tensor:
    """The batch itself when it is float32 (N, 3, H, W) in [0, 1].

    Raises:
        InputError: Another shape or type, or a number that is not finite or not in [0, 1].
    """
    if batch.dtype != torch.float32 or batch.ndim != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(f"a batch must be torch.float32 (N, 3, H, W), got {batch.dtype} {tuple(batch.shape)}")
    least, most = (float(bound) for bound in torch.aminmax(batch))  # NaN when one of the numbers is
    if not 0 <= least <= most <= 1:
        raise InputError(f"a batch must hold finite numbers from 0 to 1, got {least:.4g} to {most:.4g}")
    return batch


def stretched(known: float, unseen: float, least: float) -> float:
    """How many times as high unseen normal images score as learned ones; 1 where ratios of scores mean nothing.

    They mean something where 0 is no difference at all, as of distances and residuals. A score below 0 shows that it is
    not, as of logarithms of densities and of standardised scores, such as those of an ensemble: what is usual lies near
    0 there, and any two numbers near 0 have any ratio.

    Args:
        known: Median image score of normal images that the detector has learned from.
        unseen: The same of normal images that it has not.
        least: The lowest score of any pixel of those it has learned from, or of any image without maps.

    Example:
        >>> stretched(1.0, 3.5, 0.1), stretched(0.1, 0.35, -0.8), stretched(0.0, 1.0, 0.0)
        (3.5, 1.0, 1.0)
    """
    return unseen / known if least >= 0 and known > 0 else 1.0
