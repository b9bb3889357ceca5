"""`Reader`: how a data module registers itself, so that its kind of data set is recognised, opened and forced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amiss.core.checks import check_choice
from amiss.core.errors import DataError, InputError
from amiss.data.about import About
from amiss.data.dataset import Dataset
from amiss.data.products import ALL, join_products

Read = Callable[[Path, str | None, int], Dataset]
"""From a path, a category or None, and a seed."""


@dataclass(frozen=True)
class Reader:
    """One kind of data set. A data module ends with its own, named ``READER``.

    Args:
        kind: Short name, as typed before a colon: ``visa:PATH``.
        about: What it is.
        recognises: Whether a path looks like one data set of this kind.
        read: Reads it; see `in_folders` and `single` for the usual ways to take a category.
        in_folders: Whether a folder may hold several of these, one per category, so that it is recognised as well.
    """

    kind: str
    about: About
    recognises: Callable[[Path], bool]
    read: Read
    in_folders: bool = False


def in_folders(kind: str, about: About, recognises: Callable[[Path], bool], read: Callable[[Path], Dataset]) -> Reader:
    """A set that keeps each category in a folder of its own; a path is one category, or the folder of all.

    "all" in place of a category joins them, see `amiss.data.products`.
    """

    def choose(root: Path, category: str | None, seed: int) -> Dataset:
        inner = [] if recognises(root) or not root.is_dir() else _inner(root, recognises)
        if category is not None:
            if recognises(root):
                raise InputError(f"{root} is one data set and has no categories, got category {category!r}")
            if not inner:
                raise about.error(f"{root}: no category inside")
            if category == ALL and ALL not in inner:
                return join_products(root.resolve().name, {name: read(root / name) for name in inner})
            return read(root / check_choice("category", category, inner))
        if inner:
            raise DataError(
                f"{root}: several data sets in the layout of {about.title}; give one of them: {', '.join(inner)}. "
                f"For example {root}#{inner[0]}; or {root}#{ALL}, for one model of all"
            )
        return read(root)

    return Reader(kind, about, recognises, choose, in_folders=True)


def single(kind: str, about: About, recognises: Callable[[Path], bool], read: Callable[[Path, int], Dataset]) -> Reader:
    """A set without categories, read from a path with a seed."""

    def check(path: Path, category: str | None, seed: int) -> Dataset:
        if category is not None:
            raise InputError(f"{path} has no categories, got category {category!r}")
        return read(path, seed)

    return Reader(kind, about, recognises, check)


def _inner(root: Path, recognises: Callable[[Path], bool]) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir() and recognises(folder))
