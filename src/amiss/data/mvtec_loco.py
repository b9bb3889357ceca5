"""MVTec LOCO AD: five categories with structural and with logical anomalies, such as a missing part.

root/train/good/*.png
root/validation/good/*.png
root/test/{good,logical_anomalies,structural_anomalies}/NNN.png
root/ground_truth/<type>/NNN/MMM.png      one file per region; the value of its pixels is the defect
root/defects_config.json                  for each defect its pixel value and its saturation

Where something is missing, any place where it could be is marked, and the saturation says how much is enough. Hence the
measure of this set is sPRO, not PRO: `Dataset.regions`. Published figures are given for both types apart and as their
mean. They learn from train/good alone; here validation/good is normal too, because Amiss holds out its own share.

Bergmann et al., "Beyond Dents and Scratches", IJCV 130 (2022). CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.plain_json import parse_json
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import collect_tests, list_images, need_images
from amiss.data.mvtec_ad2 import VALIDATION
from amiss.data.reader import in_folders
from amiss.data.truth import RegionFiles, Saturation

ABOUT = About(
    "MVTec LOCO AD",
    "train/good, validation/good, test/{good,logical_anomalies,structural_anomalies}, "
    "ground_truth/<type>/<name>/*.png, defects_config.json",
    "mvtec.com (Research, Datasets)",
    "CC BY-NC-SA 4.0",
)
TYPES = ("logical_anomalies", "structural_anomalies")

_CONFIG = "defects_config.json"


def is_mvtec_loco(root: Path) -> bool:
    """True when `root` has the layout of MVTec LOCO AD: its list of defects, or masks in one folder per image."""
    if not (root / "train" / GOOD).is_dir():
        return False
    truth = [root / "ground_truth" / name for name in TYPES]
    return (root / _CONFIG).is_file() or any(
        folder.is_dir() and any(inside.is_dir() for inside in folder.iterdir()) for folder in truth
    )


def read_mvtec_loco(root: Path) -> Dataset:
    """Read one category.

    Raises:
        DataError: A folder, a mask or the list of defects is missing or damaged.
    """
    normal = [path for part in ("train", "validation") for path in need_images(root, f"{part}/{GOOD}", ABOUT)]
    if not (root / "test").is_dir():
        raise ABOUT.missing(root, "test/")
    saturations = _saturations(root / _CONFIG, root)

    def find(defect: str, path: Path) -> RegionFiles:
        folder = root / "ground_truth" / defect / path.stem
        files = list_images(folder) if folder.is_dir() else []
        if not files:
            raise DataError(f"{path}: its masks {folder}/*.png are missing")
        return RegionFiles(tuple(files), saturations)

    tested = collect_tests({name: root / "test" / name for name in (GOOD, *TYPES)}, find)
    return Dataset(
        name=root.resolve().name,
        normal=Images(normal),
        test=Images(tested.paths),
        defects=tuple(tested.defects),
        masks=tuple(tested.masks),
        licence=ABOUT.licence,
        notes=(VALIDATION, *tested.notes),
    )


def _saturations(path: Path, root: Path) -> dict[int, Saturation]:
    if not path.is_file():
        raise ABOUT.missing(root, _CONFIG)
    try:
        entries = parse_json(path.read_text(encoding="utf-8"))
        return {int(entry["pixel_value"]): _saturation(entry) for entry in entries}
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: not a list of defects with pixel_value, saturation_threshold and relative_saturation ({error!r})"
        ) from error


def _saturation(entry: dict[str, Any]) -> Saturation:
    threshold, relative = float(entry["saturation_threshold"]), entry["relative_saturation"]
    if not isinstance(relative, bool) or not threshold > 0 or (relative and threshold > 1):
        raise ValueError(f"saturation_threshold {threshold:g} with relative_saturation {relative!r}")
    return Saturation(threshold, relative)


READER = in_folders("mvtec_loco", ABOUT, is_mvtec_loco, read_mvtec_loco)
