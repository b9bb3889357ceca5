"""One store with an event of every kind, that tests read, and copies of it to be spoilt."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from tests.ledger.drafts import fill


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Nobody changes it."""
    return fill(tmp_path_factory.mktemp("kept"))[0]


@pytest.fixture
def store(kept: Store, tmp_path: Path) -> Store:
    """A copy."""
    shutil.copytree(kept.folder, tmp_path / "copy")
    return Store.open(tmp_path / "copy")


@pytest.fixture
def reader() -> Callable[[Store], "contextmanager[Reader]"]:
    @contextmanager
    def reading(store: Store) -> Iterator[Reader]:
        with store.reading() as engine:
            yield Reader(engine, store)

    return reading
