"""JSON that anybody may have written raises one kind of error."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from amiss.core.checks import check_rate, check_real
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.plain_json import is_finite, parse_json
from amiss.data import open_dataset
from amiss.data.manifest import read_manifest
from amiss.data.table import read_table
from amiss.evaluation.benchmark.lines import read_file
from amiss.monitoring.stream import Stream, read_results

DEEP = "[" * 100_000


@pytest.mark.parametrize("text", ["", DEEP, '{"a":' * 50_000, "1" * 5000, "{", b"\xff", "nul"])
def test_only_value_errors(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_numbers_that_a_float_can_hold():
    assert all(is_finite(value) for value in (0, -1.5, 10**300, np.float32(2), np.int64(3)))
    assert not any(
        is_finite(value) for value in (10**400, -(10**400), float("inf"), np.float32("nan"), True, "1", None)
    )
    for check in (check_rate, check_real):
        with pytest.raises(InputError, match="must be"):
            check("alpha", 10**400)
    with pytest.raises(InputError, match="finite"):
        Stream([10**400])


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_tables_of_anything_are_data_errors(ending, tmp_path):
    path = tmp_path / f"parts.{ending}"
    for data in (DEEP.encode(), b"\xff\xfe", b'{"path": ' + b"9" * 5000 + b"}", b"PAR1" + bytes(50) + b"PAR1", b"\0"):
        path.write_bytes(data)
        with pytest.raises(DataError):
            read_manifest(path)
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / ("x" * 5000 + "." + ending))


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "y" * 300])
def test_a_manifest_of_paths_that_no_system_takes(name, tmp_path):
    (tmp_path / "parts.csv").write_text(f"path\n{name}.png\n")
    with pytest.raises(DataError):
        read_manifest(tmp_path / "parts.csv")


VERDICT = '{"name": "a", "label": "good", "score": %s, "p_value": 0.5}'


@pytest.mark.parametrize(
    "line", [DEEP, VERDICT % ("1" + "0" * 400), VERDICT % "NaN", VERDICT % "1e300", VERDICT % "[1]", VERDICT % "true"]
)
def test_results_of_anything_are_data_errors(line, tmp_path):
    (tmp_path / "results.jsonl").write_text(line + "\n")
    with pytest.raises(DataError):
        read_results(tmp_path / "results.jsonl", np.zeros(1, np.float32))


LINE = '{"method": "a", "preset": "b", "data": "c", "seed": 0, "config": {}, "failed": "why"}'


def test_lines_of_a_benchmark(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(LINE + "\n")
    assert len(read_file(path)) == 1
    broken = ['"c"', "[]", "0", "{}", '"why"', '"a"']
    changed = [LINE.replace(word, "[7]") for word in broken if LINE.replace(word, "[7]") != LINE]
    for text in (DEEP, "\n\n", *changed):
        path.write_text(text + "\n")
        with pytest.raises(DataError, match="no line of a benchmark"):
            read_file(path)
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_file(path)


def test_names_and_folders_that_no_system_takes(tmp_path):
    for name in ("x" * 5000, "/".join(["y" * 200] * 30), "a\0b"):
        for read in (Images, open_dataset):
            with pytest.raises(DataError):
                read(str(tmp_path / name))
        with suppress(DataError):
            assert read_file(tmp_path / name) == []


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A folder with 1,500 others in it, one inside another; taken away again, which pytest could not."""
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        Path("deep").mkdir()
        os.chdir("deep")
    yield tmp_path
    for _ in range(1500):
        os.chdir("..")
        Path("deep").rmdir()


def test_folders_deeper_than_a_system_takes(deep):
    for read in (Images, open_dataset):
        with pytest.raises(DataError):
            read(deep)
