"""The saved inspector: a folder, or one file ``name.amiss``, that is complete and unchanged or is refused.

    model.json                what it is: method, settings, rule, versions, hashes, licence of the weights
    model.onnx                the graph that is run (absent for methods that cannot be exported)
    weights.safetensors       the detector's state, to take it back to the lab, less what lies in the graph
    calibration.safetensors   "scores": how normal parts score, float32 (n,); "lots": the lot of each, int32 (n,);
                              "weights": what each counts for, float64 (n,)
    golden.safetensors        "pixels", "image", "map", "class": images and the scores they must get on every machine
    images.safetensors        "learned" and "calibrated": SHA-256 of the pixels of images it has seen, uint8 (n, 32)

The single file is an uncompressed zip of these, with the SHA-256 of everything before it as its comment. The hashes
find damage and careless edits; they do not prove who wrote the file. Nothing in it is ever unpickled or executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from amiss.core.errors import ArtefactError, IncompleteArtefactError, SchemaError, TamperedArtefactError
from amiss.core.scores import Scores
from amiss.record import SCHEMA, Record
from amiss.storage import write_file, write_folder
from amiss.tensors import pack, pack_state, unpack, unpack_state

SUFFIX = ".amiss"
RECORD, MODEL, WEIGHTS = "model.json", "model.onnx", "weights.safetensors"
CALIBRATION, GOLDEN, IMAGES = "calibration.safetensors", "golden.safetensors", "images.safetensors"
OPTIONAL = frozenset({MODEL})
PARTS = (RECORD, MODEL, WEIGHTS, CALIBRATION, GOLDEN, IMAGES)

FOREIGN = frozenset({".onnx", ".pt", ".pth", ".ckpt", ".pkl", ".zip", ".json", ".toml", ".html", ".csv", ".png"})
"""Endings of files that are not artefacts."""

_MARK = b"amiss-sha256:"
_LIMIT = 4 * 2**30  # bytes; a larger artefact is not read


@dataclass(frozen=True)
class Golden:
    """Images and the scores, and classes, they must get on every machine, as they lie in the artefact."""

    data: bytes = field(repr=False)

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], scores: Scores) -> Self:
        """Images (N, H, W, 3) with their scores."""
        maps = {} if scores.map is None else {"map": scores.map}
        classes = {} if scores.classes is None else {"class": scores.classes}
        return cls(pack(pixels=pixels, image=scores.image, **maps, **classes))

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The images, (N, H, W, 3)."""
        return self._arrays["pixels"]

    @cached_property
    def wanted(self) -> NDArray[np.float32]:
        """Their maps (N, H, W), or image scores (N,) where the method does not localise."""
        return self._arrays.get("map", self._arrays["image"])

    @cached_property
    def classes(self) -> NDArray[np.int64] | None:
        """Their classes (N,); None where the method knows none."""
        return self._arrays.get("class")

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return unpack(GOLDEN, self.data, "pixels", "image")


@dataclass(frozen=True)
class SeenImages:
    """SHA-256 of the pixels of images that were learned from and of those that calibrate, as the artefact has them."""

    data: bytes = field(repr=False)

    @classmethod
    def of(cls, learned: Iterable[str], calibrated: Iterable[str]) -> Self:
        """Hashes in hex, see `amiss.core.images.Look`."""
        rows = {"learned": learned, "calibrated": calibrated}
        return cls(
            pack(**{k: np.frombuffer(bytes.fromhex("".join(v)), np.uint8).reshape(-1, 32) for k, v in rows.items()})
        )

    @cached_property
    def learned(self) -> tuple[str, ...]:
        """In hex, in order."""
        return self._hashes("learned")

    @cached_property
    def calibrated(self) -> tuple[str, ...]:
        """In hex, in order."""
        return self._hashes("calibrated")

    def _hashes(self, kind: str) -> tuple[str, ...]:
        return tuple(row.tobytes().hex() for row in unpack(IMAGES, self.data, kind)[kind])


@dataclass(frozen=True)
class Parts:
    """The files of an artefact beside record and calibration scores.

    Args:
        weights: The detector's state, for the lab, as `amiss.tensors.pack_state` wrote it beside `graph`.
        golden: What it must score.
        images: What it has seen.
        graph: ONNX, what is run; None for methods that cannot be exported.
    """

    weights: bytes = field(repr=False)
    golden: Golden
    images: SeenImages
    graph: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From the files of an artefact, by name."""
        return cls(files[WEIGHTS], Golden(files[GOLDEN]), SeenImages(files[IMAGES]), files.get(MODEL))

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """The detector's state.

        Raises:
            TamperedArtefactError: The weights are damaged, or belong to another graph.
        """
        return unpack_state(WEIGHTS, self.weights, self.graph)

    def with_graph(self, graph: bytes, golden: Golden) -> Self:
        """The same detector with another graph of it, and the scores that this one must get."""
        return replace(self, weights=pack_state(self.state, graph), golden=golden, graph=graph)

    def files(self) -> dict[str, bytes]:
        """By name."""
        graph = {} if self.graph is None else {MODEL: self.graph}
        return {**graph, WEIGHTS: self.weights, GOLDEN: self.golden.data, IMAGES: self.images.data}


@dataclass(frozen=True)
class Artefact:
    """A record and the parts that belong to it, as bytes by file name."""

    record: Record
    parts: Mapping[str, bytes]


def write_artefact(path: str | Path, artefact: Artefact) -> None:
    """Write to a folder, or to a single file when the name ends in ``.amiss``. Atomic: never half there.

    Raises:
        ArtefactError: The path is taken by something that is not an artefact.
    """
    path = Path(path)
    files = {**artefact.parts, RECORD: _seal(artefact.record, artefact.parts)}
    if path.suffix == SUFFIX:
        if path.is_dir() and not _is_ours(path):
            raise ArtefactError(f"{path} is a folder that holds other things; choose another name")
        if path.is_dir():
            write_folder(path, files)
        else:
            write_file(path, _pack(files))
        return
    if path.exists() and not _is_ours(path):
        raise ArtefactError(f"{path} holds other things; choose another name, or one ending in {SUFFIX}")
    write_folder(path, files)


def check_name(path: Path) -> None:
    """Refuse a name by which everybody would take an artefact for something else.

    Raises:
        ArtefactError: It ends as files of another kind do.
    """
    if path.suffix.lower() not in FOREIGN:
        return
    hint = "; `amiss export MODEL --onnx FOLDER` writes the graph of a model" if path.suffix.lower() == ".onnx" else ""
    raise ArtefactError(f"output must be a file name{SUFFIX} or a folder, got {path}{hint}")


def check_place(path: Path) -> None:
    """Say before long work, not after it, that an artefact cannot be written there.

    Raises:
        ArtefactError: The path is a folder of other things.
    """
    if path.is_dir() and not (path / RECORD).is_file():
        raise ArtefactError(f"{path} is a folder that is not an artefact; choose another --output")


def read_artefact(path: str | Path) -> Artefact:
    """Read and verify.

    Raises:
        IncompleteArtefactError: Nothing there, or a part is missing or cut off.
        TamperedArtefactError: A byte differs from what was written.
        SchemaError: Written by an Amiss whose artefacts are others.
    """
    path = Path(path)
    try:
        folder, file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long, or has a null byte
        raise IncompleteArtefactError(f"{str(path)[:100]}: cannot be read ({error})"[:300]) from error
    if folder:
        files = {name: _read(path / name) for name in PARTS if (path / name).is_file()}
    elif file:
        files = _unpack(path)
    else:
        raise IncompleteArtefactError(f"{path}: no such file or folder")
    if RECORD not in files:
        raise IncompleteArtefactError(f"{path}: {RECORD} is missing; this is not an artefact, or only part of one")
    return _verify(path, files)


def fingerprint(artefact: Artefact) -> str:
    """SHA-256 over everything an artefact holds: the same for its folder and its single file."""
    return _digest(_content(artefact.record, artefact.parts))


def _is_ours(path: Path) -> bool:
    """True for a folder that holds an artefact and nothing else: replacing it destroys nothing of the user's."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    return RECORD in names and names <= set(PARTS) and b'"amiss_version"' in _read(path / RECORD)


def _seal(record: Record, parts: Mapping[str, bytes]) -> bytes:
    content = _content(record, parts)
    content["digest"] = _digest(content)
    return _dump(content)


def _content(record: Record, parts: Mapping[str, bytes]) -> dict[str, Any]:
    files = {name: _sha256(data) for name, data in sorted(parts.items())}
    plain = record.model_dump(mode="json")
    if record.tiling is None:  # what is not there is not written, so that older fingerprints hold
        del plain["tiling"], plain["calibration"]["tiles"]
    for name in ("future", "variance", "recent"):
        if plain["calibration"][name] is None:
            del plain["calibration"][name]
    for name in ("quantised", "recipe", "classes", "updates"):
        if not plain[name]:
            del plain[name]
    return {**plain, "files": files}


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False).encode()


def _verify(path: Path, files: Mapping[str, bytes]) -> Artefact:
    try:
        content = json.loads(files[RECORD])
        same = files[RECORD] == _dump(content)  # byte for byte: white space and the spelling of numbers count
        schema, digest, hashes = content["schema_version"], content.pop("digest"), content["files"]
        same &= digest == _digest(content)
        names = set(hashes) | set(PARTS) - OPTIONAL - {RECORD}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise TamperedArtefactError(f"{path}: {RECORD} is damaged ({error})"[:500]) from error
    if not same:
        raise TamperedArtefactError(f"{path}: {RECORD} was changed after it was written")
    if type(schema) is not int or schema != SCHEMA:
        other = "a newer" if isinstance(schema, int) and schema > SCHEMA else "another"
        raise SchemaError(f"{path}: schema {str(schema)[:20]}, this Amiss reads {SCHEMA}; install {other} Amiss")
    parts = {name: data for name, data in files.items() if name != RECORD}
    if missing := sorted(names - set(parts)):
        raise IncompleteArtefactError(f"{path}: {', '.join(missing)} missing")
    for name, data in parts.items():
        if hashes.get(name) != _sha256(data):
            raise TamperedArtefactError(f"{path}: {name} is not what was written (SHA-256 differs)")
    return Artefact(_record(path, {key: value for key, value in content.items() if key != "files"}), parts)


def _record(path: Path, content: Mapping[str, Any]) -> Record:
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        names = ", ".join(dict.fromkeys(".".join(map(str, each["loc"])) for each in error.errors()))
        raise TamperedArtefactError(
            f"{path}: {RECORD} has unexpected fields ({error.error_count()} of them: {names[:200]})"
        ) from error
    except (RecursionError, OverflowError) as error:
        raise TamperedArtefactError(f"{path}: {RECORD} is damaged ({error})") from error


def _pack(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
        archive.comment = _MARK + b"0" * 64
    body = buffer.getvalue()[:-64]
    return body + _sha256(body).encode()


def _unpack(path: Path) -> dict[str, bytes]:
    data = _read(path)
    if not data.startswith(b"PK\x03\x04") or data[-64 - len(_MARK) : -64] != _MARK:
        raise IncompleteArtefactError(f"{path}: not an artefact of Amiss, or its end is cut off")
    if data[-64:] != _sha256(memoryview(data)[:-64]).encode():
        raise TamperedArtefactError(f"{path}: the content is not what was written (SHA-256 differs)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise TamperedArtefactError(f"{path}: holds compressed parts; Amiss writes none")
            # cut out without zipfile's own check, for the SHA-256 above covers every byte
            return {entry.filename: _cut(data, entry) for entry in archive.infolist() if entry.filename in PARTS}
    except (zipfile.BadZipFile, RuntimeError, ValueError, OSError, EOFError, LookupError, struct.error) as error:
        raise TamperedArtefactError(f"{path}: {error}") from error


def _cut(data: bytes, entry: zipfile.ZipInfo) -> bytes:
    """One uncompressed file of a zip: it begins after a header of 30 bytes, its name and extra fields."""
    name, extra = (
        int.from_bytes(data[entry.header_offset + at : entry.header_offset + at + 2], "little") for at in (26, 28)
    )
    start = entry.header_offset + 30 + name + extra
    return data[start : start + entry.file_size]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LIMIT:
            raise ArtefactError(f"{path}: larger than {_LIMIT} bytes; not an artefact of Amiss")
        return path.read_bytes()
    except OSError as error:
        raise IncompleteArtefactError(f"{path}: cannot be read ({error.strerror})") from error


def _digest(content: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
