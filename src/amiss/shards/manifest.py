"""Which images there are to score: a table with a column path, or a folder. Read as a stream, as often as needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from amiss.core.checks import readable
from amiss.core.errors import DataError, ImageError
from amiss.core.listing import Ignored, describe_ignored, list_folder
from amiss.data.table import ENDINGS, inside, need_columns, stream_table


@dataclass(frozen=True)
class Manifest:
    """The images of a table or folder, in order; each row is one image, also where two name the same file.

    Args:
        path: A table (.csv, .jsonl, .parquet) with a column path, relative to its folder; or a folder.

    Raises:
        DataError: Neither, or a folder without images.
    """

    path: Path
    _listed: tuple[str, ...] = field(init=False, repr=False)
    ignored: tuple[Ignored, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names: tuple[str, ...] = ()
        ignored: tuple[Ignored, ...] = ()
        with readable(self.path):
            if self.path.is_dir():
                found = list_folder(self.path)
                names, ignored = tuple(image.relative_to(self.path).as_posix() for image in found.images), found.ignored
                if not names:
                    raise DataError(f"{self.path}: no image inside. {describe_ignored(ignored)}".rstrip())
            elif not self.path.is_file() or self.path.suffix.lower() not in ENDINGS:
                raise DataError(f"{self.path}: must be a folder or a table ({', '.join(ENDINGS)}) with a column path")
        object.__setattr__(self, "_listed", names)
        object.__setattr__(self, "ignored", ignored)

    @property
    def root(self) -> Path:
        """The folder that names are relative to."""
        return self.path if self._listed else self.path.parent

    def names(self) -> Iterator[str]:
        """The name of each image; "" where a row has none.

        Raises:
            DataError: The table is broken.
            MissingExtraError: A Parquet file, and pyarrow is not installed.
        """
        if self._listed:
            yield from self._listed
            return
        for number, row in enumerate(stream_table(self.path)):
            if number == 0:
                need_columns(self.path, [row], ["path"])
            yield str(row.get("path") or "")

    def look(self) -> tuple[int, str]:
        """How many images there are, and the SHA-256 (hex) of their names.

        Raises:
            DataError: The table is broken, or has no rows.
        """
        digest, count = hashlib.sha256(), 0
        for name in self.names():
            count += 1
            digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
        if not count:
            raise DataError(f"{self.path}: no rows")
        return count, digest.hexdigest()


def locate(root: Path, name: str) -> Path:
    """The file of an image.

    Raises:
        ImageError: The row has no path, or one that leads out of the folder.
    """
    if not name:
        raise ImageError(name, "the row has no path")
    try:
        return inside(root, name, root)
    except DataError:
        raise ImageError(name, "the path leads out of the folder of the manifest") from None
