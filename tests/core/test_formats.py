"""What cut and damaged files of each format come to, each with an input of its own."""

import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from amiss.core.decode import decode_image, read_values
from amiss.core.errors import ImageError
from amiss.core.formats import read_header, streams


def photograph(height=90, width=120, channels=3, seed=0):
    y, x = np.mgrid[:height, :width]
    layers = [x * 2 % 200, y * 2 % 200, (x + y) % 200, np.full_like(x, 255)][:channels]
    noise = np.random.default_rng(seed).integers(1, 12, (height, width, channels))
    image = (np.stack(layers, -1) + noise).clip(1, 255).astype(np.uint8)
    return image[:, :, 0] if channels == 1 else image


def pillow(image, kind, mode=None, **options):
    file = io.BytesIO()
    drawn = Image.fromarray(image)
    (drawn.convert(mode) if mode else drawn).save(file, kind, **options)
    return file.getvalue()


def tiff(image, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, image, photometric="minisblack" if image.ndim == 2 else "rgb", **options)
    return file.getvalue()


def refused(data, match):
    with pytest.raises(ImageError, match=match) as caught:
        decode_image(data, name="part-17")
    assert caught.value.name == "part-17"


def strips(data):
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def png_chunks(data):
    start = 8
    while start < len(data):
        length = int.from_bytes(data[start : start + 4])
        yield data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        start += 12 + length


def png(*chunks):
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# TIFF


@pytest.mark.parametrize("planes", [1, 2])
def test_a_tiff_of_separate_planes_cut_after_some_of_them_is_refused(planes):
    image = photograph()
    data = tiff(np.moveaxis(image, -1, 0), planarconfig="separate")
    np.testing.assert_array_equal(decode_image(data), image)
    start, length = strips(data)[planes]
    assert len(strips(data)) == 3 and start + length > len(data) - 8 * (3 - planes) * length
    refused(data[:start], "cut off")
    refused(data[: start + length // 2], "cut off")


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_whose_strips_lie_beyond_its_end_or_on_top_of_one_another_is_refused(big):
    data = tiff(photograph(), rowsperstrip=30, bigtiff=big)
    (first, _), (second, _), _ = strips(data)
    kind = "<Q" if big else "<I"
    place = data.index(struct.pack(kind, first) + struct.pack(kind, second))
    for wrong, words in ((len(data) - 10, "cut off"), (first + 1, "overlap"), (2, "overlap"), (2**31, "cut off")):
        refused(data[:place] + struct.pack(kind, wrong) + data[place + struct.calcsize(kind) :], words)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda image: pillow(image, "tiff", compression="tiff_lzw"), "strip or tile 0 must hold"),
        (lambda image: pillow(image, "tiff", compression="tiff_adobe_deflate"), "strip or tile 0 must hold"),
        (lambda image: pillow(image, "tiff", compression="packbits"), "strip or tile 0 must hold"),
        (lambda image: pillow(image, "tiff", compression="jpeg"), "cut off, damaged"),
        (lambda image: tiff(image, tile=(96, 128), compression="zlib"), "strip or tile 0 must hold"),
    ],
    ids=["lzw", "deflate", "packbits", "jpeg", "tiles"],
)
def test_a_compressed_tiff_whose_pixels_end_early_is_refused_where_opencv_leaves_them_black(write, words):
    image = photograph()
    data = write(image)
    assert np.abs(decode_image(data).astype(int) - image).max() <= (60 if b"JFIF" in data or "cut" in words else 0)
    start, length = strips(data)[0]
    broken = data[: start + length // 2] + bytes(length - length // 2) + data[start + length :]
    assert cv2.imdecode(np.frombuffer(broken, np.uint8), cv2.IMREAD_COLOR) is not None
    refused(broken, words)


def test_a_tiff_with_a_wrong_size_a_directory_cut_short_or_directories_in_a_circle_is_refused():
    image = photograph(channels=1)
    data = tiff(image)
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    width = next(p for p in range(first + 2, first + 2 + 12 * entries, 12) if data[p : p + 2] == b"\x00\x01")
    refused(data[: width + 8] + struct.pack("<H", 121) + data[width + 10 :], "another size|must hold")
    following = first + 2 + 12 * entries
    refused(data[:following] + struct.pack("<I", first) + data[following + 4 :], "circle")
    refused(data[:4] + struct.pack("<I", len(data) - 6) + data[8:], "cut off or damaged|header is damaged")
    file = io.BytesIO()
    Image.fromarray(image).save(file, "tiff", save_all=True, append_images=[Image.fromarray(image)] * 2)
    assert read_header(file.getvalue(), "pages").pages == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: pillow(photograph(channels=1) > 99, "tiff", compression="group4"), "compression 4 cannot be checked"),
        (lambda: pillow(photograph(), "tiff", "YCbCr"), "YCbCr TIFF"),
        (lambda: pillow(photograph(channels=1), "jpeg2000"), "a JPEG 2000 image, which Amiss does not read; save it"),
    ],
    ids=["fax", "ycbcr", "jpeg 2000"],
)
def test_what_cannot_be_checked_is_refused_in_words(data, words):
    refused(data(), words)


@pytest.mark.parametrize("rows", [1, 7, 90])
@pytest.mark.parametrize("seed", range(3))
def test_lzw_is_followed_to_its_end(rows, seed):
    """Against libtiff's own writer, whose lengths are known."""
    draws = np.random.default_rng(seed)
    image = photograph(seed=seed) if seed else np.zeros((90, 120, 3), np.uint8)
    data = pillow(image, "tiff", compression="tiff_lzw", tiffinfo={278: rows})
    for number, (start, length) in enumerate(strips(data)):
        stream = memoryview(data)[start : start + length]
        assert streams.lzw(stream, 10**6) == 360 * min(rows, 90 - number * rows)
        assert streams.lzw(stream[: draws.integers(length - 1)], 10**6) is None


def test_a_stream_that_only_empties_its_table_is_given_up_soon():
    clear = int("100000000" * 8 * 2000, 2).to_bytes(9 * 2000)
    assert streams.lzw(memoryview(clear), 10**5) is None


# JPEG


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]])
def test_a_jpeg_that_libjpeg_warns_about_is_refused_where_opencv_guesses(options):
    data = cv2.imencode(".jpg", photograph(), options)[1].tobytes()
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:, :, ::-1])
    middle = len(data) * 2 // 3
    refused(data[:middle] + bytes(len(data) - middle), "cut off, damaged")
    refused(data[:middle] + bytes(600) + data[middle + 600 :], "cut off, damaged")
    refused(data[:middle] + data[middle + 200 :], "cut off, damaged")
    refused(data[:-2], "Premature end of JPEG")


def test_a_cmyk_jpeg_is_checked_and_has_opencvs_colours():
    data = pillow(photograph(), "jpeg", "CMYK")
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:, :, ::-1])
    refused(data[:-200] + bytes(200), "cut off, damaged")


def test_a_jpeg_of_a_thousand_scans_is_refused():
    data = pillow(photograph(), "jpeg", progressive=True)
    start = data.rindex(b"\xff\xda")
    refused(data[:-2] + data[start:-2] * 200 + data[-2:], "at most 100 scans")


def test_values_of_a_jpeg_are_those_of_the_file_neither_turned_nor_coloured(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "mask.jpg"
    for image in (photograph(channels=1), photograph()):
        path.write_bytes(pillow(image, "jpeg", exif=exif, quality=100, subsampling=0))
        assert read_values(path).shape == image.shape
        assert np.abs(read_values(path).astype(int) - image).max() <= 6


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 0, 77])
def test_orientation_is_that_of_opencv_for_each_format(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = pillow(photograph(), kind, exif=exif)
    np.testing.assert_array_equal(decode_image(data), cv2.imdecode(np.frombuffer(data, np.uint8), 1)[:, :, ::-1])


# PNG


def test_a_png_must_have_right_check_sums_everywhere_and_whole_pixels():
    data = pillow(photograph(), "png", dpi=(300, 300))
    text = data.index(b"pHYs") + 5
    refused(data[:text] + b"\1" + data[text + 1 :], "check sum")
    pixels = b"".join(content for kind, content in png_chunks(data) if kind == b"IDAT")
    rest = {kind: content for kind, content in png_chunks(data)}
    for changed in (pixels[:-40], pixels[:-4] + b"abcd", zlib.compress(zlib.decompress(pixels)[:-1]), b""):
        refused(png((b"IHDR", rest[b"IHDR"]), (b"IDAT", changed), (b"IEND", b"")), "compressed pixels")
    whole = png(
        (b"IHDR", rest[b"IHDR"]), *((b"IDAT", pixels[i : i + 99]) for i in range(0, len(pixels), 99)), (b"IEND", b"")
    )
    np.testing.assert_array_equal(decode_image(whole), decode_image(data))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (9, 17)])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("interlace", [0, 1])
def test_pngs_of_every_depth_interlaced_or_not_are_known_to_be_whole(size, bits, interlace):
    """The size of the stream is that of libpng, which refuses one byte less and warns of one more."""
    height, width = size
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, interlace)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = []
    for left, top, across, down in passes if interlace else [(0, 0, 1, 1)]:
        columns = len(range(left, width, across))
        rows += [b"\0" + b"\xff" * ((columns * bits + 7) // 8) for _ in range(top, height, down) if columns]
    stream = b"".join(rows)
    read = decode_image(png((b"IHDR", header), (b"IDAT", zlib.compress(stream)), (b"IEND", b"")))
    assert read.shape == (height, width, 3) and read.min() == 255
    for wrong in (stream[:-1], stream + b"\0"):
        refused(png((b"IHDR", header), (b"IDAT", zlib.compress(wrong)), (b"IEND", b"")), "compressed pixels")


def test_an_animated_png_says_how_many_images_it_has():
    first, second = Image.fromarray(photograph()), Image.fromarray(photograph(seed=1))
    for kind in ("png", "webp"):
        file = io.BytesIO()
        first.save(file, kind, save_all=True, append_images=[second], lossless=True)
        assert read_header(file.getvalue(), "film").pages == 2
    assert read_header(pillow(photograph(), "png"), "one").pages == 1


# Formats whose pixels have no check sum


@pytest.mark.parametrize("kind", ["bmp", "ppm", "webp", "tiff"])
def test_a_file_that_ends_in_disk_blocks_never_written_is_refused(kind):
    options = {"lossless": True} if kind == "webp" else {}
    image = np.random.default_rng(0).integers(1, 255, (120, 90, 3), dtype=np.uint8)
    data = tiff(image) if kind == "tiff" else pillow(image, kind, **options)
    assert len(data) > 4 * 4096
    refused(data[: 3 * 4096] + bytes(len(data) - 3 * 4096), "disk block|zeros")
    black = np.zeros((120, 90, 3), np.uint8)
    np.testing.assert_array_equal(
        decode_image(tiff(black) if kind == "tiff" else pillow(black, kind, **options)), black
    )


def test_zeros_in_compressed_webp_pixels_are_refused_and_large_black_images_are_not():
    data = cv2.imencode(".webp", np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))[1].tobytes()
    refused(data[:5001] + bytes(200) + data[5201:], "zeros")
    for quality in (80, 101):
        black = cv2.imencode(".webp", np.zeros((1500, 2000, 3), np.uint8), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        assert not decode_image(black.tobytes()).any()


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_bmp_whose_numbers_do_not_agree_is_refused(mode):
    data = pillow(photograph(), "bmp", mode)
    for place, number in ((18, 200), (22, 80), (28, 16), (10, 50), (34, 77), (2, 10**8)):
        refused(
            data[:place]
            + struct.pack("<I", number)[: 2 if place == 28 else 4]
            + data[place + (2 if place == 28 else 4) :],
            ".",
        )
    refused(data[:-1], "cut off")
    refused(data + bytes(99), "something follows")


def test_pgm_and_ppm_come_back_exactly_and_are_refused_when_cut():
    for channels, dtype in ((1, np.uint8), (3, np.uint8), (1, np.uint16)):
        image = photograph(channels=channels).astype(dtype) * (257 if dtype == np.uint16 else 1)
        swapped = image[:, :, ::-1] if channels == 3 else image
        data = cv2.imencode(".pnm", swapped)[1].tobytes()
        read = decode_image(data)
        np.testing.assert_array_equal(read[..., :channels].squeeze(), photograph(channels=channels))
        for length in (1, 3, 10, len(data) // 2, len(data) - 1):
            refused(data[:length], "cut off|first bytes")
    refused(b"P5 2 2 4095\n" + bytes(8), "must be 255 or 65535, got 4095")
    assert read_header(data * 2, "two").pages == 2


# Quiet


NOISY = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from amiss.core.decode import decode_image
from amiss.core.errors import ImageError
def attempt(path):
    try:
        decode_image(open(path, "rb").read())
    except ImageError:
        pass
with ThreadPoolExecutor(4) as pool:
    list(pool.map(attempt, sys.argv[1:] * 5))
"""


def test_no_decoder_prints_to_stderr_from_any_thread(tmp_path):
    """Each of these files makes OpenCV, libpng, libjpeg or libtiff print, if it gets to see it."""
    whole = pillow(photograph(), "png")
    chunks = list(png_chunks(whole))
    pixels = dict(chunks)[b"IDAT"]
    jpeg = pillow(photograph(), "jpeg")
    files = {
        "profile.png": png(chunks[0], (b"iCCP", b"x\0\0nonsense"), (b"tIME", bytes(7)), *chunks[1:]),
        "short.png": png(chunks[0], (b"IDAT", pixels[: len(pixels) // 2]), (b"IEND", b"")),
        "sum.png": png(chunks[0], (b"IDAT", pixels[:-4] + b"abcd"), (b"IEND", b"")),
        "clear.png": png(chunks[0], (b"tRNS", b"\xff" * 6), *chunks[1:]),
        "extra.png": png(chunks[0], (b"IDAT", pixels + b"extra"), (b"IEND", b"")),
        "zeros.jpg": jpeg[:1500] + bytes(len(jpeg) - 1500),
        "cut.tiff": tiff(photograph())[:9000],
        "damaged.webp": pillow(photograph(), "webp")[:-50],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", NOISY, *(str(tmp_path / name) for name in files)]
    ran = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True)
    assert ran.stderr == "" and ran.stdout == ""


def test_several_threads_get_the_same_image():
    data = [pillow(photograph(seed=seed), kind) for seed in range(3) for kind in ("png", "jpeg", "tiff", "bmp")]
    alone = [decode_image(one) for one in data]
    with ThreadPoolExecutor(4) as pool:
        for one, image in zip(pool.map(decode_image, data * 5), alone * 5, strict=True):
            np.testing.assert_array_equal(one, image)
