"""A manifest: one table that lists a factory's own images and what is known about them.

path        the image, relative to the manifest's folder; the only column that must be there
label       good or defective (in a word of `amiss.data.words`), or a defect type (see `read_manifest`)
split       train, validation or test; validation images are normal images like those of train
mask        file of the ground truth; any value above 0 is defective
product     what is made; with several the user says which, or all of them
lot, part   images of one lot, or of one part, are never divided by an own split
timestamp   ISO 8601, such as 2026-03-01T06:30:00+01:00

Other columns are passed over and named in the notes. CSV (commas, UTF-8), JSON lines, or Parquet with amiss[parquet].
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from amiss.core.checks import check_choice
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.labelled import DEFECTIVE, SPLITS
from amiss.data.products import ALL
from amiss.data.reader import Reader
from amiss.data.split import split_good
from amiss.data.table import ENDINGS, Row, inside, need_columns, need_files, read_table
from amiss.data.words import DEFECTIVE_WORDS, GOOD_WORDS, is_defective_word

ABOUT = About("A manifest", "a table with a column path", "your own records", "yours")
COLUMNS = ("path", "label", "split", "mask", "product", "lot", "part", "timestamp")


@dataclass(frozen=True)
class Entry:
    """One row: an image, its defect type (None where there is no label), and whether it is for learning."""

    path: Path
    defect: str | None
    learn: bool | None
    mask: Path | None
    origin: Origin


def is_manifest(path: Path) -> bool:
    """True for a file with the ending of a table."""
    return path.is_file() and path.suffix.lower() in ENDINGS


def read_manifest(path: Path, *, product: str | None = None, seed: int = 0) -> Dataset:
    """Read a manifest.

    Without labels every image is good: the ones of test need one. Without a split, defective images are for
    testing and the good ones are divided with the seed, by whole lots and parts. Defective images of train are left
    out and counted in the notes.

    A label that is neither a good nor a defective word is a defect type. Because a slip of the pen must never make a
    defect normal or the other way round, a type is accepted only for a test image, in a manifest that calls
    some image good in a known word, and when it is neither a number nor spelled like a known word.

    Args:
        path: The table.
        product: Which product, when the table lists several; "all" for all of them as one data set.
        seed: Seed of an own split.

    Raises:
        DataError: A column, file, label, split or timestamp is wrong; which row and why.
        InputError: An unknown product.
        MissingExtraError: A Parquet file without pyarrow.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("a.png", "b.png"):
        ...         _ = (Path(folder) / name).write_bytes(b"")
        ...     table = Path(folder) / "bolts.csv"
        ...     _ = table.write_text("path,label,split\\na.png,ok,train\\nb.png,scratch,test\\n")
        ...     data = read_manifest(table)
        >>> len(data.normal), data.defects
        (1, ('scratch',))
    """
    rows = read_table(path)
    need_columns(path, rows, ["path"])
    notes = _unknown_columns(path, rows)
    entries = [_entry(path, number, row) for number, row in _choose_product(path, rows, product)]
    _check_entries(path, entries)
    learn, test = _divide(path, entries, seed, notes)
    return Dataset(
        name=path.stem if product is None else f"{path.stem}_{product}",
        normal=Images([entry.path for entry in learn]),
        test=Images([entry.path for entry in test]),
        defects=tuple(entry.defect or GOOD for entry in test),
        masks=_masks(test, notes),
        normal_origins=_origins(learn),
        test_origins=_origins(test),
        notes=tuple(notes),
    )


def _unknown_columns(path: Path, rows: list[Row]) -> list[str]:
    """The notes name the unknown columns, except misspelled ones, which are refused."""
    others = sorted(set().union(*rows) - set(COLUMNS))
    for name in others:
        near = difflib.get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.75)
        if near:
            raise DataError(f"{path}: the column {name!r} looks like {near[0]!r}; allowed: {', '.join(COLUMNS)}")
    return [f"Columns passed over: {', '.join(others)}."] if others else []


def _choose_product(path: Path, rows: list[Row], product: str | None) -> list[tuple[int, Row]]:
    """The rows of one product with their numbers, counted from 1."""
    numbered = list(enumerate(rows, 1))
    names = {str(row["product"]) for row in rows if row.get("product") is not None}
    if product == ALL and ALL not in names:
        if len(names) < 2 or any(row.get("product") is None for row in rows):
            raise DataError(f"{path}: every row must state its product, of several, for {path}#{ALL}")
        return numbered
    if product is not None:
        check_choice("product", product, names)
        return [(number, row) for number, row in numbered if str(row.get("product")) == product]
    if len(names) > 1:
        shown = ", ".join(sorted(names))
        raise DataError(
            f"{path}: several products; choose one of {shown}: product='...' or {path}#{min(names)}; or {path}#{ALL}, "
            "for one model of all"
        )
    return numbered


def _entry(path: Path, number: int, row: Row) -> Entry:
    where = f"{path}, row {number}"
    if not isinstance(row.get("path"), str):
        raise DataError(f"{where}: no path")
    split = row.get("split")
    if split is not None and str(split).lower() not in SPLITS:
        raise DataError(f"{where}: split {split!r}; allowed: {', '.join(SPLITS)}")
    mask = row.get("mask")
    if mask is not None and not isinstance(mask, str):
        raise DataError(f"{where}: mask must be the path of a file, got {mask!r}")
    label = row.get("label")
    return Entry(
        path=inside(path.parent, row["path"], path),
        defect=None if label is None else _read_label(where, label),
        learn=None if split is None else SPLITS[str(split).lower()],
        mask=None if mask is None else inside(path.parent, mask, path),
        origin=Origin(
            _text(row.get("product")), _text(row.get("lot")), _text(row.get("part")), _time(where, row.get("timestamp"))
        ),
    )


def _read_label(where: str, label: Any) -> str:
    """ "good", "defective", or the defect type."""
    text = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
    word = text.lower()
    if (defective := is_defective_word(word)) is not None:
        return DEFECTIVE if defective else GOOD
    known = (*GOOD_WORDS, *DEFECTIVE_WORDS)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    if near or not any(letter.isalpha() for letter in word):
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"{where}: label {label!r}{hint}; good is one of {', '.join(GOOD_WORDS)}, defective one of "
            f"{', '.join(DEFECTIVE_WORDS)}, or the name of a defect type"
        )
    return text


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _time(where: str, value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise DataError(f"{where}: timestamp must be ISO 8601, such as 2026-03-01T06:30:00, got {value!r}") from None


def _check_entries(path: Path, entries: list[Entry]) -> None:
    twice = [str(name) for name, count in Counter(entry.path for entry in entries).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {len(twice)} images are listed twice, such as {twice[0]}")
    if 0 < (bare := sum(entry.learn is None for entry in entries)) < len(entries):
        raise DataError(f"{path}: {bare} rows have no split while others have; give all or none")
    _check_types(path, entries)
    need_files(path, [entry.path for entry in entries], "images")
    need_files(path, [entry.mask for entry in entries if entry.mask is not None], "masks")


def _check_types(path: Path, entries: list[Entry]) -> None:
    """A defect type is believed only where a slip of the pen can do no harm."""
    typed = [entry for entry in entries if entry.defect not in (None, GOOD, DEFECTIVE)]
    if typed and all(entry.defect != GOOD for entry in entries):
        shown = ", ".join(sorted({str(entry.defect) for entry in typed})[:5])
        raise DataError(
            f"{path}: labels such as {shown}, and none that says good; good is one of {', '.join(GOOD_WORDS)}"
        )
    for entry in typed:
        if entry.learn:
            raise DataError(
                f"{path}: {entry.path.name} has the label {entry.defect!r} in train; an image to learn from is "
                f"called {', '.join(GOOD_WORDS)}, and one to leave out {', '.join(DEFECTIVE_WORDS)}"
            )


def _divide(path: Path, entries: list[Entry], seed: int, notes: list[str]) -> tuple[list[Entry], list[Entry]]:
    """Whom to learn from, and whom to test on."""
    unlabelled = [entry for entry in entries if entry.defect is None]
    if entries[0].learn is not None:
        learn, test = _by_split(path, entries, notes)
    elif len(unlabelled) == len(entries):
        learn, test = entries, []
    elif unlabelled:
        raise DataError(f"{path}: {len(unlabelled)} rows have no label, and there is no split either")
    else:
        good = [entry for entry in entries if entry.defect == GOOD]
        numbers, rest = split_good(len(good), seed, origins=[entry.origin for entry in good])
        learn = [good[index] for index in numbers]
        test = [good[index] for index in rest] + [entry for entry in entries if entry.defect != GOOD]
        notes.append("The manifest has no split; the good images are divided with the seed.")
    if not learn:
        raise DataError(f"{path}: no good image to learn from")
    return learn, test


def _by_split(path: Path, entries: list[Entry], notes: list[str]) -> tuple[list[Entry], list[Entry]]:
    learn = [entry for entry in entries if entry.learn and entry.defect in (None, GOOD)]
    test = [entry for entry in entries if not entry.learn]
    if silent := [entry for entry in test if entry.defect is None]:
        raise DataError(f"{path}: {len(silent)} test images have no label, such as {silent[0].path.name}")
    if left_out := len(entries) - len(learn) - len(test):
        notes.append(f"{left_out} defective images of train are left out.")
    return learn, test


def _masks(test: list[Entry], notes: list[str]) -> tuple[Path | None, ...] | None:
    if all(entry.mask is None for entry in test):
        return None
    bare = sum(entry.mask is None and entry.defect != GOOD for entry in test)
    if bare:
        total = sum(entry.defect != GOOD for entry in test)
        notes.append(f"{bare} of {total} defective test images have no mask; pixel figures leave them out.")
    return tuple(entry.mask for entry in test)


def _origins(entries: list[Entry]) -> tuple[Origin, ...]:
    return tuple(entry.origin for entry in entries) if any(entry.origin != Origin() for entry in entries) else ()


READER = Reader("manifest", ABOUT, is_manifest, lambda path, name, seed: read_manifest(path, product=name, seed=seed))
