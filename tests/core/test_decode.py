"""`read_image` and `decode_image`: what is read is right, and what cannot be read is an `ImageError`."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from amiss.core.decode import decode_image, read_image, resize, to_rgb8
from amiss.core.errors import ImageError
from amiss.core.formats import read_header

LOSSLESS = [
    (kind, channels, dtype)
    for kind in ("png", "tiff", "bmp", "webp")
    for channels in (1, 3, 4)
    for dtype in (np.uint8, np.uint16)
    if kind in ("png", "tiff") or dtype == np.uint8
]
EVERY = [*LOSSLESS, ("jpg", 1, np.uint8), ("jpg", 3, np.uint8)]


def sample(channels=3, dtype=np.uint8, height=20, width=28):
    """Smooth colours with a little noise, other in every channel, RGB order; full opacity."""
    y, x = np.mgrid[:height, :width]
    layers = [x * 9 % 256, y * 12 % 256, (x + y) * 5 % 256, np.full_like(x, 255)][:channels]
    image = np.stack(layers, axis=-1).astype(np.int64)
    if dtype == np.uint16:
        image = image * 257 + np.random.default_rng(0).integers(-120, 121, image.shape)
        image[:, :, 3:] = 65535
        image = image.clip(0, 65535)
    return image.astype(dtype)[:, :, 0] if channels == 1 else image.astype(dtype)


def encoded(kind, image, *options):
    swap = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    image = image if image.ndim == 2 else cv2.cvtColor(image, swap[image.shape[2]])
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == "webp" else []
    written, data = cv2.imencode(f".{kind}", image, [*lossless, *options])
    assert written
    return data.tobytes()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def case_name(value):
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(("kind", "channels", "dtype"), LOSSLESS, ids=case_name)
def test_a_lossless_image_comes_back_exactly(kind, channels, dtype, tmp_path):
    image = sample(channels, dtype)
    path = tmp_path / f"image.{kind}"
    path.write_bytes(encoded(kind, image))
    read = read_image(path)
    assert read.dtype == np.uint8 and read.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(read, to_rgb8(image))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_comes_back_closely(channels):
    image = sample(channels)
    read = decode_image(encoded("jpg", image, cv2.IMWRITE_JPEG_QUALITY, 100))
    assert np.abs(read.astype(int) - to_rgb8(image)).max() <= 12


@pytest.mark.parametrize("compression", [1, 5, 8, 32773], ids=["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=case_name)
def test_every_tiff_compression_comes_back_exactly(compression, dtype):
    image = sample(3, dtype)
    data = encoded("tiff", image, cv2.IMWRITE_TIFF_COMPRESSION, compression)
    np.testing.assert_array_equal(decode_image(data), to_rgb8(image))


def test_a_16_bit_tiff_of_separate_planes_is_refused_and_not_garbled():
    tifffile = pytest.importorskip("tifffile", reason="comes with scikit-image")
    for dtype in (np.uint8, np.uint16):
        image, file = sample(3, dtype), io.BytesIO()
        tifffile.imwrite(file, np.moveaxis(image, -1, 0), photometric="rgb", planarconfig="separate")
        if dtype == np.uint8:
            np.testing.assert_array_equal(decode_image(file.getvalue()), image)
        else:
            with pytest.raises(ImageError, match="separate planes"):
                decode_image(file.getvalue())


def test_big_endian_and_big_tiff_come_back_exactly():
    tifffile = pytest.importorskip("tifffile", reason="comes with scikit-image")
    for options in ({"byteorder": ">"}, {"bigtiff": True}):
        for dtype in (np.uint8, np.uint16):
            image, file = sample(3, dtype), io.BytesIO()
            tifffile.imwrite(file, image, photometric="rgb", **options)
            np.testing.assert_array_equal(decode_image(file.getvalue()), to_rgb8(image))


def test_alpha_is_dropped_and_not_multiplied_in():
    image = sample(4)
    image[:, :, 3] = 0
    for kind in ("png", "bmp"):
        np.testing.assert_array_equal(decode_image(encoded(kind, image)), image[:, :, :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :12], image[:8, 12:], image[8:, :12] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    upright = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image, -1),
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(image, 1),
    }[orientation]
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    jpeg = encoded("jpg", image, cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)
    read = decode_image(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= 12


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tiff", "webp"])
def test_an_image_of_one_pixel_works(kind):
    read = decode_image(encoded(kind, np.full((1, 1, 3), 200, np.uint8)))
    assert read.shape == (1, 1, 3) and np.abs(read.astype(int) - 200).max() <= 1


def test_a_bmp_written_from_top_to_bottom_works():
    data = bytearray(encoded("bmp", sample()))
    data[22:26] = struct.pack("<i", -20)
    np.testing.assert_array_equal(decode_image(bytes(data)), sample()[::-1])


@pytest.mark.parametrize(("kind", "channels", "dtype"), EVERY, ids=case_name)
def test_a_cut_off_file_is_an_error_that_names_it_and_never_an_incomplete_image(kind, channels, dtype):
    data = encoded(kind, sample(channels, dtype))
    lengths = sorted({*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 20, len(data))})
    for length in lengths:
        try:
            read = decode_image(data[:length], name="part-17")
        except ImageError as error:
            assert error.name == "part-17" and str(error) == f"part-17: {error.reason}"
        else:
            pytest.fail(f"{length} of {len(data)} bytes were taken for an image of {read.shape}")


@pytest.mark.parametrize(("kind", "channels", "dtype"), EVERY, ids=case_name)
def test_damaged_bytes_give_a_whole_image_or_an_image_error(kind, channels, dtype, monkeypatch):
    monkeypatch.setenv("AMISS_MEMORY", "8MB")
    data = encoded(kind, sample(channels, dtype))
    draws = np.random.default_rng(7)
    for number in range(80):
        damaged = bytearray(data)
        reach = min(len(data), 100) if number % 2 else len(data)  # half of the damage goes to the header
        for position in draws.integers(reach, size=draws.integers(1, 4)):
            damaged[position] = draws.choice([0, 127, 128, 255, draws.integers(256)])
        try:
            read = decode_image(bytes(damaged))
        except ImageError:
            continue
        assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] == 3
        assert read.nbytes <= 8_000_000
        if kind == "png":  # check sums leave nothing to chance
            assert read.shape == (20, 28, 3)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.png", b"", "empty"),
        ("words.png", b"this is not an image\n" * 9, "first bytes"),
        (
            "film.png",
            b"GIF89a" + bytes(40),
            "a GIF image, which Amiss does not read; save it as PNG, each of its frames",
        ),
        ("page.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "first bytes"),
        ("head.png", b"\x89PNG\r\n\x1a\n", "header"),
        ("head.jpg", b"\xff\xd8\xff", "header"),
    ],
)
def test_a_file_that_is_not_an_image_is_an_error_that_names_it(name, content, reason, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert caught.value.name == str(path)


def test_a_real_gif_under_another_name_is_refused(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(encoded("gif", sample()))
    with pytest.raises(ImageError, match="a GIF image, which Amiss does not read"):
        read_image(path)


def test_a_folder_a_missing_file_and_an_impossible_name_are_image_errors(tmp_path):
    for path in (tmp_path, tmp_path / "missing.png", str(tmp_path / "a\0b.png")):
        with pytest.raises(ImageError, match="cannot be read"):
            read_image(path)


def test_floating_point_pixels_are_refused():
    with pytest.raises(ImageError, match="float"):
        decode_image(encoded("tiff", np.ones((5, 6), np.float32)))


def test_an_image_that_claims_to_be_huge_is_refused_before_anything_is_allocated():
    tracemalloc.start()
    try:
        with pytest.raises(
            ImageError, match=r"100000 x 100000 pixels, 3 x 8 bits, takes 100\.00 GB .* AMISS_MEMORY=101GB"
        ):
            decode_image(png_of_size(100_000, 100_000))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_png_chunk_that_claims_to_be_huge_is_refused_before_it_is_allocated():
    data = bytearray(encoded("png", sample()))
    start = data.find(b"IDAT") - 4
    data[start : start + 4] = struct.pack(">I", 0x7FFFFFFF)  # OpenCV alone takes 9 s and 2 GB for this
    before = peak_memory()
    with pytest.raises(ImageError, match="cut off or damaged"):
        decode_image(bytes(data))
    assert peak_memory() - before < 100_000_000


def peak_memory():
    resource = pytest.importorskip("resource", reason="not on Windows")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_tiff_that_states_its_width_twice_is_refused():
    data = bytearray(encoded("tiff", sample()))
    start = int.from_bytes(data[4:8], "little") + 2
    data[start + 12 : start + 24] = data[start : start + 12]  # ImageLength becomes a second ImageWidth
    with pytest.raises(ImageError, match="header"):
        decode_image(bytes(data))


def test_the_memory_allowed_is_exact_and_holds_for_the_file_size_too(tmp_path, monkeypatch):
    data = encoded("png", sample())
    need = read_header(data, "image").need()
    monkeypatch.setenv("AMISS_MEMORY", str(need))
    assert decode_image(data).shape == (20, 28, 3)
    monkeypatch.setenv("AMISS_MEMORY", str(need - 1))
    with pytest.raises(
        ImageError, match=f"28 x 20 pixels, .* takes {need} bytes of memory .* {need - 1} bytes are allowed"
    ):
        decode_image(data)
    path = tmp_path / "large.bmp"
    path.write_bytes(b"BM" + bytes(1600))
    monkeypatch.setenv("AMISS_MEMORY", "1.6KB")
    with pytest.raises(ImageError, match="a file of 1602 bytes takes 1602 bytes of memory"):
        read_image(path)


def test_16_bits_become_8_by_exact_rounding():
    every = np.arange(65536, dtype=np.uint16)
    wanted = np.round(every / 257).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb8(every[None])[0, :, 0], wanted)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=case_name)
def test_to_rgb8_takes_these_arrays(shape, dtype):
    assert to_rgb8(np.ones(shape, dtype)).shape == (4, 5, 3)


@pytest.mark.parametrize("shape", [(4,), (4, 5, 2), (4, 5, 5), (1, 4, 5, 3), (0, 5, 3), (4, 0)])
def test_to_rgb8_refuses_these_shapes(shape):
    with pytest.raises(ImageError, match=r"shape must be .* got"):
        to_rgb8(np.ones(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int64, bool], ids=case_name)
def test_to_rgb8_refuses_these_types(dtype):
    with pytest.raises(ImageError, match="pixels must be uint8 or uint16, got"):
        to_rgb8(np.ones((4, 5), dtype))


@pytest.mark.parametrize("factors", [(2, 2), (4, 2), (3, 5), (8, 8), (1, 4)])
def test_shrinking_by_whole_factors_is_the_mean_of_blocks(factors):
    image = np.random.default_rng(0).integers(0, 256, (24 * factors[0], 20 * factors[1], 3), dtype=np.uint8)
    blocks = image.reshape(24, factors[0], 20, factors[1], 3).mean(axis=(1, 3))
    assert np.abs(resize(image, (24, 20)).astype(float) - blocks).max() <= 0.5 + 1e-3


def test_growing_is_bilinear():
    ramp = np.repeat(np.linspace(0, 240, 7).astype(np.uint8)[None, :, None], 3, axis=2).repeat(5, axis=0)
    grown = resize(ramp, (5, 70))[2, :, 0].astype(float)
    centres = ((np.arange(70) + 0.5) / 10 - 0.5).clip(0, 6)
    assert np.abs(grown - np.interp(centres, np.arange(7), ramp[2, :, 0])).max() <= 1


@pytest.mark.parametrize("size", [(16, 16), (16, 100), (100, 16), (100, 100), (30, 40), (7, 64)])
def test_the_whole_image_stays_visible_at_every_size(size):
    image = np.zeros((30, 40, 3), np.uint8)
    corners = {(0, 0): (250, 0, 0), (0, -1): (0, 250, 0), (-1, 0): (0, 0, 250), (-1, -1): (250, 250, 0)}
    for (row, column), colour in corners.items():
        rows = slice(0, 10) if row == 0 else slice(-10, None)
        image[rows, slice(0, 10) if column == 0 else slice(-10, None)] = colour
    small = resize(image, size)
    assert small.shape == (*size, 3) and small.dtype == np.uint8
    for place, colour in corners.items():
        assert np.abs(small[place].astype(int) - colour).max() <= 5, place


def test_shrinking_one_way_and_growing_the_other_keeps_the_mean():
    image = np.random.default_rng(0).integers(0, 256, (64, 16, 3), dtype=np.uint8)
    assert resize(image, (16, 64)).mean() == pytest.approx(image.mean(), abs=1)


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize(sample(), (20, 28)), sample())
