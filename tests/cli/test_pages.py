"""Files of several images, in every verb that reads images: refused, or each page read where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amiss.core.errors import DataError
from amiss.data import open_dataset
from amiss.evaluation import watch
from amiss.front import fit, load
from amiss.testing import toy_part, write_images

REFUSED = "holds several images, of which only the first would be seen"


def stack(path: Path, n: int, seed: int, *, defective: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, toy_part(n, seed=seed, defective=defective).images)
    first.save(path, save_all=True, append_images=others)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a data set and a folder whose images lie in files of several."""
    root = tmp_path_factory.mktemp("stacks")
    fit(toy_part(30, seed=1).images, method="knn", preset="tiny", size=64, calibration=0.7).save(root / "m.amiss")
    stack(root / "set/train/good/0.tif", 12, seed=2)
    stack(root / "set/test/good/0.tif", 5, seed=3)
    stack(root / "set/test/dent/0.tif", 4, seed=4, defective=True)
    stack(root / "good/0.tif", 2, seed=2)
    (root / "good/notes.txt").write_text("words")
    write_images(root / "good", toy_part(24, seed=5).images)
    return root


@pytest.mark.parametrize("pages", ["one", "each"])
@pytest.mark.parametrize(
    ("words", "n"),
    [
        (("fit", "good", "--method", "knn", "--preset", "tiny", "--size", "64", "--output", "new.amiss"), 26),
        (("calibrate", "m.amiss", "good", "--output", "new.amiss"), 26),
        (("evaluate", "m.amiss", "set"), 5),
        (("certify", "m.amiss", "set"), 5),
        (("compare", "m.amiss", "m.amiss", "set"), 5),
        (("data", "set", "--check"), 5),
    ],
)
def test_verbs_that_take_each_page(amiss, world: Path, monkeypatch, words: tuple[str, ...], n: int, pages: str) -> None:
    monkeypatch.chdir(world)
    if words[0] == "fit":
        words = (*words, "--calibration", "folds:2")
    code, out, err = amiss(*words, "--pages", pages, "--json")
    if pages == "each":
        found = json.loads(out)
        counts = {
            "fit": lambda: found["calibration"]["n"],
            "calibrate": lambda: found["calibration"]["n"],
            "evaluate": lambda: found["n_good"],
            "certify": lambda: found["false_alarms"]["n"],
            "compare": lambda: found["n_good"],
            "data": lambda: found["test"]["good"],
        }
        assert code == 0 and counts[words[0]]() == n
        assert words[0] not in ("fit", "calibrate") or found["ignored"][0]["reason"] == "not an image"
        return
    said = out + err
    assert code == (0 if words[0] in ("evaluate", "certify", "compare") else 3 if words[0] == "data" else 2)
    assert REFUSED in said and "--pages each" in said


def test_a_stream_in_order_of_time_with_a_link_to_nothing(world: Path, tmp_path: Path) -> None:
    write_images(tmp_path, toy_part(6, seed=7).images)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    found = watch(load(world / "m.amiss"), tmp_path, by_time=True)
    assert len(found.stream) == 7 and "a link to nothing" in found.stream.errors[0][1]


@pytest.mark.parametrize("verb", ["monitor", "accept", "gauge"])
def test_verbs_that_take_no_pages_say_so(amiss, world: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "notes.txt").write_text("words")
    for part in range(5):
        stack(tmp_path / f"{part}/a.tif", 2, seed=part)
        write_images(tmp_path / f"{part}", toy_part(2, seed=10 + part).images)
    code, out, err = amiss(verb, world / "m.amiss", tmp_path)
    assert code in {"monitor": (3, 4), "accept": (2,), "gauge": (3,)}[verb] and REFUSED in out + err
    assert verb == "accept" or "Ignored 1: not an image (1, such as " in out


def test_what_is_known_of_a_file_is_known_of_its_pages(tmp_path: Path) -> None:
    stack(tmp_path / "a.tif", 3, seed=0)
    write_images(tmp_path / "more", toy_part(2, seed=1).images)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "more").iterdir())
    rows = ["path,label,split,lot", "a.tif,good,train,7", f"{names[0]},ng,test,8", f"{names[1]},ok,test,9"]
    (tmp_path / "parts.csv").write_text("\n".join(rows) + "\n")
    data = open_dataset(tmp_path / "parts.csv", pages="each")
    assert [origin.lot for origin in data.normal_origins] == ["7"] * 3 and len(data.normal) == 3
    assert len(data.test) == 2 and len(data.test_origins) == 2


def test_a_mask_is_of_one_image(tmp_path: Path) -> None:
    stack(tmp_path / "a.tif", 3, seed=0)
    write_images(tmp_path / "more", toy_part(1, seed=1).images)
    Image.fromarray(np.eye(64, dtype=np.uint8)).save(tmp_path / "mask.png")
    name = next((tmp_path / "more").iterdir()).relative_to(tmp_path)
    (tmp_path / "parts.csv").write_text(f"path,label,split,mask\n{name},ok,train,\na.tif,ng,test,mask.png\n")
    with pytest.raises(DataError, match=r"a\.tif: a file with a mask must hold one image, got 3"):
        open_dataset(tmp_path / "parts.csv", pages="each")
