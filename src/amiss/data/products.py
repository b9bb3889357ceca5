"""Several products as one data set, for a model that learns all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data.dataset import Dataset

ALL = "all"
"""Stands where the name of one category or product does, for all of them as one data set."""


def join_products(name: str, products: Mapping[str, Dataset]) -> Dataset:
    """One data set of several; the origin of every image names its product.

    Args:
        name: What it is called.
        products: The data set of each product, by its name.

    Raises:
        DataError: There is none.

    Example:
        >>> import numpy as np
        >>> one, two = (Dataset(name, Images([np.zeros((4, 4), np.uint8)]), Images([])) for name in ("nut", "bolt"))
        >>> [origin.product for origin in join_products("both", {"nut": one, "bolt": two}).normal_origins]
        ['nut', 'bolt']
    """
    if not products:
        raise DataError(f"{name}: no product inside")
    sets = products.values()
    masks = None
    if any(one.masks is not None for one in sets):
        masks = tuple(mask for one in sets for mask in (one.masks or (None,) * len(one.test)))
    return Dataset(
        name=name,
        normal=Images.join([one.normal for one in sets]),
        test=Images.join([one.test for one in sets]),
        defects=tuple(defect for one in sets for defect in one.defects),
        masks=masks,
        normal_origins=_of_products({key: (len(one.normal), one.normal_origins) for key, one in products.items()}),
        test_origins=_of_products({key: (len(one.test), one.test_origins) for key, one in products.items()}),
        licence=", ".join(dict.fromkeys(one.licence for one in sets if one.licence)),
        notes=tuple(f"{key}: {note}" for key, one in products.items() for note in one.notes),
    )


def _of_products(origins: Mapping[str, tuple[int, tuple[Origin, ...]]]) -> tuple[Origin, ...]:
    """Origins of so many images of each product, as they are known, with the product."""
    return tuple(
        replace(origin, product=product)
        for product, (count, known) in origins.items()
        for origin in (known or (Origin(),) * count)
    )
