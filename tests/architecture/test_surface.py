"""The public surface, frozen: a change of `amiss.__all__` and of this list belong into one commit."""

import inspect

import pytest

import amiss
from amiss.core.errors import AmissError

SURFACE = [
    "AmissError",
    "Card",
    "Certified",
    "Conformal",
    "Decision",
    "Fixed",
    "Images",
    "Inspector",
    "MinArea",
    "Recipe",
    "Rule",
    "Scores",
    "Tail",
    "Triage",
    "Verdict",
    "certify",
    "compare",
    "create",
    "evaluate",
    "fit",
    "list_methods",
    "load",
    "open_dataset",
    "update",
]


def test_the_surface_is_frozen() -> None:
    assert amiss.__all__ == SURFACE
    assert set(dir(amiss)) >= {*SURFACE, "__version__"}


@pytest.mark.parametrize("name", SURFACE)
def test_every_name_resolves_and_is_documented(name: str) -> None:
    found = getattr(amiss, name)
    assert (found.__doc__ or "").strip()
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__module__.startswith("amiss.")


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Detectr'"):
        amiss.Detectr  # noqa: B018


def test_one_tree_of_errors() -> None:
    from amiss.core import errors

    raised = [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, Exception)]
    assert len(raised) > 5
    assert all(issubclass(one, AmissError) for one in raised)


def test_the_testing_package() -> None:
    import amiss.testing

    for name in amiss.testing.__all__:
        assert getattr(amiss.testing, name).__doc__
    with pytest.raises(AttributeError, match="no attribute"):
        amiss.testing.check_nothing  # noqa: B018
