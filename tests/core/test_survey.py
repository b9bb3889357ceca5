"""Copies, sizes and depth of images: what is found, and what is said."""

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from amiss.core.decode import read_image, to_rgb8
from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.survey import copy_note, depth_notes, distinct, survey


def test_every_image_is_looked_at_as_it_is_whatever_size_is_asked_for(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 6, 3), 9, np.uint8))
    deep = np.full((5, 5, 4), 65535, np.uint16)  # alpha does not count
    deep[:, :, :3] = 700
    cv2.imwrite(str(tmp_path / "b.png"), deep)
    for images in (Images(tmp_path), Images(tmp_path, size=(2, 2))):
        found = survey(images)
        assert found.sizes == ((4, 6), (5, 5)) and found.peaks == (None, 700)
    arrays = survey(Images([np.full((3, 3), 5, np.uint16), np.zeros((3, 3), np.uint8)]))
    assert arrays.peaks == (5, None)
    assert survey(Images([])).sizes == ()


def test_an_image_is_the_same_in_every_file(tmp_path):
    """What is in the file beside the pixels does not count, nor how they are stored; each pixel and the depth do."""
    grey = np.random.default_rng(0).integers(0, 256, (12, 18), np.uint8)
    image = np.dstack([grey, grey.T.reshape(12, 18), 255 - grey])
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "b.png", compress_level=1, pnginfo=_text("taken at noon"))
    Image.fromarray(image).save(tmp_path / "c.bmp")
    Image.fromarray(image).save(tmp_path / "d.tif", compression="tiff_lzw")
    Image.fromarray(image).save(tmp_path / "e.webp", lossless=True)
    Image.fromarray(np.dstack([image, grey])).save(tmp_path / "f.png")  # alpha, which nobody sees
    on_its_side = Image.Exif()
    on_its_side[274] = 6
    Image.fromarray(np.rot90(image)).save(tmp_path / "g.png", exif=on_its_side)
    Image.fromarray(image).save(tmp_path / "h.jpg")
    Image.fromarray(read_image(tmp_path / "h.jpg")).save(tmp_path / "i.png")
    found = survey(Images(tmp_path)).identities
    assert len(set(found[:7])) == 1 and found[7] == found[8] != found[0]
    assert survey(Images([image, np.dstack([image, grey])])).identities == (found[0], found[0])
    assert len(set(survey(Images([grey, np.dstack([grey] * 3), grey.reshape(18, 12)])).identities)) == 2
    deep = grey.astype(np.uint16) * 257
    others = survey(Images([deep, deep + (deep == 0), np.dstack([deep] * 3)])).identities
    assert others[0] == others[2] != others[1] and others[0] != found[0]
    changed = image.copy()
    changed[11, 17, 2] ^= 1
    assert survey(Images([changed])).identities[0] != found[0]


def _text(words):
    info = PngInfo()
    info.add_text("Comment", words)
    return info


def test_a_file_is_decoded_once_whatever_its_depth(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 6), 700, np.uint16))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((4, 6), 70, np.uint8))
    calls, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *words: calls.append(words) or decode(*words))
    assert survey(Images(tmp_path)).peaks == (700, None) and len(calls) == 2


def test_what_cannot_be_read_is_counted_before_anything_is_learned(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    for name in ("b.png", "c.png"):
        (tmp_path / name).write_bytes(b"")
    found = survey(Images(tmp_path))
    assert len(found.errors) == 2 and found.sizes == ((4, 4),) and len(found.identities) == 3
    with pytest.raises(ImageError, match=r"b\.png: the file is empty; 2 of 3 images cannot be used"):
        found.all_usable()


def test_of_copies_the_first_is_kept_with_its_origin():
    images = Images([np.full((2, 2), grey, np.uint8) for grey in (1, 2, 1, 3)])
    identities = survey(images).identities
    found = distinct(images, [Origin(part=name) for name in "abcd"], identities)
    assert [int(image[0, 0, 0]) for image in found.images] == [1, 2, 3] and found.copies == 1
    assert [one.part for one in found.origins] == ["a", "b", "d"]
    assert found.identities == tuple(identities[index] for index in (0, 1, 3))
    with pytest.raises(InputError, match="one origin per image"):
        distinct(images, [Origin()], identities)
    assert copy_note(1).startswith("1 of the images is a copy") and copy_note(2).startswith("2 of the images are")


@pytest.mark.parametrize(("peak", "bits"), [(1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, None), (255, None)])
def test_a_depth_that_cameras_have_is_named(peak, bits):
    notes = list(depth_notes([None, 3, peak]))
    assert notes == [] if bits is None else f"--bits {bits}" in notes[0]


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_values_are_scaled_by_their_depth_exactly(tmp_path, bits):
    most = 2**bits - 1
    values = np.linspace(0, most, 64).astype(np.uint16).reshape(8, 8)
    wanted = np.array([[(2 * 255 * int(v) + most) // (2 * most) for v in row] for row in values])
    cv2.imwrite(str(tmp_path / "a.png"), values)
    for images in (
        Images(tmp_path, bits=bits),
        Images([values], bits=bits).subset([0]),
        Images([values]).with_bits(bits),
    ):
        assert np.array_equal(images[0][:, :, 0], wanted)
        assert np.array_equal(images.resized((8, 8)).original()[0][:, :, 1], wanted)


def test_a_value_beyond_the_depth_is_an_error_and_alpha_and_8_bits_are_none(tmp_path):
    values = np.full((4, 4, 4), 65535, np.uint16)
    values[:, :, :3] = 4095
    assert (to_rgb8(values, bits=12) == 255).all()
    with pytest.raises(ImageError, match=r"the value 4,095 does not fit into 10 bits \(0 to 1,023\)"):
        to_rgb8(values, bits=10)
    assert (to_rgb8(np.full((2, 2), 200, np.uint8), bits=12) == 200).all()
    for bits in (8, 17, 12.0, True, "12"):
        with pytest.raises(InputError, match="bits must be a whole number from 9 to 16"):
            Images([values], bits=bits)
    with pytest.raises(InputError, match="agree in size and bits"):
        Images.join([Images([values]), Images([values], bits=12)])


def test_sizes_and_squeezing_are_told():
    images = Images([np.zeros(size, np.uint8) for size in [(20, 20)] * 3 + [(20, 40)] * 2 + [(21, 20)]])
    sizes, squeezed = survey(images).notes((16, 16))
    assert sizes == "The 6 images have 3 different sizes (height x width): 20 x 20 (3), 20 x 40 (2), 21 x 20 (1)."
    assert squeezed.startswith(
        "2 of 6 images, such as those of 20 x 40 pixels (height x width) are squeezed to 16 x 16;"
    )
    assert survey(images.subset([0, 1])).notes((16, 16)) == ()
    assert survey(images.subset([3])).notes((16, 16))[0].startswith("Images of 20 x 40 pixels")
    assert survey(images.subset([3])).notes(None) == ()
