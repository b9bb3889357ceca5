"""ELPV: 2,624 electroluminescence images of real solar cells, from the PyPI package ``elpv-dataset``.

Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images",
Solar Energy 185 (2019). Every cell carries the probability of a defect as judged by experts: 0, 1/3, 2/3 or 1.
Licence of the images: CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from amiss.core.checks import check_choice, check_count
from amiss.core.errors import DataError, MissingExtraError
from amiss.core.images import Images
from amiss.data.about import OWN_SPLIT
from amiss.data.dataset import GOOD, Dataset

LICENCE = "CC BY-NC-SA 4.0"
KINDS = ("mono", "poly")


def read_elpv(kind: str = "mono", *, train: int = 200, seed: int = 0) -> Dataset:
    """Functional cells to learn from; the other functional and the surely defective cells to test on.

    Cells with a defect probability of 1/3 or 2/3 are left out: the experts did not agree on them.

    Args:
        kind: "mono" or "poly": mono- or polycrystalline cells.
        train: Number of functional cells to learn from, drawn at random.
        seed: Seed of that draw.

    Raises:
        MissingExtraError: The package is not installed.
        InputError: An unknown kind.
        DataError: More cells asked for than there are, or none left to test on.
    """
    check_choice("kind", kind, KINDS)
    check_count("train", train)
    cells = elpv_cells(kind)
    good = [path for path, probability in cells if probability == 0.0]
    defective = [path for path, probability in cells if probability == 1.0]
    if train >= len(good):
        raise DataError(f"train = {train}, but there are {len(good)} functional {kind} cells, and some must remain")
    order = np.random.default_rng(seed).permutation(len(good))
    rest = [good[i] for i in sorted(order[train:])]
    return Dataset(
        name=f"elpv_{kind}",
        normal=Images([good[i] for i in sorted(order[:train])]),
        test=Images(rest + defective),
        defects=(GOOD,) * len(rest) + ("defective",) * len(defective),
        licence=LICENCE,
        notes=(
            OWN_SPLIT,
            f"{len(cells) - len(good) - len(defective)} cells on which the experts did not agree are left out.",
        ),
    )


def elpv_cells(kind: str) -> list[tuple[Path, float]]:
    """Path and defect probability of every cell of one kind, in the order of the package's label file."""
    try:
        root = Path(str(files("elpv_dataset"))) / "data"
    except ModuleNotFoundError as error:
        raise MissingExtraError("the solar cells are not installed; pip install 'amiss[demo]'") from error
    lines = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip()]
    return [(root / path, float(probability)) for path, probability, cell in rows if cell == kind]
