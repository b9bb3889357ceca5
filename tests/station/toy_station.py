"""A model of toy parts, a station that judges with it, and images in files."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss
from amiss.inspector import Inspector
from amiss.ledger.store import Store
from amiss.station.engine import Station
from amiss.station.jobs import Job
from amiss.testing import toy_part


def png(image: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """An image file, at another (height, width) where that is asked for."""
    image = image if size is None else cv2.resize(image, size[::-1])
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def job(number: int, data: bytes | None = None, **more: object) -> Job:
    """Toy part `number`."""
    data = png(toy_part(1, seed=number).images[0]) if data is None else data
    return Job(**{"name": f"{number}.png", "data": data, "recipe": "toy", "key": f"key {number}", **more})


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "toy.amiss"
    images = toy_part(60, seed=0).images
    amiss.fit(images, method="padim", preset="tiny", size=64, calibration=0.5).save(path)
    return path


@pytest.fixture(scope="session")
def inspector(model: Path) -> Inspector:
    return amiss.load(model)


@pytest.fixture
def station(tmp_path: Path, inspector: Inspector) -> Iterator[Callable[..., Station]]:
    """Enter a station with the model; it ends with the test."""
    with ExitStack() as stack:

        def begin(**options: object) -> Station:
            store = Store.make(tmp_path / "store")
            found = stack.enter_context(Station(store, **{"cores": 1, "deadline": None, "charts": False, **options}))
            found.recipes.deploy("toy", inspector, reason="a test")
            return found

        yield begin


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, inspector: Inspector) -> Iterator[Station]:
    """One station for tests that change nothing for others."""
    store = Store.make(tmp_path_factory.mktemp("shared") / "store")
    with Station(store, cores=2, deadline=None, audit=0, charts=False) as found:
        found.recipes.deploy("toy", inspector, reason="a test")
        yield found


@contextmanager
def stopped(found: Station) -> Iterator[None]:
    """All decoder children stand still, as if their images were too hard for them."""
    pids = [child.pid for child in found.decoders.children]
    [os.kill(pid, signal.SIGSTOP) for pid in pids]
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
