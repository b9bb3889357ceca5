"""A flat folder of good images: the commonest data set in a factory."""

from __future__ import annotations

from pathlib import Path

from amiss.core.checks import check_choice
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.listing import list_folder
from amiss.data.about import About
from amiss.data.dataset import Dataset
from amiss.data.labelled import check_all_good
from amiss.data.products import ALL, join_products
from amiss.data.reader import Reader

ABOUT = About("A folder of good images", "images, at any depth", "your own camera", "yours")


def read_folder(root: Path) -> Dataset:
    """Every image below `root` is a normal image; there is nothing to test on.

    Raises:
        DataError: A folder in it is named by a word for defective.
    """
    check_all_good(root)
    return Dataset(name=root.resolve().name, normal=Images(root), test=Images([]))


def _read(root: Path, product: str | None, seed: int) -> Dataset:
    if product is None:
        return read_folder(root)
    products = {folder.name: folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name[0] != "."}
    if not products:
        raise InputError(f"{root} has no folders inside that could be products, got product {product!r}")
    if product != ALL or ALL in products:
        return read_folder(products[check_choice("product", product, products)])
    if loose := list_folder(root, deep=False).images:
        raise DataError(f"{loose[0]}: every image of {root}#{ALL} must lie in the folder of its product")
    return join_products(root.resolve().name, {name: read_folder(folder) for name, folder in products.items()})


READER = Reader("folder", ABOUT, Path.is_dir, _read)
