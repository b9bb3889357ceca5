"""A rule in words, as a command line or a configuration file gives it: ``tail:0.1%``, ``certified:1%,0.95``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from amiss.core.checks import with_point
from amiss.core.errors import InputError
from amiss.core.rule import Rule
from amiss.rules.table import create_rule, find_rule

EXAMPLES = {
    "bootstrap": "bootstrap:5%",
    "certified": "certified:1%,0.95",
    "conformal": "conformal:1%",
    "each_class": "each_class:5%,pool",
    "few_shot": "few_shot",
    "fixed": "fixed:2.5",
    "quantile": "quantile:0.99",
    "sigma": "sigma:3",
    "tail": "tail:0.1%",
    "triage": "triage:5%,0.5%",
}
"""One spelling of each rule."""


def parse_rule(text: str, **options: Any) -> Rule:
    """The rule written as ``name`` or ``name:value,value`` or ``name:word=value``.

    Args:
        text: A rule's name, then its constructor's arguments, in order or by name. A value is a number, a percentage
            such as 5%, or a word such as auto.
        options: More arguments by name, for instance from options of a command line; None = not given.

    Raises:
        InputError: Unknown rule or argument, one missing, or one given twice.

    Example:
        >>> parse_rule("triage:5%,0.5%").config()
        {'accept': 0.05, 'reject': 0.005, 'confidence': None}
        >>> parse_rule("conformal", alpha=0.01).config()
        {'alpha': 0.01}
    """
    try:
        return _parse(text, options)
    except InputError as error:
        if not re.search(r"\d,\d", text):
            raise
        raise InputError(f"{error}. Commas stand between values here, so decimals take a point: 0.5%") from error


def _parse(text: str, options: Mapping[str, Any]) -> Rule:
    name, colon, rest = text.strip().partition(":")
    parameters = inspect.signature(find_rule(name)).parameters
    config: dict[str, Any] = {}
    for position, word in enumerate(rest.split(",") if colon else []):
        key, equals, value = word.rpartition("=")
        if not equals and position >= len(parameters):
            raise InputError(f"{name} takes {_words(parameters)}, such as {_example(name)}, got rule {text!r}")
        key = key.strip() if equals else list(parameters)[position]
        _put(name, config, key, parse_value(value))
    for key, value in options.items():
        if value is not None:
            _put(name, config, key, value)
    for key in config:
        if key not in parameters:
            raise InputError(f"{key} does not belong to the rule {name!r}, which takes {_words(parameters)}")
    missing = [key for key, one in parameters.items() if one.default is one.empty and key not in config]
    if missing:
        option = f", or give --{missing[0]}" if missing[0] in options else ""
        raise InputError(f"the rule {name!r} needs {' and '.join(missing)}: {_example(name)}{option}")
    return create_rule(name, **config)


def parse_value(text: str) -> float | str:
    """A number or a percentage as a number, also with a decimal comma; anything else unchanged.

    Example:
        >>> parse_value("5%"), parse_value("2.5"), parse_value("2000"), parse_value("auto"), parse_value("0,5%")
        (0.05, 2.5, 2000, 'auto', 0.005)
    """
    given, text = text, with_point(text.strip())
    try:
        if text.endswith("%"):
            return float(f"{text[:-1].strip()}e-2")  # 0.07, where a division would give 0.07000000000000001
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return given.strip()


def _put(name: str, config: dict[str, Any], key: str, value: Any) -> None:
    if key in config:
        raise InputError(f"{key} of the rule {name!r} is given twice; give it once, such as {_example(name)}")
    config[key] = value


def _words(parameters: Mapping[str, inspect.Parameter]) -> str:
    return ", ".join(parameters) or "no arguments"


def _example(name: str) -> str:
    return EXAMPLES.get(name, f"{name}:VALUE")
