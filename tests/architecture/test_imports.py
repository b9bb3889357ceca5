"""Who may import whom (contracts in pyproject.toml), and what an import costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import amiss
from amiss.testing import toy_texture, write_images

ROOT = Path(__file__).parents[2]
LAB = ("torch", "efficientnet_lite_pytorch", "onnx", "onnxscript")

COMMAND = {"typer", "annotated_doc", "rich", "shellingham", "click", "markdown_it", "mdurl", "pygments"}
"""Typer and what it may bring."""

PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
LINE = {*COMMAND, *PYDANTIC, "numpy", "cv2", "isal", "onnxruntime", "safetensors", "simplejpeg"}
"""What inspecting may load, where nothing but the line is installed."""

LOADED = """
import json, sys
before = {name.partition(".")[0] for name in sys.modules}
CODE
found = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
found -= {*before, *sys.stdlib_module_names, "amiss"}
print(json.dumps(sorted(name for name in found if not name.startswith("_"))))
"""


def loaded_by(code: str) -> set[str]:
    """Top-level modules of others that a fresh process has loaded after running the code."""
    script = LOADED.replace("CODE", code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    """Code that runs the command, and goes on when it was successful."""
    return f"""
import amiss.cli.main
sys.argv = {["amiss", *arguments]!r}
try:
    amiss.cli.main.main()
except SystemExit as stop:
    if stop.code: raise
"""


def test_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    lint = pytest.importorskip("importlinter.cli").lint_imports
    failed = lint(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, is_debug_mode=False)
    assert not failed, capsys.readouterr().out


def test_a_bare_import_loads_nothing() -> None:
    assert loaded_by("import amiss") == set()


def test_help_loads_the_command_line_only() -> None:
    assert loaded_by(command("--help")) <= COMMAND


@pytest.mark.parametrize("verb", ["fit", "bench", "inspect"])
def test_help_of_a_verb_loads_little_more(verb: str) -> None:
    assert loaded_by(command(verb, "--help")) <= COMMAND | PYDANTIC


def test_everything_on_the_line_loads_no_more_than_the_line() -> None:
    code = """
import amiss, importlib, pkgutil
for name in amiss.__all__:
    getattr(amiss, name)
amiss.list_methods()
numbers = ("core", "rules", "metrics", "postprocess", "data", "runtime", "monitoring")
for name in (*numbers, "artefact", "calibration", "registry", "inspector", "evaluation", "reporting", "cli", "testing"):
    package = importlib.import_module(f"amiss.{name}")
    if name != "testing":
        for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
            importlib.import_module(f"amiss.{name}.{module.name}")
amiss.testing.toy_part(1, seed=0), amiss.testing.check_rule
"""
    numpys = {"charset_normalizer"}  # numpy.f2py loads it where something else has brought it
    assert loaded_by(code) <= {*LINE, "scipy", "cython_runtime", "jinja2", "markupsafe"} | numpys


def test_torch_is_loaded_when_a_method_is_asked_for() -> None:
    """The tests above would pass on anything if this one did not."""
    assert {"torch", "numpy"} <= loaded_by("import amiss; amiss.create('padim', 'tiny')")


def test_inspecting_loads_the_line_only_and_works_where_torch_is_not_installed(tmp_path: Path) -> None:
    here = amiss.fit(toy_texture(20, seed=0).images, preset="tiny", size=64)
    here.save(tmp_path / "cloth.amiss")
    write_images(tmp_path / "new", toy_texture(8, seed=1, defective=True).images)
    wanted = [str(verdict.label) for verdict in here.inspect(tmp_path / "new")]
    assert {"good", "anomalous"} == set(wanted)
    inspect = command(
        "inspect", str(tmp_path / "cloth.amiss"), str(tmp_path / "new"), "--output", str(tmp_path / "out")
    )
    create = """
import amiss
try:
    amiss.create("padim")
except amiss.AmissError as error:
    assert "pip install 'amiss[fit]'" in str(error), error
else:
    raise SystemExit("torch is not installed, and nobody has noticed")
"""
    hidden = f"sys.modules.update(dict.fromkeys({LAB!r}))  # importing them fails"
    assert loaded_by("\n".join([hidden, inspect, create])) <= {*LINE, "jinja2", "markupsafe"}  # they write its page
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == wanted
