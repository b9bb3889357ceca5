"""Wafer maps, and reading one array of a file without the others."""

import gc
import re
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import DataError
from amiss.data import GOOD, Origin, read_mixedwm38, read_wm811k
from amiss.data.archive import array_names, map_array

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize("kind", [np.uint8, np.int64, ">i4", np.float32, "U5"], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_array_is_the_array(trees, kind, order):
    known = {"a": np.arange(24).reshape(2, 3, 4).astype(kind, order=order), "b": np.ones(3)}
    path = trees.root / "x.npz"
    np.savez(path, **known)
    assert array_names(path) == {"a", "b"}
    found = map_array(path, "a")
    assert isinstance(found, np.memmap) and found.dtype == known["a"].dtype
    np.testing.assert_array_equal(found, known["a"])
    np.testing.assert_array_equal(map_array(path, "b"), known["b"])
    assert map_array(path, "a")[1].base is not None


def test_an_empty_array_is_empty(trees):
    np.savez(trees.root / "x.npz", a=np.empty((0, 5)))
    assert map_array(trees.root / "x.npz", "a").shape == (0, 5)


def test_a_mapped_file_is_not_held_in_memory(trees):
    """64 MB in the file; one wafer of it costs next to nothing."""
    tracemalloc = pytest.importorskip("tracemalloc")
    path = trees.root / "big.npz"
    np.savez(path, np.zeros((1 << 14, 64, 64), np.uint8), np.zeros(1))
    gc.collect()
    tracemalloc.start()
    maps = map_array(path, "arr_0")
    assert maps[12345].sum() == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_archives_that_cannot_be_mapped_are_refused(trees):
    path = trees.root / "x.npz"
    np.savez_compressed(path, a=np.zeros(9))
    with pytest.raises(DataError, match=r"compressed, .* np\.savez\('plain\.npz', \*\*a\)"):
        map_array(path, "a")
    np.savez(path, a=np.zeros(9))
    with pytest.raises(DataError, match="no array 'b'; found: a"):
        map_array(path, "b")
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    with pytest.raises(DataError, match=r"not a readable \.npz file"):
        map_array(path, "a")
    assert array_names(path) == frozenset() == array_names(trees.root)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"no array")
    with pytest.raises(DataError, match=r"not a readable \.npz file"):
        map_array(path, "a")


def test_an_archive_of_python_objects_is_refused(trees):
    path = trees.root / "x.npz"
    np.savez(path, a=np.array([{"run": "me"}], dtype=object))
    with pytest.raises(DataError, match="holds Python objects, which may run code"):
        map_array(path, "a")


def resealed(path, old, new):
    """Change the first array of an .npz file, with the CRC of what is then there."""
    with zipfile.ZipFile(path) as archive:
        name = archive.namelist()[0]
        content = archive.read(name)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content.replace(old, new))


def test_an_array_that_claims_more_than_there_is_is_refused(trees):
    path = trees.root / "x.npz"
    np.savez(path, a=np.zeros(100, np.uint8))
    resealed(path, b"(100,)", b"(999,)")
    with pytest.raises(DataError, match="the array 'a' is cut off"):
        map_array(path, "a")


def test_wm811k_learns_from_normal_wafers_of_training_and_knows_lots(trees):
    path = trees.build("wm811k")
    data = read_wm811k(path)
    assert data.normal.names == (f"{path}#0",) and data.test.names == (f"{path}#2", f"{path}#4")
    assert data.defects == (GOOD, "Edge-Ring") and data.masks is None
    assert data.normal_origins == (Origin("wafer", "lot1", "1"),) and data.test_origins[1] == Origin(
        "wafer", "lot2", "5"
    )
    assert data.notes[0] == "1 wafers without label and 1 with a pattern in Training are left out."
    dies = np.load(path, allow_pickle=False)["maps"]
    first = 30 + 49  # two wafers come before
    known = np.array([0, 127, 255], np.uint8)[dies[first : first + 30]].reshape(5, 6)
    np.testing.assert_array_equal(data.test[0], np.repeat(known[..., None], 3, axis=2))
    assert data.test.sha256(0) != data.test.sha256(1) and data.normal[0].shape == (5, 6, 3)


def test_wm811k_arrays_that_do_not_fit_are_refused(trees):
    path = trees.build("wm811k")
    arrays = dict(np.load(path, allow_pickle=False))
    for change in (
        {"maps": arrays["maps"][:-1]},
        {"shapes": arrays["shapes"][:-1]},
        {"lot": arrays["lot"][:-1]},
        {"shapes": -arrays["shapes"]},
        {"maps": arrays["maps"].reshape(1, -1)},
    ):
        np.savez(path, **(arrays | change))
        with pytest.raises(DataError, match="the arrays do not fit each other: 5 labels"):
            read_wm811k(path)
    np.savez(path, **(arrays | {"split": np.array(["Train"] * 5)}))
    with pytest.raises(DataError, match="split must be Training or Test, got 'Train'"):
        read_wm811k(path)
    np.savez(path, **(arrays | {"split": np.array(["Test"] * 5)}))
    with pytest.raises(DataError, match="no normal wafer to learn from"):
        read_wm811k(path)


def test_a_pickle_is_never_opened(trees):
    path = trees.root / "LSWMD.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(DataError, match=r"a pickle runs whatever code .* script in docs/datasets\.md"):
        read_wm811k(path)


def test_the_script_of_the_page_writes_what_the_reader_reads(trees, monkeypatch):
    """The published table has two-dimensional cells; a stand-in for pandas gives the same columns."""
    code = next(
        body for body in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S) if "LSWMD" in body
    )
    cells = [[["none"]], [["Center"]], [], [["none"]]]
    splits = [[["Training"]], [["Training"]], [], [["Test"]]]
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 3, shape, dtype=np.uint8) for shape in ((4, 5), (3, 3), (2, 2), (6, 5))]
    table = {
        "waferMap": maps,
        "failureType": [np.array(cell) for cell in cells],
        "trianTestLabel": [np.array(cell) for cell in splits],
        "lotName": ["lot1", "lot1", "lot2", "lot2"],
        "waferIndex": [1.0, 2.0, 1.0, 2.0],
    }
    (trees.root / "convert.py").write_text(code.split("# from here on", 1)[1].split("\n", 1)[1])
    monkeypatch.chdir(trees.root)
    runpy.run_path(str(trees.root / "convert.py"), {"table": table, "np": np})
    data = read_wm811k(trees.root / "wm811k.npz")
    assert len(data.normal) == 1 and data.defects == (GOOD,)
    np.testing.assert_array_equal(data.test[0][..., 0], np.array([0, 127, 255], np.uint8)[maps[3]])
    assert data.test_origins == (Origin("wafer", "lot2", "2"),)


def test_mixedwm38_names_every_pattern_of_a_wafer(trees):
    path = trees.build("mixedwm38")
    data = read_mixedwm38(path, seed=0)
    assert len(data.normal) == 8 and data.defects == (GOOD, GOOD, "Center", "Center+Scratch")
    assert not set(data.normal.names) & set(data.test.names)
    assert read_mixedwm38(path, seed=0).normal.names == data.normal.names != read_mixedwm38(path, seed=1).normal.names
    raw = np.load(path, allow_pickle=False)["arr_0"][11]
    assert raw.max() == 3  # the value that nobody documents is shown as a failing die
    np.testing.assert_array_equal(data.test[3][..., 0], np.array([0, 127, 255, 255], np.uint8)[raw])
    assert "Amiss's own" in data.notes[0]


def test_mixedwm38_in_another_form_is_refused(trees):
    path = trees.build("mixedwm38")
    np.savez(path, np.zeros((3, 4)), np.zeros((3, 8)))
    with pytest.raises(DataError, match=r"arr_0 and arr_1 must be \(N, H, W\) and \(N, 8\), got \(3, 4\) and \(3, 8\)"):
        read_mixedwm38(path)
    np.savez_compressed(path, np.zeros((3, 4, 4)), np.zeros((3, 8)))
    with pytest.raises(DataError, match="compressed"):
        read_mixedwm38(path)
    with pytest.raises(DataError, match=r"no such file\. MixedWM38 is laid out as"):
        read_mixedwm38(trees.root / "none.npz")
    np.savez(path, np.zeros(3))
    with pytest.raises(DataError, match=r"no array 'arr_1'\. MixedWM38"):
        read_mixedwm38(path)


@pytest.mark.parametrize(
    "sides",
    [
        "(-10,)",
        "(1e5,)",
        "(((((",
        "(2**9,)",
        "None  ",
        "('a',)",
        "(9,9,)*",
        "(0, 9000000000000000000)",
        "(,)",
        "(1,)*9",
        "\0\0\0",
    ],
)
def test_a_header_that_nobody_writes_is_refused(trees, sides):
    path = trees.root / "x.npz"
    np.savez(path, a=np.zeros(10, np.uint8))
    resealed(path, b"(10,)", sides.encode())
    with pytest.raises(DataError):
        map_array(path, "a")


def test_one_flipped_bit_of_an_array_is_refused(trees):
    path = trees.root / "x.npz"
    np.savez(path, a=np.full(1000, 7, np.uint8))
    content = path.read_bytes()
    path.write_bytes(content.replace(bytes([7] * 10), bytes([7] * 9 + [6]), 1))
    with pytest.raises(DataError, match="CRC"):
        map_array(path, "a")
