"""The card of a method: what a person, the CLI and the documentation need to know before choosing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Learning(StrEnum):
    """How a method builds its background model."""

    NONE = "none"  # zero-shot: nothing is learned
    ONE_PASS = "one pass"  # every image is seen once, no gradients
    GRADIENT = "gradient"  # trained by gradient descent


class LearnsFrom(StrEnum):
    """Which images a method learns from."""

    NORMAL = "normal"  # good images, whatever their labels
    CLASSES = "classes"  # good images of several classes, which their labels name
    UNLABELLED = "unlabelled"  # images of which nobody knows whether they are good


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a method is and what it can do.

    Args:
        name: Registry name, as typed after ``--method``.
        family: Folder of the method under ``detectors/``.
        title: Name as people write it.
        paper: Authors and title of the source.
        url: Where the source can be found.
        year: Year of the source.
        learning: How the background model is built.
        learns_from: Which images it learns from; with classes, ``statistic`` also gives the class of each image.
        localises: True when ``statistic`` returns a map, False when it returns one number per image.
        exportable: True when ``statistic`` can become an ONNX graph.
        weights_licence: Licence of the pretrained weights in the default preset, or "none".
        presets: Hyper-parameters that differ from the constructor's defaults, by preset name. ``default`` runs
            on two CPU cores with the embedded backbone, ``paper`` is the published recipe, ``tiny`` is for tests.
    """

    name: str
    family: str
    title: str
    paper: str
    url: str
    year: int
    learning: Learning
    learns_from: LearnsFrom = LearnsFrom.NORMAL
    localises: bool = True
    exportable: bool = True
    weights_licence: str
    presets: Mapping[str, Mapping[str, Any]]
