"""What each method refuses, written out by hand, so that a declaration that becomes too lenient is noticed."""

import inspect

import pytest

from amiss.core.errors import InputError
from amiss.detectors.memory_bank.patchcore import PatchCore
from amiss.registry import create, find_method, list_methods
from amiss.testing import toy_part

EVERYWHERE = {
    "backbone": [3, None],
    "stages": [(8, 4), (), 8, (4, 4), (4, 8.0), "48", (0, 4)],
    "smoothing": [-1.0, float("nan"), "4"],
    "neighbourhood": [2, 0, 3.0],
    "rate": [0.0, -1.0, float("inf"), True],
    "steps": [0, 1.5, True],
    "batch": [0],
}
"""Of every method that has such a hyper-parameter."""

OF_CLASSIFIERS = {
    "network": ["cnn", 3],
    "versions": [0],
    "widths": [(), (0,), 16],
    "hidden": [-1],
    "shift": [-0.1, 1.0],
    "label_smoothing": [-0.1, 1.0],
    "dropout": [1.0, -0.1],
    "learning_rate": [0.0],
}
"""Of every method that learns classes."""

WORDS = {
    "noun": [1, None],
    "normal_states": [(), (1,)],
    "anomalous_states": [(), "damaged {}"],
    "templates": [(), [None]],
    "scales": [(), (1,), (3, 2)],
    "temperature": [0.0, -1.0],
}
OF_METHOD = {
    "anogan": {
        "levels": [0],
        "tiles": [0],
        "latent": [0],
        "width": [0],
        "share": [1.1, -0.1],
        "search_steps": [0],
        "search_rate": [0.0],
    },
    "autoencoder": {
        "loss": ["l3", "l2+", 2],
        "weights": [(0.0,), "1", (1.0, 2.0)],
        "scales": [0],
        "bottleneck": [1],
        "code": [0],
        "code_penalty": [-1.0],
        "levels": [0],
        "width": [0],
        "patch": [-1],
    },
    "autoencoder_gmm": {
        "bottleneck": [1],
        "code": [0],
        "levels": [0],
        "width": [0],
        "variance": [1.0],
        "components": [(), (0,), 0, "8"],
        "covariance": ["tied"],
        "regularisation": [0.0],
        "samples": [0],
    },
    "cflow": {"position": [6, 0], "fibres": [0], "hidden": [0.0], "clamp": [0.0], "couplings": [0], "affine": [1]},
    "dagmm": {
        "hidden": [(), (0,), 8],
        "code": [0],
        "components": [0],
        "energy": [-1.0],
        "penalty": [-1.0],
        "floor": [0.0],
        "dropout": [1.0, -0.1],
        "samples": [0],
    },
    "class_knn": OF_CLASSIFIERS | {"neighbours": [0]},
    "class_mahalanobis": OF_CLASSIFIERS,
    "deep_svdd": {
        "source": ["images"],
        "side": [12, 0],
        "width": [0],
        "hidden": [0],
        "dimension": [0],
        "boundary": ["firm"],
        "nu": [0.0, 1.0],
        "pretraining_steps": [-1],
        "weight_decay": [-1.0],
    },
    "deep_svdd_map": {
        "hidden": [0],
        "dimension": [0],
        "boundary": ["firm"],
        "nu": [0.0, 1.0],
        "patches": [0],
        "samples": [0],
        "weight_decay": [-1.0],
    },
    "dinomaly": {
        "groups": [0],
        "depth": [0],
        "width": [-1],
        "heads": [0],
        "growth": [0],
        "dropout": [1.0, -0.1],
        "mining": [1.0, -0.1],
    },
    "dn2": {"stage": [0, (8,)], "bank_size": [0], "neighbours": [0]},
    "draem": {
        "textures": [0],
        "texture_count": [0],
        "clean": [1.0, -0.1],
        "code": [0],
        "levels": [0],
        "width": [0],
    },
    "efficient_ad": {
        "variant": ["l"],
        "dropout": [1.0, -0.1],
        "p_hard": [1.0, -0.1],
        "start": ["zero"],
        "schedule": ["linear"],
        "teacher": [None],
        "penalty": [0],
    },
    "energy": OF_CLASSIFIERS | {"temperature": [0.0]},
    "ensemble": {"members": [(), "patchcore", [3], {"method": "padim"}], "held_out": [0.0, 1.0], "stretch": [1.0]},
    "f_anogan": {
        "levels": [0],
        "latent": [0],
        "width": [0],
        "kappa": [-1.0],
        "critic_updates": [0],
        "encoder_steps": [0],
        "encoder_rate": [0.0],
    },
    "cutpaste": {"versions": [0], "hidden": [0], "dropout": [1.0, -0.1], "batch": [0]},
    "cutpaste_map": {"versions": [0], "patches": [0], "samples": [0], "hidden": [0], "dropout": [1.0, -0.1]},
    "fastflow": {"couplings": [0], "hidden": [0.0], "clamp": [-1.0]},
    "ganomaly": {
        "adversarial": [-1.0],
        "contextual": [0.0],
        "latent": [0.0],
        "code": [0],
        "levels": [0],
        "width": [0],
    },
    "geom": {
        "shift": [0.5, -0.1],
        "measure": ["likelihood"],
        "least": [0.0, 1.0],
        "side": [12, 0],
        "width": [0],
        "dimension": [0],
    },
    "geom_features": {
        "shift": [0.5],
        "density": ["gmm"],
        "nu": [0.0, 1.0],
        "side": [12],
        "width": [0],
        "dimension": [0],
    },
    "gmm": {
        "components": [(), (0,), 0, "8"],
        "regularisation": [0.0],
        "covariance": ["tied"],
        "variance": [1.0],
        "samples": [0],
        "level_images": [-1],
    },
    "kmeans": {"centroids": [0], "passes": [0], "neighbours": [0]},
    "knn": {"bank_size": [0], "neighbours": [0]},
    "mahalanobis": {},
    "max_logit": OF_CLASSIFIERS,
    "mkd": {"width": [0], "value_weight": [-1.0], "standardise": ["no"]},
    "msp": OF_CLASSIFIERS,
    "musc": {"neighbourhoods": [(), (2,)], "witnesses": [2, 0], "share": [0.0, 1.0]},
    "mvg": {},
    "ocsvm": {"nu": [0.0, 1], "samples": [1], "level_images": [-1], "kernel": ["linear"], "degree": [0, 1.5]},
    "openmax": OF_CLASSIFIERS | {"tail": [0], "top": [-1], "distance": ["manhattan"]},
    "padim": {"dimension": [0], "regularisation": [0.0, -1]},
    "patchcore": {
        "rotations": [0, -1, 1.5],
        "bank_size": [0, 1.0, 0.0],
        "projection": [-1],
        "search": [-1],
        "reweight": [1.5, -1],
        "level_images": [-1],
    },
    "patchwise": {"method": [0], "settings": ["stages", None], "window": [0], "stride": [0], "windows": [0]},
    "pca": {"variance": [1.0, 0], "measure": ["both"]},
    "pni": {
        "window": [4],
        "bank_size": [0],
        "distribution_size": [0],
        "projection": [-1],
        "reduction": [0],
        "width": [0],
        "depth": [0],
        "images": [0],
        "temperature": [0.0],
        "gamma": [1.0, 0.0],
    },
    "pyramidflow": {
        "stage": [0],
        "levels": [1],
        "channels": [2],
        "stacks": [0],
        "kernel": [4],
        "hidden": [0],
        "pairs": [0],
        "clamp": [0.0],
    },
    "reverse_distillation": {"batch": [1], "width": [0.0], "blocks": [(0,), ()], "compare": ["vectors"]},
    "reverse_distillation_pp": {
        "batch": [1],
        "width": [0.0],
        "blocks": [(0,), ()],
        "compare": ["vectors"],
        "noise": [0.0],
        "versions": [0],
        "accumulate": [0],
        "projection_rate": [0.0],
        "transport": [-0.1],
    },
    "riad": {"squares": [(), (0,), 4], "sets": [1], "width": [0], "levels": [0]},
    "simplenet": {
        "noise": [0.0],
        "hidden": [0],
        "samples": [0],
        "patches": [1.5],
        "adaptor_rate": [0.0],
        "level_images": [-1],
    },
    "spade": {"gallery": [0], "neighbours": [0], "pooled": [0], "image_score": ["pixel"]},
    "stfpm": {},
    "svdd": {"nu": [0.0, 1.5], "samples": [1], "kernel": ["sigmoid"], "degree": [0, 1.5]},
    "uniad": {
        "width": [0],
        "heads": [0],
        "depth": [0],
        "growth": [0],
        "neighbours": [0, 4],
        "side": [0],
        "jitter": [-1.0],
        "dropout": [1.0, -0.1],
    },
    "uninformed_students": {
        "architectures": [(), ("students-tiny",) * 2, ("students-18",), "students-tiny"],
        "students": [0],
        "crop": [0],
        "dense": [None],
    },
    "vae": {
        "statistic_of": ["elbo"],
        "deviation": [0.0],
        "beta": [-1.0],
        "bottleneck": [1],
        "code": [0],
        "levels": [0],
        "width": [0],
    },
    "winclip": WORDS,
    "winclip_plus": {**WORDS, "shots": [0, 1.5]},
}


def wrong_values() -> list[tuple[str, str, object]]:
    """Method, hyper-parameter, and a value that it must refuse."""
    return [
        (method, name, value)
        for method in list_methods()
        for table in (EVERYWHERE, OF_METHOD[method])
        for name, values in table.items()
        for value in values
        if name in find_method(method).declared
    ]


@pytest.mark.parametrize(("method", "name", "value"), wrong_values())
def test_a_wrong_value_is_refused_by_name(method: str, name: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        create(method, "tiny", **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{method}: {name} must be ") and f"got {value!r}" in message


@pytest.mark.parametrize("method", list_methods())
def test_every_hyper_parameter_refuses_something(method: str) -> None:
    flags = {name for name, one in find_method(method).declared.items() if isinstance(one.default, bool)}
    tried = {name for tried_by, name, _ in wrong_values() if tried_by == method}
    assert tried | flags | {"teacher"} >= set(find_method(method).declared)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("patchcore", {"stages": (3,)}, r"stages must be ascending strides out of \(2, 4, 8.*, got \(3,\)"),
        ("dn2", {"stage": 3}, r"stages must be ascending strides out of \(2, 4, 8.*, got \(3,\)"),
        ("spade", {"pooled": 3}, r"stages must be ascending strides out of \(2, 4, 8.*, got \(3, 4, 8\)"),
        ("knn", {"backbone": "tiny-randon"}, "backbone must be one of .*Did you mean 'tiny-random'"),
        ("reverse_distillation", {"stages": (4, 16)}, "twice the one before"),
        ("reverse_distillation_pp", {"stages": (4, 16)}, "twice the one before"),
        ("uninformed_students", {"teacher": "embedded"}, "no weights of students-tiny come with Amiss"),
    ],
)
def test_what_the_network_does_not_have_is_refused_when_it_is_built(method: str, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create(method, "tiny", **settings).build(pretrained=True)


@pytest.mark.parametrize("method", list_methods())
def test_the_constructor_shows_its_keywords(method: str) -> None:
    shown = inspect.signature(find_method(method)).parameters
    assert list(shown) == list(create(method).hyperparameters())
    assert all(one.kind is one.KEYWORD_ONLY and one.default is not one.empty for one in shown.values())


def test_lists_are_kept_as_tuples_and_a_single_number_as_one() -> None:
    assert create("padim", stages=[4, 8]).stages == (4, 8)
    assert create("gmm", components=8).components == (8,)


def test_an_unknown_keyword() -> None:
    with pytest.raises(TypeError, match=r"PatchCore\(\) got unexpected keyword arguments: stage"):
        PatchCore(stage=8)


def test_what_is_set_afterwards_is_checked_before_learning_and_loading() -> None:
    detector = PatchCore(**PatchCore.card.presets["tiny"])
    detector.projection = -1
    for use in (lambda: detector.fit(toy_part(2, seed=0).images), lambda: detector.load_state({})):
        with pytest.raises(InputError, match="projection must be a whole number of at least 0, got -1"):
            use()
    detector.projection, detector.stages = 8, [4]
    assert detector.fit(toy_part(2, seed=0).images).stages == (4,)
