"""What every detector must satisfy: one small function per check, each with a message that says what to do.

For authors of methods, ours and plugged in::

    from amiss.testing import check_detector

    def test_my_method():
        check_detector(lambda: MyMethod(steps=20))

`CHECKS` lists the single checks, to run each as a test of its own. A check that does not apply raises
`unittest.SkipTest`, which pytest and unittest report as skipped. Everything runs on the toy world's 64 x 64 images:
give a detector that fits 16 of them in seconds.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import unittest
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import cast
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.stats import betabinom
from torch import Tensor

from amiss.core.card import Learning, LearnsFrom
from amiss.core.errors import InputError, ParityError
from amiss.core.images import Images
from amiss.detectors import detector as contract
from amiss.detectors.detector import Detector, TorchScorer, score_of
from amiss.features.batch import to_batch
from amiss.metrics import auroc
from amiss.rules.ranks import RankRule
from amiss.runtime import Graph
from amiss.testing.detector_words import (
    Make,
    check_bad_values,
    check_card,
    check_constructor_stores,
    check_docstring,
)
from amiss.testing.expect import random_state, require, require_equal, require_input_error
from amiss.testing.fresh_process import score_elsewhere
from amiss.testing.shared_fits import brief, deployed, first_world, fit_yardsticks, fitted, fresh_normals, worlds
from amiss.testing.toy import SIDE, ToyWorld
from amiss.testing.yardstick import yardstick
from amiss.training import Checkpoint

AUROC_FLOOR = 0.9
PEAK_FLOOR = 0.6
"""Share of defective toy images whose largest map value lies on the defect, or at most 4 pixels beside it."""
BUDGET = 120
"""CPU time of fit and score, in those of `amiss.testing.yardstick`: 5 to 10 s. The slowest take 45 to 65 here."""


def check_detector(make: Make) -> None:
    """Run every check of `CHECKS` that applies.

    Args:
        make: See `Make`.

    Raises:
        AssertionError: At the first check that fails.
    """
    for check in CHECKS:
        with contextlib.suppress(unittest.SkipTest):
            check(make)


def check_fit_repeats(make: Make) -> None:
    """*Fit*: one seed and one set of images give one detector, whatever it has learned before."""
    first, second = worlds(make())
    test = first(4, seed=1, defective=True).images
    other = deepcopy(fitted(make, second, few_steps=True)).fit(first(16, seed=0).images, seed=0)
    wanted = fitted(make, few_steps=True).score(test)
    require_equal(wanted, other.score(test), "a second fit, after one to other images,")


def check_fit_leaves_no_trace(make: Make) -> None:
    """*Fit*: the images and the global random states of Python, NumPy and torch stay as they were."""
    given = first_world(make)(16, seed=0).images
    arrays, labels = list(given), given.labels
    copies, before = [array.copy() for array in arrays], random_state()
    detector = brief(make).fit(Images(arrays, size=(SIDE, SIDE), labels=labels))
    detector.score(Images(arrays, size=(SIDE, SIDE)))
    require(before == random_state(), "a global random state moved; draw from the `rng` that learn is given")
    require(all(map(np.array_equal, arrays, copies)), "fit or score wrote into the input images; copy first")


def check_score_shape(make: Make) -> None:
    """*Score*: float32, finite, one number per image, and a map exactly when the card says so."""
    detector = fitted(make)
    with torch.no_grad():
        statistic = detector(_batch(first_world(make)(3, seed=1)))
    output = score_of(statistic)
    _check_classes(detector, statistic)
    wanted = (3, SIDE, SIDE) if detector.card.localises else (3,)
    require(tuple(output.shape) == wanted, f"the statistic must have shape {wanted}, got {tuple(output.shape)}")
    require(output.dtype == torch.float32, f"the statistic must be torch.float32, got {output.dtype}")
    require(bool(output.isfinite().all()), "the statistic holds numbers that are not finite")


def check_finds_defects(make: Make) -> None:
    """*Score*: larger = more anomalous, and the peak of the map lies on the defect, in the toy world that suits."""
    first, second = worlds(make())
    found, peaks = _toy_quality(fitted(make), first)
    if found < AUROC_FLOOR or peaks < PEAK_FLOOR:
        found, peaks = _toy_quality(fitted(make, second), second)
    require(
        found >= AUROC_FLOOR,
        f"AUROC must reach {AUROC_FLOOR} in the better toy world, got {found:.3f}: is the sign right?",
    )
    require(peaks >= PEAK_FLOOR, f"{PEAK_FLOOR:.0%} of the map's peaks must lie on the defect, got {peaks:.0%}")


def check_learns(make: Make) -> None:
    """*Learns*: scores are not constant and depend on the normal images; training beats no training."""
    detector, test = fitted(make), first_world(make)(8, seed=1, defective=True).images
    scores = detector.score(test).image
    require(float(np.ptp(scores)) > 1e-6 * float(np.abs(scores).max()), f"every image scores {scores[0]}")
    if detector.card.learning is Learning.NONE:
        return
    scores, other = (fitted(make, world, few_steps=True).score(test).image for world in worlds(detector))
    moved = float(np.abs(scores - other).max())
    require(moved > 1e-3 * float(np.abs(scores).max()), "other normal images give the same scores: learn ignores them")
    if detector.card.learning is Learning.GRADIENT:
        _check_training(make)


def check_resumes(make: Make) -> None:
    """*Resumes*: a fit that was killed goes on from its checkpoint, and comes to the very same detector."""
    if make().card.learning is not Learning.GRADIENT:
        raise unittest.SkipTest(f"{make().card.name} takes no training steps")
    images, test = first_world(make)(16, seed=0).images, first_world(make)(4, seed=1, defective=True).images
    taken = list[int]()

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("loss"):  # the stages of `amiss.training`
            taken.append(done)
            if len(taken) == 6:
                raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder, patch.object(contract, "Checkpoint", partial(Checkpoint, every=4)):
        with contextlib.suppress(KeyboardInterrupt):
            brief(make).fit(images, progress=note, checkpoint=Path(folder))
        resumed = brief(make).fit(images, progress=note, checkpoint=Path(folder))
    require(len(taken) > 6, "fewer than seven training steps were reported: train with amiss.training")
    require(
        taken[6] == 5,
        f"killed at step 6 and saved at step 4, it went on with step {taken[6]}: give `self.checkpoint` to train()",
    )
    require_equal(fitted(make, few_steps=True).score(test), resumed.score(test), "a fit that was killed and resumed")


def check_pure(make: Make) -> None:
    """*Pure*: a score depends on its image alone, and scoring changes nothing."""
    detector, batch = fitted(make), _batch(first_world(make)(7, seed=1, defective=True))
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_once = score_of(detector(batch))
        singly = torch.cat([score_of(detector(image[None])) for image in batch])
        permuted = score_of(detector(batch[order]))
    after = detector.state_dict()
    require(before.keys() == after.keys(), "scoring added or removed a parameter or buffer")
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    require(not changed, f"scoring changed {changed}; a statistic is pure")
    allowed = 1e-5 * float(at_once.abs().max())
    for scores, what in ((singly, "one by one"), (permuted[order.argsort()], "in another order")):
        moved = float((scores - at_once).abs().max())
        require(moved <= allowed, f"images scored {what} move by {moved:.3g}: is something normalised over the batch?")


def check_sizes(make: Make) -> None:
    """*Sizes*: odd and non-square images fit and score; one image scores; one fits or is refused in words."""
    size = (63, 97)
    normal, test = (first_world(make)(count, seed=seed).images.resized(size) for count, seed in ((12, 0), (1, 1)))
    scores = brief(make).fit(normal).score(test)
    require(len(scores) == 1, f"one image got {len(scores)} scores")
    if scores.map is not None:
        require(scores.map.shape == (1, *size), f"images of {size} got a map of {scores.map.shape[1:]}")
    try:
        brief(make).fit(first_world(make)(1, seed=0).images)
    except InputError:
        pass
    except Exception as error:
        raise AssertionError(f"fitting one image gives {error!r}; it must raise an InputError in words") from error


def check_bad_batches(make: Make) -> None:
    """*Sizes*: grey, NaN, wrong range, wrong type and wrong dimensions give an error that says what must hold."""
    detector, good = fitted(make), _batch(first_world(make)(2, seed=1))
    bad = {
        "a grey batch": good[:, :1],
        "a batch with NaN": good.where(good > good.amin(), torch.nan),
        "a batch in [0, 255]": good * 255,
        "a batch below 0": good - 1,
        "one image without a batch": good[0],
        "a uint8 batch": (good * 255).to(torch.uint8),
        "an empty batch": good[:0],
    }
    for what, batch in bad.items():
        require_input_error(partial(detector, batch), f"scoring {what}", says="must")


def check_persistence(make: Make) -> None:
    """*Persistence*: hyper-parameters as JSON and the state as safetensors give equal scores in a fresh process."""
    detector, test = fitted(make), first_world(make)(4, seed=1, defective=True).images
    require_equal(detector.score(test), score_elsewhere(detector, test), "the state in a fresh process")


def check_export(make: Make) -> None:
    """*Export*: one ONNX graph gives the scores of torch, for one image and for five."""
    if not make().card.exportable:
        raise unittest.SkipTest(f"the card of {make().card.name} says exportable=False")
    try:
        inspector, detector = deployed(make)
    except ParityError as error:
        raise AssertionError(str(error)) from error
    except torch.onnx.errors.OnnxExporterError as error:
        words = "torch cannot trace the statistic; write it with torch alone, or say exportable=False on the card"
        raise AssertionError(f"{words}: {error}") from error
    graph, in_torch = inspector.scorer, TorchScorer(detector, (SIDE, SIDE))
    require(isinstance(graph, Graph), "the inspector does not run a graph")
    for count in (1, 5):
        pixels = np.stack(list(first_world(make)(count, seed=1, defective=True).images))
        found, wanted = graph.run(pixels), in_torch.run(pixels)
        require((found.map is None) == (wanted.map is None), "the graph and torch differ in having a map")
        require(found.has_classes(wanted.classes), "the graph and torch tell other classes")
        pairs = [(found.image, wanted.image), (found.map, wanted.map)]
        for one, other in ((a, b) for a, b in pairs if a is not None and b is not None):
            moved, allowed = float(np.abs(one - other).max()), 1e-3 * float(np.abs(other).max())
            require(
                moved <= allowed, f"N = {count}: the graph scores {moved:.3g} differently; {allowed:.3g} is allowed"
            )


def check_false_alarms(make: Make) -> None:
    """*Whole chain*: hold out, learn, export, calibrate; false alarms on 500 fresh normals are as promised.

    The threshold is the k-th largest of n calibration scores, so the number of false alarms among 500 is
    beta-binomial with k and n + 1 - k: calibration is random too. The band leaves out 1 in 10,000 on each side.
    """
    (inspector, _), fresh = deployed(make), 500
    images = Images(fresh_normals(first_world(make), fresh).copy(), size=(SIDE, SIDE))
    rule = cast(RankRule, inspector.rule)
    alarms = int(inspector.decide(inspector.image_scores(images)).label.sum())
    band = betabinom(fresh, rule.rank, rule.n + 1 - rule.rank)
    least, most = int(band.ppf(1e-4)), int(band.ppf(1 - 1e-4))
    says = f"{alarms} of {fresh} fresh normal images alarm; at alpha = 10 % it must be {least} to {most}"
    require(least <= alarms <= most, f"{says}: does a score depend on more than its image, or tie with many others?")


def check_budget(make: Make) -> None:
    """*Budget*: 16 toy images are fitted and 16 scored in `BUDGET` yardsticks, however busy the machine is."""
    detector, start = fitted(make), time.process_time()
    detector.score(first_world(make)(16, seed=1).images)
    scored = (time.process_time() - start) / yardstick()
    taken = fit_yardsticks(make) + scored
    require(taken <= BUDGET, f"fit and score of 16 toy images must take at most {BUDGET} yardsticks, got {taken:.0f}")


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_constructor_stores,
    check_bad_values,
    check_fit_repeats,
    check_fit_leaves_no_trace,
    check_score_shape,
    check_finds_defects,
    check_learns,
    check_resumes,
    check_pure,
    check_sizes,
    check_bad_batches,
    check_persistence,
    check_export,
    check_false_alarms,
    check_docstring,
    check_card,
    check_budget,
)
"""Every check, cheap and telling ones first."""


def _batch(world: ToyWorld) -> Tensor:
    return to_batch(torch.from_numpy(np.stack(list(world.images))))


def _check_classes(detector: Detector, statistic: object) -> None:
    """One class per image, of those that were learned, exactly when the card says so."""
    learns = detector.card.learns_from is LearnsFrom.CLASSES
    require(
        isinstance(statistic, tuple) == learns and bool(detector.classes) == learns,
        "the statistic must give the class of each image exactly when the card says that classes are learned",
    )
    if isinstance(statistic, tuple):
        _, classes = statistic
        says = f"classes must be int64 numbers (3,) below {len(detector.classes)}, got {classes}"
        require(classes.dtype == torch.int64 and tuple(classes.shape) == (3,), says)
        require(bool(((classes >= 0) & (classes < len(detector.classes))).all()), says)


def _toy_quality(detector: Detector, world: Callable[..., ToyWorld]) -> tuple[float, float]:
    """AUROC on fresh toy images, and the share of map peaks on the defect (1 without a map)."""
    normal, strange = world(32, seed=1), world(32, seed=2, defective=True)
    scores = detector.score(strange.images)
    labels = np.repeat([0, 1], 32)
    found = auroc(labels, np.concatenate([detector.score(normal.images).image, scores.image]))
    return found, 1.0 if scores.map is None else _peaks_on_defect(scores.map, strange.masks)


def _peaks_on_defect(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    near = [binary_dilation(mask, iterations=4).flat[one.argmax()] for one, mask in zip(maps, masks, strict=True)]
    return float(np.mean(near))


def _check_training(make: Make) -> None:
    """In the toy world that suits, against the untrained self: parameters as built, buffers as learned."""
    untrained = make()
    untrained.classes = fitted(make).classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained.build(pretrained=True)
    start = {name: value.detach().clone() for name, value in untrained.named_parameters()}
    gains = []
    for world in worlds(untrained):
        trained = fitted(make, world)
        end = dict(trained.named_parameters())
        changed = any(not torch.equal(value, end[name]) for name, value in start.items())
        require(changed, "no parameter changes in learn, though the card says GRADIENT")
        untrained.load_state({**trained.state_dict(), **start})
        gains.append(_separation(trained, world) / _separation(untrained, world))
        if gains[-1] > 1:
            return
    raise AssertionError(f"training must make defects stand out more, got {max(gains):.3g} times as much")


def _separation(detector: Detector, world: Callable[..., ToyWorld]) -> float:
    """Mean score of defective images above that of normal ones, in standard deviations of the normal ones."""
    normal = detector.score(world(32, seed=1).images).image.astype(np.float64)
    strange = detector.score(world(32, seed=2, defective=True).images).image
    return max(float(strange.mean() - normal.mean()), 1e-12) / max(float(normal.std()), 1e-12)
