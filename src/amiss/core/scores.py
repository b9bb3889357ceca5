"""What a detector says (`Scores`) and what a rule makes of it (`Decision`). Larger score = more anomalous.

Axis letters: N images, H x W pixels of the map. Maps have the size of the detector's input, or of the image where it
is cut into tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError


@dataclass(frozen=True)
class Scores:
    """Raw anomaly scores of N images.

    Args:
        image: One number per image, float32 (N,). With a map it is the map's maximum.
        map: One number per pixel, float32 (N, H, W), or None for methods that do not localise.
        classes: The class that each image is most like, int64 (N,), as numbers of the detector's classes; None for
            methods that know none.

    Raises:
        InputError: Wrong shapes, a number that is not finite, or a class that is not a whole number of at least 0.

    Example:
        >>> import numpy as np
        >>> scores = Scores.of_map(np.array([[[0.0, 2.0], [1.0, 0.5]]]))
        >>> scores.image.tolist()
        [2.0]
    """

    image: NDArray[np.float32]
    map: NDArray[np.float32] | None = None
    classes: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", _finite(self.image, "image scores", 1))
        if self.map is not None:
            object.__setattr__(self, "map", _finite(self.map, "score map", 3))
            if len(self.map) != len(self.image):
                raise InputError(f"{len(self.map)} maps and {len(self.image)} image scores: one of each an image")
        if self.classes is not None:
            object.__setattr__(self, "classes", _numbers(self.classes, len(self.image)))

    @classmethod
    def of_map(cls, score_map: NDArray[np.floating], classes: NDArray[np.int64] | None = None) -> Scores:
        """Scores whose image score is the maximum of the map (N, H, W).

        One threshold then serves both: an image alarms exactly when at least one of its pixels does.
        """
        score_map = _finite(score_map, "score map", 3)
        return cls(score_map.reshape(len(score_map), -1).max(axis=1, initial=-np.inf), score_map, classes)

    @classmethod
    def join(cls, parts: Sequence[Scores]) -> Scores:
        """One `Scores` of several, in order. Maps and classes are kept only when every part has them.

        Raises:
            InputError: Maps of different sizes.
        """
        maps = [part.map for part in parts if part.map is not None]
        if len(maps) == len(parts) and len(sizes := {part.shape[1:] for part in maps}) > 1:
            raise InputError(
                f"maps must have one size, got {len(sizes)} sizes; score images one by one, or without their maps"
            )
        image = np.concatenate([part.image for part in parts]) if parts else np.zeros(0, np.float32)
        classes = [part.classes for part in parts if part.classes is not None]
        return cls(
            image,
            np.concatenate(maps) if maps and len(maps) == len(parts) else None,
            np.concatenate(classes) if classes and len(classes) == len(parts) else None,
        )

    def has_classes(self, classes: NDArray[np.int64] | None) -> bool:
        """Whether these are its classes; None for none."""
        if self.classes is None or classes is None:
            return self.classes is classes
        return np.array_equal(self.classes, classes)

    def one(self, place: int) -> Scores:
        """Those of one image."""
        some = slice(place, place + 1)
        score_map = None if self.map is None else self.map[some]
        return Scores(self.image[some], score_map, None if self.classes is None else self.classes[some])

    def without_map(self) -> Scores:
        """The same without the map, to be kept in numbers."""
        return replace(self, map=None)

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Region:
    """One connected group of alarming pixels (8-connectivity), in pixels of the map.

    Args:
        box: Left, top, width, height.
        area: Number of pixels.
        peak: Largest score inside.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float


@dataclass(frozen=True)
class Decision:
    """What a rule makes of `Scores`, with the promise that comes with it.

    Args:
        p_value: (N,) in [1/(n+1), 1]: how often a good image would look at least this strange. NaN when the
            rule was never calibrated.
        label: (N,) True = anomalous.
        review: (N,) True = neither clearly good nor anomalous: a person should look. Never with label.
        mask: (N, H, W) True = a pixel above the lowest threshold of the rule; None without a map.
        regions: For each image its connected regions, strongest first; empty without a map.
        threshold: An image is anomalous when its score is larger than this.
        alpha: The false-alarm rate that the rule promises, in (0, 1); None when it promises none.
        n: Number of normal images that the rule was calibrated on.
        rule: Name of the rule.
    """

    p_value: NDArray[np.float64]
    label: NDArray[np.bool_]
    review: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None
    regions: tuple[tuple[Region, ...], ...]
    threshold: float
    alpha: float | None
    n: int
    rule: str


def _finite(values: NDArray[np.floating], what: str, dimensions: int) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # too large for float32 is found below: not finite
        array = np.asarray(values, dtype=np.float32)
    if array.ndim != dimensions:
        raise InputError(f"{what} must have {dimensions} dimension(s), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{what}: {int((~np.isfinite(array)).sum())} of {array.size} numbers are not finite")
    return array


def _numbers(classes: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    array = np.asarray(classes)
    if array.shape != (count,) or array.dtype.kind not in "iu" or (array < 0).any():
        raise InputError(
            f"classes must be one whole number of at least 0 per image, got {array.dtype} {array.shape} for {count} "
            "images"
        )
    return array.astype(np.int64)
