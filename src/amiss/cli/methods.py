"""``amiss methods``: what can be learned."""

from __future__ import annotations

import json as to_json
from typing import Annotated, Any

import typer

from amiss.cli.common_options import Json
from amiss.cli.console import say, say_json


def methods(
    name: Annotated[
        str | None, typer.Argument(help="Method whose hyper-parameters to list. Default: all methods.")
    ] = None,
    json: Json = False,
) -> None:
    """List the methods, or the hyper-parameters of one. Without torch only their names are shown."""
    from amiss.core.errors import MissingExtraError
    from amiss.registry import find_method, list_methods

    if name is not None:
        _one(find_method(name), json=json)
        return
    try:
        cards: dict[str, Any] = {name: _card(find_method(name)) for name in list_methods()}
    except MissingExtraError as error:
        if json:
            say_json({name: {"address": address} for name, address in list_methods().items()})
            return
        say(*(f"{name:<24} {address}" for name, address in list_methods().items()), f"({error})")
        return
    if json:
        say_json(cards)
        return
    for name, card in cards.items():
        _say_card(name, card)


def _one(method: Any, *, json: bool) -> None:
    """A method with type, range, default and meaning of each hyper-parameter."""
    from amiss.core.parameters import describe

    described = describe(method.declared, method.__doc__)
    if json:
        say_json({**_card(method), "hyperparameters": described})
        return
    _say_card(method.card.name, _card(method))
    for name, one in described.items():
        say(f"  {name} = {to_json.dumps(one['default'])}", f"      {one['must_be']}", f"      {one['description']}")


def _say_card(name: str, card: dict[str, Any]) -> None:
    from amiss.evaluation.benchmark.measured import measured

    abilities = [word for word in ("localises", "exportable") if card[word]]
    abilities += [] if card["learns_from"] == "normal" else [f"learns from {card['learns_from']}"]
    say(f"{name:<24} {card['family']:<16} {card['year']}  {card['learning']:<9} {', '.join(abilities)}")
    say(f"{'':<24} {card['paper']}, {card['url']}; presets: {', '.join(card['presets'])}")
    for preset in card["presets"]:
        if found := measured().get((name, preset)):
            say(f"{'':<24} {preset}: {found.words()}")


def _card(method: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from amiss.evaluation.benchmark.measured import measured

    figures = {one.preset: asdict(one) for one in measured().values() if one.method == method.card.name}
    return {**asdict(method.card), "hyperparameters": method().hyperparameters(), "measured": figures}
