"""`make check-release` has open eyes: a wheel that lacks a file, or holds one too many, is not to be released."""

import importlib.util
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "packaging" / "check_release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_wheel_holds_what_git_knows(release: ModuleType, tmp_path: Path) -> None:
    known = subprocess.run(
        ["git", "ls-files", "src/amiss"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    names = [name.removeprefix("src/") for name in known]
    for wanted, inside in (
        (None, [*names, "amiss-1.dist-info/METADATA"]),
        ("missing: .*" + names[0], names[1:]),
        ("not known: .*left.py", [*names, "amiss/left.py"]),
    ):
        with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
            for name in inside:
                archive.writestr(name, "")
        if wanted is None:
            assert release.check_contents(tmp_path / "x.whl") == len(names)
        else:
            with pytest.raises(release.Unfit, match=wanted):
                release.check_contents(tmp_path / "x.whl")


def test_a_command_that_fails_is_told_with_what_it_said(release: ModuleType) -> None:
    with pytest.raises(release.Unfit, match=r"fails:\n.*No module named amiss_is_not_there"):
        release.run("python3", "-m", "amiss_is_not_there")
