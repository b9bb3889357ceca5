"""Checks of what a method's author writes around the algorithm: constructor, docstring, card."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from functools import partial

from torch import nn

from amiss.detectors.detector import Detector
from amiss.registry import list_methods
from amiss.testing.expect import random_state, require, require_input_error
from amiss.testing.toy import toy_texture

Make = Callable[[], Detector]
"""Makes a detector that has not learned yet; every call makes an equal one."""

HEADINGS = ("Background model", "Statistic", "Assumes", "Args", "Raises", "Cost", "Example", "References")


def check_constructor_stores(make: Make) -> None:
    """*Construct*: hyper-parameters are declared in the class body, stored under their names, and nothing else is."""
    before = random_state()
    detector = make()
    require(before == random_state(), "the constructor draws random numbers; draw in build or learn")
    wanted, taken = set(detector.declared), set(parameters(type(detector)))
    require(
        taken == wanted,
        f"the constructor takes {sorted(taken)} and {sorted(wanted)} are declared; declare each in the class body, as "
        "in `window: Annotated[int, AtLeast(1)] = 5`, and write no constructor",
    )
    stored = set(vars(detector)) - set(vars(nn.Module()))
    require(stored == wanted, f"the constructor must store exactly {sorted(wanted)}, got {sorted(stored)}")
    made = [*dict(detector.named_children()), *detector.state_dict()]
    require(not made, f"the constructor makes {made}; make modules and buffers in build")
    settings = detector.hyperparameters()
    again = type(detector)(**json.loads(json.dumps(settings))).hyperparameters()
    require(again == settings, f"{settings} come back from JSON as {again}; an artefact must store them")


def check_bad_values(make: Make) -> None:
    """*Construct*: numbers have a range; values outside it or of another type are refused, then and when set later."""
    detector = make()
    settings, images = detector.hyperparameters(), toy_texture(2, seed=0).images
    for name, parameter in detector.declared.items():
        for form in parameter.numbers():
            kind = form.base.__name__
            require(
                bool(form.ranges), f"{name} has no range; declare one, as in `{name}: Annotated[{kind}, AtLeast(1)]`"
            )
        for value in parameter.wrong():
            says = f"{name} = {value!r}"
            require_input_error(partial(type(detector), **{**settings, name: value}), says, f"{name} must be")
        for use in (partial(detector.load_state, {}), partial(detector.fit, images)):
            value = next(parameter.wrong())
            setattr(detector, name, value)
            require_input_error(use, f"{name} = {value!r}, set later,", f"{name} must be")
        setattr(detector, name, settings[name])


def check_docstring(make: Make) -> None:
    """*Words*: the class docstring has every heading, and its Args are exactly the hyper-parameters."""
    method = type(make())
    text = inspect.cleandoc(method.__doc__ or "")
    missing = [heading for heading in HEADINGS if not re.search(rf"^{heading}:$", text, re.MULTILINE)]
    require(not missing, f"the docstring of {method.__name__} lacks the headings {missing}")
    sections = dict(re.findall(r"^([A-Z][a-z ]+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL))
    documented = re.findall(r"^    (\w+):", sections["Args"], re.MULTILINE)
    require(documented == list(parameters(method)), f"Args documents {documented}, not {list(parameters(method))}")
    require(">>>" in sections["Example"], "Example shows no code that runs (>>>)")
    says = re.search(r"^    Differs from the paper: \S", sections["References"], re.MULTILINE)
    require(says is not None, "References needs a line 'Differs from the paper: ...' (or 'in nothing')")


def check_card(make: Make) -> None:
    """*Words*: the card is complete, names the registered method, and its presets name real hyper-parameters."""
    method = type(make())
    card = method.card
    words = {name: getattr(card, name) for name in ("name", "family", "title", "paper", "url", "weights_licence")}
    empty = [name for name, value in words.items() if not value.strip()]
    require(not empty, f"the card leaves {empty} empty")
    require(
        re.fullmatch(r"[a-z][a-z0-9_-]*", card.name) is not None, f"{card.name!r}: lower case letters, digits, _ and -"
    )
    require(card.url.startswith("https://"), f"the card's url {card.url!r} must be an https address")
    require(1930 <= card.year <= 2100, f"the card's year is {card.year}")
    address = f"{method.__module__}:{method.__qualname__}"
    known = list_methods().get(card.name, address)
    require(known == address, f"{card.name!r} is registered as {known}, not {address}")
    missing = {"default", "paper", "tiny"} - set(card.presets)
    require(not missing, f"the card lacks the presets {sorted(missing)}")
    for preset, settings in card.presets.items():
        unknown = set(settings) - set(parameters(method))
        require(not unknown, f"preset {preset!r} names {sorted(unknown)}, which {method.__name__} does not know")


def parameters(method: type[Detector]) -> dict[str, inspect.Parameter]:
    """The constructor's parameters by name, without self."""
    return dict(inspect.signature(method).parameters)
