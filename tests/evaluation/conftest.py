"""One inspector for the files that only need one: learning it takes longer than their tests."""

import pytest

import amiss as library
from amiss.testing import toy_part


@pytest.fixture(scope="session")
def inspector() -> library.Inspector:
    return library.fit(toy_part(40, seed=0).images, preset="tiny", size=64, calibration=0.5)
