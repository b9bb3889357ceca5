"""Method name to class, as strings: a method's code is imported when it is asked for, not before."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.core.extras import needs_torch

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector

METHODS = {
    "cflow": "amiss.detectors.distribution.cflow:CFlow",
    "dn2": "amiss.detectors.memory_bank.dn2:DN2",
    "efficient_ad": "amiss.detectors.student_teacher.efficient_ad:EfficientAD",
    "ensemble": "amiss.detectors.composed.ensemble:Ensemble",
    "fastflow": "amiss.detectors.distribution.fastflow:FastFlow",
    "gmm": "amiss.detectors.distribution.gmm:GMM",
    "kmeans": "amiss.detectors.memory_bank.kmeans:Dictionary",
    "knn": "amiss.detectors.memory_bank.knn:NearestPatch",
    "mahalanobis": "amiss.detectors.distribution.mahalanobis:Mahalanobis",
    "mkd": "amiss.detectors.student_teacher.mkd:MKD",
    "mvg": "amiss.detectors.distribution.mvg:MVG",
    "ocsvm": "amiss.detectors.one_class.ocsvm:OneClassSVM",
    "padim": "amiss.detectors.distribution.padim:PaDiM",
    "patchcore": "amiss.detectors.memory_bank.patchcore:PatchCore",
    "patchwise": "amiss.detectors.composed.patchwise:Patchwise",
    "pca": "amiss.detectors.distribution.pca:PCA",
    "pni": "amiss.detectors.memory_bank.pni:PNI",
    "pyramidflow": "amiss.detectors.distribution.pyramidflow:PyramidFlow",
    "reverse_distillation": "amiss.detectors.student_teacher.reverse_distillation:ReverseDistillation",
    "reverse_distillation_pp": "amiss.detectors.student_teacher.reverse_distillation_pp:ReverseDistillationPP",
    "simplenet": "amiss.detectors.one_class.simplenet:SimpleNet",
    "spade": "amiss.detectors.memory_bank.spade:SPADE",
    "stfpm": "amiss.detectors.student_teacher.stfpm:STFPM",
    "svdd": "amiss.detectors.one_class.svdd:SVDD",
    "uninformed_students": "amiss.detectors.student_teacher.uninformed_students:UninformedStudents",
}

ENTRY_POINTS = "amiss.detectors"
"""Group in which a plug-in names its methods: ``name = "package.module:Class"``."""


def list_methods() -> dict[str, str]:
    """Name and address ("module:Class") of every method, own and plugged in, by name."""
    plugged = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return dict(sorted({**plugged, **METHODS}.items()))


def find_method(name: str) -> type[Detector]:
    """The class of a method.

    Raises:
        InputError: Unknown name; a near miss is pointed out.
        MissingExtraError: torch is not installed.
    """
    methods = list_methods()
    module, _, attribute = methods[check_choice("method", name, methods)].partition(":")
    with needs_torch("learning"):
        found: type[Detector] = getattr(import_module(module), attribute)
    return found


def create(name: str, preset: str = "default", **overrides: Any) -> Detector:
    """A detector that has not learned yet.

    Args:
        name: Method, one of `list_methods`.
        preset: One of the card's presets.
        overrides: Hyper-parameters that differ from the preset.

    Raises:
        InputError: Unknown name, preset or hyper-parameter, or one that is out of range.
    """
    method = find_method(name)
    presets = method.card.presets
    settings = {**presets[check_choice("preset", preset, presets)], **overrides}
    for option in settings:
        check_choice(f"option of {name}", option, method.declared)
    try:
        return method(**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error
