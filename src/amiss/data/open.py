"""One word for every data set: a path, or the name of a set that a package brings."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from amiss.core.checks import readable
from amiss.core.errors import DataError, InputError
from amiss.core.pages import check_pages
from amiss.data.dataset import GOOD, Dataset
from amiss.data.elpv import read_elpv
from amiss.data.labelled import check_name
from amiss.data.readers import list_readers, recognise


@dataclass(frozen=True)
class Address:
    """A parsed data set address.

    Args:
        kind: Which reader, a key of `list_readers` or "elpv".
        path: Where it is; empty for elpv.
        category: Which of several categories, objects or products; None when not said.
    """

    kind: str
    path: Path
    category: str | None


def open_dataset(
    source: str | Path, *, category: str | None = None, seed: int = 0, pages: str = "one", classes: bool = False
) -> Dataset:
    """Open a data set by what it looks like.

    Args:
        source: A folder or file of any kind in docs/datasets.md, such as a flat folder of good images, a data set in
            the layout of MVTec AD, or a manifest. "KIND:PATH" forces a reader, "PATH#CATEGORY" chooses one of several
            categories or products, "PATH#all" takes all of them as one data set, and "elpv:mono" or "elpv:poly" are
            solar cells that a package brings.
        category: The same as after #.
        seed: Seed of the random split, for sets that come without one.
        pages: What to do with a file of several images, as for `Images`.
        classes: For a method that learns classes: a folder holds one folder per class, unless a reader is forced.

    Raises:
        DataError: Nothing there, no images, a layout that no reader knows, or a folder of images that is named by a
            word for defective; "folder:PATH" says that they are good.
        InputError: An unknown kind or category.
        ImageError: Only where a mask tells which image is good; images are read when they are used.
    """
    check_pages(pages)
    with readable(source):
        dataset = _open(source, category, seed, classes)
    return dataset if pages == "one" else dataset.each_page()


def _open(source: str | Path, category: str | None, seed: int, classes: bool) -> Dataset:
    address = read_address(source, category)
    if classes and address.path.is_dir() and not str(source).startswith(f"{address.kind}:"):
        address = replace(address, kind="classes")
    if address.kind == "elpv":
        return read_elpv(address.category or "mono", seed=seed)
    if address.kind == "folder" and not str(source).startswith("folder:"):
        if (address.path / "test").is_dir():
            raise DataError(
                f"{source}: test/ is there but train/{GOOD}/ is not; good images to learn from belong there"
            )
        check_name(address.path)
    return list_readers()[address.kind].read(address.path, address.category, seed)


def read_address(source: str | Path, category: str | None = None) -> Address:
    """Parse a data set address and find its reader.

    Raises:
        DataError: Nothing is there, or nobody knows it.
        InputError: Two categories.

    Example:
        >>> address = read_address("elpv:poly")
        >>> address.kind, address.category
        ('elpv', 'poly')
    """
    text = str(source)
    kind, colon, rest = text.partition(":")
    if kind == "elpv" and (colon or not rest):
        return Address("elpv", Path(), _one(rest or None, category))
    if not colon or kind not in list_readers():
        kind, rest = "", text
    if "#" in rest and not Path(rest).exists():
        rest, _, inner = rest.rpartition("#")
        category = _one(inner, category)
    path = Path(rest)
    if not path.exists():
        raise DataError(f"{source}: no such folder or file{_hint(text)}")
    found = kind or recognise(path)
    if found is None:
        raise DataError(
            f"{source}: no such folder, and no file that a reader knows (.csv, .jsonl, .parquet, .npz); "
            f"kinds: {', '.join(list_readers())}"
        )
    return Address(found, path, category)


def _one(first: str | None, second: str | None) -> str | None:
    if first and second and first != second:
        raise InputError(f"category must be one, got {first!r} and {second!r}")
    return first or second


def _hint(text: str) -> str:
    kind, colon, _ = text.partition(":")
    near = difflib.get_close_matches(kind, [*list_readers(), "elpv"], n=1) if colon else []
    if near and near[0] != kind:
        return f"; did you mean {near[0]}:...?"
    return "; give a folder of good images, a data set of a known layout, a manifest, or elpv:mono"
