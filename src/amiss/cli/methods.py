"""``amiss methods``: what can be learned."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from amiss.cli.console import say, say_json


def methods(json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the methods. Their cards need torch; without it only the names are known."""
    from amiss.core.errors import MissingExtraError
    from amiss.registry import find_method, list_methods

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
        abilities = [word for word in ("localises", "exportable") if card[word]]
        say(f"{name:<24} {card['family']:<16} {card['year']}  {card['learning']:<9} {', '.join(abilities)}")
        say(f"{'':<24} {card['paper']}, {card['url']}; presets: {', '.join(card['presets'])}")


def _card(method: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(method.card), "hyperparameters": method().hyperparameters()}
