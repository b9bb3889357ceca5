"""Is this checkout fit to be released? Builds it, looks at what was built, and installs it where nothing else is.

    python packaging/check_release.py              writes dist/: wheel, sdist, amiss.cdx.json

1. The sdist is built, and the wheel from the sdist; `twine check --strict` reads both.
2. The wheel holds every file of the package that git knows, and nothing else.
3. In an environment of its own the wheel brings no torch, stays below `LIMIT`, and a model that was learned in this
   environment is verified and inspects images there, with the same scores.
4. What was installed there is listed in a software bill of materials (CycloneDX).

Tools come from the package index, with the versions in constraints.txt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LIMIT = 500.0
"""MB of the line, by file sizes with compiled Python, without pip itself."""

TOOLS = ("build", "cyclonedx-bom", "twine")
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")

LEARN = """
import sys, amiss
from pathlib import Path
from amiss.testing import toy_part, write_images
write_images(Path(sys.argv[1]) / "good", toy_part(40, seed=0).images)
write_images(Path(sys.argv[1]) / "new", toy_part(5, seed=1).images)
amiss.fit(sys.argv[1] + "/good", method="padim", preset="tiny", size=64).save(sys.argv[1] + "/toy.amiss")
"""


class Unfit(Exception):
    """Why this is not to be released."""


def run(*words: object, **settings: object) -> str:
    """Standard output of a command.

    Raises:
        Unfit: It fails.
    """
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **{"cwd": ROOT, **settings})
    if done.returncode:
        raise Unfit(f"{' '.join(map(str, words))} fails:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def environment(folder: Path, *needs: object) -> Path:
    """The Python of a new environment that has these packages and what they need."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", *needs)
    return python


def build(tools: Path) -> Path:
    """The wheel, built from the sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    pinned = os.environ | {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    run(tools, "-m", "build", "--outdir", DIST, ROOT, env=pinned)
    run(tools, "-m", "twine", "check", "--strict", *DIST.iterdir())
    (wheel,) = DIST.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> int:
    """How many files of the package the wheel holds.

    Raises:
        Unfit: One is missing, or there is one that git does not know.
    """
    known = {line.removeprefix("src/") for line in run("git", "ls-files", "src/amiss").splitlines()}
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    if known != inside:
        missing, more = sorted(known - inside), sorted(inside - known)
        raise Unfit(f"the wheel must hold what git knows; missing: {missing[:5]}, not known: {more[:5]}")
    return len(inside)


def installed_mb(python: Path) -> float:
    """MB of an environment, by the sizes of its files."""
    (packages,) = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").splitlines()
    files = [path for path in Path(packages).rglob("*") if path.is_file()]
    ours = [path for path in files if not path.relative_to(packages).parts[0].startswith(NOT_OURS)]
    return sum(path.stat().st_size for path in ours) / 1e6


def check_line(python: Path, folder: Path) -> float:
    """MB of the line, once it has shown that it works alone.

    Raises:
        Unfit: It has torch, is too large, or gives other scores than the environment that learned.
    """
    has_torch = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
    run(python, "-c", has_torch)
    size = installed_mb(python)
    if size >= LIMIT:
        raise Unfit(f"the line must take less than {LIMIT:.0f} MB, got {size:.0f} MB")
    run(sys.executable, "-c", LEARN, folder)
    scores = []
    for each in (Path(sys.executable), python):
        words = ("-m", "amiss.cli", "inspect", folder / "toy.amiss", folder / "new", "--json")
        said = [json.loads(line) for line in run(each, "-P", *words, cwd=folder).splitlines()]
        scores.append([verdict["score"] for verdict in said if "score" in verdict])
    if scores[0] != scores[1] or len(scores[0]) != 5:
        raise Unfit(f"scores must be those of the environment that learned, got {scores}")
    return size


def main() -> None:
    """Print what was found, or why this is not to be released; exit code 1 then."""
    with tempfile.TemporaryDirectory(prefix="amiss-release-") as scratch:
        folder = Path(scratch)
        try:
            wheel = build(environment(folder / "tools", *TOOLS))
            print(f"{wheel.name}: {check_contents(wheel)} files, {wheel.stat().st_size / 1e6:.1f} MB")
            line = environment(folder / "line", wheel)
            version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
            print(f"{version}: the line takes {check_line(line, folder):.0f} MB, inspects, and gives the same scores")
            bill = DIST / "amiss.cdx.json"
            run(folder / "tools" / "bin" / "cyclonedx-py", "environment", line, "--output-file", bill)
            count = len(json.loads(bill.read_text(encoding="utf-8"))["components"])
            print(f"{bill.name}: {count} packages")
        except Unfit as error:
            sys.exit(f"not fit: {error}")


if __name__ == "__main__":
    main()
