"""One small exported detector for all tests of this folder; none of them changes it."""

import pytest

from amiss.export import export_onnx
from amiss.registry import create
from amiss.testing import toy_texture


@pytest.fixture(scope="package")
def detector():
    return create("patchcore", "tiny").fit(toy_texture(16, seed=0).images)


@pytest.fixture(scope="package")
def model(detector):
    return export_onnx(detector, (64, 64))
