"""Which labels are classes that can be learned, and scores that carry a class."""

import numpy as np
import pytest

from amiss.core.classes import class_numbers, find_classes
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.scores import Scores
from amiss.core.survey import distinct, survey
from amiss.core.verdict import Label, Verdict


def images(*labels):
    return Images([np.full((4, 4), index, np.uint8) for index in range(len(labels))], labels=labels)


def test_classes_are_the_labels_by_name():
    assert find_classes(images("nut", "bolt", "nut", "bolt")) == ("bolt", "nut")
    assert class_numbers(["nut", "bolt"], ("bolt", "nut")) == [1, 0]
    with pytest.raises(InputError, match="labels must be among the classes bolt, nut, got screw"):
        class_numbers(["nut", "screw"], ("bolt", "nut"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "must have labels, the class of each, got none; keep each class in a folder of its own"),
        (("a", "a", "a"), "must be of at least 2 classes, got only 'a'"),
        (("a", "b", "a"), "every class must have at least 2 images to learn from, got 1 of 'b'"),
        (("unknown", "a", "a", "unknown"), "must not be called 'unknown'"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, words):
    with pytest.raises(InputError, match=words):
        find_classes(images(*labels))


def test_copies_with_different_labels_are_refused():
    one = np.zeros((4, 4), np.uint8)
    two = Images([one, one], labels=["a", "b"])
    with pytest.raises(DataError, match=r"image 0 \(a\) and image 1 \(b\) are the same image"):
        distinct(two, (), survey(two).identities)
    same = Images([one, one], labels=["a", "a"])
    assert distinct(same, (), survey(same).identities).images.labels == ("a",)


def test_scores_keep_their_classes_where_all_have_them():
    one, other = Scores(np.zeros(2), classes=np.array([1, 0])), Scores(np.zeros(1), classes=np.array([2]))
    assert Scores.join([one, other]).classes.tolist() == [1, 0, 2]
    assert Scores.join([one, Scores(np.zeros(1))]).classes is None
    mapped = Scores.of_map(np.zeros((2, 3, 3)), np.array([1, 0]))
    assert mapped.without_map().map is None and mapped.without_map().classes.tolist() == [1, 0]
    assert one.has_classes(np.array([1, 0])) and not one.has_classes(None) and not one.has_classes(np.array([1, 1]))
    for classes in (np.array([1]), np.array([0.0, 1.0]), np.array([0, -1])):
        with pytest.raises(InputError, match="classes must be one whole number of at least 0 per image"):
            Scores(np.zeros(2), classes=classes)


def test_a_verdict_recognises_what_does_not_alarm():
    known = Verdict(name="a", label=Label.GOOD, score=0.0, most_like="nut")
    assert known.recognised == "nut" and known.summary()["recognised"] == known.summary()["most_like"] == "nut"
    strange = Verdict(name="a", label=Label.ANOMALOUS, score=0.0, most_like="nut")
    assert (strange.recognised, strange.summary()["most_like"]) == ("unknown", "nut")
    assert Verdict(name="a", label=Label.REVIEW, score=0.0, most_like="nut").recognised == "nut"
    assert Verdict(name="a", label=Label.ANOMALOUS, score=0.0).recognised is None
