"""AMISS_MEMORY: what it may say, and that all threads share it."""

import os
import threading
import time

import numpy as np
import pytest

from amiss.core.decode import read_image
from amiss.core.errors import ImageError, InputError
from amiss.core.memory import DEFAULT, decoding, memory


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("", DEFAULT),
        ("1", 1),
        ("500MB", 500e6),
        ("4GB", 4e9),
        ("4 gb", 4e9),
        ("1.5G", 1.5e9),
        ("20k", 2e4),
        (" 1TB ", 1e12),
    ],
)
def test_sizes_as_people_write_them(said, size, monkeypatch):
    monkeypatch.setenv("AMISS_MEMORY", said)
    assert memory() == size


@pytest.mark.parametrize("said", ["much", "0", "-1GB", "4GiB", "1e9", "4 4", "GB", "1" * 40, "٣GB", "0.1"])
def test_anything_else_is_an_error_that_says_what_it_must_be(said, monkeypatch):
    monkeypatch.setenv("AMISS_MEMORY", said)
    for action in (memory, lambda: read_image("part.png")):
        with pytest.raises(InputError, match="AMISS_MEMORY must be a size such as 500MB or 4GB, got") as caught:
            action()
        assert not isinstance(caught.value, ImageError)


def test_threads_share_what_is_allowed_and_wait_for_one_another(monkeypatch):
    monkeypatch.setenv("AMISS_MEMORY", "100")
    taken, most, lock = [0], [0], threading.Lock()

    def work(need):
        with decoding(need, "image", "it"):
            with lock:
                taken[0] += need
                most[0] = max(most[0], taken[0])
            time.sleep(0.002)
            with lock:
                taken[0] -= need

    workers = [threading.Thread(target=work, args=(need,)) for need in np.random.default_rng(0).integers(1, 101, 60)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=20)
    assert not any(worker.is_alive() for worker in workers)
    assert 50 < most[0] <= 100 and taken[0] == 0


def test_an_error_gives_back_what_was_taken(monkeypatch):
    monkeypatch.setenv("AMISS_MEMORY", "100")
    for _ in range(3):
        with pytest.raises(KeyError), decoding(80, "image", "it"):
            raise KeyError
    with decoding(100, "image", "it"):
        pass
    with pytest.raises(ImageError, match="it takes 101 bytes of memory to decode, and 100 bytes are allowed"):
        decoding(101, "image", "it").__enter__()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not on Windows")
def test_a_pipe_or_device_is_an_error_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(ImageError, match="a pipe, device or socket, not a file"):
            read_image(path)
