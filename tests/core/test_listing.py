"""Which entries of a folder are images, which are named as ignored, and that none is forgotten."""

import inspect
import os
import socket
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from amiss.core.errors import DataError, ImageError
from amiss.core.images import Images
from amiss.core.listing import Ignored, describe_ignored, is_image_start, list_folder


@pytest.fixture
def png():
    return cv2.imencode(".png", np.zeros((4, 5, 3), np.uint8))[1].tobytes()


def names(folder):
    return [path.relative_to(folder).as_posix() for path in list_folder(folder).images]


def reasons(folder):
    return {one.path.relative_to(folder).as_posix(): one.reason for one in list_folder(folder).ignored}


def test_content_decides_whatever_a_file_is_called(tmp_path, png):
    for name in ("a.dat", "b", "c.JFIF", ".part_1.png", ".part_2.png.Xy7", "d.txt"):
        (tmp_path / name).write_bytes(png)
    (tmp_path / "notes.txt").write_text("BM is not a bitmap, and P5 is a road")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7" + bytes(20))
    assert names(tmp_path) == [".part_1.png", ".part_2.png.Xy7", "a.dat", "b", "c.JFIF", "d.txt"]
    assert reasons(tmp_path) == {"._a.png": "not an image", "notes.txt": "not an image"}


@pytest.mark.parametrize("name", ["x.png", "x.JP2", "x.heic", "x.raw", ".x.jpg"])
def test_what_is_called_an_image_and_is_none_becomes_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"words")
    with pytest.raises(ImageError, match="x"):
        Images(tmp_path)[0]


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", True),
        (b"\0\0\0\x1cftypavif", True),
        (b"\0\0\0\x1cftypisom", False),
        (b"RIFF\0\0\0\0WEBP", True),
        (b"RIFF\0\0\0\0WAVE", False),
        (b"BM" + bytes(12) + b"\x28\0\0\0", True),
        (b"P2 3 3", True),
        (b"P9\n3 3", False),
        (b"Pf\n3 3\n-1", True),
        (bytes(128) + b"DICM", True),
        (b"", False),
    ],
)
def test_the_first_bytes_tell_an_image(head, is_one):
    assert is_image_start(head) is is_one


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm", ".ppm", ".jp2", ".gif", ".exr"])
def test_files_that_opencv_writes_are_recognised(tmp_path, ending):
    image = np.zeros((8, 8, 3), np.float32 if ending == ".exr" else np.uint8)
    image = image[:, :, 0] if ending == ".pgm" else image
    try:
        written = cv2.imwrite(str(tmp_path / f"a{ending}"), image)
    except cv2.error:
        written = False
    if not written:
        pytest.skip(f"this OpenCV writes no {ending}")
    (tmp_path / f"a{ending}").rename(tmp_path / "a.bin")
    assert names(tmp_path) == ["a.bin"]


def test_links_are_followed_and_loops_are_cut(tmp_path, png):
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "z", other):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(png)
    (root / "a_link").symlink_to(root / "z")
    (root / "loop").symlink_to(root)
    (root / "z/up").symlink_to(tmp_path)
    (root / "elsewhere").symlink_to(other)
    (root / "one.png").symlink_to(other / "a.png")
    assert names(root) == ["elsewhere/a.png", "one.png", "z/a.png"]
    assert reasons(root) == {
        "a_link": "a link to a folder that is read already",
        "loop": "a link to a folder that is read already",
        "z/up": "a link back to a folder above",
    }


def test_links_to_nothing_are_errors_unless_they_are_called_something_else(tmp_path, png):
    (tmp_path / "good.png").write_bytes(png)
    for name in ("a.png", "parts", "notes.txt"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    assert names(tmp_path) == ["a.png", "circle.png", "good.png", "parts"]
    assert reasons(tmp_path) == {"notes.txt": "a link to nothing"}


def test_pipes_and_sockets_are_never_opened(tmp_path, png, monkeypatch):
    (tmp_path / "good.png").write_bytes(png)
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.log")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("camera.jpg")
        images = Images(tmp_path)
        assert [Path(name).name for name in images.names] == ["camera.jpg", "good.png", "pipe.png"]
        for index in (0, 2):
            with pytest.raises(ImageError, match="cannot be read"):
                images[index]
    assert reasons(tmp_path)["pipe.log"] == "a pipe, device or socket"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused_at_once(device):
    with pytest.raises(DataError, match="a pipe, device or socket"):
        Images(device)
    with pytest.raises(ImageError, match="cannot be read"):
        Images([device])[0]


def test_a_folder_that_is_called_an_image_is_read_or_is_an_error(tmp_path, png):
    (tmp_path / "full.png").mkdir()
    (tmp_path / "full.png/a.png").write_bytes(png)
    (tmp_path / "empty.png").mkdir()
    assert names(tmp_path) == ["empty.png", "full.png/a.png"]
    with pytest.raises(ImageError, match=r"empty\.png"):
        Images(tmp_path)[0]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, png, monkeypatch):
    (tmp_path / "good.png").write_bytes(png)
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "locked":  # whoever runs this test may be root, whom no permission stops
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tmp_path) == ["good.png", "locked"]
    with pytest.raises(ImageError, match="locked"):
        Images(tmp_path)[1]
    with pytest.raises(DataError, match="cannot be listed"):
        list_folder(tmp_path / "locked")


def test_images_in_hidden_folders_are_named(tmp_path, png):
    for name in (".cache/thumb.png", ".git/HEAD", "a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png if name.endswith("png") else b"ref")
    assert names(tmp_path) == ["a.png"]
    assert reasons(tmp_path) == {".cache/thumb.png": "in a hidden folder", ".git": "a hidden folder without images"}
    assert names(tmp_path / ".cache") == ["thumb.png"]


def test_hidden_folders_name_each_image_once_wherever_links_lead(tmp_path, png, monkeypatch):
    for name in ("a.png", ".store/b.png", ".store/.deep/c.png", ".store/x/d.png", ".store/x/log.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png if name.endswith("png") else b"words")
    (tmp_path / ".loop").symlink_to(tmp_path)
    (tmp_path / ".store/x/.up").symlink_to(tmp_path / ".store")
    (tmp_path / ".store/gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / ".store/pipe.png")
    (tmp_path / ".locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if Path(path).name == ".locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(tmp_path) == ["a.png"]
    inside = [".store/.deep/c.png", ".store/b.png", ".store/gone.png", ".store/pipe.png", ".store/x/d.png"]
    assert reasons(tmp_path) == {
        **dict.fromkeys(inside, "in a hidden folder"),
        ".locked": "a hidden folder that cannot be listed",
        ".loop": "a link to a folder that is read already",
    }
    assert len(list_folder(tmp_path).ignored) == 7
    (tmp_path / "shown").symlink_to(tmp_path / ".store/x")  # a visible way to it makes it part of the images
    assert names(tmp_path) == ["a.png", "shown/d.png"] and ".store/x/d.png" not in reasons(tmp_path)


def test_overlays_of_an_earlier_run_are_not_parts(tmp_path, png):
    for name in ("a.png", "out/overlays/a.png", "out/masks/a.png", "out/thumbnails/a.jpg", "masks/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png)
    assert len(names(tmp_path)) == 5
    (tmp_path / "out/results.jsonl").write_text("")
    assert names(tmp_path) == ["a.png", "masks/b.png"]
    assert reasons(tmp_path)["out/overlays"] == "written by amiss inspect"


def test_a_very_deep_tree_is_read(tmp_path, png):
    here = tmp_path
    for _ in range(300):
        here = here / "d"
        here.mkdir()
    (here / "a.png").write_bytes(png)
    deep = len(inspect.stack(0))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(deep + 100)  # of the 300 that a search by recursion needs
    try:
        found = list_folder(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert len(found.images) == 1


def test_a_flat_listing_leaves_folders_to_the_caller(tmp_path, png):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.png").write_bytes(png)
    (tmp_path / "b.png").write_bytes(png)
    assert [path.name for path in list_folder(tmp_path, deep=False).images] == ["b.png"]


def test_the_sentence_on_what_was_ignored_counts_by_reason(tmp_path):
    some = [Ignored(tmp_path / name, "not an image") for name in ("a", "b")] + [Ignored(tmp_path / "c", "other")]
    assert describe_ignored(some).startswith("Ignored 3: not an image (2, such as ")
    assert describe_ignored([]) == ""
