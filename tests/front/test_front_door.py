"""`import amiss`: a type checker sees what each name is, and no import goes in a circle."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import amiss
from amiss.core.errors import CalibrationError, InputError
from amiss.core.images import Images
from amiss.core.scores import Region
from amiss.core.verdict import Label, Verdict
from amiss.data import Dataset
from amiss.registry import create
from amiss.testing import toy_texture

PACKAGE = Path(amiss.__file__).parent
REVEALED = """
import amiss
reveal_type(amiss.fit)
reveal_type(amiss.load)
reveal_type(amiss.Inspector)
reveal_type(amiss.fit("parts", method="padim").inspect("more"))
{names}
amiss.fit("parts", metod="padim")
amiss.fitt
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of a program that uses Amiss, a line each."""
    pytest.importorskip("mypy")
    program = tmp_path_factory.mktemp("typed") / "program.py"
    names = "\n".join(f"reveal_type(amiss.{name})" for name in amiss.__all__)
    program.write_text(REVEALED.format(names=names))
    command = [sys.executable, "-m", "mypy", str(program)]  # with the settings, and so the cache, of `make check`
    done = subprocess.run(command, cwd=PACKAGE.parents[1], capture_output=True, text=True)
    return [line.partition(": ")[2] for line in done.stdout.splitlines() if "program.py:" in line]


def test_a_type_checker_sees_the_real_signatures(said: list[str]) -> None:
    notes = [line.partition("Revealed type is ")[2] for line in said if "Revealed type" in line]
    fit, load, inspector, verdicts = notes[:4]
    for name in inspect.signature(amiss.fit).parameters:
        assert f"{name}: " in fit or f"{name}=: " in fit or f"{name} =: " in fit or name in fit, name
    assert "Detector" in fit and "-> amiss.inspector.Inspector" in fit and "**" not in fit
    assert "backend" in load and "-> amiss.inspector.Inspector" in load
    assert "amiss.inspector.Inspector" in inspector and "Any" not in inspector.partition("->")[2]
    assert "Generator[amiss.core.verdict.Verdict, None, None]" in verdicts
    assert len(notes) == 4 + len(amiss.__all__)
    assert not [note for note in notes if note.strip('"') == "Any"]


def test_a_type_checker_finds_mistakes(said: list[str]) -> None:
    errors = [line for line in said if line.startswith("error: ")]
    assert any('"metod"' in line for line in errors) and any('"fitt"' in line for line in errors)
    assert len(errors) == 2, errors


def test_names_are_where_the_program_and_the_type_checker_look_for_them() -> None:
    assert amiss.__all__ == sorted(amiss._WHERE)
    tree = ast.parse(Path(amiss.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {name: typed[name] for name in amiss._WHERE} == amiss._WHERE


def module_files() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ["amiss", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(node: ast.AST, modules: dict[str, Path], *, typed: bool) -> Iterator[str]:
    """Modules that are imported anywhere below a node, within functions too, and for type checkers where asked."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not typed:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        if isinstance(child, ast.ImportFrom):
            names = (f"{child.module}.{alias.name}" for alias in child.names)
            yield from (name if name in modules else str(child.module) for name in names)
        yield from imported(child, modules, typed=typed)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, taking away again and again what imports nothing that is left."""
    left = dict(graph)
    while free := [module for module, targets in left.items() if not targets & set(left) - {module}]:
        for module in free:
            del left[module]
    return [[module, *sorted(targets & set(left))] for module, targets in left.items()]


def import_graph() -> dict[str, set[str]]:
    """Of the whole package. What it shows to type checkers at its front door is at the door only."""
    modules = module_files()
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    return {
        name: set(imported(tree, modules, typed=name != "amiss")) & set(modules) - {name}
        for name, tree in trees.items()
    }


def test_no_import_goes_in_a_circle() -> None:
    graph = import_graph()
    assert (
        len(graph) > 200 and "amiss.fitting" in graph["amiss.front"] and "amiss.core.errors" in graph["amiss.registry"]
    )
    assert circles(graph) == []


def test_a_circle_would_be_found() -> None:
    graph = import_graph()
    graph["amiss.inspector"] = graph["amiss.inspector"] | {"amiss.fitting"}
    found = {module for circle in circles(graph) for module in circle}
    assert {"amiss.inspector", "amiss.fitting"} <= found and "amiss.core.errors" not in found


def test_short_representations() -> None:
    images = toy_texture(12, seed=0).images
    resized = amiss.fit(images, preset="tiny", size=(64, 48), rule="fixed:2.5", calibration=0.5)
    assert repr(resized) == "Inspector(ensemble, 64 x 48, fixed, n = 6)"
    tiled = amiss.fit(images, preset="tiny", tile=32, rule="fixed:2.5", calibration=0.5)
    assert repr(tiled) == "Inspector(ensemble, tiles of 32 x 32, fixed, n = 6)"
    assert repr(Dataset("cloth", images, Images([]))) == "Dataset('cloth', normal = 12, test = 0)"
    region = Region((0, 0, 2, 2), 4, 3.5)
    verdict = Verdict(name="a.png", label=Label.ANOMALOUS, score=3.5, p_value=0.0125, regions=(region,))
    assert repr(verdict) == "Verdict('a.png', anomalous, score = 3.5, p = 0.0125, regions = 1)"
    assert repr(Verdict(name="b.png", label=Label.ERROR, reason="cut off")) == "Verdict('b.png', error: cut off)"
    assert all(len(repr(one)) < 120 for one in resized.inspect(images))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "patchcor"}, "Did you mean 'patchcore'"),
        ({"method": create("padim", "tiny"), "preset": "tiny"}, "preset and settings must be left out"),
        ({"method": create("padim", "tiny"), "settings": {}}, "preset and settings must be left out"),
        ({"method": int}, "method must be a name or a subclass of Detector with a card, got <class 'int'>"),
        ({"method": 3}, "method must be a name, or a Detector or its class, got 3"),
        ({"method": "json:JSONDecoder"}, "subclass of Detector"),
        ({"method": "nowhere.at_all:Class"}, "must be a class that can be imported, got 'nowhere.at_all:Class'"),
        ({"method": "json:Nothing"}, "must be a class that can be imported, got 'json:Nothing'"),
        ({"rule": "magic"}, "rule must be one of .* got 'magic'"),
        ({"size": "big"}, "size must be .* got 'big'"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        amiss.fit(toy_texture(4, seed=0).images, **options)


def test_an_option_that_is_not_there_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="metod"):
        amiss.fit(toy_texture(4, seed=0).images, metod="padim")  # type: ignore[call-arg]


def test_where_copies_leave_too_few_images_the_error_says_so() -> None:
    parts = toy_texture(12, seed=0).images
    tiny = {"method": "padim", "preset": "tiny", "size": 64}
    with pytest.raises(
        CalibrationError, match=r"got 0: 9 more are needed. Before that, 10 copies were left out"
    ) as all_of:
        amiss.fit(parts, **tiny, calibrate_on=parts.subset(range(10)))
    assert "at best" not in str(all_of.value)
    with pytest.raises(
        CalibrationError, match=r"got 8: 1 more is needed. 8 support .* Before that, 1 copy was left out"
    ):
        amiss.fit(parts, **tiny, calibrate_on=Images.join([toy_texture(8, seed=1).images, parts.subset([0])]))
