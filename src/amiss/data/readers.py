"""The readers of all data sets, own and plugged in. `docs/datasets.md` has a row for each of our own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from amiss.core.errors import InputError
from amiss.core.plugins import plugged_in
from amiss.data import (
    btad,
    classes,
    folder,
    kolektor,
    labelled,
    manifest,
    mvtec,
    mvtec_3d,
    mvtec_ad2,
    mvtec_loco,
    nanofibres,
    severstal,
    visa,
    wafers,
)
from amiss.data.reader import Reader

ENTRY_POINTS = "amiss.readers"
"""Group in which a plug-in names its readers: ``kind = "package.module:READER"``."""

READERS: dict[str, Reader] = {
    reader.kind: reader
    for reader in (
        manifest.READER,
        wafers.READER_WM811K,
        wafers.READER_MIXED,
        visa.READER,
        mvtec_ad2.READER,
        mvtec_loco.READER,
        mvtec_3d.READER,
        btad.READER,
        mvtec.READER,
        kolektor.READER,
        severstal.READER,
        nanofibres.READER,
        classes.READER,
        labelled.READER,
        folder.READER,
    )
}
"""Our own, by kind. The first that recognises a path reads it, so the narrow ones come first; elpv is apart, for it has
no path."""

GENERAL = ("labelled", "folder")
"""Kinds that may hold anything: asked last, after the narrow ones in the folders right inside."""


@cache
def list_readers() -> dict[str, Reader]:
    """Every reader by kind, in the order in which they are asked: our own, then plug-ins, then the general ones.

    Raises:
        InputError: A plug-in that is not a reader of the kind it was named for.
    """
    own = {kind: reader for kind, reader in READERS.items() if kind not in GENERAL}
    plugged = {}
    for point in plugged_in(ENTRY_POINTS):
        if point.name in READERS:
            continue
        reader = point.load()
        if not isinstance(reader, Reader) or reader.kind != point.name:
            raise InputError(
                f"entry point {point.name} = {point.value} must name a Reader of that kind, got {reader!r}"
            )
        plugged[point.name] = reader
    return {**own, **plugged, **{kind: READERS[kind] for kind in GENERAL}}


def recognise(path: Path) -> str | None:
    """The kind of the data set at a path, or of the ones in the folders right inside; None when nobody knows it."""
    readers = list_readers()
    narrow = [reader for kind, reader in readers.items() if kind not in GENERAL]
    kind = next((reader.kind for reader in narrow if reader.recognises(path)), None)
    if kind is not None or not path.is_dir():
        return kind
    folders = sorted(inner for inner in path.iterdir() if inner.is_dir())
    inside = (reader.kind for inner in folders for reader in narrow if reader.in_folders and reader.recognises(inner))
    return next(inside, None) or next(kind for kind in GENERAL if readers[kind].recognises(path))
