"""Pages for people: one HTML file each, and nothing fetched. They share a look, `page.html.jinja`.

Only the gallery of `amiss inspect` has a script, and images beside it.
"""

from __future__ import annotations

import re
from typing import Any

from amiss.core.words import counted_percent, low_to_high, percent, sure

WIDE = 450
"""Units across a chart from which it does not fit a phone."""


def render(template: str, /, **context: Any) -> bytes:
    """The page of a template beside this file, complete, as bytes. An unknown name in the template is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("amiss.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        counted_percent=counted_percent,
        low_to_high=low_to_high,
        number=number,
        p_value=p_value,
        percent=percent,
        sure=sure,
        zip=zip,
    )
    return _scrollable(environment.get_template(template).render(**context)).encode("utf-8", "replace")


def _scrollable(page: str) -> str:
    """The page with each table, and each chart that is too wide for a phone, in a box of its own.

    What does not fit is moved sideways there, by finger or by the arrow keys, and the page itself stays as it is.
    """
    page = re.sub(r"<table.*?</table>", lambda found: _box("Table", found[0]), page, flags=re.S)

    def chart(found: re.Match[str]) -> str:
        if float(found[1]) <= WIDE:
            return found[0]
        return _box("Chart", found[0], f' style="--units: {float(found[1]):.0f}px"')

    return re.sub(r'<svg viewBox="\S+ \S+ (\S+) \S+"[^>]*role="img".*?</svg>', chart, page, flags=re.S)


def _box(name: str, content: str, style: str = "") -> str:
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{name}"{style}>{content}</div>'


def number(value: float, digits: int = 4) -> str:
    """A number with a fixed number of decimals."""
    return f"{value:.{digits}f}"


def p_value(value: float | None) -> str:
    """A p-value to two significant digits.

    Example:
        >>> p_value(0.0232558), p_value(None)
        ('0.023', 'none')
    """
    return "none" if value is None else f"{value:.2g}"
