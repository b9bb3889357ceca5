"""Method name to class, as strings: a method's code is imported when it is asked for, not before."""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from amiss.core.card import LearnsFrom
from amiss.core.checks import check_choice
from amiss.core.errors import InputError
from amiss.core.extras import needs_torch
from amiss.core.plugins import plugged_in

if TYPE_CHECKING:
    from amiss.detectors.detector import Detector

METHODS = {
    "anogan": "amiss.detectors.reconstruction.anogan:AnoGAN",
    "autoencoder": "amiss.detectors.reconstruction.autoencoder:ConvolutionalAutoencoder",
    "autoencoder_gmm": "amiss.detectors.reconstruction.autoencoder_gmm:AutoencoderMixture",
    "cflow": "amiss.detectors.distribution.cflow:CFlow",
    "class_knn": "amiss.detectors.open_set.class_knn:ClassNeighbours",
    "class_mahalanobis": "amiss.detectors.open_set.class_mahalanobis:ClassMahalanobis",
    "cutpaste": "amiss.detectors.self_supervised.cutpaste:CutPaste",
    "cutpaste_map": "amiss.detectors.self_supervised.cutpaste_map:CutPasteMap",
    "dagmm": "amiss.detectors.reconstruction.dagmm:DAGMM",
    "deep_svdd": "amiss.detectors.one_class.deep_svdd:DeepSVDD",
    "deep_svdd_map": "amiss.detectors.one_class.deep_svdd_map:DeepSVDDMap",
    "dinomaly": "amiss.detectors.reconstruction.dinomaly:Dinomaly",
    "dn2": "amiss.detectors.memory_bank.dn2:DN2",
    "draem": "amiss.detectors.reconstruction.draem:DRAEM",
    "efficient_ad": "amiss.detectors.student_teacher.efficient_ad:EfficientAD",
    "energy": "amiss.detectors.open_set.energy:Energy",
    "ensemble": "amiss.detectors.composed.ensemble:Ensemble",
    "f_anogan": "amiss.detectors.reconstruction.f_anogan:FastAnoGAN",
    "fastflow": "amiss.detectors.distribution.fastflow:FastFlow",
    "ganomaly": "amiss.detectors.reconstruction.ganomaly:GANomaly",
    "geom": "amiss.detectors.self_supervised.geom:GEOM",
    "geom_features": "amiss.detectors.self_supervised.geom_features:GEOMFeatures",
    "gmm": "amiss.detectors.distribution.gmm:GMM",
    "kmeans": "amiss.detectors.memory_bank.kmeans:Dictionary",
    "knn": "amiss.detectors.memory_bank.knn:NearestPatch",
    "mahalanobis": "amiss.detectors.distribution.mahalanobis:Mahalanobis",
    "max_logit": "amiss.detectors.open_set.max_logit:MaxLogit",
    "mkd": "amiss.detectors.student_teacher.mkd:MKD",
    "msp": "amiss.detectors.open_set.msp:MaxSoftmax",
    "musc": "amiss.detectors.zero_shot.musc:MuSc",
    "mvg": "amiss.detectors.distribution.mvg:MVG",
    "ocsvm": "amiss.detectors.one_class.ocsvm:OneClassSVM",
    "openmax": "amiss.detectors.open_set.openmax:OpenMax",
    "padim": "amiss.detectors.distribution.padim:PaDiM",
    "patchcore": "amiss.detectors.memory_bank.patchcore:PatchCore",
    "patchwise": "amiss.detectors.composed.patchwise:Patchwise",
    "pca": "amiss.detectors.distribution.pca:PCA",
    "pni": "amiss.detectors.memory_bank.pni:PNI",
    "pyramidflow": "amiss.detectors.distribution.pyramidflow:PyramidFlow",
    "reverse_distillation": "amiss.detectors.student_teacher.reverse_distillation:ReverseDistillation",
    "reverse_distillation_pp": "amiss.detectors.student_teacher.reverse_distillation_pp:ReverseDistillationPP",
    "riad": "amiss.detectors.reconstruction.riad:RIAD",
    "simplenet": "amiss.detectors.one_class.simplenet:SimpleNet",
    "spade": "amiss.detectors.memory_bank.spade:SPADE",
    "stfpm": "amiss.detectors.student_teacher.stfpm:STFPM",
    "svdd": "amiss.detectors.one_class.svdd:SVDD",
    "uniad": "amiss.detectors.reconstruction.uniad:UniAD",
    "uninformed_students": "amiss.detectors.student_teacher.uninformed_students:UninformedStudents",
    "vae": "amiss.detectors.reconstruction.vae:VariationalAutoencoder",
    "winclip": "amiss.detectors.zero_shot.winclip:WinCLIP",
    "winclip_plus": "amiss.detectors.zero_shot.winclip_plus:WinCLIPPlus",
}

ENTRY_POINTS = "amiss.detectors"
"""Group in which a plug-in names its methods: ``name = "package.module:Class"``."""


def list_methods() -> dict[str, str]:
    """Name and address ("module:Class") of every method, own and plugged in, by name."""
    plugged = {point.name: point.value for point in plugged_in(ENTRY_POINTS)}
    return dict(sorted({**plugged, **METHODS}.items()))


def find_method(name: str | type[Detector]) -> type[Detector]:
    """The class of a method.

    Args:
        name: One of `list_methods`, "module:Class", or the class itself.

    Raises:
        InputError: Unknown name; a near miss is pointed out. Or a class that is no `Detector`, or that has the name of
            another method.
        MissingExtraError: torch is not installed.
    """
    if isinstance(name, type):
        return _check_own(name)
    if ":" in name:
        return _check_own(_import(name))
    methods = list_methods()
    module, _, attribute = methods[check_choice("method", name, methods)].partition(":")
    with needs_torch("learning"):
        found: type[Detector] = getattr(import_module(module), attribute)
    return found


def learns_classes(name: str | type[Detector]) -> bool:
    """Whether a method learns from images of several classes, which their labels name.

    Raises:
        InputError: See `find_method`.
        MissingExtraError: torch is not installed.
    """
    return find_method(name).card.learns_from is LearnsFrom.CLASSES


def address_of(method: type[Detector] | Detector) -> str:
    """ "module:Class" of a detector's class."""
    kind = method if isinstance(method, type) else type(method)
    return f"{kind.__module__}:{kind.__qualname__}"


def _import(address: str) -> Any:
    module, _, attribute = address.partition(":")
    try:
        with needs_torch("learning"):
            return reduce(getattr, attribute.split("."), import_module(module))
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise InputError(f"method must be a class that can be imported, got {address!r} ({error})") from error


def _check_own(method: Any) -> type[Detector]:
    """A class from outside, which must be a `Detector`. It is known by its names: to import it would bring torch."""
    bases = [f"{base.__module__}:{base.__qualname__}" for base in getattr(method, "__mro__", ())]
    if "amiss.detectors.detector:Detector" not in bases[1:] or not hasattr(method, "card"):
        raise InputError(f"method must be a name or a subclass of Detector with a card, got {method!r}")
    found: type[Detector] = method
    if written := ", ".join(signature(found).parameters.keys() - found.declared.keys()):
        raise InputError(
            f"hyper-parameters of {found.__name__} must be declared in its body, got {written} in its constructor"
        )
    name = found.card.name
    if name in list_methods() and find_method(name) is not found:
        raise InputError(f"the card of {found.__qualname__} must have a name of its own, got that of {name!r}")
    return found


def create(name: str | type[Detector], preset: str = "default", **overrides: Any) -> Detector:
    """A detector that has not learned yet.

    Args:
        name: Method, one of `list_methods`, "module:Class", or a class.
        preset: One of the card's presets.
        overrides: Hyper-parameters that differ from the preset.

    Raises:
        InputError: Unknown name, preset or hyper-parameter, or one that is out of range.
    """
    method = find_method(name)
    name = name if isinstance(name, str) else method.card.name
    presets = {"default": {}, **method.card.presets}
    settings = {**presets[check_choice("preset", preset, presets)], **overrides}
    for option in settings:
        check_choice(f"option of {name}", option, method.declared)
    try:
        return method(**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from error
