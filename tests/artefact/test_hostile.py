"""Artefacts whose hashes all fit, made by somebody who knows the format: refused with an error of Amiss, whatever they
hold."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from tests.fuzz import artefacts
from tests.fuzz.resealing import resealed

import amiss
from amiss import artefact
from amiss.artefact import CALIBRATION, GOLDEN, RECORD, read_artefact
from amiss.core.errors import AmissError, ArtefactError, InputError, SchemaError, TamperedArtefactError
from amiss.features.extractor import create_backbone
from amiss.inspector import Inspector
from amiss.opening import open_detector
from amiss.record import SCHEMA


@pytest.fixture
def saved(inspector, tmp_path):
    inspector.save(tmp_path / "line.amiss")
    return tmp_path / "line.amiss"


def change(path, *, record=None, **parts):
    """Write the same artefact with these changes and all hashes fixed."""
    files = {**read_artefact(path).parts, **parts}
    old = json.loads(artefact._seal(read_artefact(path).record, read_artefact(path).parts))
    path.write_bytes(resealed({**old, **(record or {})}, files))


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


RECORDS = {
    "tolerance": {"tolerance": 1e300},
    "tolerance of nothing": {"tolerance": 0},
    "tolerance below": {"tolerance": -0.001},
    "size": {"size": [10**9, 10**9]},
    "size of nothing": {"size": [0, 64]},
    "learned from": {"learned_from": -1},
    "number of 400 digits": {"threshold": 10**400},
    "number of 400 digits in the rule": {"rule": {"name": "conformal", "config": {"alpha": 10**400}}},
    "rule with a name": {"rule": {"name": "conformal", "config": {"name": "fixed"}}},
    "rule with self": {"rule": {"name": "conformal", "config": {"self": 1}}},
    "unknown rule": {"rule": {"name": "lenient", "config": {}}},
    "rule with a list": {"rule": {"name": "conformal", "config": {"alpha": [1]}}},
    "rule with a deep list": {"rule": {"name": "conformal", "config": {"alpha": deep(300)}}},
    "score filter with a name": {"score_filters": [{"name": "blur", "config": {"name": "blur"}}]},
    "mask filter with a name": {"mask_filters": [{"name": "min_area", "config": {"name": "x"}}]},
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_of_impossible_values_is_refused(kind, saved):
    change(saved, record=RECORDS[kind])
    with pytest.raises(ArtefactError):
        Inspector.load(saved)


@pytest.mark.parametrize("schema", [SCHEMA + 1, SCHEMA - 1, 0, -1, True, "1", 1.0, None, [1], 10**30])
def test_any_schema_but_this_is_refused(schema, saved):
    change(saved, record={"schema_version": schema})
    with pytest.raises(SchemaError, match=f"this Amiss reads {SCHEMA}"):
        Inspector.load(saved)


def test_a_record_deeper_than_python_is_refused(saved):
    for levels in (1_000, 100_000):
        saved.with_suffix("").mkdir(exist_ok=True)
        files = read_artefact(saved).parts
        for name, data in files.items():
            (saved.with_suffix("") / name).write_bytes(data)
        (saved.with_suffix("") / RECORD).write_text('{"notes": ' + "[" * levels + "]" * levels + "}")
        with pytest.raises(TamperedArtefactError, match="damaged"):
            read_artefact(saved.with_suffix(""))


GOLDENS = {
    "none": lambda arrays: {name: array[:0] for name, array in arrays.items()},
    "infinite": lambda arrays: {**arrays, "map": np.full_like(arrays["map"], np.inf)},
    "no number": lambda arrays: {**arrays, "map": np.full_like(arrays["map"], np.nan)},
    "another size": lambda arrays: {name: array[:, :32] if array.ndim > 1 else array for name, array in arrays.items()},
    "floats": lambda arrays: {**arrays, "pixels": arrays["pixels"].astype(np.float32)},
    "more scores": lambda arrays: {**arrays, "map": np.concatenate([arrays["map"]] * 2)},
    "64 bits": lambda arrays: {**arrays, "map": arrays["map"].astype(np.float64)},
}


@pytest.mark.parametrize("kind", GOLDENS)
def test_golden_images_that_check_nothing_are_refused(kind, saved):
    arrays = load_arrays(read_artefact(saved).parts[GOLDEN])
    change(saved, **{GOLDEN: save_arrays({k: np.ascontiguousarray(v) for k, v in GOLDENS[kind](arrays).items()})})
    with pytest.raises(TamperedArtefactError, match="golden images must be"):
        Inspector.load(saved)


@pytest.mark.parametrize(
    "scores", [np.array([np.nan], np.float32), np.zeros((2, 2), np.float32), np.zeros(0, np.float32)]
)
def test_calibration_scores_that_are_none_are_refused(scores, saved):
    change(saved, **{CALIBRATION: save_arrays({"scores": scores})})
    with pytest.raises(ArtefactError):
        Inspector.load(saved)


def test_names_that_no_system_takes_are_errors_of_amiss(tmp_path):
    for name in ("x" * 5000, "/".join(["y" * 200] * 30), "a\0b"):
        with pytest.raises(ArtefactError):
            amiss.load(tmp_path / name)


@pytest.mark.parametrize("name", ["file:{}", "hf:{}", "hf:someone/model", "file:{}#resnet99"])
def test_a_backbone_of_an_artefact_opens_no_file(name, tmp_path, monkeypatch):
    secret = tmp_path / "secret.pth"
    secret.write_bytes(b"words")
    monkeypatch.setattr("pathlib.Path.open", lambda *_: pytest.fail("a file is opened"))
    with pytest.raises(AmissError):
        create_backbone(name.format(secret), pretrained=False)


def test_a_saved_configuration_names_no_other_model():
    from amiss.features.hf_models import parse

    for config in (
        {"backbone": "someone/model"},
        {"part": {"use_pretrained_backbone": True}},
        {"auto_map": {"A": "b"}},
    ):
        facts = {"config": config, "mean": [0], "std": [1], "licence": ""}
        with pytest.raises(InputError, match="must name no other model"):
            parse(json.dumps(facts), "someone/model")
    with pytest.raises(InputError, match="not the JSON"):
        parse("[" * 100_000, "x")


def test_a_method_inside_another_imports_nothing(inspector, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('code of an artefact ran')")
    monkeypatch.syspath_prepend(tmp_path)
    learned = inspector.learned.model_copy(
        update={"method": "patchwise", "hyperparameters": {"method": "evil:Method", "settings": {}}}
    )
    with pytest.raises(ArtefactError, match="import evil before"):
        open_detector(learned, inspector.parts.weights, None)
    assert "evil" not in sys.modules


def test_changed_artefacts_with_fitting_hashes_are_refused_or_used(saved, monkeypatch):
    """A small part of `make fuzz`, here without its bounds on time and memory."""
    old = read_artefact(saved)
    record = json.loads(artefact._seal(old.record, old.parts))
    monkeypatch.setattr(artefacts, "base", lambda method: (record, dict(old.parts)))
    outcomes = Counter()
    for number in range(4 * len(artefacts.TURNS)):
        group, action = artefacts.case(21, number)
        outcomes[group, action()] += 1
    assert sum(outcomes.values()) == 4 * len(artefacts.TURNS)
    assert {outcome for _, outcome in outcomes} <= {"refused", "loads", "fails"}
    assert outcomes["record: bytes", "refused"] == 4 and outcomes["graph: fields", "refused"] >= 6
