"""The saved inspector is complete and unchanged, or it is refused."""

import ast
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

import amiss
from amiss import artefact
from amiss.artefact import CALIBRATION, GOLDEN, MODEL, PARTS, RECORD, WEIGHTS, Artefact, read_artefact, write_artefact
from amiss.core.errors import (
    ArtefactError,
    IncompleteArtefactError,
    ParityError,
    SchemaError,
    TamperedArtefactError,
)
from amiss.core.images import Images
from amiss.inspector import Inspector
from amiss.record import SCHEMA
from amiss.testing import toy_texture, write_images

KINDS = ("line.amiss", "line")  # a single file, a folder


@pytest.fixture(scope="module")
def saved(inspector, tmp_path_factory):
    """One file and one folder that no test changes."""
    place = tmp_path_factory.mktemp("saved")
    for kind in KINDS:
        inspector.save(place / kind)
    return place


def test_images():
    return Images([*toy_texture(3, seed=1).images, *toy_texture(3, seed=2, defective=True).images])


test_images.__test__ = False


def same_scores(one, other):
    first, second = (each.score(test_images()) for each in (one, other))
    return np.array_equal(first.image, second.image) and np.array_equal(first.map, second.map)


def reseal(path, *, record=None, **parts):
    """Change an artefact and write the matching hashes, as somebody who knows the format could."""
    old = read_artefact(path)
    merged = {name: data for name, data in {**old.parts, **parts}.items() if data is not None}
    write_artefact(path, Artefact(old.record.model_copy(update=record or {}), merged))


def rewrite_record(path, **changes):
    """The same for the record alone, where the changes would not pass as a `Record`."""
    old = read_artefact(path)
    content = json.loads(artefact._seal(old.record, old.parts))
    content |= changes
    del content["digest"]
    content["digest"] = artefact._digest(content)
    files = {**old.parts, RECORD: artefact._dump(content)}
    if path.is_dir():
        (path / RECORD).write_bytes(files[RECORD])
    else:
        path.write_bytes(artefact._pack(files))


def described(record):
    return record.model_dump(mode="json")


def refuses_all(path, versions):
    for version in versions:
        path.write_bytes(version)
        with pytest.raises(ArtefactError):
            read_artefact(path.parent if path.name in PARTS else path)


def flipped(data, offsets):
    for offset in offsets:
        changed = bytearray(data)
        changed[offset] ^= 1 + offset % 255
        yield bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_inspector_is_the_saved_one_bit_for_bit(kind, saved, inspector):
    loaded = Inspector.load(saved / kind)
    assert same_scores(loaded, inspector)
    assert described(loaded.record) == described(inspector.record) and loaded.parts == inspector.parts
    assert loaded.statement() == inspector.statement()
    np.testing.assert_array_equal(loaded.rule.normal, inspector.rule.normal)
    assert loaded.rule.threshold == inspector.rule.threshold == inspector.record.threshold


def test_both_forms_hold_the_same_parts(saved):
    assert sorted(path.name for path in (saved / "line").iterdir()) == sorted(PARTS)
    with zipfile.ZipFile(saved / "line.amiss") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in PARTS} == {n: (saved / "line" / n).read_bytes() for n in PARTS}


def test_saving_what_was_loaded_gives_the_same_bytes(saved, tmp_path):
    Inspector.load(saved / "line").save(tmp_path / "again.amiss")
    assert (tmp_path / "again.amiss").read_bytes() == (saved / "line.amiss").read_bytes()


def test_every_changed_byte_of_the_file_is_refused(saved, tmp_path):
    data = (saved / "line.amiss").read_bytes()
    middle = np.random.default_rng(0).integers(100, len(data) - 200, 250)
    offsets = [*range(100), *middle.tolist(), *range(len(data) - 200, len(data))]
    refuses_all(tmp_path / "line.amiss", flipped(data, offsets))


@pytest.mark.parametrize("part", PARTS)
def test_every_changed_byte_of_the_folder_is_refused(part, inspector, tmp_path):
    inspector.save(tmp_path / "line")
    data = (tmp_path / "line" / part).read_bytes()
    offsets = range(0, len(data), 2 if part == RECORD else len(data) // 40)
    refuses_all(tmp_path / "line" / part, flipped(data, offsets))


def test_other_white_space_and_other_spellings_in_the_record_are_refused(inspector, tmp_path):
    inspector.save(tmp_path / "line")
    record = tmp_path / "line" / RECORD
    text = record.read_text()
    versions = [text.replace(" ", "\t", 1), text.replace("\n", " ", 1), text + "\n", json.dumps(json.loads(text))]
    versions.append(text.replace('"seed": 0', '"seed": -0', 1))
    versions.append(text.replace('"tolerance": 0.001', '"tolerance": 1e999', 1))
    versions.append(text.replace('"tolerance": 0.001', '"tolerance": NaN', 1))
    versions.append("[" * 100_000)
    assert len(set(versions) - {text}) == len(versions)
    refuses_all(record, [version.encode() for version in versions])


def test_a_cut_off_artefact_is_refused(copied):
    for path in sorted(copied.iterdir()) if copied.is_dir() else [copied]:
        data = path.read_bytes()
        lengths = {*range(0, len(data), len(data) // 40 + 1), *range(max(0, len(data) - 15), len(data))}
        refuses_all(path, [data[:length] for length in sorted(lengths)])
        path.write_bytes(data)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(part, inspector, tmp_path):
    inspector.save(tmp_path / "line")
    (tmp_path / "line" / part).unlink()
    with pytest.raises(IncompleteArtefactError, match=part):
        Inspector.load(tmp_path / "line")


@pytest.mark.parametrize("part", [WEIGHTS, CALIBRATION, GOLDEN])
def test_a_part_that_was_never_written_is_missing_too(part, copied):
    reseal(copied, **{part: None})
    with pytest.raises(IncompleteArtefactError, match=f"{part} missing"):
        Inspector.load(copied)


def test_a_part_that_the_record_does_not_know_is_refused(inspector, tmp_path):
    inspector.save(tmp_path / "line")
    reseal(tmp_path / "line", **{MODEL: None})
    (tmp_path / "line" / MODEL).write_bytes(inspector.parts.graph)
    with pytest.raises(TamperedArtefactError, match=MODEL):
        read_artefact(tmp_path / "line")


def test_other_files_in_the_folder_are_ignored_since_they_are_never_read(inspector, tmp_path):
    inspector.save(tmp_path / "line")
    (tmp_path / "line" / "notes.txt").write_text("camera 3")
    assert same_scores(Inspector.load(tmp_path / "line"), inspector)


def test_nothing_there_and_something_else_are_refused(tmp_path):
    with pytest.raises(IncompleteArtefactError, match="no such file or folder"):
        Inspector.load(tmp_path / "missing.amiss")
    with pytest.raises(IncompleteArtefactError, match=RECORD):
        Inspector.load(tmp_path)
    for content in (b"", b"words", b"PK\x03\x04" + bytes(300)):
        (tmp_path / "words.amiss").write_bytes(content)
        with pytest.raises(IncompleteArtefactError, match="not an artefact"):
            Inspector.load(tmp_path / "words.amiss")


def test_a_newer_schema_is_named_before_its_unknown_fields(copied):
    rewrite_record(copied, schema_version=SCHEMA + 1, rule={"name": "future"}, colour="red")
    with pytest.raises(SchemaError, match="install a newer Amiss"):
        Inspector.load(copied)


def test_a_record_with_unexpected_fields_is_refused(copied):
    rewrite_record(copied, calibration={"kind": "guessed", "n": 3})
    with pytest.raises(TamperedArtefactError, match="unexpected fields"):
        Inspector.load(copied)


@pytest.mark.parametrize("golden", ["map", "pixels"])
def test_golden_images_that_score_differently_stop_the_line(golden, copied):
    arrays = load_arrays(read_artefact(copied).parts[GOLDEN])
    arrays[golden] = arrays[golden] + 1 if golden == "map" else 255 - arrays[golden]
    reseal(copied, **{GOLDEN: save_arrays(arrays)})
    with pytest.raises(ParityError, match=r"differently here; .* is allowed"):
        Inspector.load(copied)


def test_another_graph_stops_the_line(inspector, tmp_path):
    other = amiss.fit(toy_texture(9, seed=9).images, preset="tiny", size=64, calibration=0.5, rule=amiss.Fixed(1.0))
    inspector.save(tmp_path / "line.amiss")
    reseal(tmp_path / "line.amiss", **{MODEL: other.parts.graph})
    with pytest.raises(ParityError):
        Inspector.load(tmp_path / "line.amiss")


@pytest.mark.parametrize("part", [MODEL, CALIBRATION, GOLDEN])
@pytest.mark.parametrize("content", [b"", b"garbage", save_arrays({"other": np.zeros(3, np.float32)})])
def test_sealed_nonsense_is_an_artefact_error_too(part, content, inspector, tmp_path):
    inspector.save(tmp_path / "line")
    reseal(tmp_path / "line", **{part: content})
    with pytest.raises(ArtefactError):
        Inspector.load(tmp_path / "line")


def test_compressed_parts_are_refused_before_they_are_unpacked(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(RECORD, bytes(10_000_000))
        archive.comment = artefact._MARK + b"0" * 64
    body = buffer.getvalue()[:-64]
    (tmp_path / "bomb.amiss").write_bytes(body + artefact._sha256(body).encode())
    with pytest.raises(TamperedArtefactError, match="compressed"):
        read_artefact(tmp_path / "bomb.amiss")


def test_no_part_is_a_pickle_and_no_module_knows_how_to_read_one(saved):
    for part in PARTS:
        data = (saved / "line" / part).read_bytes()
        assert not data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK", b"\x93NUMPY")), part
        if part.endswith(".safetensors"):
            json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    json.loads((saved / "line" / RECORD).read_bytes())
    for path in Path(amiss.__file__).parent.rglob("*.py"):
        if path.parent.name == "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"} & set(names), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "torch.load"):
                safe = {"np.load": "allow_pickle=False", "torch.load": "weights_only=True"}[ast.unparse(node.func)]
                assert safe in ast.unparse(node), path  # arrays and tensors, never code


WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None
from amiss.inspector import Inspector
from amiss.record import SCHEMA
from amiss.rules import Conformal
inspector = Inspector.load(sys.argv[1])
looser = inspector.with_rule(Conformal(0.2)).rule.threshold
print(json.dumps([looser, [verdict.summary() for verdict in inspector.inspect(sys.argv[2])]]))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_process_without_torch_gives_the_same_verdicts(kind, saved, inspector, tmp_path):
    write_images(tmp_path, test_images())
    (tmp_path / "bad.png").write_bytes(b"words")
    command = [sys.executable, "-c", WITHOUT_TORCH, str(saved / kind), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    threshold, verdicts = json.loads(done.stdout)
    assert threshold == inspector.with_rule(amiss.Conformal(0.2)).rule.threshold
    assert verdicts == [json.loads(json.dumps(verdict.summary())) for verdict in inspector.inspect(tmp_path)]
    labels = [verdict["label"] for verdict in verdicts]
    assert len(labels) == 7 and labels[6] == "error" and "anomalous" in labels


def test_a_damaged_artefact_file_can_be_replaced(inspector, tmp_path):
    (tmp_path / "line.amiss").write_bytes(b"cut off")
    inspector.save(tmp_path / "line.amiss")
    assert same_scores(Inspector.load(tmp_path / "line.amiss"), inspector)
