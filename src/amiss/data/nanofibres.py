"""NanoTWICE: nanofibres under the electron microscope, with beads, flattened fibres and dust.

root/Normal/*.tif                       5 good images
root/Anomalous/images/*.tif             40 defective ones
root/Anomalous/gt/<name>_gt.png         white = defective

The split is the published one. It has no good test image, so nothing can be said about false alarms of whole
images; pixel figures are what papers give.

Carrera et al., "Defect Detection in SEM Images of Nanofibrous Materials", IEEE Trans. Industrial Informatics 13 (2017).
The authors state no licence: ask them before any use other than research.
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import Dataset
from amiss.data.layout import collect_tests, first_file, need_images
from amiss.data.reader import single

ABOUT = About(
    "NanoTWICE",
    "Normal, Anomalous/images, Anomalous/gt/<name>_gt.png",
    "web.mi.imati.cnr.it/ettore/NanoTWICE",
    "none stated; cite the paper",
)
DEFECT = "anomalous"


def is_nanofibres(root: Path) -> bool:
    """True when `root` has the layout of NanoTWICE."""
    return (root / "Normal").is_dir() and (root / "Anomalous").is_dir()


def read_nanofibres(root: Path) -> Dataset:
    """Read the set.

    Raises:
        DataError: A folder or a mask is missing.
    """
    normal = need_images(root, "Normal", ABOUT)
    need_images(root, "Anomalous/images", ABOUT)
    masks = root / "Anomalous" / "gt"
    tested = collect_tests(
        {DEFECT: root / "Anomalous" / "images"}, lambda _, path: first_file(path, [masks / f"{path.stem}_gt.png"])
    )
    return Dataset(
        name="nanofibres",
        normal=Images(normal),
        test=Images(tested.paths),
        defects=tuple(tested.defects),
        masks=tuple(tested.masks),
        licence=ABOUT.licence,
        notes=("There are no good test images, so false alarms cannot be measured.",),
    )


READER = single("nanofibres", ABOUT, is_nanofibres, lambda path, seed: read_nanofibres(path))
