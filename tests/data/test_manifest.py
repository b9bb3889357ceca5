"""Manifests: which rows become normal and test images, and how every slip is caught."""

import json
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from amiss.core.errors import DataError, InputError, MissingExtraError
from amiss.data import GOOD, Origin, read_manifest
from amiss.data.manifest import DEFECTIVE_WORDS, GOOD_WORDS
from amiss.data.table import read_table


@pytest.fixture
def table(trees):
    """Write bolts.csv; the images that it lists are made, unless told otherwise."""

    def make(text, *, images=True, ending=".csv"):
        path = trees.root / f"bolts{ending}"
        path.write_text(text, encoding="utf-8")
        if images:
            for row in read_table(path):
                for name in (row.get("path"), row.get("mask")):
                    if isinstance(name, str) and ".png" in name and ".." not in name and not name.startswith("/"):
                        trees.write(trees.root / name)
        return path

    return make


def short(images):
    return [path.name for path in images.paths]


def test_a_manifest_with_a_split(trees):
    data = read_manifest(trees.build("manifest"))
    assert data.name == "bolts" and short(data.normal) == ["a.png", "b.png"] and short(data.test) == ["c.png", "d.png"]
    assert data.defects == (GOOD, "scratch") and data.notes == () and data.normal_origins == ()
    assert np.array_equal(data.mask(1, (12, 16)), trees.block() > 0) and not data.mask(0, (12, 16)).any()


def test_paths_alone_are_good_images(table):
    data = read_manifest(table("path\na.png\nb/c.png\n"))
    assert short(data.normal) == ["a.png", "c.png"] and len(data.test) == 0 and data.masks is None


def test_labels_without_a_split_are_divided_with_the_seed(table):
    rows = [f"g{number}.png,good" for number in range(10)] + ["d0.png,ng", "d1.png,dent"]
    path = table("path,label\n" + "\n".join(rows) + "\n")
    data = read_manifest(path, seed=3)
    assert len(data.normal) == 8 and data.defects == (GOOD, GOOD, "defective", "dent")
    assert "divided with the seed" in data.notes[0]
    assert short(read_manifest(path, seed=3).normal) == short(data.normal) != short(read_manifest(path, seed=4).normal)


@pytest.mark.parametrize("column", ["lot", "part"])
def test_an_own_split_divides_no_lot_and_no_part(table, column):
    rows = [f"{number}.png,ok,{number // 5}" for number in range(30)]
    for seed in range(5):
        data = read_manifest(table(f"path,label,{column}\n" + "\n".join(rows) + "\n"), seed=seed)
        learned, tested = (
            {getattr(origin, column) for origin in part} for part in (data.normal_origins, data.test_origins)
        )
        assert learned and tested and not learned & tested
    with pytest.raises(DataError, match="got 30 images of 1 part"):
        read_manifest(table("path,label,part\n" + "\n".join(f"{number}.png,ok,7" for number in range(30)) + "\n"))


def test_validation_images_are_normal_and_defective_ones_of_train_left_out(table):
    data = read_manifest(
        table("path,label,split\na.png,ok,train\nb.png,ok,validation\nc.png,bad,train\nd.png,good,test\ne.png,,train\n")
    )
    assert short(data.normal) == ["a.png", "b.png", "e.png"] and short(data.test) == ["d.png"]
    assert data.notes == ("1 defective images of train are left out.",)


def test_origins_and_times(table):
    data = read_manifest(
        table("path,product,lot,part,timestamp\na.png,bolt,L1,7,2026-03-01T06:30:00+00:00\nb.png,bolt,L2,,\n")
    )
    assert data.normal_origins == (
        Origin("bolt", "L1", "7", datetime(2026, 3, 1, 6, 30, tzinfo=UTC)),
        Origin("bolt", "L2"),
    )


@pytest.mark.parametrize("word", [*GOOD_WORDS, "Good", " OK ", "NORMAL"])
def test_good_in_all_words(table, word):
    assert short(read_manifest(table(f"path,label,split\na.png,{word},train\n")).normal) == ["a.png"]


@pytest.mark.parametrize("word", [*DEFECTIVE_WORDS, "NG", "Anomaly"])
def test_defective_in_all_words(table, word):
    data = read_manifest(table(f"path,label,split\na.png,ok,train\nb.png,{word},test\n"))
    assert data.defects == ("defective",)


def test_labels_as_numbers_and_truth_values(table):
    rows = [{"path": "a.png", "label": 0}, {"path": "b.png", "label": 0.0}, {"path": "c.png", "label": False}]
    rows += [{"path": "d.png", "label": 1}, {"path": "e.png", "label": True}]
    data = read_manifest(table("\n".join(map(json.dumps, rows)), ending=".jsonl"))
    assert len(data.normal) == 2 and data.defects == (GOOD, "defective", "defective")


@pytest.mark.parametrize(
    "rows, words",
    [
        ("a.png,goood,train", r"row 1: label 'goood', did you mean 'good'\?"),
        ("a.png,ok,train\nb.png,defectiv,test", r"row 2: label 'defectiv', did you mean 'defective'\?"),
        ("a.png,ok,train\nb.png,2,test", "row 2: label '2'; good is one of good, normal, ok"),
        ("a.png,ok,train\nb.png,0.5,test", r"row 2: label '0\.5'; good is"),
        ("a.png,fein,train\nb.png,kratzer,test", "labels such as fein, kratzer, and none that says good"),
        ("a.png,ok,train\nb.png,scratch,train", r"b\.png has the label 'scratch' in train"),
        ("a.png,ok,train\nb.png,,test", r"1 test images have no label, such as b\.png"),
        ("a.png,ok,train\nb.png,ok,", "1 rows have no split while others have"),
        ("a.png,ok,training set", "row 1: split 'training set'; allowed: train"),
        ("a.png,bad,test", "no good image to learn from"),
        ("a.png,ok,train\na.png,bad,test", r"1 images are listed twice, such as .*a\.png"),
        (",ok,train", "row 1: no path"),
    ],
)
def test_labels_and_splits_that_could_turn_good_into_bad_are_refused(table, rows, words):
    with pytest.raises(DataError, match=words):
        read_manifest(table(f"path,label,split\n{rows}\n"))


def test_some_labels_without_a_split_are_refused(table):
    with pytest.raises(DataError, match="1 rows have no label, and there is no split either"):
        read_manifest(table("path,label\na.png,ok\nb.png,\n"))


@pytest.mark.parametrize("path", ["../a.png", "b/../../a.png", "/etc/a.png", ".", "b/.."])
@pytest.mark.parametrize("column", ["path", "mask"])
def test_a_path_that_leaves_the_folder_is_refused(table, path, column):
    row = f"{path}," if column == "path" else f"ok.png,{path}"
    with pytest.raises(DataError, match="leads out of"):
        read_manifest(table(f"path,mask\n{row}\n"))


def test_an_absolute_path_below_the_folder_and_a_detour_are_allowed(table, trees):
    trees.write(trees.root / "in/a.png")
    trees.write(trees.root / "b.png")
    data = read_manifest(table(f"path\n{trees.root}/in/a.png\nout/../b.png\n"))
    assert [path.relative_to(trees.root).as_posix() for path in data.normal.paths] == ["in/a.png", "b.png"]


def test_a_relative_manifest_is_read_from_its_own_folder(table, trees, monkeypatch):
    path = table("path\nsub/a.png\n")
    monkeypatch.chdir(trees.root.parent)
    data = read_manifest(path.relative_to(trees.root.parent))
    assert data.normal[0].shape == (12, 16, 3)


def test_missing_files_are_counted_and_the_first_named(table):
    with pytest.raises(DataError, match=r"4 images are missing: .*a\.png, .*b\.png, .*c\.png, \.\.\."):
        read_manifest(table("path\na.png\nb.png\nc.png\nd.png\n", images=False))


def test_a_mask_that_is_missing_for_some_is_noted(table):
    data = read_manifest(table("path,label,split,mask\na.png,ok,train,\nb.png,bad,test,m.png\nc.png,bad,test,\n"))
    assert data.masks is not None and data.masks[1] is None
    assert data.notes == ("1 of 2 defective test images have no mask; pixel figures leave them out.",)


def test_unknown_columns_are_named_and_misspelled_ones_refused(table):
    assert read_manifest(table("path,camera,operator\na.png,3,x\n")).notes == (
        "Columns passed over: camera, operator.",
    )
    with pytest.raises(DataError, match="the column 'lable' looks like 'label'; allowed: path, label"):
        read_manifest(table("path,lable\na.png,bad\n"))
    with pytest.raises(DataError, match="no column path; found: Path"):
        read_manifest(table("Path\na.png\n"))


def test_one_of_several_products_is_chosen(table):
    path = table("path,product\na.png,bolt\nb.png,nut\nc.png,bolt\nd.png,\n")
    with pytest.raises(DataError, match=r"several products; choose one of bolt, nut: product='\.\.\.' or .*#bolt"):
        read_manifest(path)
    data = read_manifest(path, product="bolt")
    assert short(data.normal) == ["a.png", "c.png"] and data.name == "bolts_bolt"
    with pytest.raises(InputError, match="Did you mean 'bolt'"):
        read_manifest(path, product="bold")


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no column path; found: no rows at all"),
        ("path\n", "no column path; found: no rows"),
        ("path;label\na.png;ok\n", "separated by something else than commas"),
        ("path,label\na.png\n", "line 2: 1 cells under 2 columns"),
        ("path,path\na.png,b.png\n", "must name each column once"),
        ('path\n"a.png\n', "line 2: unexpected end of data"),
        ("label\nok\n", "no column path; found: label"),
    ],
)
def test_damaged_tables_are_refused(table, text, words):
    with pytest.raises(DataError, match=words):
        read_manifest(table(text, images=False))


def test_other_damage(table, trees):
    with pytest.raises(DataError, match=r"timestamp must be ISO 8601.*got '3rd of May'"):
        read_manifest(table("path,timestamp\na.png,3rd of May\n"))
    for text, words in (("{\n", "line 1: not JSON"), ("[1]\n", "line 1: must be a JSON object")):
        with pytest.raises(DataError, match=words):
            read_manifest(table(text, images=False, ending=".jsonl"))
    path = trees.root / "latin.csv"
    path.write_bytes(b"path\n\xe4.png\n")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_manifest(path)
    with pytest.raises(DataError, match=r"a table of another kind; \.csv, \.jsonl, \.parquet are read"):
        read_manifest(trees.write(trees.root / "a.png"))
    with pytest.raises(DataError, match="no such file"):
        read_manifest(trees.root / "none.csv")


def test_spreadsheets_put_a_mark_before_the_first_column(table, trees):
    path = trees.root / "excel.csv"
    trees.write(trees.root / "ä.png")
    path.write_bytes("\ufeffpath,label\r\nä.png,ok\r\n\r\n".encode())
    with pytest.raises(DataError, match="got 1 images of 1 part"):
        read_manifest(path)
    path.write_bytes("\ufeffpath\r\nä.png\r\n\r\n".encode())
    assert short(read_manifest(path).normal) == ["ä.png"]


def test_parquet_says_the_same_as_csv(table, trees):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    csv = trees.build("manifest")
    rows = read_table(csv)
    time = datetime(2026, 3, 1, tzinfo=UTC)
    columns = {name: [row[name] for row in rows] for name in rows[0]} | {
        "timestamp": [time] * 4,
        "lot": [1, 1, 2, None],
    }
    path = csv.with_suffix(".parquet")
    parquet.write_table(pyarrow.table(columns), path)
    one, two = read_manifest(csv), read_manifest(path)
    assert (one.normal.names, one.test.names, one.defects) == (two.normal.names, two.test.names, two.defects)
    assert two.test_origins[0] == Origin(lot="2", time=time) and two.test_origins[1] == Origin(time=time)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="not a Parquet file, or a damaged one"):
        read_manifest(path)


def test_parquet_without_its_library_names_the_extra(trees, monkeypatch):
    path = trees.root / "a.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amiss\[parquet\]'"):
        read_manifest(path)
