"""MVTec AD 2: eight scenarios under changing light, with good images set apart for validation.

root/train/good/NNN_regular.png
root/validation/good/NNN_regular.png
root/test_public/{good,bad}/NNN_<light>.png
root/test_public/ground_truth/bad/NNN_<light>_mask.png
root/test_private, root/test_private_mixed       without truth: MVTec's server judges them; not read here

One scene is photographed under several lights: the images of a scene are one part, and no independent evidence.
The published figures learn from train/good alone and keep validation/good for thresholds. Here both are normal images,
because Amiss holds out its own share for calibration; figures on test_public are comparable, those on the private parts
come from the server alone.

Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv 2503.21622 (2025). CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import collect_tests, first_file, need_images
from amiss.data.reader import in_folders

ABOUT = About(
    "MVTec AD 2",
    "train/good, validation/good, test_public/{good,bad}, test_public/ground_truth/bad/<name>_mask.png",
    "mvtec.com (Research, Datasets)",
    "CC BY-NC-SA 4.0",
)
VALIDATION = "Normal images are train/good and validation/good together; published figures learn from train/good alone."
"""Note of the MVTec sets that have a validation part."""

_PUBLIC = "test_public"


def is_mvtec_ad2(root: Path) -> bool:
    """True when `root` has the layout of MVTec AD 2."""
    return (root / _PUBLIC).is_dir() and (root / "train" / GOOD).is_dir()


def read_mvtec_ad2(root: Path) -> Dataset:
    """Read one scenario: its public part.

    Raises:
        DataError: A folder or a mask is missing.
    """
    normal = [path for part in ("train", "validation") for path in need_images(root, f"{part}/{GOOD}", ABOUT)]
    for part in (_PUBLIC, f"{_PUBLIC}/ground_truth/bad"):
        if not (root / part).is_dir():
            raise ABOUT.missing(root, f"{part}/")
    masks = root / _PUBLIC / "ground_truth" / "bad"
    tested = collect_tests(
        {"bad": root / _PUBLIC / "bad", GOOD: root / _PUBLIC / GOOD},
        lambda _, path: first_file(path, [masks / f"{path.stem}_mask.png"]),
    )
    notes = [VALIDATION, "Figures are for test_public; the private parts are judged by MVTec's server alone."]
    return Dataset(
        name=root.resolve().name,
        normal=Images(normal),
        test=Images(tested.paths),
        defects=tuple(tested.defects),
        masks=tuple(tested.masks),
        normal_origins=tuple(_scene(path, root) for path in normal),
        test_origins=tuple(_scene(path, root) for path in tested.paths),
        licence=ABOUT.licence,
        notes=(*notes, *tested.notes),
    )


def _scene(path: Path, root: Path) -> Origin:
    """The number before the light, which begins anew in every folder."""
    folder = path.parent.relative_to(root).as_posix()
    return Origin(product=root.resolve().name, part=f"{folder}/{path.stem.partition('_')[0]}")


READER = in_folders("mvtec_ad2", ABOUT, is_mvtec_ad2, read_mvtec_ad2)
