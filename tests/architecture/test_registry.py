"""The registry and the files on disk say the same."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import amiss.detectors
from amiss import registry
from amiss.core.errors import InputError
from amiss.registry import METHODS, create, find_method, list_methods

FOLDER = Path(amiss.detectors.__file__).parent


def test_every_method_file_is_registered_once() -> None:
    files = [path for path in FOLDER.glob("*/*.py") if path.name != "__init__.py"]
    on_disk = sorted(f"amiss.detectors.{path.parent.name}.{path.stem}" for path in files)
    assert sorted(address.partition(":")[0] for address in METHODS.values()) == on_disk
    assert {path.name for path in FOLDER.glob("*.py")} == {
        "__init__.py",
        "by_blocks.py",
        "detector.py",
        "known_classes.py",
        "language.py",
    }


@pytest.mark.parametrize("name", METHODS)
def test_the_card_agrees(name: str) -> None:
    card = find_method(name).card
    assert card.name == name
    assert card.family == METHODS[name].split(".")[2]
    assert METHODS[name].partition(":")[2] == find_method(name).__name__


def test_names_are_sorted() -> None:
    assert list(METHODS) == sorted(METHODS)
    assert list(list_methods()) == sorted(list_methods())


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["patchcor"], {}, r"method must be one of .*, got 'patchcor'\. Did you mean 'patchcore'"),
        (["padim", "papr"], {}, r"preset must be one of .*, got 'papr'\. Did you mean 'paper'"),
        (
            ["padim"],
            {"dimensions": 5},
            r"option of padim must be .* 'dimensions'\. Did you mean 'dimension'",
        ),
        (["padim"], {"stages": 8}, "padim: "),
    ],
)
def test_what_is_unknown_is_refused_with_a_hint(arguments: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(*arguments, **options)


def test_settings_override_the_preset() -> None:
    detector = create("padim", "tiny", dimension=5)
    assert (detector.dimension, detector.backbone) == (5, "tiny-random")


def test_plug_ins_are_found_and_cannot_replace_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("my-padim", "amiss.detectors.distribution.padim:PaDiM", registry.ENTRY_POINTS),
        EntryPoint("padim", "elsewhere:Other", registry.ENTRY_POINTS),
        EntryPoint("broken", "amiss_no_such_module:Method", registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(registry, "plugged_in", lambda group: [one for one in points if one.group == group])
    assert list(list_methods()) == sorted([*METHODS, "broken", "my-padim"])
    assert find_method("my-padim") is find_method("padim")
    assert list_methods()["padim"] == METHODS["padim"]
    with pytest.raises(ModuleNotFoundError, match="amiss_no_such_module"):
        find_method("broken")


def test_a_number_where_a_list_belongs_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"mahalanobis: stages must be a .* list .*, such as \[8, 16, 32\], got 8"):
        create("mahalanobis", stages=8)
