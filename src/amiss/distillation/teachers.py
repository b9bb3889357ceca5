"""`distil`: from a backbone and images of many kinds to a teacher, and the teacher's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from amiss.core.checks import check_choice, check_count
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.device import AUTO, choose_device, seeded
from amiss.distillation.grids import distil_grids
from amiss.distillation.patches import LossWeights, distil_patches
from amiss.distillation.pixels import digest, stored_pixels
from amiss.distillation.run import Run
from amiss.features import FeatureExtractor
from amiss.features.patch_network import ARCHITECTURES, PatchNetwork
from amiss.training import Checkpoint

STAGES = (8, 16)
"""Strides of the backbone's stages that are distilled unless others are named: those of PatchCore and EfficientAD."""

SIZE = 256
"""Side of the images, in pixels."""

CELL = 32
"""Sides are multiples of it, so that the backbone's stages have whole numbers of cells."""

EVERY = 100
"""Steps between two checkpoints."""


@dataclass(frozen=True)
class Distilled:
    """A teacher that was just made.

    Args:
        network: In evaluation mode.
        losses: One a step.
        record: What a file says of its making: architecture, backbone, images, steps, seed, licence.
    """

    network: PatchNetwork
    losses: list[float]
    record: dict[str, str]

    def to_bytes(self, record: dict[str, str] | None = None) -> bytes:
        """A safetensors file of 16-bit weights, for `amiss.features.teacher.Teacher`. The same teacher gives the same.

        Args:
            record: What the file says of its making, when it knows more than `self.record`.
        """
        from safetensors.torch import save

        half = {name: value.half().contiguous() for name, value in self.network.state_dict().items()}
        return _with_record(save(half), self.record if record is None else record)


def of_grids(architecture: str) -> bool:
    """True when it learns whole grids of features, and not single patches."""
    return architecture.startswith("pdn")


def default_steps(architecture: str) -> int:
    """Steps that take about ten minutes on one core for pdn-xs and students-33-xs.

    Raises:
        InputError: An unknown architecture.
    """
    check_choice("architecture", architecture, ARCHITECTURES)
    return 2000


def distil(
    architecture: str,
    images: Images,
    *,
    backbone: str = "efficientnet-lite0",
    stages: Sequence[int] = STAGES,
    steps: int | None = None,
    size: int = SIZE,
    weights: LossWeights | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    device: str = AUTO,
    progress: Progress = silent,
) -> Distilled:
    """Make a teacher: a small network that describes patches as a large one would.

    Architectures whose name begins with "pdn" learn whole grids of features (`distil_grids`), the others single
    patches (`distil_patches`).

    Args:
        architecture: One of `amiss.features.patch_network.ARCHITECTURES`.
        images: Images of many kinds, none from the inspection task.
        backbone: See `amiss.features.create_backbone`.
        stages: Strides of its stages; for a PDN, 8 and any coarser ones, with as many channels together as the PDN has
            or more. What a cell of a coarse stage sees reaches beyond the PDN's patch, and cannot be learned.
        steps: Training steps; None for `default_steps`.
        size: Side of the squares that images are resized to, in pixels.
        weights: Weights of the three losses of single patches; None for the defaults.
        seed: Random seed.
        checkpoint: Folder for the state of the training, so that the same call goes on after it was stopped.
        device: Where it learns, see `amiss.device.choose_device`; mixed precision on CUDA.
        progress: See `amiss.core.progress`.

    Raises:
        InputError: An unknown architecture, backbone or device, a number out of range, or a checkpoint of another run.
        ImageError: An image cannot be used.
        DivergedError: The loss is not finite.

    Cost:
        Disk, for a PDN of C channels: ``4 C (size / 4)^2`` bytes per image while it learns, 2 MB for pdn-xs at 256;
        AMISS_CACHE keeps them for the next time. Memory does not grow with the number of images.

    Example:
        >>> from amiss.synthesis.images import procedural_images
        >>> images = procedural_images(4, (64, 64))
        >>> made = distil("pdn-tiny", images, backbone="tiny-random", steps=3, size=64)
        >>> len(made.losses), made.record["architecture"]
        (3, 'pdn-tiny')
    """
    steps = default_steps(architecture) if steps is None else check_count("steps", steps)
    check_count("seed", seed, least=0)
    weights = weights or LossWeights()
    place = choose_device(device)
    with seeded(seed, place):
        network = PatchNetwork(architecture).to(place)
        _check_size(size, network)
        features = FeatureExtractor(backbone, stages)
        features.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
        with stored_pixels(images, size, seed, progress) as pixels:
            found = digest(pixels)
            identity = f"{architecture} {features.key()} {found} {steps} {seed} {weights}"
            kept = None if checkpoint is None else Checkpoint(checkpoint, identity, EVERY)
            run = Run(steps, seed, kept, progress)
            losses = _learn(architecture, network, features, pixels, weights, run)
    record = {
        "architecture": architecture,
        "images": str(len(images)),
        "images_sha256": found,
        "size": str(size),
        "steps": str(steps),
        "seed": str(seed),
        **_origin(features),
    }
    return Distilled(network.cpu().eval(), losses, record)


def _learn(
    architecture: str,
    network: PatchNetwork,
    features: FeatureExtractor,
    pixels: NDArray[np.uint8],
    weights: LossWeights,
    run: Run,
) -> list[float]:
    if of_grids(architecture):
        return distil_grids(network, features, pixels, run)
    return distil_patches(network, features, pixels, weights, run)


def _origin(features: FeatureExtractor) -> dict[str, str]:
    """What a file says of the backbone."""
    return {
        "backbone": features.name,
        "stages": ",".join(map(str, features.strides)),
        "licence": features.licence,
    }


def _check_size(size: int, network: PatchNetwork) -> None:
    least = -(-2 * network.patch // CELL) * CELL
    if size < least or size % CELL:
        raise InputError(f"size must be at least {least} pixels and a multiple of {CELL}, got {size}")


def _with_record(data: bytes, record: dict[str, str]) -> bytes:
    """The bytes of a safetensors file with metadata; in order, for the library writes metadata in any order."""
    length = int.from_bytes(data[:8], "little")
    tensors = sorted(json.loads(data[8 : 8 + length]).items(), key=lambda entry: entry[1]["data_offsets"][0])
    header = {"__metadata__": dict(sorted(record.items())), **dict(tensors)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
