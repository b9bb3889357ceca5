"""`Recipe`: everything a fit was asked for, except the data, as one value that JSON and TOML can hold."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from amiss.core.checks import check_choice, check_count
from amiss.core.decode import check_bits
from amiss.core.errors import InputError
from amiss.core.images import Size
from amiss.core.rule import Rule
from amiss.core.tiling import Tiling, read_input
from amiss.postprocess import MaskFilter, ScoreFilter, create_mask_filter, create_score_filter
from amiss.record import Component, Configured, plain
from amiss.rules import Conformal, create_rule, parse_rule
from amiss.rules.few_shot import NEEDED
from amiss.splitting import Folds, How, read_calibration, read_contamination, read_future

CONFORMAL = Component.of(Conformal())
"""The rule that is used where none is asked for."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a fit was asked for. Equal recipes on equal images give equal inspectors.

    Args:
        method: A name of `amiss.list_methods`, or "module:Class" for a method of your own.
        preset: One of the method's presets.
        settings: Hyper-parameters that differ from the preset.
        size: Every image is resized to (height, width); a number is a square; None for 256, or where there are tiles.
        tile: Instead of being resized, images are cut into square tiles of this side, in pixels.
        overlap: Pixels that neighbouring tiles share; an eighth of a tile when None.
        bits: Bits that the values of 16-bit images really have, such as 12; None for 16.
        rule: Name and config of the decision rule; where it is read from a file, words such as "tail:0.1%" too.
        calibration: Share of images that is held out, in (0, 1); "folds:k"; or "auto".
        future: Where lots are known, whose parts the promise is for, "new-lots" or "these-lots"; None for new lots.
        contamination: Share of the good images, in (0, 0.5), that may be defective: so many of those that would learn,
            the strangest, do not. None where all are good.
        score_filters: Calibrated together with the detector; name and config of each.
        mask_filters: Applied after the rule; name and config of each.
        seed: Random seed.
        device: Where methods that take gradient steps learn: "auto", "cpu", "cuda" or "mps".

    Raises:
        InputError: An entry of another kind, out of range, or unknown.

    Example:
        >>> recipe = Recipe.of({"method": "padim", "settings": {"dimension": 50}, "rule": "certified:1%,0.95"})
        >>> Recipe.of(json.loads(json.dumps(recipe.to_dict()))) == recipe
        True
        >>> print(recipe.to_toml(), end="")
        method = "padim"
        preset = "default"
        calibration = "auto"
        score_filters = []
        mask_filters = []
        seed = 0
        device = "auto"
        settings = { dimension = 50 }
        rule = { name = "certified", config = { alpha = 0.01, confidence = 0.95 } }
    """

    method: str = "ensemble"
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: Size | None = None
    tile: int | None = None
    overlap: int | None = None
    bits: int | None = None
    rule: Component = CONFORMAL
    calibration: float | str = "auto"
    future: str | None = None
    contamination: float | None = None
    score_filters: tuple[Component, ...] = ()
    mask_filters: tuple[Component, ...] = ()
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("method", "preset", "device"):
            _check_text(name, getattr(self, name))
        if not isinstance(self.settings, Mapping):
            raise InputError(f"settings must be a mapping of names to values, got {self.settings!r}")
        self._set(settings={str(name): plain(f"settings {name}", value) for name, value in self.settings.items()})
        self._set(
            size=_read_size(self.size), rule=_read_rule(self.rule), calibration=calibration_words(self.calibration)
        )
        self._set(score_filters=_read_filters("score_filters", self.score_filters, create_score_filter))
        self._set(mask_filters=_read_filters("mask_filters", self.mask_filters, create_mask_filter))
        check_count("seed", self.seed, least=0)
        check_bits(self.bits)
        read_future(self.future)
        self._set(contamination=read_contamination(self.contamination))
        self.make_input()

    def for_parts(self, parts: int) -> Recipe:
        """This recipe; where nothing but defaults say how to learn, and from fewer than 9 parts, that for so few.

        The ensemble brings its members to one scale on images that they have not seen, and needs more of them.
        """
        usual = (self.method, self.preset, dict(self.settings)) == ("ensemble", "default", {})
        return replace(self, method="patchcore", preset="few_shot") if usual and parts < NEEDED else self

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def make_input(self) -> tuple[Size, Tiling | None]:
        """The detector's input, and how images are cut when they are."""
        return read_input(self.size, self.tile, self.overlap)

    def make_rule(self) -> Rule:
        """The rule, not calibrated."""
        return create_rule(self.rule.name, **self.rule.config)

    def make_score_filters(self) -> tuple[ScoreFilter, ...]:
        """The filters before the rule."""
        return tuple(create_score_filter(one.name, **one.config) for one in self.score_filters)

    def make_mask_filters(self) -> tuple[MaskFilter, ...]:
        """The filters after the rule."""
        return tuple(create_mask_filter(one.name, **one.config) for one in self.mask_filters)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, as `to_dict` gives them; what is left out has its default.

        Raises:
            InputError: An unknown key; a near miss is pointed out. Else as of the class.
        """
        for key in values:
            check_choice("recipe key", key, [one.name for one in fields(cls)])
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a TOML file, or a JSON file when the name ends in ``.json``.

        Raises:
            InputError: It cannot be read, or is not a recipe.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
        if not isinstance(values, dict):
            raise InputError(f"{path}: a recipe must be a table of keys and values, got {type(values).__name__}")
        try:
            return cls.of(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        parts = {name: [one.model_dump() for one in getattr(self, name)] for name in ("score_filters", "mask_filters")}
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        size = None if self.size is None else list(self.size)
        return {**values, "settings": dict(self.settings), "size": size, "rule": self.rule.model_dump(), **parts}

    def to_toml(self) -> str:
        """As TOML, for `read`.

        Raises:
            InputError: A hyper-parameter is None, which TOML cannot say and JSON can.
        """
        values = {name: value for name, value in self.to_dict().items() if value is not None}
        for one in (values["rule"], *values["score_filters"], *values["mask_filters"]):
            one["config"] = {name: value for name, value in one["config"].items() if value is not None}  # its default
        tables = {name: values.pop(name) for name in ("settings", "rule")}
        return "".join(f"{name} = {_toml(name, value)}\n" for name, value in {**values, **tables}.items())


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} must be a name, got {value!r}")


def _read_size(size: Any) -> Size | None:
    if size is None:
        return None
    sides = list(size) if isinstance(size, Iterable) and not isinstance(size, str) else [size, size]
    if len(sides) != 2:
        raise InputError(f"size must be pixels such as 256, or height and width such as 256 and 384, got {size!r}")
    height, width = (check_count("size", plain("size", side)) for side in sides)
    return height, width


def _read_rule(rule: Any) -> Component:
    if isinstance(rule, str):
        return Component.of(parse_rule(rule))
    one = _read_component("rule", rule)
    return Component.of(create_rule(one.name, **one.config))


def _read_filters(name: str, values: Any, create: Callable[..., Configured]) -> tuple[Component, ...]:
    if not isinstance(values, (list, tuple)):
        raise InputError(f"{name} must be a list, got {values!r}")
    parts = [_read_component(name, value) for value in values]
    return tuple(Component.of(create(one.name, **one.config)) for one in parts)


def _read_component(name: str, value: Any) -> Component:
    if isinstance(value, Component):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise InputError(
            f"{name} must have a name, as {{'name': 'min_area', 'config': {{'pixels': 20}}}}, got {value!r}"
        )
    for key in value:
        check_choice(f"{name} key", key, ("name", "config"))
    config = value.get("config", {})
    if not isinstance(config, Mapping):
        raise InputError(f"config of {value['name']!r} must be a mapping of names to values, got {config!r}")
    return Component(name=value["name"], config={str(key): entry for key, entry in config.items()})


def calibration_words(how: How) -> float | str:
    """A calibration as JSON holds it.

    Raises:
        InputError: Other words, or a share or number of folds out of range.
    """
    read = read_calibration(how)
    return f"folds:{read.k}" if isinstance(read, Folds) else read


def _toml(name: str, value: Any) -> str:
    if value is None:
        raise InputError(f"{name} must have a value to be written as TOML, which has no null; a recipe in JSON may")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        entries = [f"{_key(key)} = {_toml(f'{name} {key}', entry)}" for key, entry in value.items()]
        return f"{{ {', '.join(entries)} }}" if entries else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(name, entry) for entry in value)}]"
    return repr(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name, name)
