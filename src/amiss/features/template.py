"""The graph of what a method makes of features, kept as a template: torch traces a kind once, its state comes anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

import amiss
from amiss.core.errors import InputError
from amiss.features.fill import fill
from amiss.features.to_onnx import check_fits, to_onnx
from amiss.storage import cache_folder, read_entry, write_entry

KEPT = 64
"""Templates in the cache folder, some tens of kilobytes each; of more the oldest go. A method whose state has another
shape each time, such as as many support vectors as it takes, makes one with every fit."""

TRACED_BY = ("torch", "onnx", "onnxscript")
"""Packages that have a say in a template; another version of one makes another."""

BATCH_NORM = "BatchNormalization"

Example = list[Tensor]


def to_onnx_by_template(
    module: nn.Module, example: Example, entries: Sequence[str], results: Sequence[str], *, of: nn.Module
) -> bytes:
    """The graph of a module as `to_onnx` makes it, in a tenth of the time where its kind was traced before.

    For a template the module's parameters and buffers are inputs, so nothing that was learned can get into it. What
    normalises batches is better traced with them, since the exporter then makes one layer of two; it is traced whole
    each time, and so is what torch cannot trace without its values. A template is kept in the user's cache folder with
    its SHA-256. Its name holds all else that decides the graph: the code of Amiss, the versions of the exporter, every
    module's class and attributes, and shapes.

    Args:
        module: In evaluation mode; takes a list of tensors, and may be traced with others of the same shapes.
        example: What it takes, for 2 images.
        entries: Names of the inputs.
        results: Names of the outputs.
        of: The part of the module that has all its state and attributes; modules of classes that come neither from
            Amiss nor from torch may change without notice, and are traced whole.

    Raises:
        InputError: torch cannot export the module, or it is too large for one ONNX file.
        MissingExtraError: The exporter is not installed.
    """
    check_fits(module)
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    name = _name(of, [*example, *state.values()], [*entries, *state, *results])
    if name is None:
        return to_onnx(module, example, entries, results)
    template = _read(name)
    if template is None:
        template = _trace(module, example, entries, results, state)
        _keep(template, name)
    if not template:
        return to_onnx(module, example, entries, results)
    return fill(template, {_entry(one): tensor.detach().numpy() for one, tensor in state.items()})


def _trace(
    module: nn.Module, example: Example, entries: Sequence[str], results: Sequence[str], state: Mapping[str, Tensor]
) -> bytes:
    """The template; nothing where the module cannot be traced without its values."""
    values = [tensor.detach() for tensor in state.values()]
    names = [*entries, *map(_entry, state)]
    with suppress(InputError, RuntimeError, torch.onnx.errors.OnnxExporterError):
        apart = _StateApart(module, list(state)).eval()
        template = to_onnx(apart, [*example, *values], names, results, fixed=len(values))
        return b"" if BATCH_NORM.encode() in template else template
    return b""


class _StateApart(nn.Module):
    """A module whose state comes after what it takes.

    Args:
        module: Takes one list of tensors.
        names: Those of its parameters and buffers.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self._module, self._names = (module,), names  # in a tuple: not a submodule, which would have state

    def forward(self, given: list[Tensor]) -> Any:
        count = len(given) - len(self._names)
        return functional_call(
            self._module[0], dict(zip(self._names, given[count:], strict=True)), (list(given[:count]),)
        )


def _entry(name: str) -> str:
    """Name of the input for a part of the state."""
    return f"state/{name}"


def _name(module: nn.Module, tensors: Sequence[Tensor], names: Sequence[str]) -> str | None:
    """All that decides a template; None where that cannot be told."""
    try:
        parts = [f"{name}: {_class(part)} {_told(_attributes(part))}" for name, part in module.named_modules()]
    except TypeError:
        return None
    shapes = [f"{tensor.dtype}{tuple(tensor.shape)}" for tensor in tensors]
    versions = [f"{package} {version(package)}" for package in TRACED_BY]
    return "\n".join([_code(), *versions, *names, *shapes, *parts])


def _class(part: nn.Module) -> str:
    kind = type(part)
    if kind.__module__.partition(".")[0] not in ("amiss", "torch"):
        raise TypeError(f"the code of {kind} is not known")
    return f"{kind.__module__}.{kind.__qualname__}"


def _attributes(part: nn.Module) -> dict[str, Any]:
    """What a module has besides parameters, buffers, parts and what torch keeps in every module."""
    return {name: value for name, value in vars(part).items() if name not in vars(nn.Module())}


def _told(value: Any) -> str:
    """A plain value in words that no other has.

    Raises:
        TypeError: It is not plain.
    """
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
        return repr(value)
    if isinstance(value, Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, Tensor):
        return f"{value.dtype}{tuple(value.shape)}{hashlib.sha256(value.detach().numpy().tobytes()).hexdigest()}"
    if isinstance(value, nn.Module):
        return _class(value)  # told by its own name, or by who owns it
    return f"{type(value).__qualname__}({', '.join(_told(each) for each in _within(value))})"


def _within(value: Any) -> Iterator[Any]:
    """What a plain container holds."""
    if isinstance(value, (list, tuple)):
        yield from value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from pair
    elif is_dataclass(value):
        yield from (getattr(value, field.name) for field in fields(value))
    else:
        raise TypeError(f"{type(value)} is not plain")


@cache
def _code() -> str:
    """SHA-256 of the code of Amiss."""
    digest, root = hashlib.sha256(), Path(amiss.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _read(name: str) -> bytes | None:
    """The template of this name; None where none is kept."""
    with suppress(RuntimeError):  # no home to keep anything
        return read_entry(_file(name), name)
    return None


def _keep(template: bytes, name: str) -> None:
    """Write it into the cache folder where that can be done."""
    with suppress(OSError, RuntimeError):
        file = _file(name)
        write_entry(file, template, name)
        by_age = sorted(file.parent.glob("template-*.onnx"), key=lambda each: each.stat().st_mtime_ns)
        for old in by_age[:-KEPT]:
            old.unlink(missing_ok=True)


def _file(name: str) -> Path:
    return cache_folder() / f"template-{hashlib.sha256(name.encode()).hexdigest()[:16]}.onnx"
