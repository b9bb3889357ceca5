"""Arrays inside an .npz file, of which only the needed part is ever read."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError

_LOCAL_HEADER = 30
"""Bytes before the name in a zip entry; the lengths of name and extra field are its last two words."""


def array_names(path: Path) -> frozenset[str]:
    """The names of the arrays of an .npz file; empty when it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except Exception:  # of many kinds: zipfile checks little of a broken file by itself
        return frozenset()


def map_array(path: Path, name: str) -> NDArray[Any]:
    """One array of an .npz file as a view of the file: reading a part of it reads that part of the file.

    Args:
        path: The file, written by `numpy.savez`; a compressed one has no view.
        name: The array.

    Raises:
        DataError: No such array, a compressed or damaged file, or one that would run code when read.

    Cost:
        The array is read through once, to compare its CRC.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise DataError(
                    f"{path}: compressed, so that an image cannot be read alone. Once in Python: "
                    f"import numpy as np; a = np.load({path.name!r}); np.savez('plain.npz', **a)"
                )
            _check_content(archive, entry)
        with path.open("rb") as file:
            file.seek(entry.header_offset)
            head = file.read(_LOCAL_HEADER)
            file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
            shape, fortran, kind = _read_header(file)
            start = file.tell()
    except KeyError:
        raise DataError(f"{path}: no array {name!r}; found: {', '.join(sorted(array_names(path)))}") from None
    except DataError:
        raise
    except Exception as error:  # of many kinds: zipfile and NumPy check little of a broken header by themselves
        raise DataError(f"{path}: not a readable .npz file ({error})") from error
    if kind.hasobject:
        raise DataError(f"{path}: the array {name!r} holds Python objects, which may run code when read; save numbers")
    numbers = math.prod(side for side in shape if side)
    if any(side < 0 for side in shape) or len(shape) > 32 or kind.itemsize == 0 or numbers > 2**56:
        raise DataError(f"{path}: the array {name!r} has sides that no array has: {shape}"[:300])
    if math.prod(shape) * kind.itemsize > min(entry.file_size, path.stat().st_size - start):
        raise DataError(f"{path}: the array {name!r} is cut off")
    if 0 in shape:
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", start, shape, "F" if fortran else "C")


def _check_content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry to its end, where `zipfile` compares its CRC."""
    with archive.open(entry) as file:
        while file.read(1 << 16):
            pass


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"array format {version}")
    return read[version](file)
