"""Detection by size: what counts as found, one image per part, and what a person gets to see."""

import numpy as np
import pytest

from amiss.core.images import Images
from amiss.core.scores import Region
from amiss.core.verdict import Label, Verdict
from amiss.data import Dataset, Origin
from amiss.evaluation import evaluate
from amiss.evaluation.detection import detection_by_size
from amiss.reporting import write_report
from amiss.reporting.size_chart import pod_chart
from amiss.testing import toy_part


def squares(sides, origins=()):
    """Images of 64 x 64 with one marked square each at (10, 10), and a small second one that is no matter."""
    masks = []
    for side in sides:
        mask = np.zeros((64, 64), np.uint8)
        mask[10 : 10 + side, 10 : 10 + side] = 255
        mask[60, 60] = 255
        masks.append(mask)
    images = Images([np.full((64, 64, 3), 9, np.uint8)] * len(masks))
    kinds = ("dent",) * len(masks)
    return Dataset("squares", Images([]), images, kinds, masks=tuple(masks), test_origins=tuple(origins))


def verdict(label=Label.ANOMALOUS, *boxes):
    regions = tuple(Region(box, area=1, peak=1.0) for box in boxes)
    return Verdict(name="x", label=label, score=1.0, regions=regions)


def test_an_alarm_elsewhere_is_no_hit():
    found = detection_by_size(
        squares([8] * 5),
        [
            verdict(Label.ANOMALOUS, (17, 17, 5, 5)),
            verdict(Label.ANOMALOUS, (18, 10, 5, 5)),
            verdict(Label.ANOMALOUS, (60, 60, 1, 1)),
            verdict(Label.ANOMALOUS),
            verdict(Label.GOOD),
        ],
    )
    assert found.found.tolist() == [True, False, False, True, False]
    assert found.sizes == pytest.approx([2 * 8 / np.sqrt(np.pi)] * 5)
    assert found.pod is None and "at least 20 defects" in found.note


def test_images_of_a_part_count_once_and_errors_not_at_all():
    origins = [Origin(part=part) for part in "aabbc"]
    said = [verdict(), verdict(Label.GOOD), Verdict(name="x", label=Label.ERROR), verdict(), verdict(Label.GOOD)]
    found = detection_by_size(squares([4, 5, 6, 7, 8], origins), said)
    assert found.found.tolist() == [True, True, False] and found.sizes[1] == pytest.approx(2 * 7 / np.sqrt(np.pi))
    unmarked = Dataset("none", Images([]), squares([4]).test, ("dent",))
    assert detection_by_size(unmarked, [verdict()]) is None


def test_the_curve_and_its_chart():
    rng = np.random.default_rng(0)
    sides = rng.integers(2, 40, 60)
    hits = rng.random(60) < 1 / (1 + np.exp(-3 * np.log(sides / 8)))
    found = detection_by_size(squares(sides), [verdict() if hit else verdict(Label.GOOD) for hit in hits])
    assert found.pod.n == 60 and found.pod.hits == hits.sum() and found.note == ""
    chart = pod_chart(found)
    assert len(chart.dots) == 60 and chart.a90 < chart.a90_95 and chart.curve.startswith("M")


def test_an_evaluation_has_it(inspector, tmp_path):
    good, bad = toy_part(4, seed=11), toy_part(24, seed=12, defective=True)
    images = Images([*good.images, *bad.images])
    masks = (None,) * 4 + tuple(mask.astype(np.uint8) for mask in bad.masks)
    data = Dataset("toy", Images([]), images, ("good",) * 4 + ("dent",) * 24, masks=masks)
    found = evaluate(inspector, data)
    assert len(found.by_size.sizes) == 24 and found.summary()["by_size"]["defects"] == 24
    write_report(tmp_path / "report.html", found, inspector)
    text = (tmp_path / "report.html").read_text()
    assert "Size of the defects" in text and text.count('fill-opacity="0.55"') == 24
