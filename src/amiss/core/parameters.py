"""Hyper-parameters, declared once in the body of a class: read from there, checked, described, read from text."""

from __future__ import annotations

import inspect
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from amiss.core.errors import InputError
from amiss.core.plain_json import is_finite, parse_json
from amiss.core.ranges import OneOf, Range

_NOUNS = {
    bool: ("true or false", "truth values", "boolean"),
    int: ("whole number", "whole numbers", "integer"),
    float: ("number", "numbers", "number"),
    str: ("text", "texts", "string"),
    dict: ("mapping of names to values", "mappings of names to values", "object"),
    tuple: ("list", "lists", "array"),
}


class _Buffer:
    """What stands in a class body for a tensor, until the class is made."""


def buffer(*, init: Literal[False] = False) -> Any:
    """Declares a tensor that `build` registers: ``mean: Tensor = buffer()``. It is not a constructor argument."""
    return _Buffer()


@dataclass(frozen=True)
class Form:
    """One form that a value may have; a declaration such as ``int | Sequence[int]`` has several.

    Attributes:
        base: bool, int, float, str, dict (any mapping) or tuple (any list).
        ranges: What else must hold.
        item: Form of a list's elements.
    """

    base: type
    ranges: tuple[Range, ...] = ()
    item: Form | None = None

    def fits(self, value: Any) -> bool:
        """Whether the value has this form."""
        return self._has_type(value) and all(one.holds(value) for one in self.ranges)

    def _has_type(self, value: Any) -> bool:
        if self.item is not None:
            return isinstance(value, (list, tuple)) and all(map(self.item.fits, value))
        if self.base is dict:
            return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        if self.base is float:
            return isinstance(value, (int, float)) and is_finite(value)
        return isinstance(value, self.base) and (self.base is bool or not isinstance(value, bool))

    def kept(self, value: Any) -> Any:
        """The value as it is stored: lists as tuples, mappings as dicts."""
        if self.item is not None:
            return tuple(map(self.item.kept, value))
        return dict(value) if self.base is dict else value

    def words(self, *, plural: bool = False) -> str:
        """What must hold, such as "a number above 0"."""
        if not plural and (choice := next((one for one in self.ranges if isinstance(one, OneOf)), None)):
            return f"one of {', '.join(choice.words)}"
        adjective = "".join(f"{one.adjective} " for one in self.ranges if one.adjective)
        phrase = "".join(one.phrase for one in self.ranges)
        noun = _NOUNS[self.base][1 if plural else 0]
        of = "" if self.item is None else f" of {self.item.words(plural=True)}"
        article = "" if plural or self.base in (bool, str) else "an " if adjective[:1] in tuple("aeiou") else "a "
        return f"{article}{adjective}{noun}{of}{phrase}"

    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        found: dict[str, Any] = {"type": _NOUNS[self.base][2]}
        if self.item is not None:
            found["items"] = self.item.schema()
        for one in self.ranges:
            found |= one.schema()
        return found

    def wrong(self, good: Any) -> Iterator[Any]:
        """Values just outside the ranges, and of other types, given one that has the form."""
        for one in self.ranges:
            yield from one.outside(good)
        yield from {
            bool: (1, 0.5, "yes", None),
            int: (True, 1.5, math.nan, "1", [1], None),
            float: (True, math.nan, math.inf, "1", [1.0], None),
            str: (1, True, ["text"], None),
            dict: (1, "text", ["text"], None),
            tuple: (1, "text", {"8": 16}, None),
        }[self.base]
        if self.item is not None and good:
            yield from ((*good[:-1], bad) for bad in self.item.wrong(good[-1]))


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter as it was declared."""

    name: str
    forms: tuple[Form, ...]
    default: Any

    def check(self, value: Any) -> Any:
        """The value as it is stored; one alone becomes a list where a list is allowed too.

        Raises:
            InputError: Another type, or out of range.

        Example:
            >>> from amiss.core.ranges import Positive
            >>> Parameter("noise", (Form(float, (Positive,)),), 0.25).check(-1)
            Traceback (most recent call last):
                ...
            amiss.core.errors.InputError: noise must be a number above 0, got -1
        """
        for form in self.forms:
            if form.fits(value):
                alone = form.item is None and any(one.item is not None for one in self.forms)
                return (form.kept(value),) if alone else form.kept(value)
        raise InputError(f"{self.name} must be {self.words()}{self._such_as()}, got {value!r}{self._hint(value)}")

    def words(self) -> str:
        """What must hold."""
        return ", or ".join(form.words() for form in self.forms)

    def _such_as(self) -> str:
        """The default as an example of a list."""
        listed = isinstance(self.default, (list, tuple)) and self.default
        return f", such as {json.dumps(self.default)}" if listed else ""

    def _hint(self, value: Any) -> str:
        return "".join(one.hint(value) for form in self.forms for one in form.ranges if isinstance(one, OneOf))

    def schema(self) -> dict[str, Any]:
        """Type, range and default as JSON Schema."""
        forms = [form.schema() for form in self.forms]
        return {**(forms[0] if len(forms) == 1 else {"anyOf": forms}), "default": self.default}

    def wrong(self) -> Iterator[Any]:
        """Values that the declaration forbids: just outside each range, and of other types."""
        for form in self.forms:
            good = self.default if form.item is not None else form.base(1) if form.base in (int, float) else None
            others = [other for other in self.forms if other is not form]
            yield from (value for value in form.wrong(good) if not any(other.fits(value) for other in others))

    def numbers(self) -> list[Form]:
        """Forms of numbers, alone or in a list."""
        forms = [form.item or form for form in self.forms]
        return [form for form in forms if form.base in (int, float)]

    def read(self, text: str) -> Any:
        """A value from text, by the declared type; text that does not fit is returned as it is, for `check`.

        Example:
            >>> Parameter("stages", (Form(tuple, (), Form(int)),), (8, 16)).read("4,8")
            [4, 8]
            >>> Parameter("kernel", (Form(str),), "rbf").read("12")
            '12'
        """
        bases = {form.base for form in self.forms}
        if bases == {str}:
            return text.strip('"') if re.fullmatch('".*"', text) else text
        if bases == {bool}:
            return {"true": True, "false": False}.get(text.strip().lower(), text)
        value = read_text(text)
        items = [form.item.base for form in self.forms if form.item is not None]
        if str in items and isinstance(value, str):
            return [word.strip() for word in value.split(",")]
        return [value] if bases == {tuple} and not isinstance(value, (list, Mapping)) else value


def read_text(text: str) -> Any:
    """JSON where it is JSON, ``4,8`` as a list, else the text itself."""
    for candidate in (text, f"[{text}]" if "," in text else text):
        try:
            return parse_json(candidate)
        except ValueError:
            continue
    return text


def declared(cls: type, inherited: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The hyper-parameters of a class: those of its bases, and what stands in its body with a default.

    A placeholder of `buffer` is taken off the class. Class variables, and names that begin with _, do not count.

    Raises:
        TypeError: A name without a default, or a type that no hyper-parameter can have.
    """
    found = dict(inherited)
    for name in inherited.keys() & vars(cls).keys():  # a new default
        found[name] = replace(found[name], default=vars(cls)[name])
    for name, annotation in _annotations(cls).items():
        if name.startswith("_") or get_origin(annotation) is ClassVar or annotation is ClassVar:
            continue
        if name not in vars(cls):
            raise TypeError(
                f"{cls.__qualname__}.{name} must have a default; a tensor that build registers is declared "
                f"as {name}: Tensor = buffer()"
            )
        if isinstance(vars(cls)[name], _Buffer):
            delattr(cls, name)
            continue
        try:
            found[name] = Parameter(name, tuple(_forms(annotation)), vars(cls)[name])
        except TypeError as error:
            raise TypeError(f"{cls.__qualname__}.{name}: {error}") from error
    return found


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return inspect.get_annotations(cls, eval_str=True)
    except NameError as error:
        raise TypeError(
            f"{cls.__qualname__}: {error}; what types of hyper-parameters name must be imported at the top of the file"
        ) from error


def _forms(annotation: Any, ranges: tuple[Range, ...] = ()) -> Iterator[Form]:
    """The forms that a type allows.

    Raises:
        TypeError: A type of another kind.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _forms(arguments[0], (*ranges, *(mark for mark in arguments[1:] if isinstance(mark, Range))))
    elif origin in (Union, types.UnionType):
        yield from chain.from_iterable(_forms(one, ranges) for one in arguments)
    elif origin in (tuple, list, Sequence) and arguments:
        (item,) = _forms(arguments[0])
        yield Form(tuple, ranges, item)
    elif origin in (dict, Mapping):
        yield Form(dict, ranges)
    elif annotation in (bool, int, float, str):
        yield Form(annotation, ranges)
    else:
        raise TypeError(
            f"the type must be bool, int, float, str, or a list or mapping of these, got {annotation!r}; "
            "a class variable is declared as ClassVar"
        )


def signature(parameters: Mapping[str, Parameter], init: Callable[..., None] | None) -> inspect.Signature:
    """Of the constructor: keyword-only; that of a hand-written one where there is one."""
    if init is not None:
        written = inspect.signature(init)
        return written.replace(parameters=list(written.parameters.values())[1:], return_annotation=written.empty)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [inspect.Parameter(name, keyword, default=one.default) for name, one in parameters.items()]
    )


def describe(parameters: Mapping[str, Parameter], docstring: str | None) -> dict[str, dict[str, Any]]:
    """Each hyper-parameter for people and machines: JSON Schema, ``must_be`` in words, and its line under Args."""
    meanings = read_args(docstring)
    return {
        name: {**one.schema(), "must_be": one.words(), "description": meanings.get(name, "")}
        for name, one in parameters.items()
    }


def read_args(docstring: str | None) -> dict[str, str]:
    """What the Args section of a docstring says about each name.

    Example:
        >>> read_args("A method.\\n\\n    Args:\\n        noise: How much\\n            of it.\\n\\n    Raises:\\n")
        {'noise': 'How much of it.'}
    """
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(docstring or ""), re.MULTILINE | re.DOTALL)
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section[1] if section else "", re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in entries}
