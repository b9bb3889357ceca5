"""Tiny trees in the layout of every data set that Amiss reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

SIZE = (12, 16)
COUNTER = iter(range(10**9))


def write(path: Path, value: int | np.ndarray | None = None, size: tuple[int, int] = SIZE) -> Path:
    """An image; without a value none is equal to another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if value is None:
        value = np.random.default_rng(next(COUNTER)).integers(0, 256, size, dtype=np.uint8)
    image = value if isinstance(value, np.ndarray) else np.full(size, value, np.uint8)
    assert cv2.imwrite(str(path), image)
    return path


def block(level: int = 255, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A mask with 12 defective pixels."""
    mask = np.zeros(size, np.uint8)
    mask[3:6, 4:8] = level
    return mask


def mvtec(root: Path) -> Path:
    for name in ("train/good/0", "train/good/1", "test/good/0", "test/dent/0", "test/scratch/0"):
        write(root / f"{name}.png")
    for name in ("dent/0", "scratch/0"):
        write(root / f"ground_truth/{name}_mask.png", block())
    return root


def mvtec_ad2(root: Path) -> Path:
    for name in ("train/good/000", "train/good/001", "validation/good/000"):
        write(root / f"{name}_regular.png")
    for light in ("regular", "shift_1"):
        write(root / f"test_public/good/000_{light}.png")
        write(root / f"test_public/bad/000_{light}.png")
        write(root / f"test_public/ground_truth/bad/000_{light}_mask.png", block())
    write(root / "test_private/000_regular.png")
    return root


def mvtec_loco(root: Path) -> Path:
    for name in ("train/good/000", "validation/good/000", "test/good/000"):
        write(root / f"{name}.png")
    write(root / "test/logical_anomalies/000.png")
    write(root / "test/structural_anomalies/000.png")
    truth = root / "ground_truth"
    write(truth / "logical_anomalies/000/000.png", block(255))
    other = np.zeros(SIZE, np.uint8)
    other[4:10, 2:12] = 254
    write(truth / "logical_anomalies/000/001.png", other)
    write(truth / "structural_anomalies/000/000.png", block(253))
    entries = [
        {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 5, "relative_saturation": False},
        {"defect_name": "extra", "pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True},
        {"defect_name": "dent", "pixel_value": 253, "saturation_threshold": 1.0, "relative_saturation": True},
    ]
    (root / "defects_config.json").write_text(json.dumps(entries))
    return root


def mvtec_3d(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("train/good", "validation/good", "test/good", "test/hole"):
        write(root / name / "rgb/000.png")
        write(root / name / "xyz/000.tiff", rng.normal(size=(*SIZE, 3)).astype(np.float32))
    write(root / "test/good/gt/000.png", 0)
    write(root / "test/hole/gt/000.png", block())
    return root


def btad(root: Path) -> Path:
    write(root / "train/ok/0000.bmp")
    write(root / "test/ok/0001.bmp")
    write(root / "test/ko/0000.bmp")
    write(root / "test/ko/0001.png")
    write(root / "ground_truth/ko/0000.png", block())
    write(root / "ground_truth/ko/0001.bmp", block())
    return root


def kolektorsdd2(root: Path) -> Path:
    for part, number, defective in (("train", 0, 0), ("train", 1, 1), ("train", 2, 0), ("test", 3, 0), ("test", 4, 1)):
        write(root / part / f"{number:05d}.png")
        write(root / part / f"{number:05d}_GT.png", block() if defective else 0)
    return root


def severstal(root: Path) -> Path:
    for number in range(12):
        write(root / f"train_images/{number:02d}.jpg")
    # rows 3 to 5 of columns 4 to 7 of an image 12 high: the block
    runs = " ".join(f"{column * 12 + 4} 3" for column in range(4, 8))
    (root / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\n10.jpg,3,{runs}\n11.jpg,1,1 2\n11.jpg,4,192 1\n")
    return root


def nanofibres(root: Path) -> Path:
    write(root / "Normal/n1.tif")
    write(root / "Anomalous/images/a1.tif")
    write(root / "Anomalous/gt/a1_gt.png", block())
    return root


def visa(root: Path) -> Path:
    rows = ["object,split,label,image,mask"]
    for name in ("candle", "pcb1"):
        for number, split in enumerate(("train", "train", "test")):
            path = f"{name}/Data/Images/Normal/{number:04d}.JPG"
            write(root / path)
            rows.append(f"{name},{split},normal,{path},")
        for number in range(2):
            path, mask = f"{name}/Data/Images/Anomaly/{number:03d}.JPG", f"{name}/Data/Masks/Anomaly/{number:03d}.png"
            write(root / path)
            write(root / mask, block(number + 1))
            rows.append(f"{name},test,anomaly,{path},{mask}")
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    folder = "candle/Data/Images/Anomaly"
    (root / "candle/image_anno.csv").write_text(
        f'image,label,mask\n{folder}/000.JPG,wax melded,m\n{folder}/001.JPG,"spot, chunk missing",m\n'
        "candle/Data/Images/Normal/0000.JPG,normal,\n"
    )
    return root


def wm811k(path: Path) -> Path:
    rng = np.random.default_rng(0)
    shapes = np.array([(5, 6), (7, 7), (5, 6), (4, 3), (6, 6)], np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        maps=rng.integers(0, 3, int(shapes.prod(axis=1).sum()), dtype=np.uint8),
        shapes=shapes,
        label=np.array(["none", "Center", "none", "", "Edge-Ring"]),
        split=np.array(["Training", "Training", "Test", "", "Test"]),
        lot=np.array(["lot1", "lot1", "lot2", "lot2", "lot2"]),
        wafer=np.arange(1, 6),
    )
    return path


def mixedwm38(path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 8), np.int64)
    labels[10, 0] = labels[11, 0] = labels[11, 6] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, rng.integers(0, 4, (12, 52, 52), dtype=np.int32), labels)
    return path


def manifest(path: Path) -> Path:
    for name in "abcd":
        write(path.parent / f"images/{name}.png")
    write(path.parent / "masks/d.png", block())
    path.write_text(
        "path,label,split,mask\nimages/a.png,ok,train,\nimages/b.png,ok,train,\n"
        "images/c.png,OK,test,\nimages/d.png,scratch,test,masks/d.png\n"
    )
    return path


def labelled(root: Path) -> Path:
    for name in ("OK/a", "OK/b", "OK/c", "OK/d", "NG/e"):
        write(root / f"{name}.png")
    return root


def classes(root: Path) -> Path:
    for name in ("train/a/1", "train/a/2", "train/b/3", "train/b/4", "test/a/5", "test/b/6", "test/c/7"):
        write(root / f"{name}.png")
    return root


def folder(root: Path) -> Path:
    write(root / "a.png")
    write(root / "deeper/b.png")
    return root


BUILDERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "mvtec": ("bolt", mvtec),
    "mvtec_ad2": ("can", mvtec_ad2),
    "mvtec_loco": ("pushpins", mvtec_loco),
    "mvtec_3d": ("bagel", mvtec_3d),
    "btad": ("01", btad),
    "kolektorsdd2": ("KolektorSDD2", kolektorsdd2),
    "severstal": ("severstal", severstal),
    "nanofibres": ("nano", nanofibres),
    "visa": ("VisA", visa),
    "wm811k": ("wm811k.npz", wm811k),
    "mixedwm38": ("mixed.npz", mixedwm38),
    "manifest": ("bolts.csv", manifest),
    "labelled": ("parts", labelled),
    "classes": ("kinds", classes),
    "folder": ("flat", folder),
}


@pytest.fixture
def trees(tmp_path: Path) -> SimpleNamespace:
    """`trees.build(kind)` makes a tree and returns its path; `write` and `block` make images and masks."""

    def build(kind: str, name: str | None = None) -> Path:
        default, builder = BUILDERS[kind]
        return builder(tmp_path / kind / (name or default))

    return SimpleNamespace(build=build, write=write, block=block, kinds=tuple(BUILDERS), root=tmp_path)
