"""From a file to an RGB array: the only place in Amiss that decodes or resizes images.

OpenCV does the work. It is imported inside the functions, so that ``import amiss`` stays light.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError, InputError
from amiss.core.formats import Header, read_header
from amiss.core.formats import jpeg as jpegs
from amiss.core.formats import tiff as tiffs
from amiss.core.memory import check_memory, decoding, memory

__all__ = [
    "check_bits",
    "count_pages",
    "decode_image",
    "decoded",
    "read_bytes",
    "read_image",
    "read_page",
    "read_values",
    "resize",
    "to_rgb",
    "to_rgb8",
]

_BLOCK = 1 << 20  # values converted at once


def read_image(path: str | Path, *, bits: int | None = None) -> NDArray[np.uint8]:
    """Read one image.

    PNG, JPEG, BMP, TIFF, WebP, PGM and PPM, recognised by content; 8 and 16 bit; grey, RGB and RGBA. The EXIF
    orientation is applied, alpha is dropped, and 16 bits are divided by 257, or scaled by
    `bits`: the scale is the same for every image, never stretched to what one image happens to contain.

    All images that are being decoded share the memory that AMISS_MEMORY allows (`core.memory.memory`).

    Args:
        path: The file.
        bits: Bits that the values of a 16-bit file really have, 9 to 16; None for 16. One of 8 bits stays as it is.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        ImageError: A value needs more than `bits`, or the file is missing,
            empty, cut off, damaged, not an image, of another format, or too large.
    """
    return decode_image(read_bytes(Path(path)), name=str(path), bits=bits)


def read_values(path: str | Path) -> NDArray[Any]:
    """The numbers of one image file as they are stored, for masks and position maps: nothing is scaled or turned.

    Args:
        path: The file, of the formats of `read_image`, or a TIFF of floats.

    Returns:
        (H, W), or (H, W, C) with the channels in the order of the file; uint8, uint16 or float32.

    Raises:
        ImageError: As for `read_image`.
    """
    import cv2

    with _checked(read_bytes(Path(path)), str(path), all_channels=True) as header:
        if header.kind == "JPEG" and header.channels in (1, 3):
            image = jpegs.decode(header.data, str(path), "GRAY" if header.channels == 1 else "RGB")
            return image[:, :, 0] if header.channels == 1 else image
        image = _by_opencv(header, str(path), cv2.IMREAD_UNCHANGED)
        if image.ndim == 3 and image.shape[2] >= 3:  # OpenCV has blue first, and alpha last
            image[:, :, :3] = image[:, :, 2::-1].copy()
        return image


def decode_image(data: bytes, *, name: str = "image", bits: int | None = None) -> NDArray[np.uint8]:
    """Decode the bytes of one image file; `name` is how errors call it. See `read_image`."""
    with decoded(data, name) as values:
        return to_rgb8(values, name, bits=bits)


@contextmanager
def decoded(data: bytes, name: str = "image") -> Iterator[NDArray[Any]]:
    """The pixels of one image file as deep as they are stored; the memory for them is held until the block ends.

    Args:
        data: The bytes of the file.
        name: How errors call it.

    Yields:
        RGB, uint8 or uint16 (H, W, 3), turned as EXIF says.

    Raises:
        ImageError: As for `read_image`.
    """
    import cv2

    with _checked(data, name) as header:
        if header.kind == "JPEG" and header.channels in (1, 3):
            yield _turned(jpegs.decode(header.data, name, "RGB"), header.orientation)
            return
        if header.kind == "JPEG":  # OpenCV knows how to make RGB of it
            jpegs.decode(header.data, name, "CMYK")
        # in BGR, for IMREAD_COLOR_RGB garbles 16-bit RGB TIFF in OpenCV 5.0
        image = _red_first(_by_opencv(header, name, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH), name)
        yield _turned(image, header.orientation if header.kind == "PNG" else 1)


def count_pages(path: Path) -> int:
    """How many images a file holds: the pages of a TIFF, the frames of an animated WebP or PNG.

    Raises:
        ImageError: As for `read_image`.
    """
    return read_header(read_bytes(path), str(path)).pages


def read_page(path: Path, number: int) -> NDArray[Any]:
    """One image of a file that holds several, with its values as they are stored.

    Args:
        path: A TIFF with pages, or an animated WebP or PNG.
        number: Which one, from 1.

    Returns:
        RGB, uint8 or uint16 (H, W, 3).

    Raises:
        ImageError: As for `read_image`, or there is no such page, or the file is of another format.
    """
    import cv2

    data, name = read_bytes(path), f"{path}#{number}"
    header = read_header(data, name)
    if not 1 <= number <= header.pages:
        raise ImageError(name, f"the file holds {header.pages} images")
    if header.kind == "TIFF":
        with _checked(tiffs.only_page(data, name, number), name) as page:
            image = _by_opencv(page, name, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH)
    elif header.kind in ("WebP", "PNG"):
        image = _frame(data, header, name, number)
    else:
        raise ImageError(name, f"pages of a {header.kind} file cannot be told apart; save each as a file of its own")
    return np.ascontiguousarray(image[:, :, 2::-1])


def _frame(data: bytes, header: Header, name: str, number: int) -> NDArray[Any]:
    """A frame of an animation, as it is shown: what it leaves as it was comes from the frames before."""
    import cv2

    with decoding(header.need(4), name, f"an animation of {header.width} x {header.height} pixels"), _quiet(cv2):
        header.verify()
        try:
            _, found = cv2.imdecodeanimation(np.frombuffer(data, np.uint8), start=number - 1, count=1)
        except cv2.error as error:
            raise ImageError(name, f"cannot be decoded ({error.err})") from error
    if len(found.frames) != 1 or found.frames[0].shape[:2] != (header.height, header.width):
        raise ImageError(name, "cannot be decoded: this frame is damaged or missing")
    return np.asarray(found.frames[0])


def to_rgb(image: NDArray[Any], name: str = "image") -> NDArray[Any]:
    """An array of any supported kind as RGB (H, W, 3), as deep as it is.

    Args:
        image: uint8 or uint16 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), channels in RGB order.
        name: How errors call it.

    Raises:
        ImageError: Another shape or type, or no pixels.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(name, f"pixels must be uint8 or uint16, got {image.dtype}")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ImageError(name, f"shape must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}")
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]
    return np.ascontiguousarray(image)


def to_rgb8(image: NDArray[Any], name: str = "image", *, bits: int | None = None) -> NDArray[np.uint8]:
    """As `to_rgb`, in uint8.

    Args:
        image: See `to_rgb`.
        name: How errors call it.
        bits: As for `read_image`.

    Raises:
        ImageError: As for `to_rgb`, or values of more than `bits`.
    """
    image = to_rgb(image, name)
    return _eight_bits(image, name, 16 if bits is None else bits) if image.dtype == np.uint16 else image


def check_bits(bits: int | None) -> int | None:
    """None, or a depth that 16-bit files may hold.

    Raises:
        InputError: Not a whole number from 9 to 16.
    """
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int) or not 9 <= bits <= 16):
        raise InputError(f"bits must be a whole number from 9 to 16, such as 12, got {bits!r}")
    return bits


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The whole image at another size: the mean over areas where it shrinks, bilinear where it grows.

    The one resize of Amiss, used in learning, calibration, inspection and evaluation alike. Nothing is cropped.

    Args:
        image: uint8 (H, W, 3).
        size: Height and width in pixels.
    """
    import cv2

    height, width = image.shape[:2]
    small = (min(height, size[0]), min(width, size[1]))
    if small != (height, width):
        image = np.asarray(cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if small != size:
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


def read_bytes(path: Path) -> bytes:
    """The bytes of one file, unless they are more than `memory` allows or have no end.

    Raises:
        ImageError: It cannot be read, is not a file (but a folder, a device or a pipe), or is too large.
    """
    allowed = memory()
    try:
        found = path.stat()
        special = not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        data = b"" if special or found.st_size > allowed else path.read_bytes()
    except OSError as error:
        why = "a link to nothing" if path.is_symlink() and not path.exists() else error.strerror or error
        raise ImageError(str(path), f"cannot be read ({why})") from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(str(path), f"cannot be read ({error})") from error
    if special:
        raise ImageError(str(path), "cannot be read (a pipe, device or socket, not a file)")
    check_memory(found.st_size, str(path), f"a file of {found.st_size} bytes")
    return data


@contextmanager
def _checked(data: bytes, name: str, *, all_channels: bool = False) -> Iterator[Header]:
    """What the file says about its image, once it is known to be whole, with the memory for it held."""
    header = read_header(data, name)
    if header.pages > 1:
        raise ImageError(
            name,
            "holds several images, of which only the first would be seen; save each as a file of its own, or have each "
            "page read as an image where that is possible (--pages each of most verbs, Images(..., pages='each'))",
        )
    what = f"an image of {header.width} x {header.height} pixels, {header.channels} x {header.bits} bits,"
    with decoding(header.need(header.channels if all_channels else 3), name, what):
        header.verify()
        yield header


def _by_opencv(header: Header, name: str, flags: int) -> NDArray[Any]:
    import cv2

    with _quiet(cv2):
        try:
            image = cv2.imdecode(np.frombuffer(header.data, np.uint8), flags)
        except cv2.error as error:
            raise ImageError(name, f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(name, "cannot be decoded: damaged, or of an unusual kind such as float TIFF")
    return np.asarray(image)


def _red_first(image: NDArray[Any], name: str) -> NDArray[Any]:
    import cv2

    if image.dtype not in (np.uint8, np.uint16):
        raise ImageError(name, f"pixels must be uint8 or uint16, got {image.dtype}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _turned(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """As EXIF says: 1 to 8, of which 5 to 8 lie on their side."""
    if orientation > 4:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _eight_bits(image: NDArray[np.uint16], name: str, bits: int) -> NDArray[np.uint8]:
    """round(255 x / (2^bits - 1)), exactly, a few rows at a time."""
    most = 2**bits - 1
    if bits < 16 and int(image.max()) > most:
        reason = (
            f"the value {int(image.max()):,} does not fit into {bits} bits (0 to {most:,}), as images are read here"
        )
        raise ImageError(name, reason)
    small = np.empty(image.shape, np.uint8)
    rows = max(1, _BLOCK // max(1, image[:1].size))
    for start in range(0, len(image), rows):
        small[start : start + rows] = (image[start : start + rows].astype(np.uint32) * 510 + most) // (2 * most)
    return small


class _Quiet:
    """Keeps OpenCV's own warnings off the terminal: the `ImageError` says it better.

    The level is one for the whole process, so the first thread that comes in lowers it and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    @contextmanager
    def __call__(self, cv2: Any) -> Iterator[None]:
        logging = cv2.utils.logging
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._level = logging.getLogLevel()
                logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    logging.setLogLevel(self._level)


_quiet = _Quiet()
