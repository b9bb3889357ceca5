"""`Images`: which images there are, in which order, and what is refused."""

import cv2
import numpy as np
import pytest

from amiss.core.errors import DataError, ImageError, InputError
from amiss.core.images import Images
from amiss.core.pieces import cut_out


def write(path, grey=0, size=(10, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), grey, np.uint8))


def greys(images):
    return [int(image[0, 0, 0]) for image in images]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(["b.png", "a.PNG", "sub/deep/c.bmp", "sub/b.png", "z.tiff"]):
        write(tmp_path / name, 10 * number)
    for name in ("notes.txt", "sub/labels.csv", ".cache/thumbnail.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"words")
    return tmp_path


def test_a_folder_is_searched_recursively_in_the_order_of_the_names(folder):
    images = Images(folder)
    assert images.names == tuple(
        str(folder / name) for name in ["a.PNG", "b.png", "sub/b.png", "sub/deep/c.bmp", "z.tiff"]
    )
    assert images.paths == tuple(map(type(folder), images.names))
    assert len(images) == 5


def test_what_is_not_read_as_an_image_is_named(folder):
    named = {one.path.relative_to(folder).as_posix(): one.reason for one in Images(folder).ignored}
    assert named == {
        "notes.txt": "not an image",
        "sub/labels.csv": "not an image",
        ".cache/thumbnail.png": "in a hidden folder",
    }


def test_the_images_can_be_read_again_and_again(folder):
    images = Images(str(folder))
    assert greys(images) == greys(images) == [10, 0, 30, 20, 40]


def test_images_are_read_when_they_are_asked_for(folder):
    images = Images(folder)
    write(folder / "a.PNG", 99)
    (folder / "z.tiff").unlink()
    assert greys(images.subset([0])) == [99]
    with pytest.raises(ImageError, match=r"z\.tiff: cannot be read"):
        images[4]


def test_a_subset_keeps_the_given_order_and_a_resized_copy_leaves_the_first_alone(folder):
    images = Images(folder)
    chosen = images.subset(np.array([4, 0, 0])).resized((6, 5))
    assert greys(chosen) == [40, 10, 10]
    assert chosen.names == (images.names[4], images.names[0], images.names[0])
    assert chosen[0].shape == (6, 5, 3) and chosen.size == (6, 5)
    assert images[0].shape == (10, 14, 3) and images.size is None


def test_several_sources_are_joined_in_the_order_given(folder):
    first, second = Images(folder), Images([np.full((5, 5), 7, np.uint8)])
    joined = Images.join([second, first])
    assert greys(joined) == [7, *greys(first)] and joined.ignored == first.ignored
    assert len(Images.join([])) == 0
    small = Images.join([first.resized((4, 4)), second.resized((4, 4))])
    assert {image.shape for image in small} == {(4, 4, 3)}
    with pytest.raises(InputError, match="must agree in size"):
        Images.join([first, second.resized((4, 4))])


def test_one_file_and_a_list_of_paths_are_sources_too(folder):
    assert greys(Images(folder / "b.png")) == [0]
    assert greys(Images([folder / "z.tiff", str(folder / "b.png")])) == [40, 0]


def test_batches_hold_all_images_in_order(folder):
    batches = list(Images(folder).batches(2))
    assert [batch.shape for batch in batches] == [(2, 10, 14, 3), (2, 10, 14, 3), (1, 10, 14, 3)]
    assert greys(np.concatenate(batches)) == [10, 0, 30, 20, 40]


def test_images_of_different_sizes_need_a_size_to_be_stacked(folder):
    write(folder / "aa.png", size=(9, 9))
    with pytest.raises(InputError, match=r"different sizes .*use Images\(\.\.\., size="):
        list(Images(folder).batches(4))
    assert next(Images(folder, size=(8, 8)).batches(6)).shape == (6, 8, 8, 3)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16], ids=str)
def test_arrays_of_these_shapes_are_images(shape, dtype):
    images = Images([np.ones(shape, dtype), np.ones((9, 9), np.uint8)])
    assert images[0].shape == (4, 5, 3)
    assert images.names == ("image 0", "image 1") and images.paths == (None, None)


@pytest.mark.parametrize("shape", [(6, 4, 5, 3), (6, 4, 5, 1), (6, 4, 5)])
def test_one_array_may_hold_all_images(shape):
    images = Images(np.ones(shape, np.uint8))
    assert len(images) == 6 and images[5].shape == (4, 5, 3)


@pytest.mark.parametrize("shape", [(), (7,), (40, 50), (40, 50, 3), (40, 50, 4), (40, 50, 1)])
def test_a_single_image_is_not_taken_for_a_list_of_its_rows(shape):
    with pytest.raises(InputError, match=r"must be a list, or one array \(N, H, W, C\)"):
        Images(np.ones(shape, np.uint8))


@pytest.mark.parametrize("source", [None, 5, [3], [None], b"bytes", {"a": 1}.values(), [[1, 2], [3, 4]]], ids=repr)
def test_other_sources_are_refused(source):
    with pytest.raises(InputError, match="must be"):
        Images(source)


@pytest.mark.parametrize("size", [5, (5,), (5, 5, 3), (0, 5), (5, -1), (5.0, 5), "55", None])
def test_a_size_is_two_whole_numbers(size):
    with pytest.raises(InputError, match=r"\(height, width\)"):
        Images([]).resized(size)


def test_an_array_that_is_not_an_image_is_named_when_it_is_read():
    images = Images([np.ones((4, 5), np.uint8), np.ones((4, 5), np.float32)])
    with pytest.raises(ImageError, match="image 1: pixels must be uint8 or uint16, got float32"):
        list(images)


def test_a_missing_and_an_empty_folder_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        Images(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(DataError, match=r"no image inside\. Ignored 1: not an image"):
        Images(tmp_path)


def test_no_images_at_all_are_an_empty_source():
    assert len(Images([])) == 0 and list(Images([]).batches(3)) == []


class Drawer:
    """One of many images in an archive."""

    def __init__(self, number, pixels):
        self.name, self.pixels, self.opened = f"archive#{number}", pixels, 0

    def read(self):
        self.opened += 1
        return self.pixels


def test_an_image_may_come_from_an_archive():
    drawers = [Drawer(number, np.full((4, 5), number, np.uint8)) for number in range(3)]
    images = Images([drawers[2], np.ones((4, 5), np.uint8), drawers[0]], size=(2, 2))
    assert images.names == ("archive#2", "image 1", "archive#0") and images.paths == (None, None, None)
    assert greys(images) == [2, 1, 0] and [drawer.opened for drawer in drawers] == [1, 0, 1]
    assert images.sha256(0) == Images([np.full((4, 5), 2, np.uint8)]).sha256(0) != images.sha256(2)
    assert greys(images.subset([2, 0]).resized((3, 3))) == [0, 2]


def test_an_image_of_an_archive_that_is_none_is_named():
    images = Images([Drawer(7, b"bytes"), Drawer(8, np.ones((4, 5), np.float32))])
    with pytest.raises(ImageError, match=r"archive#7: read\(\) must give a NumPy array, got bytes"):
        images[0]
    with pytest.raises(ImageError, match="archive#8: pixels must be uint8 or uint16, got float32"):
        images[1]


def labelled(words="ab", size=None):
    return Images([np.full((4, 5), number, np.uint8) for number in range(len(words))], size=size, labels=list(words))


def test_images_taken_from_others_keep_their_labels():
    images = labelled("abca")
    assert images.labels == ("a", "b", "c", "a")
    assert images.subset([2, 0, 2]).labels == ("c", "a", "c")
    small = images.resized((2, 2))
    assert small.labels == small.original().labels == images.with_bits(12).labels == images.each_page()[0].labels
    assert cut_out(images, [(2, 0, 0), (1, 1, 1), (2, 2, 2)], 2).labels == ("c", "b", "c")
    assert Images([]).labels == labelled("ab").subset([]).labels == Images([np.ones((4, 5), np.uint8)]).labels == ()


def test_joined_images_have_all_their_labels_or_none():
    bare = Images([np.ones((4, 5), np.uint8)])
    assert Images.join([labelled("ab"), labelled("c"), Images([])]).labels == ("a", "b", "c")
    assert Images.join([bare, bare]).labels == ()
    with pytest.raises(InputError, match="must all have labels, or none, got 2 labels for 3 images"):
        Images.join([labelled("ab"), bare])


def test_every_page_of_a_file_has_the_label_of_the_file(tmp_path):
    write(tmp_path / "a.png")
    pages = [np.full((6, 7, 3), grey, np.uint8) for grey in (1, 2, 3)]
    assert cv2.imwritemulti(str(tmp_path / "b.tiff"), pages)
    images = Images(tmp_path, pages="each", labels=["one", "three"])
    assert images.labels == ("one", "three", "three", "three") and greys(images) == [0, 1, 2, 3]
    assert Images(tmp_path, labels=["one", "three"]).each_page()[0].labels == images.labels


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["a"], "must be one per image, got 1 labels for 2 images"),
        (["a", "b", "c"], "must be one per image, got 3 labels"),
        ("ab", "must be a list of one word per image"),
        (5, "must be a list of one word per image"),
        (["a", 1], "label 1 must be a word, got 1"),
        ([" ", "a"], "label 0 must be a word, got ' '"),
    ],
)
def test_labels_that_are_not_a_word_per_image_are_refused(labels, words):
    with pytest.raises(InputError, match=words):
        Images([np.ones((4, 5), np.uint8)] * 2, labels=labels)
