"""Declarations: what they accept, refuse, say, and read from text."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytest

from amiss.core.errors import InputError
from amiss.core.parameters import Parameter, buffer, declared, describe, read_args, signature
from amiss.core.ranges import Above, Ascending, AtLeast, Between, Count, MultipleOf, NotEmpty, Odd, OneOf, Share, Stages


class Declares:
    """All kinds.

    Args:
        number: How much,
            in pixels.
        stages: Which.
    """

    known: ClassVar[int] = 3
    number: Annotated[float, Above(0)] = 0.5
    whole: Annotated[int, AtLeast(-2)] = 0
    multiple: Annotated[Count, MultipleOf(4)] = 8
    odd: Annotated[Count, Odd] = 3
    left: Annotated[float, Between(0, 1, "left")] = 0
    both: Annotated[float, Between(0, 1, "both")] = 1
    size: Count | Share = 2000
    word: Annotated[str, OneOf("full", "diagonal")] = "full"
    text: str = "any"
    flag: bool = False
    stages: Stages = (8, 16)
    names: Annotated[Sequence[str], NotEmpty] = ("a", "b")
    members: Sequence[Mapping[str, Any]] = ()
    settings: dict[str, Any] = {}  # noqa: RUF012
    tensor: Any = buffer()
    _private: int = 3


FOUND = declared(Declares, {})


def test_only_hyper_parameters_are_found_and_the_placeholder_is_gone() -> None:
    assert list(FOUND) == [name for name in Declares.__annotations__ if name not in ("known", "tensor", "_private")]
    assert not hasattr(Declares, "tensor")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", [1e-9, 3, 1e9]),
        ("whole", [-2, 0, 10**400]),
        ("multiple", [4, 128]),
        ("odd", [1, 9]),
        ("left", [0, 0.0, 0.999]),
        ("both", [0, 1, 0.5]),
        ("size", [1, 20_000, 0.1]),
        ("word", ["full", "diagonal"]),
        ("text", ["", "3"]),
        ("flag", [True, False]),
        ("stages", [(4,), (8, 16, 32)]),
        ("names", [("x",)]),
        ("members", [(), ({"method": "padim"},)]),
        ("settings", [{}, {"stages": [4, 8]}]),
    ],
)
def test_what_is_allowed_is_stored_as_it_is(name: str, values: list) -> None:
    for value in values:
        assert FOUND[name].check(value) == value and type(FOUND[name].check(value)) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("number", 0, "number must be a number above 0, got 0"),
        ("number", math.nan, "number must be a number above 0, got nan"),
        ("whole", True, "whole must be a whole number of at least -2, got True"),
        ("multiple", 6, "multiple must be a whole number of at least 1, divisible by 4, got 6"),
        ("odd", 2, "odd must be an odd whole number of at least 1, got 2"),
        ("left", 1, "left must be a number of at least 0 and below 1, got 1"),
        ("both", 1.5, "both must be a number from 0 to 1, got 1.5"),
        ("size", 1.0, "size must be a whole number of at least 1, or a number above 0 and below 1, got 1.0"),
        ("word", "ful", "word must be one of full, diagonal, got 'ful'. Did you mean 'full'?"),
        ("text", 3, "text must be text, got 3"),
        ("flag", 1, "flag must be true or false, got 1"),
        (
            "stages",
            8,
            "stages must be a non-empty list of whole numbers of at least 1, in ascending order, such as [8, 16], "
            "got 8",
        ),
        ("names", [], 'names must be a non-empty list of texts, such as ["a", "b"], got []'),
        ("members", {"a": 1}, "members must be a list of mappings of names to values, got {'a': 1}"),
        ("settings", {1: 2}, "settings must be a mapping of names to values, got {1: 2}"),
    ],
)
def test_what_is_refused_says_what_must_hold(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        FOUND[name].check(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("parameter", FOUND.values(), ids=list(FOUND))
def test_wrong_values_are_wrong_and_the_default_is_right(parameter: Parameter) -> None:
    assert parameter.check(parameter.default) == parameter.default
    wrong = list(parameter.wrong())
    assert len(wrong) >= 4
    for value in wrong:
        with pytest.raises(InputError, match=f"{parameter.name} must be "):
            parameter.check(value)


def test_lists_become_tuples_and_mappings_dicts() -> None:
    assert FOUND["stages"].check([4, 8]) == (4, 8)
    assert FOUND["members"].check([{"a": [1]}]) == ({"a": [1]},)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("number", "1e-3", 1e-3),
        ("whole", "20", 20),
        ("size", "0.1", 0.1),
        ("text", "123", "123"),
        ("text", '"quoted"', "quoted"),
        ("flag", "True", True),
        ("flag", "maybe", "maybe"),
        ("stages", "8", [8]),
        ("stages", "4,8", [4, 8]),
        ("stages", "[4, 8]", [4, 8]),
        ("names", "a, b", ["a", "b"]),
        ("names", '["a"]', ["a"]),
        ("members", '[{"method": "padim"}]', [{"method": "padim"}]),
        ("settings", '{"stages": [4]}', {"stages": [4]}),
        ("number", "much", "much"),
    ],
)
def test_text_is_read_by_the_declared_type(name: str, text: str, value: object) -> None:
    assert FOUND[name].read(text) == value


def test_the_description() -> None:
    found = describe(FOUND, Declares.__doc__)
    assert found["number"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.5,
        "must_be": "a number above 0",
        "description": "How much, in pixels.",
    }
    assert found["stages"]["items"] == {"type": "integer", "minimum": 1} and found["stages"]["minItems"] == 1
    assert [form["type"] for form in found["size"]["anyOf"]] == ["integer", "number"]
    assert found["text"]["description"] == "" and read_args(None) == {}


def test_a_subclass_adds_to_them_and_may_change_a_default() -> None:
    class More(Declares):
        number = 0.25
        more: Count = 1

    found = declared(More, FOUND)
    assert list(found) == [*FOUND, "more"]
    assert found["number"].default == 0.25 and found["number"].forms == FOUND["number"].forms
    assert FOUND["number"].default == 0.5
    shown = signature(found, None)
    assert shown.parameters["more"].default == 1
    assert {one.kind for one in shown.parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_what_cannot_be_declared_is_refused_when_the_class_is_made() -> None:
    class NoDefault:
        window: int

    class OtherType:
        window: complex = 3

    class Unknown:
        window: "Nowhere" = 3  # type: ignore[name-defined]  # noqa: F821

    for cls, message in (
        (NoDefault, r"window must have a default; .*buffer\(\)"),
        (OtherType, "window: the type must be bool, int, float, str"),
        (Unknown, "'Nowhere' is not defined.*imported at the top"),
    ):
        with pytest.raises(TypeError, match=message):
            declared(cls, {})


def test_a_list_in_ascending_order() -> None:
    assert Ascending.holds((1, 2)) and not Ascending.holds((2, 2)) and Ascending.holds(())
