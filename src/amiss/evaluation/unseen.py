"""Nothing honest is measured on images that an inspector was made from, nor on one image twice.

The verbs and the benchmark leave such images out and say so, see `only_unseen`; the functions behind them refuse."""

from __future__ import annotations

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.dataset import Dataset
from amiss.inspector import Inspector


def only_unseen(dataset: Dataset, *inspectors: Inspector) -> Dataset:
    """The data set without test images that these inspectors have seen, and without copies; its notes say how many.

    Raises:
        DataError: No test image is left, or two copies are called different defect types.
    """
    return dataset.without_copies(frozenset().union(*(inspector.seen for inspector in inspectors)))


def check_unseen(inspector: Inspector, images: Images, *, where: str, name: str = "the inspector") -> tuple[str, ...]:
    """None of the images was learned from or calibrated on, file by file or pixel by pixel; else a `DataError`.

    Args:
        inspector: Whose `seen` is asked.
        images: To be measured on.
        where: What the images are called, such as the name of their data set.
        name: What the inspector is called.

    Returns:
        SHA-256 (hex) of each image, "" for one that cannot be read: it becomes an error where it is inspected.

    Raises:
        DataError: The inspector has seen some of them; says how many, and names one.
    """
    known, hashes = inspector.seen, images.hashes()
    seen = [image for image, digest in zip(images.names, hashes, strict=True) if digest in known]
    if seen:
        raise DataError(
            f"{where}: {name} has seen {len(seen)} of these {len(images)} images while it was made, such as {seen[0]}; "
            "what is measured on them would flatter it. Give images that it has neither learned from nor been "
            "calibrated on, or leave these out (amiss.evaluation.only_unseen)"
        )
    return hashes
