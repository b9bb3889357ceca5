"""Damaged manifests, archives, results, recipes, signatures and caches: an error of Amiss, or what the file then says.

Outcomes: "refused", an `AmissError`; "read". For caches: "made anew" where the entry is thrown away, else "read", and
it must then be what was written.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from amiss.acceptance import _read as read_acceptance
from amiss.core.errors import AmissError
from amiss.data import open_dataset
from amiss.data.archive import array_names, map_array
from amiss.data.manifest import read_manifest
from amiss.evaluation.benchmark.lines import read_lines
from amiss.evaluation.benchmark.table import table_of
from amiss.monitoring.stream import read_results
from amiss.recipe import Recipe
from amiss.runtime import choice
from amiss.signature import _read_signature
from amiss.storage import read_entry, write_entry
from tests.fuzz.damage import Draws, changed, damaged

ROWS = [
    {"path": f"{number}.png", "label": "ok" if number % 3 else "scratch", "split": "train" if number % 3 else "test",
     "lot": f"L{number % 4}", "timestamp": "2026-03-01T06:30:00+01:00", "part": number}
    for number in range(12)
]  # fmt: skip
NORMAL = np.arange(1, 10, dtype=np.float32)
VERDICTS = [{"name": f"{n}.png", "label": "good", "score": n + 0.5, "p_value": (10 - n) / 10} for n in range(1, 9)]
LINES = [
    {"method": "knn", "preset": "default", "data": f"set{n % 3}", "seed": n // 3, "settings": {}, "config": {},
     "image_auroc": 0.9, "pixel_auroc": None, "pixel_aupro": None, "pixel_aupro_05": None, "alpha": 0.05,
     "false_alarms": {"count": 1, "n": 20, "rate": 0.05, "interval": [0.0, 0.2]}, "detections": None,
     "n_calibration": 20, "n_good": 20, "n_defective": 9}
    for n in range(6)
]  # fmt: skip
RECIPE = {"method": "padim", "settings": {"dimension": 50}, "rule": {"name": "conformal", "config": {"alpha": 0.05}}}
SIGNATURE = {"amiss_signature": 1, "fingerprint": "ab" * 32, "public_key": "cd" * 32, "signature": "ef" * 64}
ACCEPTED = {
    "amiss_accepted": 1,
    "models": {"ab" * 32: [{"name": "a.png", "sha256": "0" * 64, "label": "good", "score": 0.5}]},
}


def _plain(values: object, draws: Draws) -> bytes:
    """JSON, or JSON lines of a list, changed as values or as bytes."""
    whole = json.dumps if draws.random() < 0.5 else (lambda value: json.dumps(changed(value, draws)))
    text = "\n".join(map(whole, values)) + "\n" if isinstance(values, list) else whole(values)
    return damaged(text.encode(), draws) if draws.random() < 0.5 else text.encode()


def _csv(draws: Draws) -> bytes:
    rows = [list(ROWS[0]), *(list(map(str, row.values())) for row in ROWS)]
    if draws.random() < 0.5:
        row = rows[draws.integers(0, len(rows))]
        row[draws.integers(0, len(row))] = str(changed("x", draws))
    text = "\n".join(",".join(row) for row in rows).encode("utf-8", "replace")
    return damaged(text, draws)


@cache
def _parquet() -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
    return file.getvalue()


@cache
def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(
        file, arr_0=np.arange(4 * 52 * 52, dtype=np.uint8).reshape(4, 52, 52) % 3, arr_1=np.zeros((4, 8), np.uint8)
    )
    return file.getvalue()


def _manifest(ending: str, make: Callable[[Draws], bytes]) -> Callable[[Path, Draws], object]:
    def action(folder: Path, draws: Draws) -> object:
        for row in ROWS:
            (folder / str(row["path"])).write_bytes(b"")
        path = folder / f"parts.{ending}"
        path.write_bytes(make(draws))
        return read_manifest(path)

    return action


def _archive(folder: Path, draws: Draws) -> object:
    path = folder / "x.npz"
    path.write_bytes(damaged(_npz(), draws))
    names = array_names(path)
    for name in sorted(names) or ["arr_0"]:
        map_array(path, name).sum()
    return open_dataset(path)


def _results(folder: Path, draws: Draws) -> object:
    path = folder / "results.jsonl"
    path.write_bytes(_plain(VERDICTS, draws))
    return read_results(path, NORMAL)


def _benchmark(folder: Path, draws: Draws) -> object:
    (folder / "knn.jsonl").write_bytes(_plain(LINES, draws))
    return table_of(read_lines(folder))


def _recipe(folder: Path, draws: Draws) -> object:
    path = folder / "r.json"
    path.write_bytes(_plain(RECIPE, draws))
    recipe = Recipe.read(path)
    return recipe.make_rule(), recipe.make_input()


def _toml(folder: Path, draws: Draws) -> object:
    path = folder / "r.toml"
    path.write_bytes(damaged(Recipe.of(RECIPE).to_toml().encode(), draws))
    return Recipe.read(path)


def _signature(folder: Path, draws: Draws) -> object:
    path = folder / "x.sig"
    path.write_bytes(_plain(SIGNATURE, draws))
    return _read_signature(path, "x")


def _acceptance(folder: Path, draws: Draws) -> object:
    path = folder / "accepted.json"
    path.write_bytes(_plain(ACCEPTED, draws))
    return read_acceptance(path)


def _entry(folder: Path, draws: Draws) -> str:
    path, data = folder / "entry", draws.bytes(int(draws.integers(0, 3000)))
    write_entry(path, data, "key")
    whole = path.read_bytes()
    path.write_bytes(damaged(whole, draws))
    found = read_entry(path, "key")
    if found is not None and found != data:
        raise AssertionError("a damaged entry of a cache was used")
    if found is None and path.exists():
        raise AssertionError("a damaged entry of a cache was kept")
    return "made anew" if found is None else "read"


def _runtime_choice(folder: Path, draws: Draws) -> str:
    identity = {"graph": "ab", "versions": {"onnxruntime": "1", "openvino": "2"}, "threads": 2}
    path = folder / "runtime.json"
    path.write_bytes(_plain({**identity, "milliseconds": {}, "backend": "openvino"}, draws))
    kept, choice._file = choice._file, lambda _: path
    try:
        found = choice._kept(identity)
    finally:
        choice._file = kept
    if found not in (None, "onnxruntime", "openvino"):
        raise AssertionError(f"the runtime {found!r} was kept")
    return "made anew" if found is None else "read"


KINDS: dict[str, Callable[[Path, Draws], object]] = {
    "manifest: csv": _manifest("csv", _csv),
    "manifest: jsonl": _manifest("jsonl", lambda draws: _plain(ROWS, draws)),
    "manifest: parquet": _manifest("parquet", lambda draws: damaged(_parquet(), draws)),
    "archive": _archive,
    "results": _results,
    "benchmark": _benchmark,
    "recipe: json": _recipe,
    "recipe: toml": _toml,
    "signature": _signature,
    "acceptance": _acceptance,
    "cache: entry": _entry,
    "cache: runtime": _runtime_choice,
}


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """One damaged file, to read."""
    group = list(KINDS)[number % len(KINDS)]
    draws = np.random.default_rng([seed, number])

    def action() -> str:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = KINDS[group](Path(folder), draws)
            except AmissError:
                return "refused"
        return found if isinstance(found, str) else "read"

    return group, action
