"""Broken image files: each is refused, or decodes to what the whole file decodes to, or is counted as what it is.

The image has a defect. Outcomes:

* "refused": an `ImageError`.
* "same": the pixels of the whole file.
* "differs": other pixels, and they still differ from the good image at least half as much as the defect did.
* "hidden": other pixels, and the defect has become good. Larger than in no format can that be made: see `hidden_score`.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from amiss.core.decode import decode_image
from amiss.core.errors import ImageError

Draws = np.random.Generator
Writer = Callable[[NDArray[Any]], bytes]


def _opencv(ending: str, *options: int) -> Writer:
    def write(image: NDArray[Any]) -> bytes:
        swapped = image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][: image.shape[2]]]
        written, data = cv2.imencode(ending, np.ascontiguousarray(swapped), options)
        assert written
        return data.tobytes()

    return write


def _pillow(kind: str, mode: str | None = None, **options: Any) -> Writer:
    def write(image: NDArray[Any]) -> bytes:
        file = io.BytesIO()
        drawn = Image.fromarray(image)
        (drawn.convert(mode) if mode else drawn).save(file, kind, **options)
        return file.getvalue()

    return write


def _tifffile(**options: Any) -> Writer:
    def write(image: NDArray[Any]) -> bytes:
        file = io.BytesIO()
        if options.get("planarconfig") == "separate":
            image = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        kind = "minisblack" if image.ndim == 2 else "rgb"
        tifffile.imwrite(file, image, photometric=kind, **options)
        return file.getvalue()

    return write


# name: writer, channels, bits
ENCODERS: dict[str, tuple[Writer, tuple[int, ...], tuple[int, ...]]] = {
    "png": (_opencv(".png"), (1, 3, 4), (8, 16)),
    "png other": (_pillow("png", dpi=(300, 300)), (1, 3, 4), (8,)),
    "png palette": (_pillow("png", "P"), (3,), (8,)),
    "jpeg": (_opencv(".jpg"), (1, 3), (8,)),
    "jpeg full colour": (_pillow("jpeg", quality=97, subsampling=0), (3,), (8,)),
    "jpeg progressive": (_opencv(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (1, 3), (8,)),
    "jpeg restarts": (_opencv(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 4), (1, 3), (8,)),
    "jpeg cmyk": (_pillow("jpeg", "CMYK"), (3,), (8,)),
    "bmp": (_opencv(".bmp"), (1, 3, 4), (8,)),
    "bmp palette": (_pillow("bmp", "P"), (3,), (8,)),
    "webp": (_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 90), (3, 4), (8,)),
    "webp lossless": (_opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 101), (3, 4), (8,)),
    "pnm": (_opencv(".pnm"), (1, 3), (8, 16)),
    "tiff plain": (_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 1), (1, 3, 4), (8, 16)),
    "tiff lzw": (_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 5), (1, 3, 4), (8, 16)),
    "tiff deflate": (_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 8), (1, 3, 4), (8, 16)),
    "tiff packbits": (_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, 32773), (1, 3, 4), (8, 16)),
    "tiff jpeg": (_pillow("tiff", compression="jpeg"), (1, 3), (8,)),
    "tiff lzw whole": (_pillow("tiff", compression="tiff_lzw"), (1, 3), (8,)),
    "tiff front": (_tifffile(), (1, 3, 4), (8, 16)),
    "tiff planes": (_tifffile(planarconfig="separate"), (3, 4), (8,)),
    "tiff planes deflate": (_tifffile(planarconfig="separate", compression="zlib"), (3, 4), (8,)),
    "tiff tiles": (_tifffile(tile=(64, 64)), (1, 3, 4), (8, 16)),
    "tiff tiles deflate": (_tifffile(tile=(64, 64), compression="zlib", predictor=True), (1, 3, 4), (8, 16)),
    "tiff big": (_tifffile(bigtiff=True, byteorder=">", rowsperstrip=7), (1, 3, 4), (8, 16)),
}


def images(draws: Draws, channels: int, bits: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A good image, and the same with a defect that in colour is visible in blue only."""
    height, width = draws.integers(48, 160, 2)
    y, x = np.mgrid[:height, :width]
    slopes = draws.uniform(-1, 1, (2, channels))
    good = 128 + slopes[0] * (x[..., None] - width / 2) + slopes[1] * (y[..., None] - height / 2)
    good = (good + draws.normal(0, draws.uniform(0.5, 8), good.shape)).clip(20, 235)
    bad, size = good.copy(), 16
    top, left = draws.integers(0, height - size), draws.integers(0, width - size)
    bad[top : top + size, left : left + size, min(channels, 3) - 1] += np.where(draws.random() < 0.5, 70, -70)
    for image in (good, bad):
        image[:, :, 3:] = 255
    scale, kind = (257, np.uint16) if bits == 16 else (1, np.uint8)
    pair = [(image.clip(0, 255) * scale).astype(kind) for image in (good, bad)]
    return (pair[0][:, :, 0], pair[1][:, :, 0]) if channels == 1 else (pair[0], pair[1])


def _place(draws: Draws, data: bytes) -> int:
    return int(draws.integers(1, len(data)))


def _cut(data: bytes, draws: Draws) -> bytes:
    return data[: _place(draws, data)]


def _zero_tail(data: bytes, draws: Draws) -> bytes:
    place = _place(draws, data)
    return data[:place] + bytes(len(data) - place)


def _zero_blocks(data: bytes, draws: Draws) -> bytes:
    place = _place(draws, data) // 4096 * 4096
    return data[:place] + bytes(len(data) - place)


def _hole(data: bytes, draws: Draws) -> bytes:
    start = _place(draws, data)
    stop = min(len(data), start + int(draws.integers(1, 4096)))
    return data[:start] + bytes(stop - start) + data[stop:]


def _flip(data: bytes, draws: Draws) -> bytes:
    damaged = bytearray(data)
    for _ in range(draws.integers(1, 5)):
        damaged[draws.integers(len(data))] ^= 1 << int(draws.integers(8))
    return bytes(damaged)


def _header(data: bytes, draws: Draws) -> bytes:
    """Bytes changed where numbers are: at the front, or in the directory of a TIFF."""
    start = 0
    if data[:2] in (b"II", b"MM"):
        order, word = "little" if data.startswith(b"II") else "big", 8 if b"+" in data[:4] else 4
        start = int.from_bytes(data[word : 2 * word], order) if draws.random() < 0.9 else 0  # type: ignore[arg-type]
    damaged = bytearray(data)
    for _ in range(draws.integers(1, 4)):
        place = min(start + int(draws.integers(200)), len(data) - 1)
        damaged[place] = draws.choice([0, 1, 2, 127, 128, 255, draws.integers(256), damaged[place] ^ 1])
    return bytes(damaged)


def _lost(data: bytes, draws: Draws) -> bytes:
    start = _place(draws, data)
    return data[:start] + data[start + int(draws.integers(1, 600)) :]


def _foreign(data: bytes, draws: Draws) -> bytes:
    """A stretch of other bytes, as where one file was written over by another."""
    start = _place(draws, data)
    stop = min(len(data), start + int(draws.integers(1, 600)))
    return data[:start] + draws.bytes(stop - start) + data[stop:]


def _check_sums(data: bytes, draws: Draws) -> bytes:
    """A PNG with one chunk changed and its check sum right again; another kind of file gets a changed header."""
    if not data.startswith(b"\x89PNG"):
        return _header(data, draws)
    chunks, start = [], 8
    while start < len(data):
        length = struct.unpack_from(">I", data, start)[0]
        chunks.append((data[start + 4 : start + 8], bytearray(data[start + 8 : start + 8 + length])))
        start += 12 + length
    kind, content = chunks[draws.integers(len(chunks))]
    for _ in range(draws.integers(1, 4)):
        if content:
            content[draws.integers(len(content))] = draws.choice([0, 1, 255, draws.integers(256)])
    if draws.random() < 0.2:
        del content[len(content) // 2 :]
    if draws.random() < 0.2:
        chunks.insert(int(draws.integers(len(chunks) + 1)), (kind, content))
    sums = (struct.pack(">I", zlib.crc32(kind + content)) for kind, content in chunks)
    parts = (struct.pack(">I", len(c)) + k + c + s for (k, c), s in zip(chunks, sums, strict=True))
    return data[:8] + b"".join(parts)


DAMAGE: dict[str, Callable[[bytes, Draws], bytes]] = {
    "cut": _cut,
    "zero tail": _zero_tail,
    "zero blocks": _zero_blocks,
    "hole": _hole,
    "flip": _flip,
    "header": _header,
    "lost": _lost,
    "foreign": _foreign,
    "check sums": _check_sums,
}


def difference(image: NDArray[np.uint8], good: NDArray[np.uint8]) -> float:
    """How far from good the worst square of 8 pixels is, in grey levels."""
    if image.shape != good.shape:
        return 255.0
    apart = np.abs(image.astype(np.float32) - good).max(axis=2)
    return float(cv2.blur(apart, (8, 8)).max())


def case(seed: int, number: int) -> tuple[str, Callable[[], str]]:
    """One broken file: what it is, and what decodes it. See `driver`."""
    draws = np.random.default_rng([seed, number])
    encoder = list(ENCODERS)[number % len(ENCODERS)]
    damage = list(DAMAGE)[number // len(ENCODERS) % len(DAMAGE)]
    write, channels, bits = ENCODERS[encoder]
    good, bad = images(draws, int(draws.choice(channels)), int(draws.choice(bits)))
    data = write(bad)
    broken = DAMAGE[damage](data, draws)

    def action() -> str:
        if broken == data:
            return "same"
        try:
            read = decode_image(broken)
        except ImageError:
            return "refused"
        whole = decode_image(data)
        if np.array_equal(read, whole):
            return "same"
        reference = decode_image(write(good))
        return "hidden" if difference(read, reference) < difference(whole, reference) / 2 else "differs"

    return f"{encoder}: {damage}", action
