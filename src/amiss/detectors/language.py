"""What WinCLIP and WinCLIP+ share: an image and windows of it, looked at by CLIP and held against words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Annotated

import torch
from torch import Tensor

from amiss.core.errors import InputError
from amiss.core.parameters import buffer
from amiss.core.ranges import Ascending, AtLeast, NotEmpty, Positive, Smoothing
from amiss.detectors.detector import Detector
from amiss.features.clip import create_clip
from amiss.statistics.windows import cells_of_windows, harmonic_over_windows

NORMAL = (
    *("{}", "flawless {}", "perfect {}", "unblemished {}"),
    *("{} without flaw", "{} without defect", "{} without damage"),
)
ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
_KINDS = ("cropped", "close-up", "bright", "dark", "jpeg corrupted", "blurry")
TEMPLATES = (
    *(f"a {kind} photo of {article} {{}}." for kind in _KINDS for article in ("a", "the")),
    *("a photo of a {}.", "a photo of the {}.", "a photo of a small {}.", "a photo of the small {}."),
    *("a photo of a large {}.", "a photo of the large {}."),
    *("a photo of the {} for visual inspection.", "a photo of a {} for visual inspection."),
    *("a photo of the {} for anomaly detection.", "a photo of a {} for anomaly detection."),
)
"""Of the paper (its table 12): states of a part, and templates in which they are put."""

LEAST = 1e-6
"""Scores are at least this much: a harmonic mean divides by them."""

Texts = Annotated[Sequence[str], NotEmpty]
Look = tuple[Tensor, Tensor, list[Tensor]]
"""Embeddings of whole images (N, D), their patch tokens before the last layer (N, cells, width), and for each scale
embeddings of all windows (N, windows, D)."""


class LanguageWindows(Detector):
    """An image, and every window of so many patches, is as anomalous as CLIP calls it.

    Its hyper-parameters are those of the words and of the windows; each method's docstring says what they mean.
    """

    backbone: str = "hf:openai/clip-vit-base-patch16"
    noun: str = "object"
    normal_states: Texts = NORMAL
    anomalous_states: Texts = ANOMALOUS
    templates: Texts = TEMPLATES
    scales: Annotated[Sequence[Annotated[int, AtLeast(2)]], NotEmpty, Ascending] = (2, 3)
    temperature: Annotated[float, Positive] = 0.07
    smoothing: Smoothing = 4.0
    texts: Tensor = buffer()

    def check_together(self) -> None:
        if not self.noun.strip():
            raise InputError(f"noun must be a word for the part, such as 'bottle', got {self.noun!r}")
        for name in ("normal_states", "anomalous_states", "templates"):
            for text in getattr(self, name):
                if text.count("{}") != 1 or text.replace("{}", "").count("{") + text.replace("{}", "").count("}"):
                    raise InputError(f"{name} must be texts with one {{}} in each, where the noun goes, got {text!r}")

    def build(self, *, pretrained: bool) -> None:
        groups = [self.prompts(states) for states in (self.normal_states, self.anomalous_states)]
        self.tower, texts = create_clip(self.backbone, groups, pretrained=pretrained)
        if self.scales[-1] > self.tower.shape.side:
            side = self.tower.shape.side
            raise InputError(f"scales must be at most {side}, the patches of this CLIP along a side, got {self.scales}")
        self.register_buffer("texts", texts)

    def prompts(self, states: Sequence[str]) -> list[str]:
        """Every state of the part in every template."""
        return list(chain.from_iterable([[t.format(s.format(self.noun)) for t in self.templates] for s in states]))

    def look(self, batch: Tensor) -> Look:
        """What CLIP sees in a batch (N, 3, H, W), in whole images and in windows: of those the class token looks at
        their patches alone."""
        tokens = self.tower.tokens(batch)
        whole, patches = self.tower(tokens)
        seen = []
        for scale in self.scales:
            cells = torch.from_numpy(cells_of_windows(self.tower.shape.side, scale)) + 1
            with_class = torch.cat([torch.zeros(len(cells), 1, dtype=cells.dtype), cells], dim=1)
            embeddings, _ = self.tower(tokens[:, with_class.to(tokens.device)].flatten(0, 1))
            seen.append(embeddings.unflatten(0, (-1, len(cells))))
        return whole, patches, seen

    def called_anomalous(self, embeddings: Tensor) -> Tensor:
        """Probability (...) that embeddings (..., D) are rather of the anomalous states than of the normal ones."""
        normal, anomalous = self.texts
        return torch.sigmoid((embeddings @ anomalous - embeddings @ normal) / self.temperature).clamp_min(LEAST)

    def grids(self, scores: Sequence[Tensor]) -> list[Tensor]:
        """Scores (N, windows) of each scale on the grid of the patches, (N, side, side)."""
        side = self.tower.shape.side
        return [harmonic_over_windows(each, side, scale) for each, scale in zip(scores, self.scales, strict=True)]

    def read(self, whole: Tensor, seen: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """By the words alone: scores of whole images (N,), and the harmonic mean of these and of all scales (N, side,
        side)."""
        image = self.called_anomalous(whole)
        grids = self.grids([self.called_anomalous(each) for each in seen])
        inverse = torch.stack([image.reciprocal().view(-1, 1, 1).expand_as(grids[0]), *(1 / grid for grid in grids)])
        return image, inverse.mean(dim=0).reciprocal()
