"""Known classes and the unknown as a user meets them: fit, inspect, evaluate, save, load, and what is refused."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import amiss as front
from amiss.core.errors import (
    CalibrationError,
    DataError,
    InputError,
    ParityError,
    TamperedArtefactError,
)
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.products import Products
from amiss.core.scores import Scores
from amiss.evaluation import compare, evaluate, only_unseen, open_for
from amiss.inspector import Inspector
from amiss.rules import Conformal, EachClass, Fixed
from amiss.runtime import installed
from amiss.splitting import plan_calibration
from amiss.testing import toy_classes, toy_texture, write_images
from amiss.testing.toy import toy_other_classes

KNOWN = ("cloth", "dots", "part")


def draw(name, count, seed):
    """Images of one kind."""
    world = toy_classes if name in ("cloth", "part") else toy_other_classes
    images = world(2 * count, seed=seed).images
    return [image for image, label in zip(images, images.labels, strict=True) if label == name]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of classes with a split, in whose test rings are unknown, and a model of it."""
    root = tmp_path_factory.mktemp("world")
    for name in KNOWN:
        write_images(root / "data/train" / name, draw(name, 20, 0))
        write_images(root / "data/test" / name, draw(name, 8, 1))
    write_images(root / "data/test/rings", draw("rings", 8, 1))
    data = open_for(f"classes:{root / 'data'}", _Unborn)
    made = front.fit(
        data.normal,
        method="class_mahalanobis",
        preset="tiny",
        settings={"steps": 60},
        size=64,
        calibration=0.4,
        rule="conformal:10%",
    )
    made.save(root / "model.amiss")
    return root


class _Unborn:
    """Stands for the model before there is one: all classes that are there are to be learned."""

    class record:  # noqa: N801
        seed = 0

    class learned:  # noqa: N801
        classes = KNOWN


@pytest.fixture(scope="module")
def inspector(world):
    return Inspector.load(world / "model.amiss")


def test_fit_takes_the_folders_for_classes_and_says_what_it_promises(amiss, world, tmp_path):
    code, out, err = amiss(
        *("fit", world / "data", "--method", "max_logit", "--preset", "tiny", "--set", "steps=20", "--size", 64),
        *("--calibration", "40%", "--alpha", "10%", "--output", tmp_path / "m.amiss"),
    )
    assert code == 0, err
    assert "max_logit learned from 36 good images" in out
    assert "those of the 3 classes that it knows (cloth, dots, part), and an alarm calls a part unknown" in out
    assert Inspector.load(tmp_path / "m.amiss").learned.classes == KNOWN


def test_the_verdict_says_class_or_unknown_in_text_json_and_tables(amiss, world, tmp_path):
    folder = world / "data/test"
    code, out, _ = amiss(
        "inspect", world / "model.amiss", folder / "dots", folder / "rings", "--output", tmp_path / "o"
    )
    lines = out.splitlines()
    assert code == 0 and sum(line.endswith("  dots") for line in lines[:8]) >= 6
    assert any("unknown (most like" in line for line in lines[8:16])
    kept = [json.loads(line) for line in (tmp_path / "o/results.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "o/results.csv").read_text().splitlines()))
    for line, row in zip(kept, rows, strict=True):
        assert (line["recognised"] == "unknown") == (line["label"] == "anomalous") and line["most_like"] in KNOWN
        assert (row["recognised"], row["most_like"]) == (line["recognised"], line["most_like"])


def test_evaluate_counts_classes_that_the_model_does_not_know_as_unknown(amiss, world, tmp_path):
    code, out, err = amiss("evaluate", world / "model.amiss", world / "data", "--output", tmp_path, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["n_good"], found["n_defective"], list(found["per_defect"])) == (24, 8, ["rings"])
    part = found["open_set"]
    assert part["closed_set_accuracy"]["n"] == 24 and part["closed_set_accuracy"]["rate"] > 0.9
    assert part["confusion"]["rows"] == [*KNOWN, "rings"] and part["confusion"]["columns"] == [*KNOWN, "unknown"]
    table = np.array(part["confusion"]["images"])
    assert table.sum(axis=1).tolist() == [8, 8, 8, 8] and table[3, 3] == found["detections"]["count"]
    assert table[:3, 3].sum() == found["false_alarms"]["count"]
    low, high = part["oscr_interval"]
    assert low <= part["oscr"] <= high and part["oscr"] <= found["image_auroc"]
    page = (tmp_path / "report.html").read_text()
    assert "Classes" in page and "rings" in page and "OSCR" in page
    code, out, _ = amiss("evaluate", world / "model.amiss", world / "data")
    assert "known classes told rightly:" in out and "rings (not known): called" in out


def test_images_of_unknown_classes_are_all_tested_and_those_seen_are_left_out(world, inspector):
    """Of another folder of classes, where the unknown ones are for learning too."""
    data = open_for(world / "data/train", inspector)
    assert set(data.normal.labels) == set(KNOWN)
    whole = open_for(world / "data/test", inspector)
    tested = only_unseen(whole, inspector)
    rings = [label for label in tested.test.labels if label == "rings"]
    assert len(rings) == 8 and "rings" not in tested.normal.labels and "rings" in whole.normal.labels
    assert evaluate(inspector, whole).open_set.table[-1].sum() == 8
    with pytest.raises(DataError, match="all 12 test images were seen"):
        only_unseen(data, inspector)


@pytest.mark.parametrize("backend", list(installed()))
def test_a_loaded_model_tells_the_same_classes_on_every_runtime_and_in_torch(world, inspector, backend):
    loaded = Inspector.load(world / "model.amiss", backend=backend)
    images = Images.join([Images(world / "data/test" / name) for name in (*KNOWN, "rings")])
    wanted, found = (one.image_scores(images) for one in (inspector, loaded))
    assert found.has_classes(wanted.classes)
    assert loaded.detector().score(images.resized((64, 64))).has_classes(wanted.classes)
    assert loaded.fingerprint == inspector.fingerprint


def test_golden_images_must_keep_their_class(world, inspector, tmp_path):
    import dataclasses

    from amiss.artefact import Golden
    from amiss.opening import check_golden
    from amiss.scoring import check_parity

    golden = inspector.parts.golden
    assert golden.classes.shape == (3,)
    others = (golden.classes + 1) % 3
    with pytest.raises(ParityError, match="of other classes"):
        check_parity(inspector.scorer, golden.pixels, golden.wanted, 1e-3, others)
    for classes in (None, np.array([0, 1, 3]), np.array([0, 1])):
        scores = Scores(golden.wanted[: len(classes)] if classes is not None else golden.wanted, classes=classes)
        wrong = Golden.of(golden.pixels[: len(scores)], scores)
        if classes is not None and len(classes) == 2:
            check_golden(wrong, inspector.learned)
            continue
        with pytest.raises(TamperedArtefactError, match="must have classes among the 3 of the model"):
            check_golden(wrong, inspector.learned)
    none = inspector.learned.model_copy(update={"classes": ()})
    with pytest.raises(TamperedArtefactError, match="must have classes among the 0"):
        check_golden(golden, none)
    assert dataclasses.replace(inspector, learned=inspector.learned) == inspector


def test_known_parts_are_called_unknown_as_rarely_as_promised():
    """What the statement says: of all classes together, in the proportions given, while a single class may have more.

    The calibration images are drawn as `plan_calibration` draws them with labels. Scores of the rare class are higher.
    """
    rng, alpha, alarms, rare_alarms = np.random.default_rng(0), 0.1, [], []
    for seed in range(400):
        rare = rng.random(200) < 0.2
        labels = np.where(rare, "rare", "usual")
        plan = plan_calibration(200, 0.2, Conformal(alpha), seed, labels=labels.tolist())
        rule = Conformal(alpha).calibrate(Scores(rng.normal(rare[plan.calibrate], 1.0)))
        fresh = rng.random(500) < 0.2
        called = rule.decide(Scores(rng.normal(fresh, 1.0))).label
        alarms.append(called.mean())
        rare_alarms.append(called[fresh].mean())
    error = np.std(alarms) / np.sqrt(len(alarms))
    assert np.mean(alarms) <= alpha + 2 * error
    assert np.mean(rare_alarms) > alpha + 2 * error


def test_at_least_half_of_a_class_learns_and_folds_share_it_out():
    labels = ["a"] * 50 + ["b"] * 6 + ["c"] * 4
    for seed in range(20):
        plan = plan_calibration(60, 0.45, Fixed(0.0), seed, labels=labels)
        left = [labels[index] for index in plan.learn]
        assert left.count("b") >= 3 and left.count("c") >= 2 and len(plan.calibrate) > 20
        folds = plan_calibration(60, "folds:3", Fixed(0.0), seed, labels=labels).folds
        assert all([labels[index] for index in fold].count("b") == 2 for fold in folds)
    same = plan_calibration(60, 0.2, Fixed(0.0), 7, labels=["a", "b"] * 30)
    bare = plan_calibration(60, 0.2, Fixed(0.0), 7)
    np.testing.assert_array_equal(same.calibrate, bare.calibrate)  # as random as without classes
    with pytest.raises(DataError, match="must keep at least 2 images to learn from in each fold, got 1 of 2 of 'b'"):
        plan_calibration(12, "folds", Fixed(0.0), 0, labels=["a"] * 10 + ["b"] * 2)
    with pytest.raises(DataError, match="images of several parts"):
        plan_calibration(*(4, 0.5, Fixed(0.0), 0, [Origin(part=p) for p in "xxyy"]), labels=["a", "a", "b", "b"])


def test_what_cannot_be_learned_is_refused_at_once(world):
    learn = {"method": "max_logit", "preset": "tiny", "size": 64}
    bare = toy_texture(20, seed=0).images
    with pytest.raises(InputError, match="images must have labels"):
        front.fit(bare, **learn)
    with pytest.raises(InputError, match="of at least 2 classes, got only 'a'"):
        front.fit(Images(list(bare), labels=["a"] * 20), **learn)
    with pytest.raises(InputError, match="got 1 of 'b'"):
        front.fit(Images(list(bare), labels=["a"] * 19 + ["b"]), **learn)
    with pytest.raises(InputError, match="must be resized as a whole for max_logit, which tells classes, got tiles"):
        front.fit(toy_classes(20, seed=0).images, method="max_logit", preset="tiny", tile=32)
    with pytest.raises(
        InputError, match="must be one that learns from normal images, got 'max_logit', which learns from classes"
    ):
        front.fit(bare, method="patchwise", settings={"method": "max_logit", "settings": {}}, size=64)
    with pytest.raises(InputError, match="must learn from normal images, got msp"):
        front.fit(bare, settings={"members": [{"method": "msp"}]}, size=64)


def test_int8_suspects_and_models_of_other_classes_are_refused(amiss, world, inspector, tmp_path):
    code, _, err = amiss("quantise", world / "model.amiss", world / "data/train", "--output", tmp_path / "q.amiss")
    assert code == 2 and "class_mahalanobis tells classes" in err
    code, _, err = amiss(
        "fit", world / "data", "--method", "msp", "--preset", "tiny", "--suspects", "--output", tmp_path / "x"
    )
    assert code == 2 and "must learn from normal images, got msp" in err
    import dataclasses

    learned = inspector.learned.model_copy(update={"classes": ("a", "b", "c")})
    other = dataclasses.replace(inspector, learned=learned)
    with pytest.raises(DataError, match="must know the same classes, got a, b, c and cloth, dots, part"):
        only_unseen(open_for(world / "data", inspector), inspector, other)
    data = only_unseen(open_for(world / "data", inspector), inspector)
    assert compare(inspector, inspector, data).dataset == "data"


def test_unlabelled_images_calibrate_nothing():
    from amiss.arrangement import check_learnable
    from amiss.core.card import Card, Learning, LearnsFrom

    card = Card(
        **{"name": "mutual", "family": "test", "title": "t", "paper": "p", "url": "u", "year": 2024},
        learning=Learning.NONE,
        learns_from=LearnsFrom.UNLABELLED,
        weights_licence="none",
        presets={},
    )
    with pytest.raises(
        CalibrationError, match="mutual learns from unlabelled images: nobody knows which of them are good"
    ):
        check_learnable(card, toy_texture(4, seed=0).images, None)


def test_a_folder_is_labelled_by_its_folders_in_python(world):
    made = front.fit(
        world / "data/train",
        method="msp",
        preset="tiny",
        settings={"steps": 5},
        size=64,
        calibration=0.4,
        rule="fixed:0",
    )
    assert made.learned.classes == KNOWN and made.learned.learned_from == 36


def test_a_rate_for_each_class(world, tmp_path):
    inspector = Inspector.load(world / "model.amiss")
    counts = np.bincount(inspector.rule.classes)
    assert len(counts) == 3 and counts.sum() == inspector.rule.n == 24
    made = inspector.with_rule(EachClass(0.25))
    assert made.rule.threshold >= inspector.with_rule(Conformal(0.25)).rule.threshold
    said = made.statement()
    assert (
        "of the good parts of each class at most 25 % raise an alarm" in said and "of all classes together" not in said
    )
    made.save(tmp_path / "each.amiss")
    again = Inspector.load(tmp_path / "each.amiss")
    assert again.statement() == said and again.rule.threshold == made.rule.threshold
    np.testing.assert_array_equal(again.rule.classes, made.rule.classes)
    found = evaluate(made, open_for(world / "data", made)).open_set
    assert found.called_unknown.keys() == set(KNOWN) and all(rate.n == 8 for rate in found.called_unknown.values())
    assert found.summary()["called_unknown"]["part"]["n"] == 8
    with pytest.raises(CalibrationError, match="needs 99 good calibration images of every class"):
        inspector.with_rule(EachClass(0.01))


def test_a_rate_for_each_class_on_new_images_and_what_is_refused(world):
    inspector = Inspector.load(world / "model.amiss").with_rule(EachClass(0.25))
    names = [name for name in KNOWN for _ in range(6)]
    fresh = Images([image for name in KNOWN for image in draw(name, 6, 9)], labels=names)
    after = inspector.calibrate(fresh)
    assert np.bincount(after.rule.classes).tolist() == [6, 6, 6] and after.rule.alpha == 0.25
    with pytest.raises(CalibrationError, match="needs the class of each good image"):
        inspector.calibrate(Images(list(fresh)))
    with pytest.raises(CalibrationError, match="got 0 of dots"):
        inspector.calibrate(fresh.subset([*range(6), *range(12, 18)]))
    with pytest.raises(InputError, match="each_class promises a rate for each class, and this method learns none"):
        front.fit(toy_texture(12, seed=0).images, method="padim", preset="tiny", size=64, rule="each_class:10%")
    options = {"method": "class_mahalanobis", "preset": "tiny", "size": 64, "calibration": 0.4}
    for words, which in (("5%", "got 7 of all classes"), ("15%", r"got \d of cloth, \d of dots, \d of part")):
        with pytest.raises(CalibrationError, match=which):
            front.fit(fresh, **options, rule=f"each_class:{words}")


CLASSES = Images(np.stack([*draw("cloth", 12, 3), *draw("part", 12, 3)]), labels=["cloth"] * 12 + ["part"] * 12)
LEARN, ALIKE = CLASSES.subset([0, 1, 2, 12, 13, 14]), CLASSES.subset(range(3, 12))
OF_EACH = {"preset": "tiny", "size": 64, "rule": EachClass(0.1)}


def test_each_class_is_refused_without_classes_wherever_its_images_come_from():
    for options in ({"method": "padim", "calibrate_on": ALIKE}, {"method": "winclip"}):
        with pytest.raises(InputError, match="each_class promises a rate for each class, and this method learns none"):
            front.fit(CLASSES, **OF_EACH, **options)


def test_each_class_needs_images_of_every_class_that_was_learned():
    options = OF_EACH | {"method": "max_logit", "settings": {"steps": 2}}
    with pytest.raises(CalibrationError, match="of every class, got 0 of part"):
        front.fit(LEARN, **options, calibrate_on=ALIKE)
    with pytest.raises(CalibrationError, match="of every class, got 0 of part"):
        front.fit(LEARN, **options | {"rule": EachClass(0.1, few="pool")}, calibrate_on=ALIKE)
    made = front.fit(LEARN, **options | {"rule": Conformal(0.1)}, calibrate_on=ALIKE)
    assert made.rule.classes is not None
    with pytest.raises(CalibrationError, match="of every class, got 0 of part"):
        made.with_rule(EachClass(0.1))
    with pytest.raises(CalibrationError, match="got 4 of cloth, 0 of part"):
        replace(made, products=Products(("bolt", "nut"), np.arange(9) % 2)).with_rule(EachClass(0.1), product="nut")


def test_images_of_other_classes_are_refused_before_learning(monkeypatch):
    monkeypatch.setattr("amiss.folds.Lab.fit", lambda *_, **__: pytest.fail("it learned"))
    strange = Images([*ALIKE], labels=["rings"] * 9)
    with pytest.raises(InputError, match="labels must be among the classes cloth, part, got rings"):
        front.fit(LEARN, **OF_EACH | {"method": "max_logit", "rule": Conformal(0.1)}, calibrate_on=strange)
