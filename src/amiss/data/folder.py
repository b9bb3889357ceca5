"""A flat folder of good images: the commonest data set in a factory."""

from __future__ import annotations

from pathlib import Path

from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import Dataset
from amiss.data.labelled import check_all_good
from amiss.data.reader import single

ABOUT = About("A folder of good images", "images, at any depth", "your own camera", "yours")


def read_folder(root: Path) -> Dataset:
    """Every image below `root` is a normal image; there is nothing to test on.

    Raises:
        DataError: A folder in it is named by a word for defective.
    """
    check_all_good(root)
    return Dataset(name=root.resolve().name, normal=Images(root), test=Images([]))


READER = single("folder", ABOUT, Path.is_dir, lambda path, seed: read_folder(path))
