"""A page in Chromium: at the width of a desk and of a phone, light and dark, read by axe-core."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS = "AMISS_SCREENSHOTS"
"""Environment variable: a folder in which screenshots of every page are left, for people to look at."""


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser of this machine; skips where it is missing."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, page: Path | str, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """A page, from disk or an address; an error of a script or a refused resource fails the test."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab, errors = context.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    try:
        tab.goto(page.resolve().as_uri() if isinstance(page, Path) else page)
        yield tab
    finally:
        context.close()
    assert not errors, errors


def findings(tab: Any) -> list[str]:
    """What axe-core finds that is serious or critical, one line each, with the first element."""
    source = pytest.importorskip("axe_playwright_python")
    script = (Path(source.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    tab.evaluate(script + "; 0")  # a script element would be refused by the page's own policy
    result = tab.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    bad = [one for one in result["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})" for one in bad]


def overflow(tab: Any) -> int:
    """By how many pixels the page is wider than the window; 0 where only boxes of their own move sideways."""
    return int(tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def narrow_words(tab: Any) -> list[str]:
    """Cells of tables whose words are broken into letters: they have far more lines than words."""
    return list(
        tab.evaluate(
            """() => [...document.querySelectorAll("th, td")].filter(cell => {
              const range = document.createRange();
              range.selectNodeContents(cell.querySelector("details:not([open]) > summary") ?? cell);
              const text = cell.innerText.trim(), box = range.getBoundingClientRect(), style = getComputedStyle(cell);
              if (text.length < 4 || box.width === 0) return false;
              const lines = box.height / parseFloat(style.lineHeight);
              return lines > 2 * text.split(/\\s+/).length + text.length / 6 + 2;
            }).map(cell => cell.innerText)"""
        )
    )


def check_page(browser: Any, page: Path, name: str) -> None:
    """Both widths and schemes: no axe finding, nothing wider than the window, no word in pieces; and a screenshot."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            with opened(browser, page, width, scheme) as tab:
                what = f"{name} at {width} pixels, {scheme}"
                kept = os.environ.get(SCREENSHOTS)
                if kept:
                    Path(kept).mkdir(parents=True, exist_ok=True)
                    tab.screenshot(path=f"{kept}/{name}-{width}-{scheme}.png", full_page=True)
                assert findings(tab) == [], what
                assert overflow(tab) <= 0, f"{what} is {overflow(tab)} pixels too wide"
                assert narrow_words(tab) == [], what
