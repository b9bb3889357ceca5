"""`Images`: a sized, re-iterable source of images that holds none of them in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from amiss.core.arrays import is_foreign, to_array, unfold
from amiss.core.checks import readable
from amiss.core.decode import check_bits, decode_image, decoded, read_bytes, resize, to_rgb, to_rgb8
from amiss.core.errors import DataError, ImageError, InputError
from amiss.core.listing import Ignored, describe_ignored, list_folder
from amiss.core.pages import check_pages, split_pages

Size = tuple[int, int]


class Image(Protocol):
    """An image that is neither a file of its own nor an array in memory, such as one of many in an archive."""

    @property
    def name(self) -> str:
        """How errors and reports call it."""
        ...

    def read(self) -> NDArray[Any]:
        """Its pixels, read anew each time: uint8 or uint16, shaped as the arrays that `Images` takes."""
        ...


@dataclass(frozen=True)
class Look:
    """What one decoding of an image shows.

    Args:
        pixels: RGB uint8 (H, W, 3), as `Content.pixels`.
        size: Height and width before any resizing.
        peak: Largest value of an image of 16 bits, without alpha, as it is stored; None for one of 8 bits.
        identity: SHA-256 (hex) of its pixels as they are stored: that of every file or array with the same RGB values,
            whatever its format and whatever else is in it.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    size: Size
    peak: int | None
    identity: str


@dataclass(frozen=True)
class Content:
    """One image as it came: a file's bytes, or an array.

    Args:
        name: How errors call it.
        data: Bytes of the file, or pixels.
        size: Height and width that it is resized to, or None.
        bits: As for `Images`.
    """

    name: str
    data: bytes | NDArray[Any] = field(repr=False)
    size: Size | None
    bits: int | None = None

    @property
    def sha256(self) -> str:
        """Of the data, hex; before any resizing."""
        return hashlib.sha256(self.data if isinstance(self.data, bytes) else self.data.tobytes()).hexdigest()

    def pixels(self) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3).

        Raises:
            ImageError: Not a usable image.
        """
        if isinstance(self.data, bytes):
            image = decode_image(self.data, name=self.name, bits=self.bits)
        else:
            image = to_rgb8(self.data, self.name, bits=self.bits)
        return image if self.size is None else resize(image, self.size)

    def look(self) -> Look:
        """Everything that decoding it once can tell.

        Raises:
            ImageError: Not a usable image.
        """
        if not isinstance(self.data, bytes):
            return self._look(to_rgb(self.data, self.name))
        with decoded(self.data, self.name) as values:
            return self._look(values)

    def _look(self, values: NDArray[Any]) -> Look:
        height, width, _ = values.shape
        digest = hashlib.sha256(f"{height} {width} {values.dtype.itemsize} ".encode())
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
        pixels = to_rgb8(values, self.name, bits=self.bits)
        return Look(
            pixels if self.size is None else resize(pixels, self.size),
            (height, width),
            int(values.max()) if values.dtype == np.uint16 else None,
            digest.hexdigest(),
        )


Item = Path | NDArray[Any] | Image


class Images:
    """Images from a folder, from paths, or from arrays. Each is read when it is asked for, every time anew.

    Args:
        source: A folder (searched by `list_folder`, in the order of the names), one file, or a list of paths, of arrays
            (uint8 or uint16; (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); RGB) or of `Image` objects. An array
            (N, H, W, C) works too, and so do tensors, PIL images, whatever has `__array__`, a data set or loader of
            torch (its labels are left out; what it gives is kept in memory): see `amiss.core.arrays`.
        size: Height and width that every image is resized to; None leaves each as it is.
        bits: Bits that the values of 16-bit images really have, such as the 12 of a camera; None for all 16.
        pages: What to do with a file of several images, such as a TIFF with pages: "one" makes it an error, "each"
            makes each an image of its own, called path#1, path#2 and so on.
        labels: What each image shows, one word per image (per file of the source where its pages become images), such
            as its class or product; empty when nothing is said. Images taken from these keep theirs.

    Raises:
        DataError: The folder is missing or holds no image.
        InputError: A source of another kind, or labels that are not one word per image.

    Example:
        >>> import numpy as np
        >>> images = Images([np.zeros((40, 60), np.uint8)] * 3, size=(32, 32))
        >>> len(images), images[0].shape, next(images.batches(2)).shape
        (3, (32, 32, 3), (2, 32, 32, 3))
    """

    def __init__(
        self,
        source: str | Path | Iterable[Any] | NDArray[Any],
        *,
        size: Size | None = None,
        bits: int | None = None,
        pages: str = "one",
        labels: Sequence[str] = (),
    ) -> None:
        self.size = None if size is None else _check_size(size)
        self.bits = check_bits(bits)
        self.ignored: tuple[Ignored, ...] = ()
        if isinstance(source, (str, Path)):
            with readable(source):
                found, self.ignored = _find(Path(source))
            self._items: tuple[Item, ...] = found
        else:
            self._items = _items(source)
        self.labels = _check_labels(labels, len(self._items))
        if check_pages(pages) == "each":
            every, _ = self.each_page()
            self._items, self.labels = every._items, every.labels

    @classmethod
    def join(cls, parts: Sequence[Images]) -> Images:
        """One `Images` of several, in the order given, with everything that they ignored.

        Raises:
            InputError: They differ in `size` or `bits`, or only some have labels.
        """
        kinds = {(part.size, part.bits) for part in parts}
        if len(kinds) > 1:
            raise InputError(f"images to be joined must agree in size and bits, got {sorted(kinds, key=str)}")
        size, bits = kinds.pop() if kinds else (None, None)
        labels = [label for part in parts for label in part.labels]
        if 0 < len(labels) < sum(map(len, parts)):
            raise InputError(
                f"images to be joined must all have labels, or none, got {len(labels)} labels for "
                f"{sum(map(len, parts))} images"
            )
        joined = cls([item for part in parts for item in part._items], size=size, bits=bits, labels=labels)
        joined.ignored = tuple(one for part in parts for one in part.ignored)
        return joined

    @property
    def names(self) -> tuple[str, ...]:
        """How errors and reports call each image: its path or name, or its number among the arrays."""
        return tuple(map(_name, range(len(self)), self._items))

    @property
    def paths(self) -> tuple[Path | None, ...]:
        """The file of each image; None for one that has no file of its own."""
        return tuple(item if isinstance(item, Path) else None for item in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """One image, RGB uint8 (H, W, 3).

        Raises:
            ImageError: The file or array is not a usable image.
        """
        return self.read(index).pixels()

    def read(self, index: int) -> Content:
        """One image as it came, read once: its hash and its pixels are of the same bytes.

        Raises:
            ImageError: It cannot be read.
        """
        item, name = self._items[index], _name(index, self._items[index])
        data = read_bytes(item) if isinstance(item, Path) else _pixels(index, item)
        return Content(name, data, self.size, self.bits)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for index in range(len(self)):
            yield self[index]

    def __repr__(self) -> str:
        return f"Images({len(self)} images, size={self.size})"

    def sha256(self, index: int) -> str:
        """SHA-256 of one image as it came, before any resizing: of the file's bytes, or of the pixels.

        Raises:
            ImageError: The file cannot be read.
        """
        return self.read(index).sha256

    def mark(self, index: int) -> str:
        """What tells one image from any other without decoding it: path, bytes and time of its file, or its SHA-256.

        Raises:
            ImageError: There is no such file.
        """
        item = self._items[index]
        if isinstance(item, Path):
            try:
                known = item.stat()
            except OSError as error:
                raise ImageError(str(item), error.strerror or str(error)) from error
            return f"{item.absolute()} {known.st_size} {known.st_mtime_ns}"
        given = getattr(item, "mark", None)
        return given if isinstance(given, str) else f"{_name(index, item)} {self.sha256(index)}"

    def numbers_in(self, others: Images) -> list[int]:
        """For each image its number among others that these were taken from.

        Raises:
            InputError: One is not among them.
        """
        places = {_key(item): number for number, item in enumerate(others._items)}
        missing = [name for name, item in zip(self.names, self._items, strict=True) if _key(item) not in places]
        if missing:
            raise InputError(f"images must be taken from the others, got {missing[0]}")
        return [places[_key(item)] for item in self._items]

    def resized(self, size: Size) -> Images:
        """The same images, each resized to (height, width)."""
        return self._with(self._items, self.labels, _check_size(size))

    def original(self) -> Images:
        """The same images, none resized."""
        return self._with(self._items, self.labels, None)

    def each_page(self) -> tuple[Images, NDArray[np.intp]]:
        """The same images, and of files that hold several each of them, see `pages` of the class.

        Returns:
            These images, with the labels of their files, and for each the number of the image here that it comes from.
        """
        pages = [split_pages(item) if isinstance(item, Path) else [item] for item in self._items]
        sources = np.repeat(np.arange(len(pages)), [len(each) for each in pages])
        labels = tuple(self.labels[source] for source in sources) if self.labels else ()
        return self._with(tuple(one for each in pages for one in each), labels, self.size), sources

    def with_bits(self, bits: int | None) -> Images:
        """The same images, those of 16 bits read as numbers of so many bits."""
        images = self._with(self._items, self.labels, self.size)
        images.bits = check_bits(bits)
        return images

    def subset(self, indices: Sequence[int] | NDArray[np.integer]) -> Images:
        """Some of the images, in the order of `indices`."""
        chosen = [int(index) for index in indices]
        labels = tuple(self.labels[index] for index in chosen) if self.labels else ()
        return self._with(tuple(self._items[index] for index in chosen), labels, self.size)

    def batches(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """Stacks of up to `count` images, uint8 (B, H, W, 3). Needs images of one size.

        Raises:
            InputError: The images differ in size and no `size` was given.
        """
        for start in range(0, len(self), count):
            batch = [self[index] for index in range(start, min(start + count, len(self)))]
            shapes = {image.shape for image in batch}
            if len(shapes) > 1:
                raise InputError(f"images of different sizes {sorted(shapes)}; use Images(..., size=(height, width))")
            yield np.stack(batch)

    def _with(self, items: tuple[Item, ...], labels: tuple[str, ...], size: Size | None) -> Images:
        images = Images([], size=size, bits=self.bits)
        images._items, images.labels, images.ignored = items, labels, self.ignored
        return images


def _key(item: Item) -> object:
    return item if isinstance(item, Path) else id(item)


def _find(folder: Path) -> tuple[tuple[Path, ...], tuple[Ignored, ...]]:
    if folder.is_file():
        return (folder,), ()
    if not folder.is_dir():
        there = folder.exists()
        raise DataError(f"{folder}: {'a pipe, device or socket' if there else 'no such file or folder'}")
    found = list_folder(folder)
    if not found.images:
        raise DataError(f"{folder}: no image inside. {describe_ignored(found.ignored)}".rstrip())
    return found.images, found.ignored


def _check_labels(labels: Sequence[str], count: int) -> tuple[str, ...]:
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise InputError(f"labels must be a list of one word per image, got {labels!r}")
    found = tuple(labels)
    if found and len(found) != count:
        raise InputError(f"labels must be one per image, got {len(found)} labels for {count} images")
    for number, label in enumerate(found):
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"label {number} must be a word, got {label!r}")
    return tuple(map(str, found))


def _name(number: int, item: Item) -> str:
    if isinstance(item, np.ndarray):
        return f"image {number}"
    return str(item) if isinstance(item, Path) else item.name


def _pixels(number: int, item: NDArray[Any] | Image) -> NDArray[Any]:
    pixels = item if isinstance(item, np.ndarray) else item.read()
    if not isinstance(pixels, np.ndarray):
        raise ImageError(_name(number, item), f"read() must give a NumPy array, got {type(pixels).__name__}")
    return np.ascontiguousarray(pixels)


def _is_image(item: object) -> TypeGuard[Image]:
    return (
        not is_foreign(item) and isinstance(getattr(item, "name", None), str) and callable(getattr(item, "read", None))
    )


def _items(source: Iterable[Any] | NDArray[Any]) -> tuple[Item, ...]:
    if is_foreign(source):
        source = to_array(0, source)
    if isinstance(source, np.ndarray) and (source.ndim < 3 or (source.ndim == 3 and source.shape[2] in (1, 3, 4))):
        raise InputError(f"images must be a list, or one array (N, H, W, C), got an array of shape {source.shape}")
    if not isinstance(source, Iterable) and hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        given = source
        source = (given[number] for number in range(len(given)))  # a data set of torch
    if not isinstance(source, Iterable):
        raise InputError(f"images must be a folder, or a list of paths or arrays, got {type(source).__name__}")
    items: list[Item] = []
    for number, item in enumerate(source):
        if isinstance(item, (str, Path)):
            items.append(Path(item))
        elif _is_image(item):
            items.append(item)
        else:
            items += unfold(number, item)
    return tuple(items)


def _check_size(size: Size) -> Size:
    sides = tuple(size) if isinstance(size, Iterable) else ()
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in sides):
        raise InputError(f"size must be (height, width) in whole pixels, such as (256, 256), got {size!r}")
    return int(sides[0]), int(sides[1])
