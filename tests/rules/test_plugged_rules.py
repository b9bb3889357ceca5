"""A rule of another package: named in an entry point, then made, calibrated, saved and loaded as our own are."""

from importlib.metadata import EntryPoint

import pytest

import amiss
from amiss.core.errors import InputError
from amiss.inspector import Inspector
from amiss.rules import RULES, Conformal, create_rule, find_rule, list_rules, parse_rule, table
from amiss.testing import toy_texture


class Mild(Conformal):
    """Conformal under another name."""

    name = "mild"


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point(EntryPoint):
        def load(self):
            return {"Mild": Mild, "int": int}[self.attr]

    points = [
        Point("mild", "elsewhere:Mild", table.ENTRY_POINTS),
        Point("strange", "elsewhere:int", table.ENTRY_POINTS),
        Point("other", "elsewhere:Mild", table.ENTRY_POINTS),
        Point("conformal", "elsewhere:Mild", table.ENTRY_POINTS),
    ]
    monkeypatch.setattr(table, "plugged_in", lambda group: [one for one in points if one.group == group])


def test_it_is_listed_and_cannot_replace_our_own() -> None:
    assert list(list_rules()) == sorted([*RULES, "mild", "other", "strange"])
    assert list_rules()["mild"] == "elsewhere:Mild"
    assert find_rule("mild") is Mild and find_rule("conformal") is Conformal


def test_it_is_made_from_words() -> None:
    assert isinstance(create_rule("mild", alpha=0.1), Mild)
    assert parse_rule("mild:5%").config() == {"alpha": 0.05}
    with pytest.raises(InputError, match="takes alpha, such as mild:VALUE"):
        parse_rule("mild:1,2,3")
    with pytest.raises(InputError, match="Did you mean 'mild'"):
        parse_rule("milld")


@pytest.mark.parametrize("name", ["strange", "other"])
def test_what_is_no_rule_of_that_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"entry point {name} = elsewhere:\w+ must name a Rule whose name is"):
        find_rule(name)


def test_an_inspector_with_it_is_saved_and_loaded(tmp_path) -> None:
    fitted = amiss.fit(toy_texture(20, seed=0).images, method="knn", preset="tiny", size=64, calibration=0.5)
    fitted.with_rule(Mild(0.2)).save(tmp_path / "cloth.amiss")
    assert isinstance(Inspector.load(tmp_path / "cloth.amiss").rule, Mild)
