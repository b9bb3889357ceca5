"""Who may import whom (contracts in pyproject.toml), and what an import costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import amiss
from amiss.testing import toy_texture

ROOT = Path(__file__).parents[2]
LAB = ("torch", "efficientnet_lite_pytorch", "onnx", "onnxscript")
HEAVY = (*LAB, "numpy", "scipy", "cv2", "onnxruntime", "pydantic", "typer", "jinja2")


def loaded_by(code: str, suspects: tuple[str, ...]) -> list[str]:
    """Which of the suspects a fresh process has loaded after running the code."""
    script = f"import sys\n{code}\nprint([name for name in {suspects!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout.splitlines()[-1])  # a list of our own names


def test_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    lint = pytest.importorskip("importlinter.cli").lint_imports
    failed = lint(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, is_debug_mode=False)
    assert not failed, capsys.readouterr().out


def test_a_bare_import_loads_nothing_heavy() -> None:
    assert loaded_by("import amiss", HEAVY) == []


def test_everything_on_the_line_loads_no_torch() -> None:
    code = """
import amiss, importlib, pkgutil
for name in amiss.__all__:
    getattr(amiss, name)
amiss.list_methods()
for name in ("artefact", "inspector", "evaluation", "reporting", "registry", "cli", "runtime", "data", "testing"):
    package = importlib.import_module(f"amiss.{name}")
    if name != "testing":
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            importlib.import_module(f"amiss.{name}.{module.name}")
amiss.testing.toy_part(1, seed=0), amiss.testing.check_rule
"""
    assert loaded_by(code, LAB) == []


def test_torch_is_loaded_when_a_method_is_asked_for() -> None:
    """The test above would pass on anything if this one did not."""
    assert "torch" in loaded_by("import amiss; amiss.create('padim', 'tiny')", LAB)


def test_inspecting_works_where_torch_is_not_installed(tmp_path: Path) -> None:
    here = amiss.fit(toy_texture(20, seed=0).images, preset="tiny", size=64)
    here.save(tmp_path / "cloth.amiss")
    wanted = [str(verdict.label) for verdict in here.inspect(toy_texture(8, seed=1, defective=True).images)]
    assert {"good", "anomalous"} == set(wanted)
    code = f"""
import sys
for name in {LAB!r}:
    sys.modules[name] = None  # importing it fails
import amiss, amiss.testing
inspector = amiss.Inspector.load({str(tmp_path / "cloth.amiss")!r})
bad = amiss.testing.toy_texture(8, seed=1, defective=True).images
assert [str(verdict.label) for verdict in inspector.inspect(bad)] == {wanted!r}
try:
    amiss.create("padim")
except amiss.AmissError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install 'amiss[fit]'" in done.stdout
