"""Files that hold several images: refused, or each page read as an image of its own."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from amiss.core.decode import read_image, read_page
from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.core.survey import survey

FRAMES = [np.random.default_rng(seed).integers(0, 256, (12, 17, 3), np.uint8) for seed in range(3)]


def film(kind):
    first, *others = map(Image.fromarray, FRAMES)
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=others, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def tiff(**options):
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for frame in FRAMES:
            writer.write(frame, photometric="rgb", compression="zlib")
    return file.getvalue()


KINDS = {
    "a.tif": lambda: film("TIFF"),
    "b.tif": lambda: tiff(bigtiff=True),
    "c.tif": lambda: tiff(byteorder=">"),
    "d.webp": lambda: film("WEBP"),
    "e.png": lambda: film("PNG"),
}


@pytest.mark.parametrize("name", KINDS)
def test_several_images_in_a_file_are_refused_or_read_one_by_one(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(KINDS[name]())
    with pytest.raises(ImageError, match="holds several images, of which only the first would be seen; save each"):
        Images(tmp_path)[0]
    images = Images(tmp_path, pages="each")
    assert images.names == tuple(f"{path}#{number}" for number in (1, 2, 3)) and images.paths == (None,) * 3
    for image, frame in zip(images, FRAMES, strict=True):
        assert np.array_equal(image, frame)
    split, sources = Images([tmp_path / "missing.png", path]).each_page()
    assert split.names[1:] == images.names and sources.tolist() == [0, 1, 1, 1]
    assert len(set(survey(images).identities)) == 3


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_page_is_an_error_and_others_are_read(tmp_path, name):
    data = bytearray(KINDS[name]())
    damaged = data[: len(data) - len(data) // 4]  # within the last page
    (tmp_path / name).write_bytes(damaged)
    with pytest.raises(ImageError):
        list(Images(tmp_path, pages="each"))


def test_pages_of_16_bits_keep_them(tmp_path):
    pages = [np.full((5, 6), value, np.uint16) for value in (300, 4000)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="minisblack")
    images = Images(tmp_path, pages="each", bits=12)
    assert images.read(1).look().peak == 4000
    assert [int(image[0, 0, 0]) for image in images] == [round(value * 255 / 4095) for value in (300, 4000)]


def test_one_image_and_broken_files_stay_what_they_are(tmp_path):
    Image.fromarray(FRAMES[0]).save(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    images = Images(tmp_path, pages="each")
    assert (
        len(images) == 2
        and np.array_equal(images[0], FRAMES[0])
        and np.array_equal(read_image(images.paths[0]), FRAMES[0])
    )
    with pytest.raises(ImageError, match=r"b\.tif"):
        images[1]
    with pytest.raises(InputError, match="pages must be one of"):
        Images(tmp_path, pages="all")


def test_a_page_that_is_not_there_is_an_error(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(film("TIFF"))
    for number in (0, 4):
        with pytest.raises(ImageError, match=rf"a\.tif#{number}: the file holds 3 images"):
            read_page(path, number)
