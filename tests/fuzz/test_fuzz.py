"""A small part of `make fuzz`, and the driver against cases that fail in every way it knows."""

import subprocess
import sys

import pytest

from tests.fuzz import driver, files, images

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")


@pytest.mark.slow
def test_the_driver_notices_every_kind_of_failure_and_goes_on(monkeypatch):
    monkeypatch.setattr(driver, "HANG", 2.0)
    found = driver.run("tests.fuzz.faults", seed=0, count=7, memory=20_000_000)
    what = {failure["group"]: str(failure["what"]) for failure in found.failures}
    assert set(what) == {"hang", "print", "raise", "crash", "eat"}
    assert "hung" in what["hang"] and "stderr" in what["print"] and "KeyError" in what["raise"]
    assert "exit -6" in what["crash"] and "memory" in what["eat"]
    assert found.cases == 7 and found.total("same") == 2


def test_broken_images_are_refused_or_decode_to_their_pixels_or_are_a_known_remainder():
    count = 2 * len(images.ENCODERS) * len(images.DAMAGE)
    found = driver.run("tests.fuzz.images", seed=21, count=count)
    assert not found.failures
    assert found.cases == count
    for group, outcomes in found.counts.items():
        encoder, damage = group.split(": ")
        accepted = outcomes["differs"] + outcomes["hidden"]
        assert not accepted or damage != "cut", group
        assert not accepted or not encoder.startswith("png") or "palette" in encoder, group
        assert not accepted or damage not in ("zero tail", "zero blocks", "hole") or not checked(encoder), group
    assert found.total("hidden") <= count // 100


def checked(encoder):
    """Whether the pixels are compressed such that zeros in their place can be told."""
    return encoder.startswith(("png", "jpeg", "tiff lzw", "tiff deflate", "tiff planes deflate", "tiff tiles deflate"))


def test_large_images_keep_the_memory_allowed():
    found = driver.run("tests.fuzz.large", seed=21, count=5, memory=40_000_000)
    assert not found.failures and found.cases == 5


def test_decoding_takes_no_more_memory_than_it_says_before():
    found = driver.run("tests.fuzz.needs", seed=21, count=len(images.ENCODERS))
    assert not found.failures and found.cases == len(images.ENCODERS)


def test_damaged_files_are_refused_or_read():
    """Manifests, archives, results, recipes, signatures and caches; artefacts are in tests/artefact/test_hostile.py."""
    found = driver.run("tests.fuzz.files", seed=21, count=20 * len(files.KINDS))
    assert not found.failures and found.cases == 20 * len(files.KINDS)
    assert found.counts["cache: entry"]["made anew"] >= 19
    assert all(found.counts[group]["refused"] >= 5 for group in files.KINDS if not group.startswith("cache"))


def test_the_command_prints_what_came_of_it():
    command = [sys.executable, "-m", "tests.fuzz", "images", "--count", "3", "--seed", "5"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=driver.ROOT, check=True)
    assert '"cases": 3' in ran.stdout and '"failures": []' in ran.stdout
