"""One word for one thing, and errors that say what must hold: the worst of what crept in once stays out."""

import re
import tokenize
from io import BytesIO
from pathlib import Path

import pytest

import amiss

PACKAGE = Path(amiss.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted(PACKAGE.rglob("*.jinja"))

WORST = {
    r"picture": "write 'image'",
    r"\barrived\b|\b(is|are) expected\b": "write '... must be ..., got ...'",
    r"(?<![Tt]here )\b(is|are) no images?\b": "write 'not an image'",
    r"\bOf everything that is drawn\b": "write 'Random seed.'",
    r"\b[Hh]angs? on\b": "write 'depends on'",
    r"\b(one|numbers?|bytes|pixels|scores?) an? (image|stage|step|seed)\b": "write 'per'",
}
SPOKEN = {"STRING", "COMMENT", "NAME", "FSTRING_MIDDLE"}
"""Tokens that hold words; from Python 3.12 on an f-string is several of them."""


def found(text: str) -> list[str]:
    return [f"{match.group()!r}: {instead}" for word, instead in WORST.items() for match in re.finditer(word, text)]


def spoken(source: bytes) -> str:
    """Names, comments and the insides of strings, line breaks within them as spaces."""
    tokens = tokenize.tokenize(BytesIO(source).readline)
    return "\n".join(" ".join(t.string.split()) for t in tokens if tokenize.tok_name[t.type] in SPOKEN)


@pytest.mark.parametrize("path", [*FILES, *PAGES], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_words(path: Path) -> None:
    text = spoken(path.read_bytes()) if path.suffix == ".py" else path.read_text(encoding="utf-8")
    assert not found(text)


@pytest.mark.parametrize(
    "source",
    [
        b"x = 'one score a\\\npicture'",
        b'"""Raises\n    an error where a file is\n    no image."""',
        b"# hangs on the share of defects",
        b"raise InputError(f'{size} arrived; a number is expected')",
        b"def f(large_pictures): ...",
        b"option(help='Of everything that is drawn.')",
        b'"""Maps, one a stage."""',
    ],
)
def test_the_worst_is_found(source: bytes) -> None:
    assert found(spoken(source))


def test_plain_words_pass() -> None:
    assert not found(spoken(b"error = f'size must be a number, got {size}'  # one per image; there are no images"))
