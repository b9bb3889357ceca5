"""`Teacher`: a frozen patch network that was distilled on images of many kinds, by `amiss distil`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from amiss.core.errors import InputError
from amiss.features.cache import weights_digest
from amiss.features.patch_network import ARCHITECTURES, PatchNetwork

EMBEDDED = "embedded"
RANDOM = "random"

LICENCES = {
    "pdn-xs": "Apache-2.0, learned from drawn images (decision 9)",
    "students-33-xs": "Apache-2.0, learned from photographs for research (decision 9)",
    "students-65-xs": "Apache-2.0, learned from photographs for research (decision 9)",
}
"""Of the embedded weights, by architecture."""


class Teacher(PatchNetwork):
    """A frozen patch network.

    Args:
        architecture: See `amiss.features.patch_network.ARCHITECTURES`.
        weights: "embedded" for those that come with Amiss, a path to a file that `amiss distil` made, or "random" for
            ones drawn from a fixed seed (for tests, and as the baseline that a teacher must beat).
        pretrained: False leaves the weights to be overwritten; no file is read then.

    Attributes:
        name: Architecture and where the weights come from; no folder.
        licence: Licence of the weights.

    Raises:
        InputError: No such weights, or weights of another architecture.
    """

    def __init__(self, architecture: str, weights: str = EMBEDDED, *, pretrained: bool = True) -> None:
        super().__init__(architecture)
        self.name = f"{architecture} ({weights if weights in (EMBEDDED, RANDOM) else Path(weights).name})"
        known = {EMBEDDED: LICENCES.get(architecture, "none"), RANDOM: "none"}
        self.licence = known.get(weights, "see its file")
        if weights == RANDOM:
            self._draw()
        elif pretrained:
            self._take(_read(architecture, weights), weights)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: a frozen network has nothing to train."""
        return super().train(False)

    def key(self) -> str:
        """What tells this teacher's answers from any other's, for `amiss.features.cache`: architecture and weights."""
        return f"{self.layers} {weights_digest(self)}"

    def _take(self, state: Mapping[str, Tensor], weights: str) -> None:
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"{weights}: its layers have other sizes than those of this version ({error}); remake the teacher "
                "with the command in the file's metadata"
            ) from error

    @torch.no_grad()
    def _draw(self) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            fan_in = parameter[0].numel()
            scale = (2 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def embedded_teachers() -> list[str]:
    """Architectures whose weights come with Amiss."""
    return [name for name in ARCHITECTURES if _embedded(name).is_file()]


def _embedded(architecture: str) -> Path:
    return Path(str(resources.files("amiss.features") / "weights" / f"{architecture}.safetensors"))


def _read(architecture: str, weights: str) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    path = _embedded(architecture) if weights == EMBEDDED else Path(weights)
    if weights == EMBEDDED and not path.is_file():
        raise InputError(
            f"no weights of {architecture} come with Amiss; make some with `amiss distil --arch {architecture} "
            f"--output FILE` and give that file as the teacher, or take one of {embedded_teachers()}"
        )
    try:
        with safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("architecture")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a teacher ({error}); `amiss distil` makes such files") from error
    if found != architecture:
        raise InputError(f"{path}: the teacher must be of architecture {architecture!r}, got {found!r}")
    return state
