"""Rules of style that a machine can check, over every file of the package; its size, over every file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import amiss

PACKAGE = Path(amiss.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
REPOSITORY = Path(__file__).parents[2]
BESIDE = sorted(path for name in ("bench", "docs", "examples", "tests") for path in (REPOSITORY / name).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in [*FILES, *BESIDE]}
CLASSES = [node for path in FILES for node in ast.walk(TREES[path]) if isinstance(node, ast.ClassDef)]
Function = ast.FunctionDef | ast.AsyncFunctionDef

per_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


def nodes(path: Path, kind: type | tuple[type, ...]) -> Iterator:
    return (node for node in ast.walk(TREES[path]) if isinstance(node, kind))


def body_lines(function: Function) -> int:
    """Lines of the body without its docstring. The signature is not counted: it is documentation."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", [*FILES, *BESIDE], ids=lambda path: "/".join(path.parts[-3:]))
def test_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, "split the file"
    long = [(f.name, body_lines(f)) for f in nodes(path, Function) if body_lines(f) > 40]
    assert not long, "split these functions"


@per_file
def test_names_and_leftovers(path: Path) -> None:
    assert not {"utils", "util", "helpers", "common", "misc"} & set(path.relative_to(PACKAGE).with_suffix("").parts)
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("TODO", "FIXME", "XXX", "breakpoint(") if word in text]


@per_file
def test_nothing_is_unpickled(path: Path) -> None:
    imported = {alias.name for node in nodes(path, (ast.Import, ast.ImportFrom)) for alias in node.names}
    origins = {node.module for node in nodes(path, ast.ImportFrom)}
    assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve"} & (imported | origins)
    for call in nodes(path, ast.Call):
        keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert keywords.get("allow_pickle", "False") == "False"
        if ast.unparse(call.func) == "torch.load":
            assert keywords.get("weights_only") == "True", "torch.load without weights_only=True runs code"


@per_file
def test_no_check_is_an_assert(path: Path) -> None:
    """`python -O` leaves them out."""
    assert not [node.lineno for node in nodes(path, ast.Assert)], "raise an error, or cast where only a type is meant"


@per_file
def test_documented(path: Path) -> None:
    """Modules, classes, functions and methods that are public. A method may inherit its words."""
    assert not TREES[path].body or ast.get_docstring(TREES[path]), "the module has no docstring"
    lacking = []
    for node in TREES[path].body:
        if isinstance(node, (ast.ClassDef, Function)) and not node.name.startswith("_"):
            lacking += [node.name] * (ast.get_docstring(node) is None)
            if isinstance(node, ast.ClassDef):
                lacking += [f"{node.name}.{name}" for name in undocumented_methods(node)]
    assert not lacking


def undocumented_methods(owner: ast.ClassDef) -> list[str]:
    methods = [item for item in owner.body if isinstance(item, Function) and not item.name.startswith("_")]
    inherited = {item.name for base in bases(owner) for item in base.body if isinstance(item, Function)}
    return [item.name for item in methods if ast.get_docstring(item) is None and item.name not in inherited]


def bases(owner: ast.ClassDef) -> list[ast.ClassDef]:
    """Base classes within the package, by name, all the way up."""
    names = {ast.unparse(base) for base in owner.bases}
    found = [node for node in CLASSES if node.name in names]
    return found + [higher for base in found for higher in bases(base)]


@pytest.mark.parametrize("path", sorted((PACKAGE / "detectors").glob("*/[!_]*.py")), ids=lambda path: path.stem)
def test_method_constructors(path: Path) -> None:
    """Keyword-only, nothing swallowed, nothing but assignments."""
    for owner in (node for node in TREES[path].body if isinstance(node, ast.ClassDef)):
        constructor = next(
            (item for item in owner.body if isinstance(item, Function) and item.name == "__init__"), None
        )
        if constructor is None or "Detector" not in {ast.unparse(base) for base in owner.bases}:
            continue
        assert constructor.args.kwarg is None and constructor.args.vararg is None
        assert len(constructor.args.args) == 1, "hyper-parameters come after *"
        rest = constructor.body[1:]
        assert ast.unparse(constructor.body[0]) == "super().__init__()"
        assert all(isinstance(line, (ast.Assign, ast.AnnAssign)) for line in rest), "a constructor only stores"


@per_file
def test_no_star_imports_and_no_prints(path: Path) -> None:
    assert not [node for node in nodes(path, ast.ImportFrom) if node.names[0].name == "*"]
    if path != PACKAGE / "cli" / "console.py":  # whose `plain` every word for a terminal passes
        writers = {"print", "typer.echo", "typer.secho", "sys.stderr.write"}
        assert not [call for call in nodes(path, ast.Call) if ast.unparse(call.func) in writers]
