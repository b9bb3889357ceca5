"""Wafer maps: which dies of a wafer work. Two public sets, WM-811K and MixedWM38, each one .npz file.

A map is shown as an image of one pixel per die: black where there is no die, grey where the die works, white where it
fails. Published MixedWM38 has a few dies with the undocumented value 3; they are shown as failing. Neither set has
masks.

WM-811K (Wu, Jang, Chen, IEEE Trans. Semiconductor Manufacturing 28, 2015): 172,950 labelled of 811,457 wafers. It is
published as a pickle, which runs code when read, so Amiss never opens it: `docs/datasets.md` has a script that writes

    maps    uint8 (D,)     the dies of all wafers, one wafer after another, row by row: 0 none, 1 works, 2 fails
    shapes  int (N, 2)     rows and columns of each wafer
    label   text (N,)      "none" for a normal wafer, else the failure pattern; "" for one without label
    split   text (N,)      "Training" or "Test", as published
    lot     text (N,)
    wafer   int (N,)       number of the wafer in its lot

Normal are the "none" wafers of Training, tested are all labelled ones of Test: the published split.

MixedWM38 (Wang et al., IEEE Trans. Semiconductor Manufacturing 33, 2020): 38,015 wafers of 52 x 52 with up to four
patterns each, `arr_0` the maps and `arr_1` eight labels a wafer, as published. It has no split; this one is drawn here.

Papers on either set tell patterns apart from labelled examples, so no figure is comparable with theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data.about import OWN_SPLIT, About
from amiss.data.archive import array_names, map_array
from amiss.data.dataset import GOOD, Dataset
from amiss.data.reader import single
from amiss.data.split import split_good

WM811K = About(
    "WM-811K",
    "an .npz file with maps, shapes, label, split, lot and wafer (docs/datasets.md says how to write it)",
    "mirlab.org/dataset/public",
    "free with citation of Wu et al. and MIR-WM811K",
)
MIXED = About(
    "MixedWM38",
    "an .npz file with arr_0 (N, 52, 52) and arr_1 (N, 8)",
    "github.com/Junliangwangdhu/WaferMap",
    "none stated; cite the paper",
)
PATTERNS = ("Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Scratch", "Random")
"""The eight columns of MixedWM38."""

NOT_COMPARABLE = "Papers on this set tell patterns apart from labelled examples; no figure is comparable with theirs."

_GREY = np.array([0, 127, 255, 255], np.uint8)
_WM811K_ARRAYS = ("maps", "shapes", "label", "split", "lot", "wafer")


@dataclass(frozen=True)
class WaferMap:
    """One wafer of a file, read when it is asked for.

    Args:
        name: How errors call it.
        dies: The dies of all wafers.
        place: Which of `dies` are its own.
        shape: Rows and columns.
    """

    name: str
    dies: NDArray[Any]
    place: slice | int
    shape: tuple[int, int]

    def read(self) -> NDArray[np.uint8]:
        """Its image, uint8 (H, W)."""
        return np.asarray(_GREY[np.clip(self.dies[self.place], 0, 3).astype(np.intp)].reshape(self.shape), np.uint8)


def is_wm811k(path: Path) -> bool:
    """True for the published pickle, which `read_wm811k` refuses with advice, and for what the script makes of it."""
    return path.suffix.lower() in (".pkl", ".pickle") or set(_WM811K_ARRAYS) <= array_names(path)


def read_wm811k(path: Path) -> Dataset:
    """Read WM-811K: wafers without a pattern to learn from.

    Raises:
        DataError: A pickle, a missing or compressed array, or arrays that do not fit each other.
    """
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise DataError(
            f"{path}: a pickle runs whatever code its author put in, so Amiss never opens one. Convert it to .npz "
            "where nothing can be harmed, with the script in docs/datasets.md"
        )
    maps, shapes, label, split, lot, wafer = (_array(path, name, WM811K) for name in _WM811K_ARRAYS)
    ends = _ends(path, maps, shapes, (label, split, lot, wafer))
    training, named = split == "Training", label != ""
    if unknown := sorted({str(word) for word in np.unique(split[named])} - {"Training", "Test"}):
        raise DataError(f"{path}: split must be Training or Test, got {unknown[0]!r}")
    normal, test = np.flatnonzero((label == "none") & training), np.flatnonzero(named & ~training)

    def item(index: int) -> WaferMap:
        rows, columns = (int(side) for side in shapes[index])
        end = int(ends[index])
        return WaferMap(f"{path}#{index}", maps, slice(end - rows * columns, end), (rows, columns))

    left_out = int((named & training).sum()) - len(normal)
    return Dataset(
        name="wm811k",
        normal=_images(path, normal, item),
        test=Images([item(int(index)) for index in test]),
        defects=tuple(GOOD if label[index] == "none" else str(label[index]) for index in test),
        normal_origins=tuple(Origin("wafer", str(lot[index]), str(wafer[index])) for index in normal),
        test_origins=tuple(Origin("wafer", str(lot[index]), str(wafer[index])) for index in test),
        licence=WM811K.licence,
        notes=(
            f"{int((~named).sum())} wafers without label and {left_out} with a pattern in Training are left out.",
            NOT_COMPARABLE,
        ),
    )


def _ends(path: Path, maps: NDArray[Any], shapes: NDArray[Any], words: tuple[NDArray[Any], ...]) -> NDArray[np.int64]:
    """Where each wafer ends among the dies; or a `DataError` when the arrays do not fit each other."""
    n = len(words[0])
    fits = maps.ndim == 1 and shapes.shape == (n, 2) and n > 0 and all(len(word) == n for word in words)
    ends = np.cumsum(np.prod(shapes, axis=1, dtype=np.int64)) if fits and (shapes > 0).all() else np.zeros(1, np.int64)
    if ends[-1] != len(maps) or not fits:
        raise DataError(
            f"{path}: the arrays do not fit each other: {n} labels, {len(maps)} dies, shapes {shapes.shape}"
        )
    return ends


def is_mixedwm38(path: Path) -> bool:
    """True for an .npz file with the arrays of MixedWM38."""
    return array_names(path) == {"arr_0", "arr_1"}


def read_mixedwm38(path: Path, *, seed: int = 0) -> Dataset:
    """Read MixedWM38: most normal wafers to learn from; the others, and all with a pattern, to test on.

    A wafer with several patterns is called by all of them, such as "Center+Scratch".

    Args:
        path: The .npz file, not compressed.
        seed: Seed of the split.

    Raises:
        DataError: A missing or compressed array, or arrays that do not fit each other.
    """
    maps, labels = (_array(path, name, MIXED) for name in ("arr_0", "arr_1"))
    if maps.ndim != 3 or labels.shape != (len(maps), len(PATTERNS)):
        raise DataError(f"{path}: arr_0 and arr_1 must be (N, H, W) and (N, 8), got {maps.shape} and {labels.shape}")
    names = ["+".join(name for name, on in zip(PATTERNS, row, strict=True) if on) or GOOD for row in labels > 0]
    good = np.flatnonzero([name == GOOD for name in names])
    learn, rest = (good[part] for part in split_good(len(good), seed))
    test = np.concatenate([rest, np.flatnonzero([name != GOOD for name in names])])

    def item(index: int) -> WaferMap:
        return WaferMap(f"{path}#{index}", maps, index, (maps.shape[1], maps.shape[2]))

    return Dataset(
        name="mixedwm38",
        normal=_images(path, learn, item),
        test=Images([item(int(index)) for index in test]),
        defects=tuple(names[index] for index in test),
        licence=MIXED.licence,
        notes=(OWN_SPLIT, NOT_COMPARABLE),
    )


def _array(path: Path, name: str, about: About) -> NDArray[Any]:
    """One array; the small ones are read at once, the maps stay in the file."""
    if not path.is_file():
        raise about.error(f"{path}: no such file")
    if name not in array_names(path):
        raise about.error(f"{path}: no array {name!r}")
    mapped = map_array(path, name)
    return mapped if name in ("maps", "arr_0") else np.array(mapped)


def _images(path: Path, indices: NDArray[np.intp], item: Callable[[int], WaferMap]) -> Images:
    if not len(indices):
        raise DataError(f"{path}: no normal wafer to learn from")
    return Images([item(int(index)) for index in indices])


READER_WM811K = single("wm811k", WM811K, is_wm811k, lambda path, seed: read_wm811k(path))
READER_MIXED = single("mixedwm38", MIXED, is_mixedwm38, lambda path, seed: read_mixedwm38(path, seed=seed))
