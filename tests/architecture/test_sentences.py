"""Every claim that the product prints is a `Sentence`, and what backs it exists."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import amiss

PACKAGE = Path(amiss.__file__).parent
ROOT = Path(__file__).parents[2]

CLAIM = re.compile(
    r"confidence|on average|\d % interval|at 95 %(?! found)|probability|false alarms? in [{\d]|at most \{|is below \{"
)
"""What makes a claim of some words: six or more of them, with one of these among them."""

QUIET = {"testing"}
"""Rooms that print nothing for users."""


def text_of(node: ast.AST) -> str | None:
    """The words of a literal, a brace for each field."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def claims(node: ast.AST) -> list[tuple[int, str]]:
    """Line and words of every claim that is printed and is not a `Sentence`.

    Docstrings, error messages and the help of options are not searched: they speak of what the program does.
    """
    if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return []
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name == "Sentence" or name.startswith("typer.") or name.endswith("Error"):
            return []
    words = text_of(node)
    if words is not None:
        return [(node.lineno, words)] if len(words.split()) >= 6 and CLAIM.search(words) else []
    return [found for child in ast.iter_child_nodes(node) for found in claims(child)]


def test_the_search_finds_what_it_should() -> None:
    code = '''
"""With 95 % confidence this docstring of six words or more is not a claim."""
A = Sentence("with 95 % confidence at most {x} of parts", "tests/x.py::test")
B = f"with {c} confidence at most {x} of good parts alarm"
raise InputError("with a confidence of at most one, got two or three")
say("five words that claim nothing at all", f"at most {x} of the good parts")
'''
    assert [line for line, _ in claims(ast.parse(code))] == [4, 6]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_claim_is_a_sentence(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] not in QUIET:
        found = claims(ast.parse(path.read_text(encoding="utf-8")))
        assert not found, "make each a Sentence with what backs it, see amiss/core/sentence.py"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.jinja")), ids=lambda path: path.name)
def test_no_page_claims_on_its_own(path: Path) -> None:
    """A page gets its claims from Python, where they are sentences."""
    text = re.sub(r"<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = []
    for piece in re.split(r"<[^>]*>", text):
        words = re.sub(r"\{%.*?%\}", "", piece).strip()
        plain = re.sub(r"\{\{.*?\}\}", "{}", words)
        if len(plain.split()) >= 6 and CLAIM.search(plain):
            found.append(plain)
    assert not found, "pass each as a Sentence from the module that fills the page"


def test_what_backs_them_exists() -> None:
    described = importlib.util.spec_from_file_location("sentences", ROOT / "docs" / "sentences.py")
    listing = importlib.util.module_from_spec(described)
    described.loader.exec_module(listing)
    found = listing.sentences()
    assert len(found) >= 8 and not [name for name, one in found.items() if len(one.template.split()) < 4]
    for name, sentence in found.items():
        path, _, test = sentence.backed_by.partition(" ")[0].partition("::")
        assert path.startswith(("tests/", "bench/")) and (ROOT / path).is_file(), f"{name}: there is no {path}"
        if path.startswith("tests/"):
            code = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert test in {node.name for node in code.body if isinstance(node, ast.FunctionDef)}, f"{name}: no {test}"
        else:
            assert listing.figures(sentence), f"{name}: no figures of {sentence.backed_by}"
