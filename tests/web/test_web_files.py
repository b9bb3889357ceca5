"""The page's files: vendored ones are what their makers published, nothing runs inline, all words are in one file."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import amiss

WEB = Path(amiss.__file__).parent / "web"
VENDORED = json.loads((WEB / "vendor" / "vendor.json").read_text(encoding="utf-8"))
OURS = sorted(path for path in WEB.glob("*.js"))
SPOKEN = {"alt", "title", "placeholder", "aria-label"}
LETTERS = re.compile(r"[^\W\d_]{2,}")


@pytest.mark.parametrize("row", VENDORED, ids=lambda row: row["file"])
def test_vendored_as_published(row: dict[str, object]) -> None:
    text = (WEB / "vendor" / str(row["file"])).read_bytes()
    for ours, theirs in dict(row.get("changed", {})).items():  # type: ignore[call-overload]
        assert text.count(ours.encode()) == 1
        text = text.replace(ours.encode(), theirs.encode())
    assert hashlib.sha256(text).hexdigest() == row["sha256"]


def test_every_vendored_file_is_listed_and_has_a_licence() -> None:
    there = {path.relative_to(WEB / "vendor").as_posix() for path in (WEB / "vendor").rglob("*") if path.is_file()}
    assert there == {row["file"] for row in VENDORED} | {"vendor.json"}
    for package in {row["package"] for row in VENDORED}:
        assert "opyright" in (WEB / "vendor" / "licences" / f"{package}.txt").read_text(encoding="utf-8")


class _Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy would refuse, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.addresses: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.refused += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.refused.append(f"{self._open}: {data.strip()[:40]}")


def inline(page: str) -> _Inline:
    found = _Inline()
    found.feed(page)
    return found


def test_nothing_inline_and_nothing_from_elsewhere() -> None:
    found = inline((WEB / "index.html").read_text(encoding="utf-8"))
    assert not found.refused
    assert found.addresses
    for address in found.addresses:
        assert (WEB / address.removeprefix("web/")).is_file(), address
    for path in [*OURS, *WEB.glob("*.css"), WEB / "icon.svg"]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|\beval\(|new Function|@import|\burl\(", text), path.name


def test_inline_is_found() -> None:
    assert inline("<p onclick='x'>").refused and inline("<script>x</script>").refused and inline("<p style=''>").refused


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_imports_are_files(path: Path) -> None:
    for name in re.findall(r'(?:from|import) "([^"]+)"', path.read_text(encoding="utf-8")):
        assert (WEB / name).is_file(), name
    if path.name != "words.js":  # every word in one file, for whoever translates them
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


MARK = re.compile(r"""html`|`|\$\{|[{}]|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|//[^\n]*|/\*.*?\*/|\\.|.""", re.DOTALL)


def templates(source: str) -> list[str]:
    """What stands in html`...` of a file, with a hole where code is."""
    found: list[str] = []
    state: list[str] = []  # from outside in: "html" and "text" are templates, "hole" and "block" are code
    texts: list[str] = []  # of the templates that are open
    position = 0
    while position < len(source):
        mark = MARK.match(source, position)
        assert mark is not None
        token, inside = mark.group(), bool(state) and state[-1] in ("html", "text")
        if inside and token not in ("`", "${", "html`") and not token.startswith("\\"):
            texts[-1] += source[position]
            position += 1
            continue
        position = mark.end()
        if inside and token == "`":
            text = texts.pop()
            found += [text] if state.pop() == "html" else []
        elif inside:
            texts[-1] += "\0"
            state += ["hole"] if token == "${" else []
        else:
            _code(token, state, texts)
    return found


def _code(token: str, state: list[str], texts: list[str]) -> None:
    if token in ("html`", "`"):
        state.append("html" if token == "html`" else "text")
        texts.append("")
    elif token == "{":
        state.append("block")
    elif token == "}" and state:
        state.pop()


def words(template: str) -> list[str]:
    """Letters that a person would read there: text between tags, and attributes that are read out."""
    found: list[str] = []

    def attribute(match: re.Match[str]) -> str:
        found.extend(LETTERS.findall(match[2]) if match[1] in SPOKEN else [])
        return ""

    bare = re.sub(r'([\w-]+)="([^"]*)"', attribute, template)
    return found + LETTERS.findall(re.sub(r"<[^<>]*>", " ", bare))


@pytest.mark.parametrize("path", [path for path in OURS if path.name != "words.js"], ids=lambda path: path.name)
def test_every_word_is_in_words_js(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    found = templates(source)
    assert len(found) == source.count("html`")
    assert [word for template in found for word in words(template)] == []


def test_words_in_templates_are_found() -> None:
    source = "x = `no ${a}`; html`<p title=${W.a} class=\"b\">${W.b ? html`<b>Inner</b>` : '`'} outer ${W.c({})}</p>`"
    assert [word for template in templates(source) for word in words(template)] == ["Inner", "outer"]
    assert words('<img alt="A cat" src="cat.png" />') == ["cat"]
