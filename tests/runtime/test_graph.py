"""The exported graph scores as the detector does, one image or many, and refuses other arrays."""

import numpy as np
import pytest

from amiss.core.errors import ImageError, InputError
from amiss.core.images import Images
from amiss.core.threads import threads
from amiss.runtime import Graph
from amiss.testing import toy_texture

SIZE = (64, 64)


@pytest.fixture(scope="module")
def graph(model):
    return Graph(model)


@pytest.fixture(scope="module")
def test_images():
    return Images([*toy_texture(5, seed=1).images, *toy_texture(4, seed=2, defective=True).images], size=SIZE)


def pixels(images):
    return np.stack(list(images))


def test_the_graph_scores_as_the_detector_does(graph, detector, test_images):
    wanted, found = detector.score(test_images), graph.score(test_images)
    assert graph.size == SIZE
    np.testing.assert_allclose(found.map, wanted.map, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found.image, wanted.image, atol=1e-4, rtol=1e-4)


def test_an_image_scores_the_same_alone_and_in_a_batch(graph, test_images):
    together = graph.run(pixels(test_images))
    for index, image in enumerate(pixels(test_images)):
        alone = graph.run(image[None])
        np.testing.assert_allclose(alone.map[0], together.map[index], rtol=1e-5, atol=1e-5)


def test_images_of_any_size_are_resized_and_progress_is_reported(graph):
    steps = []
    images = Images([np.zeros((40 + n, 90, 3), np.uint8) for n in range(6)])
    assert graph.score(images, progress=lambda *step: steps.append(step)).map.shape == (6, *SIZE)
    assert steps == [("scoring", done, 6) for done in range(1, 7)]


def test_no_images_have_no_scores_and_a_bad_one_is_named(graph):
    assert len(graph.score(Images([]))) == 0
    with pytest.raises(ImageError, match="image 1"):
        graph.score(Images([np.zeros((64, 64), np.uint8), np.zeros((64, 64))]))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 64, 64, 3), np.float32),
        ((1, 64, 64, 3), np.uint16),
        ((1, 64, 64), np.uint8),
        ((64, 64, 3), np.uint8),
        ((1, 64, 64, 1), np.uint8),
        ((1, 3, 64, 64), np.uint8),
        ((1, 64, 65, 3), np.uint8),
        ((1, 32, 32, 3), np.uint8),
        ((0, 64, 64, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_what_is_expected(graph, shape, dtype):
    with pytest.raises(InputError, match=r"must be uint8 \(N, 64, 64, 3\), got"):
        graph.run(np.zeros(shape, dtype))


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("AMISS_THREADS", "3")
    assert threads() == 3
    monkeypatch.delenv("AMISS_THREADS")
    assert threads() >= 1


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " ", "1025", "100000", "9" * 5000])
def test_a_wrong_number_of_threads_is_refused(monkeypatch, model, value):
    monkeypatch.setenv("AMISS_THREADS", value)
    with pytest.raises(InputError, match=r"AMISS_THREADS must be a whole number from 1 to 1024, got"):
        threads()
    with pytest.raises(InputError, match="AMISS_THREADS"):
        Graph(model)
