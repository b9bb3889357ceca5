"""Models and servers that the tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiss import fit
from amiss.testing import toy_part
from tests.server.running import Running, start


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of toy parts with a zone for review."""
    path = tmp_path_factory.mktemp("model") / "toy.amiss"
    images = toy_part(180, seed=0).images
    fit(images, method="padim", preset="tiny", size=64, rule="triage:20%,1%", calibration=0.6).save(path)
    return path


@pytest.fixture(scope="module")
def server(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without persons, on the loopback."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(toy_model, folder)
    running = start(folder)
    yield running
    assert running.stop() == 0
