"""How ``amiss fit`` is told a recipe: a file, and options that override it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from amiss.cli.console import parse_settings, parse_size
from amiss.cli.rule_options import read_rule

if TYPE_CHECKING:
    from amiss.recipe import Recipe
    from amiss.record import Component

RULE = ("rule", "alpha", "confidence", "threshold")
"""Options that make the rule."""


def read_recipe(context: typer.Context, path: Path | None) -> Recipe:
    """The recipe from the file, or the default one, with the changes that the options make.

    A size takes the place of tiles, and tiles that of a size. Settings are added to those of the file; a region of
    interest and a least area take the place of those of the file.

    Raises:
        InputError: A file that is not a recipe, or an option out of range.
    """
    from amiss.recipe import Recipe
    from amiss.record import Component

    recipe = Recipe() if path is None else Recipe.read(path)
    given = _given(context)
    names = {one.name for one in fields(Recipe)}
    changes = {name: value for name, value in given.items() if name in names}
    if "settings" in changes:
        changes["settings"] = {
            **recipe.settings,
            **parse_settings(changes["settings"], changes.get("method", recipe.method)),
        }
    if "size" in changes:
        changes = {"tile": None, "overlap": None, **changes, "size": parse_size(changes["size"])}
    elif "tile" in changes:
        changes = {"size": None, "overlap": None, **changes}
    if given.keys() & set(RULE):
        rule, alpha, confidence, threshold = (given.get(name) for name in RULE)
        changes["rule"] = Component.of(read_rule(rule, alpha, confidence, threshold, present=recipe.make_rule()))
    if "min_area" in given:
        changes["mask_filters"] = _area(recipe, given["min_area"])
    return replace(recipe, **changes)


def with_region(recipe: Recipe, roi: Path | None, ignore: Path | None, size: tuple[int, int]) -> Recipe:
    """The recipe with the region of interest that the masks describe.

    Args:
        recipe: Its own region of interest is replaced.
        roi: A mask in which what is black is not inspected.
        ignore: A mask in which what is not black is not inspected.
        size: Height and width of the images.
    """
    from amiss.postprocess import RegionOfInterest, read_region
    from amiss.record import Component

    side, tiling = recipe.make_input()
    region = read_region(roi, ignore, size, side if tiling is None else size)
    others = tuple(one for one in recipe.score_filters if one.name != RegionOfInterest.name)
    return recipe if region is None else replace(recipe, score_filters=(*others, Component.of(region)))


def _given(context: typer.Context) -> dict[str, Any]:
    """The options that are on the command line, by name."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name: context.params[name] for name, source in sources.items() if source and source.name != "DEFAULT"}


def _area(recipe: Recipe, pixels: int) -> tuple[Component, ...]:
    from amiss.postprocess import MinArea
    from amiss.record import Component

    others = tuple(one for one in recipe.mask_filters if one.name != MinArea.name)
    return (*others, Component.of(MinArea(pixels))) if pixels > 1 else others
