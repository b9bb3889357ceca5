"""Learning on an accelerator, checked on machines that have none.

`far_device` is a second device: torch's operations on the CPU, under another name. Its tensors report the device "far",
and no operation takes one of them together with a tensor of the CPU, just as with a graphics card. What is drawn at
random is the same on both, so whatever learns there must learn the same as on the CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from amiss.core.card import Learning, LearnsFrom
from amiss.core.errors import InputError
from amiss.detectors import detector as base
from amiss.device import choose_device
from amiss.distillation import distil, teachers
from amiss.distillation.patches import LossWeights
from amiss.registry import create, find_method, list_methods
from amiss.synthesis.images import procedural_images
from amiss.testing import toy_classes, toy_part

_setup_privateuseone_for_python_backend("far")

FAR = torch.device("far", 0)
COPIES = ("_to_copy", "copy_")
GRADIENT = [name for name in list_methods() if find_method(name).card.learning is Learning.GRADIENT]


class _Far(torch.Tensor):
    """A tensor that hides one of the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "_Far":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=FAR,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: Any) -> Any:
    name = function._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = any(isinstance(one, _Far) for one in tensors)
    if far and name not in COPIES and any(one.ndim and not isinstance(one, _Far) for one in tensors):
        raise RuntimeError(f"{name}: tensors of two devices")
    wanted = kwargs.get("device")
    if wanted is not None:
        far, kwargs = torch.device(wanted).type == FAR.type, {**kwargs, "device": "cpu"}
    found = function(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if name.endswith("_") and not name.endswith("__"):
        return args[0]
    return tree_map(lambda one: _Far(one) if far and isinstance(one, torch.Tensor) else one, found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, _Far) else value


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def far_device() -> Iterator[torch.device]:
    """Within the block there is a device "far"."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Mode():
            yield FAR
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def test_the_second_device_refuses_what_a_graphics_card_refuses() -> None:
    with far_device() as device:
        far = torch.ones(2, 3).to(device)
        assert (far.device, (far + 1).device, far.cpu().device.type) == (FAR, FAR, "cpu")
        with pytest.raises(RuntimeError, match="two devices"):
            far + torch.ones(2, 3)
        assert torch.equal((2 * far).cpu(), torch.full((2, 3), 2.0))


@pytest.mark.parametrize("method", GRADIENT)
def test_learning_elsewhere_gives_the_same_detector(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = toy_classes if find_method(method).card.learns_from is LearnsFrom.CLASSES else toy_part
    images, test = world(12, seed=0).images, world(3, seed=1, defective=True).images
    few = ("steps", "encoder_steps")  # over many, rounding grows
    settings: dict[str, Any] = {
        name: 3 if method == "anogan" else 6 for name in few if name in find_method(method).declared
    }
    if method == "efficient_ad":
        settings["dropout"] = 0.0  # what is left out of a map is drawn in its order in memory, which a device chooses
    here = create(method, "tiny", **settings).fit(images, seed=1, device="cpu")
    devices = set()

    def note(stage: str, done: int, total: int, text: str = "") -> None:
        if text.startswith("loss"):
            devices.add(there.device)

    there = create(method, "tiny", **settings)
    with far_device() as device:
        monkeypatch.setattr(base, "choose_device", lambda asked: device)
        there.fit(images, seed=1, progress=note)
    assert devices == {FAR}
    assert {tensor.device.type for tensor in there.state_dict().values()} == {"cpu"}
    found, wanted = there.score(test).image, here.score(test).image
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


MEMBERS = [{"method": "stfpm", "preset": "tiny", "steps": 4}, {"method": "padim", "preset": "tiny"}]
WINDOWS = {"window": 32, "stride": 32, "windows": 20}
SMALL = {**find_method("deep_svdd").card.presets["tiny"], "steps": 4, "pretraining_steps": 0}


@pytest.mark.parametrize(
    ("method", "settings"),
    [("ensemble", {"members": MEMBERS}), ("patchwise", {"method": "deep_svdd", "settings": SMALL, **WINDOWS})],
)
def test_what_is_inside_decides_where_it_learns_from_the_first_fit_on(method: str, settings: dict[str, Any]) -> None:
    places = []

    def note(stage: str, done: int, total: int, text: str = "") -> None:
        if text.startswith("loss"):
            places.append(there.device)

    images, test = toy_part(12, seed=0).images, toy_part(3, seed=1, defective=True).images
    here = create(method, **settings).fit(images, seed=1, device="cpu")
    there = create(method, **settings)
    with far_device() as device, pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "choose_device", lambda asked: torch.device("cpu") if asked == "cpu" else device)
        there.fit(images, seed=1, progress=note)
    assert set(places) == {FAR}
    assert {tensor.device.type for tensor in there.state_dict().values()} == {"cpu"}
    found, wanted = there.score(test).image, here.score(test).image
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("architecture", ["pdn-tiny", "students-tiny"])
def test_a_teacher_distilled_elsewhere_is_the_same(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"backbone": "tiny-random", "steps": 4, "size": 64, "weights": LossWeights(metric=1.0)}
    images = procedural_images(4, (64, 64))
    here = distil(architecture, images, **settings, device="cpu")
    with far_device() as device:
        monkeypatch.setattr(teachers, "choose_device", lambda asked: device)
        there = distil(architecture, images, **settings)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-4)
    for one, other in zip(there.network.parameters(), here.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_methods_of_one_pass_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(base, "choose_device", lambda name: asked.append(name) or torch.device("cpu"))
    create("padim", "tiny").fit(toy_part(8, seed=0).images, device="cuda")
    create("stfpm", "tiny", steps=1).fit(toy_part(8, seed=0).images, device="cuda")
    assert asked == ["cpu", "cuda"]


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    for wrong in ("cuda:2", "cuda:", "cpu:0", "tpu", ""):
        with pytest.raises(InputError, match=r"device must be .*auto, cuda, mps, cpu.*, got"):
            choose_device(wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a graphics card")
def test_a_device_that_is_not_there_is_refused_before_anything_is_learned() -> None:
    with pytest.raises(InputError, match=r"device must be .* got 'cuda'"):
        create("stfpm", "tiny").fit(toy_part(8, seed=0).images, device="cuda")
