"""One small fitted inspector for all tests of this folder; none of them changes it."""

import pytest

import amiss
from amiss.testing import toy_texture


@pytest.fixture(scope="package")
def inspector():
    return amiss.fit(toy_texture(30, seed=0).images, preset="tiny", size=64)


@pytest.fixture(params=["line.amiss", "line"], ids=["file", "folder"])
def copied(request, inspector, tmp_path):
    """An artefact of its own for each test, as a single file and as a folder."""
    inspector.save(tmp_path / request.param)
    return tmp_path / request.param
