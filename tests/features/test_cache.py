"""Features on disk equal features from the network; each image goes through it once."""

import numpy as np
import pytest
import torch

from amiss.features import FeatureExtractor
from amiss.features.cache import VARIABLE, cached_features
from amiss.testing import toy_texture


@pytest.fixture
def images():
    return toy_texture(11, seed=0).images


class Counting:
    def __init__(self, extractor):
        self.extractor, self.seen = extractor, 0

    def __call__(self, batch):
        self.seen += len(batch)
        with torch.no_grad():
            return self.extractor(batch)


@pytest.fixture(scope="module")
def extractor():
    torch.manual_seed(0)
    return FeatureExtractor("tiny-random", strides=(4, 8))


def direct(extractor, images):
    return extractor(torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).float() / 255)


def test_the_same_numbers_in_any_order(extractor, images):
    wanted = direct(extractor, images)
    with cached_features(extractor, "tiny", images) as features:
        assert len(features) == 11
        for indices in ([3], [10, 0, 5], np.array([7, 7])):
            for found, stage in zip(features.batch(indices), wanted, strict=True):
                torch.testing.assert_close(found, stage[torch.as_tensor(np.asarray(indices))])
        together = [torch.cat(stage) for stage in zip(*features.batches(4), strict=True)]
    for found, stage in zip(together, wanted, strict=True):
        torch.testing.assert_close(found, stage)


def test_kept_features_are_not_computed_again_and_damaged_ones_are(extractor, images, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first, again = Counting(extractor), Counting(extractor)
    with cached_features(first, "tiny", images):
        pass
    assert first.seen == 11 + 1  # one more to learn the shapes
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 11
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].write_bytes(b"")
    with cached_features(again, "tiny", images) as features:
        torch.testing.assert_close(features.batch(range(11)), direct(extractor, images))
    assert again.seen == 2 + 1


def test_zeroed_flipped_and_swapped_features_are_made_anew(extractor, images, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with cached_features(extractor, "tiny", images):
        pass
    files = sorted(tmp_path.rglob("*.npy"))
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(whole[0][:200] + bytes(len(whole[0]) - 200))  # numbers of zero, and a header as it was
    files[1].write_bytes(whole[1][:-40] + bytes([whole[1][-40] ^ 1]) + whole[1][-39:])
    files[2].write_bytes(whole[3])
    again = Counting(extractor)
    with cached_features(again, "tiny", images) as features:
        torch.testing.assert_close(features.batch(range(11)), direct(extractor, images))
    assert again.seen == 3 + 1 and [file.read_bytes() for file in files] == whole


def test_another_key_or_size_is_another_entry(extractor, images, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for key, some in (("a", images), ("b", images), ("a", images.resized((32, 32)))):
        with cached_features(extractor, key, some):
            pass
    assert len(list(tmp_path.iterdir())) == 3


def test_nothing_is_left_without_a_folder_and_progress_is_reported(extractor, images, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said = []
    with cached_features(extractor, "tiny", images, lambda *words: said.append(words)) as features:
        assert len(list(tmp_path.rglob("*.npy"))) == len(features)
    assert list(tmp_path.iterdir()) == [] and said[-1] == ("features", 11, 11)
