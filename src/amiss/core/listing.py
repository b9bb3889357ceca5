"""From a folder to images: every entry is an image, or is named as ignored with the reason. Nothing goes unseen."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from amiss.core.errors import DataError

_NAMES = (
    "png apng jpg jpeg jpe jfif bmp dib tif tiff webp pgm ppm pbm pnm pam pfm jp2 j2k j2c jpx jxl jxr gif avif heic "
    "heif exr hdr tga psd sgi ras dcm raw dng nef cr2 cr3 arw orf"
)
ENDINGS = frozenset(f".{name}" for name in _NAMES.split())
"""Endings of files that are called images. One that Amiss cannot decode becomes an error, never nothing."""

HEAD = 132
"""Bytes from the start of a file that tell what it is."""

UNREAD: dict[bytes, str] = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"8BPS": "Photoshop",
    b"\x59\xa6\x6a\x95": "Sun raster",
    b"SIMPLE  =": "FITS",
}
"""Formats of images that Amiss knows and does not read, by their first bytes."""

BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
"""What follows ``ftyp`` in AVIF and HEIC."""

_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"II*\0",  # TIFF and BigTIFF, either byte order
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    *UNREAD,
)
_PNM = re.compile(rb"P(?:[1-7]\s|[Ff]\s)[\s#\d.A-Z-]")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_APPLE_DOUBLE = b"\0\5\x16\7"

RESULTS, WRITTEN = "results.jsonl", ("overlays", "masks", "thumbnails")
"""What `amiss inspect --output` leaves in a folder: beside the first, folders of these names hold no parts."""


@dataclass(frozen=True)
class Ignored:
    """Something in a folder that is not read as an image.

    Args:
        path: Where it is.
        reason: Why, in one phrase.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return str(self.path)

    def summary(self) -> dict[str, str]:
        """As plain JSON values."""
        return {"name": str(self.path), "reason": self.reason}


@dataclass(frozen=True)
class Listing:
    """What looking for images in a folder found.

    Args:
        images: What is or claims to be an image, in the order of the names; reading one may fail, which is an error.
        ignored: Everything else, in the same order.
    """

    images: tuple[Path, ...]
    ignored: tuple[Ignored, ...] = ()


def list_folder(folder: Path, *, deep: bool = True) -> Listing:
    """Every image of a folder.

    A file is judged by its content, whatever it is called. What is called an image, or cannot be opened to see, is
    listed among the images, and becomes an error when it is read: a link to nothing, a pipe, a folder that cannot be
    listed. Links are followed, each folder is read once. Hidden files count; hidden folders, and the overlays and masks
    of an earlier `amiss inspect`, are ignored and named.

    Args:
        folder: An existing folder.
        deep: Whether folders inside are searched as well; else they are left to the caller.

    Raises:
        DataError: The folder itself cannot be listed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     _ = (folder / "part.dat").write_bytes(b"GIF89a")
        ...     _ = (folder / "notes").write_text("words")
        ...     found = list_folder(folder)
        >>> [path.name for path in found.images], found.ignored[0].reason
        (['part.dat'], 'not an image')
    """
    walk = _Walk(folder, deep)
    walk.run()
    return Listing(tuple(sorted(walk.images)), tuple(sorted(walk.ignored, key=lambda one: one.path)))


def describe_ignored(ignored: Iterable[Ignored]) -> str:
    """One sentence for a person: how many were ignored, why, and the first of each kind; "" for none.

    Example:
        >>> describe_ignored([Ignored(Path("a.txt"), "not an image"), Ignored(Path("b.csv"), "not an image")])
        'Ignored 2: not an image (2, such as a.txt).'
    """
    ignored = list(ignored)
    counts = Counter(one.reason for one in ignored)
    first = {one.reason: one.path for one in reversed(ignored)}
    kinds = ", ".join(f"{reason} ({count}, such as {first[reason]})" for reason, count in counts.most_common())
    return f"Ignored {len(ignored)}: {kinds}." if ignored else ""


def is_image_start(head: bytes) -> bool:
    """Whether a file that starts with these bytes, at least `HEAD` of them or all, says that it is an image.

    Example:
        >>> is_image_start(b"GIF89a"), is_image_start(b"BMW 320"), is_image_start(b"P5\\n640 480\\n255\\n")
        (True, False, True)
    """
    if head.startswith(_STARTS) or (head[4:8] == b"ftyp" and head[8:12] in BRANDS):
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return head[128:132] == b"DICM" or _PNM.match(head) is not None


class _Walk:
    """One search. Folders wait on a stack, linked ones until all real ones are read: their own names come first.

    A hidden folder belongs to a program and is read last: its images are named as ignored, and nothing else in it.
    """

    def __init__(self, root: Path, deep: bool) -> None:
        self.root, self.deep = root, deep
        self.images: list[Path] = []
        self.ignored: list[Ignored] = []
        self._folders = [root]
        self._links: list[Path] = []
        self._hidden: list[tuple[Path, Path]] = []  # and the outermost hidden folder that each lies in
        self._inside: Path | None = None
        self._named: set[Path] = set()
        self._read: dict[tuple[int, int], Path] = {}
        self._above: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Read every folder."""
        real = Path(os.path.realpath(self.root))
        self._above = {identity for path in real.parents if (identity := _identity(path)) is not None}
        while self._folders or self._links:
            self._enter(self._folders.pop() if self._folders else self._links.pop(0))
        outermost = {folder for folder, _ in self._hidden}
        while self._hidden:
            folder, self._inside = self._hidden.pop()
            self._enter(folder)
        self.ignored += [Ignored(folder, "a hidden folder without images") for folder in outermost - self._named]

    def _enter(self, folder: Path) -> None:
        identity = _identity(folder)
        if identity is not None and identity in self._above:
            return self._ignore(folder, "a link back to a folder above")
        if identity is not None and self._read.setdefault(identity, folder) != folder:
            return self._ignore(folder, "a link to a folder that is read already")
        try:
            with os.scandir(folder) as found:
                names = sorted(entry.name for entry in found)
        except OSError as error:
            if folder == self.root:
                raise DataError(f"{folder}: cannot be listed ({error.strerror or error})") from error
            return self._take(folder, "a hidden folder that cannot be listed")
        if not names and _ends_as_image(folder):
            self._take(folder)
        for name in names:
            self._look(folder / name, written=name in WRITTEN and RESULTS in names)
        return None

    def _look(self, path: Path, *, written: bool) -> None:
        try:
            mode = path.stat().st_mode
        except OSError:  # a link to nothing, or in a circle; a file that has just gone
            return self._claim(path, "a link to nothing" if path.is_symlink() else "cannot be read")
        if stat.S_ISDIR(mode):
            return self._look_in(path, written=written) if self.deep else None
        if not stat.S_ISREG(mode):
            return self._claim(path, "a pipe, device or socket")
        return self._look_at(path)

    def _look_in(self, folder: Path, *, written: bool) -> None:
        if written:
            return self._ignore(folder, "written by amiss inspect")
        if self._inside is not None or folder.name.startswith("."):
            return self._hidden.append((folder, self._inside or folder))
        (self._links if folder.is_symlink() else self._folders).append(folder)
        return None

    def _look_at(self, path: Path) -> None:
        hidden = path.name.startswith(".")
        if _ends_as_image(path) and not hidden:
            return self._take(path)
        try:
            with path.open("rb") as file:
                head = file.read(HEAD)
        except OSError:
            return self._claim(path, "cannot be read")
        if head.startswith(_APPLE_DOUBLE):
            return self._ignore(path, "not an image")
        return self._take(path) if is_image_start(head) else self._claim(path, "not an image", bare=False)

    def _claim(self, path: Path, reason: str, *, bare: bool = True) -> None:
        """Of what cannot be seen, that which is called an image becomes an error; so does a bare name, which might."""
        if _ends_as_image(path) or (bare and not path.suffix):
            self._take(path)
        else:
            self._ignore(path, reason)

    def _take(self, path: Path, hidden: str = "in a hidden folder") -> None:
        if self._inside is None:
            return self.images.append(path)
        self._named.add(self._inside)
        return self.ignored.append(Ignored(path, hidden))

    def _ignore(self, path: Path, reason: str) -> None:
        if self._inside == path:
            self._named.add(path)
        if self._inside in (None, path):
            self.ignored.append(Ignored(path, reason))


def _ends_as_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _identity(path: Path) -> tuple[int, int] | None:
    """The folder itself, under whatever name; None where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
