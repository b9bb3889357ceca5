"""The report: one file, nothing fetched, hostile names escaped, n and alpha on the page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import amiss
from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.core.words import low_to_high
from amiss.data import Dataset
from amiss.evaluation import Evaluation, evaluate
from amiss.evaluation.sampling import Sampling
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.reporting import charts, gallery, write_report
from amiss.reporting.overlay import ColourScale
from amiss.reporting.report import promise_kept
from amiss.rules import Certified, Conformal, Fixed, Triage
from amiss.testing import toy_texture, write_image

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return amiss.fit(toy_texture(20, seed=0).images, method="patchcore", preset="tiny", size=64, calibration=0.5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    good, bad = toy_texture(6, seed=5), toy_texture(3, seed=6, defective=True)
    paths, masks = [], []
    for number, image in enumerate([*good.images, *bad.images]):
        paths.append(folder / f"{number}{HOSTILE if number % 2 else ''}.png")
        write_image(paths[-1], image)
        masks.append(folder / f"mask{number}.png" if number >= 6 else None)
        if number >= 6:
            write_image(masks[-1], bad.masks[number - 6])
    empty = folder / f"empty{HOSTILE}.png"
    empty.write_bytes(b"")
    defects = ("good",) * 6 + ("<b>blot</b>",) * 3 + ("good",)
    test = Images([*paths, empty])
    notes = ("<u>an own</u> split",)
    return Dataset("toy & co", Images(paths[:1]), test, defects, (*masks, None), licence="<i>none</i>", notes=notes)


@pytest.fixture(scope="module")
def evaluation(inspector: Inspector, dataset: Dataset) -> Evaluation:
    return evaluate(inspector, dataset)


@pytest.fixture(scope="module")
def page(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory
) -> str:
    path = tmp_path_factory.mktemp("report") / "sub" / "report.html"
    write_report(path, evaluation, inspector)
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """All tags with their attributes, as a browser would see them; and whether they are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    tags = parse(page).tags
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "action")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_hostile_names_are_text(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<b>blot" not in page
    assert "<i>none" not in page
    assert "toy &amp; co" in page
    assert all(attributes["src"].startswith("data:") for tag, attributes in parse(page).tags if tag == "img")


def test_promise_counts_and_errors_are_on_the_page(page: str, inspector: Inspector, evaluation: Evaluation) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert f"{evaluation.detections.count} of 3 defective images raised an alarm" in text
    assert "1 image could not be used" in text
    assert "the file is empty" in text
    assert inspector.statement() in text.replace("&#39;", "'")
    assert f"{100 * (evaluation.alpha or 0):.1f} %" in text
    assert f"n = {inspector.rule.n}" in text
    low, high = evaluation.detections.interval
    assert low_to_high((low, high)) in text
    assert inspector.fingerprint in text
    assert "No p-value is below" in text and "certify it on other parts" in text
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Verdicts",
        "Other rates",
        "Metrics",
        "Scores",
        "Detections against false alarms",
        "Size of the defects",
        "Colours",
        "Worst misses",
        "Worst false alarms",
        "Typical detections",
        "The data",
        "How it was made",
    ]


def test_notes_on_the_data_are_folded(page: str, evaluation: Evaluation) -> None:
    assert len(evaluation.tested.notes) == 1 and "<u>an own" not in page
    assert re.search(
        r"<details>\s*<summary>1 note on images and masks</summary>\s*<ul>\s*<li>&lt;u&gt;an own&lt;/u&gt; split</li>",
        page,
    )


def test_misses_and_false_alarms_are_shown(inspector: Inspector, dataset: Dataset, tmp_path: Path) -> None:
    scores = evaluate(inspector, dataset).scores
    for threshold, missed, false in ((float(np.nanmax(scores)) - 1e-3, 2, 0), (0.0, 0, 6)):
        ruled = inspector.with_rule(Fixed(threshold))
        found = evaluate(ruled, dataset)
        write_report(tmp_path / "r.html", found, ruled, worst=4)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        images = [tag for tag, _ in parse(text).tags if tag == "img"]
        assert len(images) == 2 * (min(4, missed) + min(4, false) + (3 - missed))
        assert f"{missed} of 3 defective images were passed" in text if missed else "None of 3 defective" in text
        assert f"{false} of 6 good images raised" in text if false else "None of 6 good" in text


def test_worst_first(evaluation: Evaluation) -> None:
    labels = (Label.GOOD, Label.ANOMALOUS) * 4
    scores = (0.1, 9.0, 0.3, 8.0, 0.2, 7.0, 0.4, 6.0)
    verdicts = tuple(
        replace(evaluation.verdicts[0], label=label, score=score) for label, score in zip(labels, scores, strict=True)
    )
    defects = ("a", "good", "a", "good", "b", "a", "good", "b")
    found = replace(evaluation, verdicts=verdicts, defects=defects)
    assert gallery.misses(found, 9) == [0, 4, 2]
    assert gallery.misses(found, 1) == [0]
    assert gallery.false_alarms(found, 9) == [1, 3]
    assert gallery.typical_detections(found, 9) == [5, 7]


@pytest.mark.parametrize("rule", [Certified(0.3), Fixed(-1.0), Conformal(0.5)])
@pytest.mark.parametrize("kinds", ["good", "defective", "errors"])
def test_every_rule_and_poor_data_set_has_a_report(
    inspector: Inspector, dataset: Dataset, tmp_path: Path, rule: Conformal, kinds: str
) -> None:
    chosen = {"good": [0, 1], "defective": [6, 7], "errors": [9]}[kinds]
    poor = Dataset("poor", dataset.normal, dataset.test.subset(chosen), tuple(dataset.defects[i] for i in chosen))
    ruled = inspector.with_rule(rule)
    write_report(tmp_path / "r.html", evaluate(ruled, poor), ruled)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    parse(text)
    assert "nan" not in re.sub(r"base64,[^\"]*|[0-9a-f]{64}", "", text)


def test_promise_is_judged_by_its_interval(evaluation: Evaluation) -> None:
    def judged(alarms: int, n: int) -> str:
        verdicts = tuple(
            replace(evaluation.verdicts[0], label=Label.ANOMALOUS if i < alarms else Label.GOOD) for i in range(n)
        )
        alone = Sampling(np.zeros(n, bool), np.arange(n))
        changed = {"verdicts": verdicts, "defects": ("good",) * n, "sampling": alone}
        return promise_kept(replace(evaluation, alpha=0.05, **changed))

    assert "confirms" in judged(0, 200)
    assert "cannot tell more" in judged(1, 20)
    assert "more than promised" in judged(15, 50)
    assert "could not be checked" in judged(0, 0)


def test_histogram_counts_every_score() -> None:
    good, bad = np.linspace(0, 1, 50, dtype=np.float32), np.array([1.5, 500.0], np.float32)
    chart = charts.histogram([("good", "good", good), ("none", "calibration", good[:0]), ("bad", "bad", bad)], 1.0)
    assert [(row.title, row.n) for row in chart.rows] == [("good", 50), ("bad", 2)]
    assert chart.beyond == 1  # one score would have squeezed all others into one bar
    assert chart.left < chart.threshold < chart.right
    assert all(chart.left <= tick.at <= chart.right for tick in chart.ticks)
    flat = charts.histogram([("good", "good", np.ones(3, np.float32))], 1.0)
    assert flat.ticks


def test_roc_has_its_operating_point_where_it_was_measured() -> None:
    labels, scores = np.array([0, 0, 0, 0, 1, 1], bool), np.array([1, 2, 3, 4, 3.5, 5], np.float32)
    chart = charts.roc(labels, scores, 0.25, Rate(1, 4), Rate(1, 2))
    assert chart is not None
    assert (chart.x, chart.y, chart.alpha) == (75.0, 150.0, 75.0)
    assert chart.path == "M0.00,300.00L0.00,150.00L75.00,150.00L75.00,0.00L300.00,0.00"
    assert charts.roc(labels[:4], scores[:4], 0.25, Rate(1, 4), Rate(0, 0)) is None


def test_legend_p_values_are_those_of_the_rule() -> None:
    from amiss.core.scores import Scores

    rule = Conformal(0.05).calibrate(Scores(np.arange(99, dtype=np.float32) ** 2))
    chart = charts.legend(rule, ColourScale.of_rule(rule))
    assert {"0.5", "0.05"} <= {tick.text for tick in chart.p_values}
    for p, score in charts._p_value_scores(rule):
        above = rule.p_value(np.array([score + 0.5]))[0]
        assert above == pytest.approx(p)
    places = [tick.at for tick in chart.p_values]
    assert places == sorted(places)


def test_short_names() -> None:
    assert gallery.short_names(["/a/b/0.png"]) == ("0.png",)
    assert gallery.short_names(["image 0", "image 1"]) == ("image 0", "image 1")
    assert gallery.short_names(["/a/0.png", "b/0.png"]) == ("/a/0.png", "b/0.png")


def test_review_and_types_are_on_the_page(inspector: Inspector, dataset: Dataset, tmp_path: Path) -> None:
    asking = inspector.with_rule(Triage(accept=0.6, reject=0.1))
    defects = ("good",) * 6 + ("dent", "scratch", "scratch", "good")
    typed = replace(dataset, defects=defects)
    found = evaluate(asking, typed)
    write_report(tmp_path / "r.html", found, asking)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    parse(page)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert found.good_reviews.count + found.defective_reviews.count > 0
    assert f"left to a person: {found.good_reviews} of the good and {found.defective_reviews} of the" in text
    assert f"Passed as good were {found.escapes} of the defective ones" in text
    assert "defect type against good" in text
    for defect in ("dent", "scratch"):
        measured = found.types[defect]
        low, high = measured.image_auroc_interval
        assert f"{measured.image_auroc:.4f} {low_to_high((low, high), '.4f')} {measured.pixel_aupro:.4f}" in text
    assert f"{found.metrics.seg_f1:.4f}" in text and "nan" not in re.sub(r"base64,[^\"]*|[0-9a-f]{64}", "", page)


def test_every_metric_shows_its_interval(page: str, evaluation: Evaluation) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for name in ("image_auroc", "image_ap", "fpr_at_95_tpr", "pixel_auroc", "pixel_ap", "pixel_aupro", "f1", "seg_f1"):
        low, high = evaluation.metrics.interval(name)
        assert f"{getattr(evaluation.metrics, name):.4f} {low_to_high((low, high), '.4f')}" in text, name
    assert "AUPIMO" not in text and "sPRO" not in text  # not defined here, so not shown
