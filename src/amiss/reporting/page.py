"""Pages for people: one HTML file each, with no scripts and nothing fetched. They share a look, `page.html.jinja`."""

from __future__ import annotations

from typing import Any

from amiss.core.words import counted_percent, low_to_high, percent, sure


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
    return environment.get_template(template).render(**context).encode("utf-8", "replace")


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
