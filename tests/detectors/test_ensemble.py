"""Ensemble: maps on one scale, averaged; networks shared; refusals."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import silent
from amiss.core.scores import Scores
from amiss.detectors.composed.ensemble import Ensemble
from amiss.detectors.detector import Detector
from amiss.export import export_onnx
from amiss.features import FeatureExtractor
from amiss.fitting import _by_heart
from amiss.registry import create
from amiss.runtime import Graph
from amiss.testing import toy_texture

TINY = Ensemble.card.presets["tiny"]


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    return Ensemble(**TINY).fit(toy_texture(12, seed=0).images, seed=4)


def test_map_equals_the_formula(fitted: Ensemble) -> None:
    """Maps of a drawn hold-out give each member its mean and deviation; then it learns from all images."""
    images, test = toy_texture(12, seed=0).images, toy_texture(3, seed=1, defective=True).images
    rng = np.random.default_rng(4)
    held, learned = fitted._split(12, rng)[::-1]
    assert len(held) == 5 and not set(held) & set(learned) and len(learned) == 7
    wanted = np.zeros((3, 64, 64))
    for member, seed in zip(fitted.detectors, rng.integers(2**63, size=2), strict=True):
        first, last = (learned_alone(member.card.name, part, seed) for part in (images.subset(learned), images))
        normal = first.score(images.subset(held)).map.astype(np.float64)
        wanted += (last.score(test).map - normal.mean()) / normal.std() / 2
    np.testing.assert_allclose(fitted.score(test).map, wanted, atol=1e-3 * np.abs(wanted).max())


def learned_alone(method: str, images: Images, seed: int) -> Detector:
    """A member that stands alone."""
    alone = create(method, "tiny")
    alone.build(pretrained=True)
    alone.learn(images, np.random.default_rng(seed), silent)
    return alone.eval()


def test_members_share_one_network_that_runs_once(fitted: Ensemble) -> None:
    assert sum(isinstance(part, FeatureExtractor) for part in fitted.modules()) == 1
    calls = []
    fitted.networks[0].register_forward_hook(lambda *_: calls.append(1))
    fitted.score(toy_texture(2, seed=1).images)
    assert len(calls) == 1


def test_members_with_other_stages_share_a_network_that_has_them_all() -> None:
    members = [{"method": "knn", "preset": "tiny", "stages": (4,)}, {"method": "knn", "preset": "tiny", "stages": (8,)}]
    detector = Ensemble(members=members).fit(toy_texture(8, seed=0).images)
    (network,) = detector.networks
    assert network.strides == (4, 8)
    assert [member.features.strides for member in detector.detectors] == [(4,), (8,)]
    graph = Graph(export_onnx(detector, (64, 64)))
    test = toy_texture(2, seed=1, defective=True).images
    wanted = detector.score(test).map
    np.testing.assert_allclose(graph.run(np.stack(list(test))).map, wanted, atol=1e-3 * np.abs(wanted).max())


def test_members_may_keep_their_features_on_disk(fitted: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """PaDiM does where its sums are too large for one pass, as with large images; it learns the same."""
    monkeypatch.setattr("amiss.detectors.distribution.padim.SUMS", 1)
    images, test = toy_texture(12, seed=0).images, toy_texture(3, seed=1, defective=True).images
    found = Ensemble(**TINY).fit(images, seed=4).score(test)
    np.testing.assert_allclose(found.map, fitted.score(test).map, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "members must be a non-empty list"),
        ("patchcore", "members must be a non-empty list"),
        ([{"preset": "tiny"}], 'a mapping with a "method"'),
        ([{"method": "mvg", "preset": "tiny"}], "a member of an ensemble must localise, got mvg"),
        ([{"method": "autoencoder_gmm", "bottleneck": True}], "must localise, got autoencoder_gmm"),
        ([{"method": "pathcore"}], "Did you mean 'patchcore'"),
    ],
)
def test_wrong_members_are_refused(members: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Ensemble(members=members).fit(toy_texture(4, seed=0).images)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="at least 3 normal images, got 2"):
        Ensemble(**TINY).fit(toy_texture(2, seed=0).images)


def test_a_member_that_knows_its_images_by_heart_is_left_out_and_not_computed() -> None:
    """At 256 positions, 12 images and 12 dimensions PaDiM's Gaussians fit what they learned from, and nothing else."""
    members = [{"method": "patchcore", "preset": "tiny"}, {"method": "padim", "preset": "tiny", "regularisation": 1e-6}]
    detector = Ensemble(members=members).fit(toy_texture(12, seed=0).images)
    assert detector.kept == (0,)
    assert detector.remarks() == (
        "padim is left out of the ensemble: good images it has not seen score more than 3 times as high as those it "
        "learned from.",
    )
    test = toy_texture(2, seed=1, defective=True).images
    graph = export_onnx(detector, (64, 64))
    np.testing.assert_allclose(
        Graph(graph).run(np.stack(list(test))).map, detector.score(test).map, rtol=1e-3, atol=1e-3
    )
    both = Ensemble(members=members, stretch=1e9).fit(toy_texture(12, seed=0).images)
    assert both.kept == (0, 1) and len(export_onnx(both, (64, 64))) > len(graph)
    again = Ensemble(members=members).load_state(detector.state_dict())
    assert again.kept == (0,)
    np.testing.assert_array_equal(again.score(test).map, detector.score(test).map)


def test_ratios_of_standardised_scores_make_no_note() -> None:
    """What is usual lies near 0 there, and any two numbers near 0 have any ratio."""
    unseen = np.full(8, 0.5, np.float32)
    for least, noted in ((-0.2, False), (0.02, True)):
        maps = np.full((1, 4, 4), 0.1, np.float32)
        maps[0, 0, 0] = least
        found = _by_heart([Scores(np.array([0.1], np.float32), maps)], unseen)
        assert bool(found) == noted
        assert not noted or "5.0 times as high" in found[0]
