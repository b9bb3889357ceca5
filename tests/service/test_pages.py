"""Every page that Amiss writes, as a browser shows it: on a desk and on a phone, light and dark, read by axe-core."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import amiss
from amiss.cli import main as entry
from amiss.evaluation.benchmark.ranks import rank_rows
from amiss.evaluation.benchmark.text import RANKED, sheets
from amiss.inspector import Inspector
from amiss.reporting.benchmark_page import write_benchmark_page
from amiss.reporting.inspection_page import write_index
from amiss.testing import toy_part, write_images, write_mvtec
from tests.benchmark.test_page import make_table
from tests.evaluation.test_gauge_study import write_study
from tests.service.browser import check_page, chromium, opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return amiss.fit(toy_part(40, seed=0).images, method="padim", preset="tiny", size=64, calibration=0.5)


def gallery(folder: Path, inspector: Inspector, count: int) -> Path:
    """The page of a run over so many images, a few of which have a thumbnail."""
    (folder / "thumbnails").mkdir(parents=True)
    cv2.imwrite(str(folder / "thumbnails" / "0.jpg"), np.full((60, 126, 3), 128, np.uint8))
    with (folder / "results.jsonl").open("w") as file:
        for number in range(count):
            score = 1 + number / count
            label = "error" if number % 50 == 9 else "anomalous" if number % 10 == 1 else "good"
            known = {
                "name": f"lot/part {number:05d}.png",
                "label": label,
                "reason": "cut off" if label == "error" else "",
            }
            numbers = {"score": score, "margin": score - 1.5, "p_value": 0.05}
            numbers = dict.fromkeys(numbers) if label == "error" else numbers
            regions = [{"box": [1, 2, 30, 4], "area": 50, "peak": score}] if label == "anomalous" else []
            more = {"regions": regions, "recognised": None, "image": "" if label == "error" else "0.png"}
            file.write(json.dumps({**known, **numbers, **more}) + "\n")
    return write_index(folder, inspector, "lot")


def test_the_gallery(browser: Any, inspector: Inspector, tmp_path: Path):
    check_page(browser, gallery(tmp_path / "run", inspector, 300), "gallery")


def test_a_gallery_of_ten_thousand_draws_what_is_looked_at(browser: Any, inspector: Inspector, tmp_path: Path):
    page = gallery(tmp_path / "run", inspector, 10_000)
    assert page.stat().st_size < 3_000_000
    with opened(browser, page) as tab:
        shown, cards = tab.locator("#shown"), tab.locator("#grid > li")
        assert shown.inner_text() == "10000 of 10000 images" and 60 <= cards.count() <= 300
        assert "PART 00" not in cards.first.inner_text() and "ERROR" in cards.first.inner_text()
        tab.get_by_role("checkbox", name="error").uncheck()
        assert "part 09991.png" in cards.first.inner_text() or "part 0999" in cards.first.inner_text()
        tab.get_by_role("checkbox", name="good").uncheck()
        assert shown.inner_text() == "1000 of 10000 images"
        tab.get_by_label("Name").fill("part 00011")
        assert shown.inner_text() == "1 of 10000 images" and cards.count() == 1
        tab.get_by_label("Name").fill("")
        before = cards.count()
        tab.evaluate("() => window.scrollTo(0, document.body.scrollHeight)")
        tab.wait_for_function(f"() => document.querySelectorAll('#grid > li').length > {before}")
        assert cards.count() <= 1000
        tab.set_viewport_size({"width": 7000, "height": 4000})
        tab.evaluate("() => window.scrollTo(0, 0)")
        tab.get_by_label("Name").fill("part 0")
        end = "() => document.querySelector('#end').getBoundingClientRect().top"
        assert tab.evaluate(end) > 4000, "a window that holds more than one helping is filled"


def test_an_image_of_the_gallery_is_looked_at_with_the_keyboard(browser: Any, inspector: Inspector, tmp_path: Path):
    with opened(browser, gallery(tmp_path / "run", inspector, 100)) as tab:
        tab.get_by_role("checkbox", name="error").uncheck()
        tab.locator("#grid button").first.focus()
        tab.keyboard.press("Enter")
        one = tab.locator("#one")
        assert one.is_visible() and "above the threshold, p = 0.05" in one.inner_text()
        title = tab.locator("#one-name").inner_text()
        tab.keyboard.press("ArrowRight")
        assert tab.locator("#one-name").inner_text() != title
        tab.keyboard.press("Escape")
        assert not one.is_visible()
        tab.get_by_role("checkbox", name="good").uncheck()
        tab.locator("#grid button").first.click()
        assert "4 x 30" in one.inner_text() and "2, 1" in one.inner_text()
        assert one.locator("a").first.get_attribute("href") == "overlays/0.png"


TINY = ("--preset", "tiny", "--size", 64, "--calibration", 0.5)


def run(*words: object) -> None:
    """A verb; whatever it finds, it writes its page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["amiss", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
    assert stop.value.code in (None, 0, 3, 4), words


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, and a data set with a long name of a defect and a file that is no image."""
    home = tmp_path_factory.mktemp("pages")
    bad = {
        "blot": toy_part(8, seed=3, defective=True),
        "a_long_word_for_scratches": toy_part(5, seed=4, defective=True),
    }
    write_mvtec(home / "cloth", toy_part(60, seed=1).images, toy_part(30, seed=2).images, **bad)
    (home / "cloth" / "test" / "good" / "999.png").write_text("not an image")
    dark = [image // 2 for image in toy_part(30, seed=8).images]
    write_images(home / "stream", [*toy_part(60, seed=7).images, *dark])
    run("fit", home / "cloth", *TINY, "--rule", "triage:20%,5%", "-o", home / "a.amiss")
    run("fit", home / "cloth", *TINY, "--method", "padim", "-o", home / "b.amiss")
    return home


def test_the_report(browser: Any, home: Path):
    run("evaluate", home / "a.amiss", home / "cloth", "-o", home / "report")
    page = home / "report" / "report.html"
    check_page(browser, page, "report")
    with opened(browser, page) as tab:
        words = tab.inner_text("body")
        assert "% found" in words and "false alarms" in words
        assert not tab.get_by_text("AUPRO up to 30 %").first.is_visible()  # for researchers, folded away
        assert tab.get_by_text("around what alarms").first.is_visible()


@pytest.mark.parametrize(
    ("asked", "words"),
    [((), "No rate was required"), (("--escape", "1%"), "NOT SHOWN"), (("--escape", "99%"), "SHOWN: every")],
)
def test_the_certificate(browser: Any, home: Path, asked: tuple[str, ...], words: str):
    folder = home / "-".join(["certificate", *asked])
    run("certify", home / "a.amiss", home / "cloth", *asked, "-o", folder)
    check_page(browser, folder / "certificate.html", folder.name)
    with opened(browser, folder / "certificate.html") as tab:
        text = tab.inner_text("body")
        assert words in text and "a.amiss" in text and "Threshold" in text and "Signature" in text
        assert ("required" in tab.inner_text("thead >> nth=0")) == bool(asked)
        assert all(head.strip() for head in tab.locator("thead th").all_inner_texts())  # no column without a name


def test_the_monitor(browser: Any, home: Path):
    run("monitor", home / "b.amiss", home / "stream", "-o", home / "monitor")
    check_page(browser, home / "monitor" / "monitor.html", "monitor")


def test_the_comparison(browser: Any, home: Path):
    run("compare", home / "a.amiss", home / "b.amiss", home / "cloth", "--margin", "30%", "-o", home / "comparison")
    check_page(browser, home / "comparison" / "comparison.html", "comparison")
    kept = json.loads((home / "comparison" / "comparison.json").read_text())
    with opened(browser, home / "comparison" / "comparison.html") as tab:
        text = tab.inner_text("body")
    assert ("NOT SHOWN" in text) == (not all(one["shown"] for one in kept["conclusions"]["non_inferior"].values()))
    assert f"A raised {kept['first']['false_alarms']['count']} false" in text


def test_the_benchmark(browser: Any, tmp_path: Path):
    table = make_table(("mvtec_bottle", "mvtec_screw", "set0"))
    rankings = [rank_rows(table, metric) for metric in RANKED]
    write_benchmark_page(tmp_path / "bench.html", table, rankings, sheets(table, rankings))
    check_page(browser, tmp_path / "bench.html", "bench")


def test_the_gauge(browser: Any, home: Path):
    """A defect and a longer name, a file that is no image, and a dot for each of the others, which says what it is."""
    rows = write_study(home / "study")
    (home / "study" / "P0" / "S0" / "cut.png").write_bytes(b"\x89PNG broken")
    rows.append("P0/S0/cut.png,P0,S0,ok")
    table = "\n".join(["path,part,station,label", *rows]).replace(",S1,", ",station at the end of the line,")
    (home / "study" / "study.csv").write_text(table)
    run("gauge", home / "a.amiss", home / "study" / "study.csv", "-o", home / "gauge")
    page, kept = home / "gauge" / "gauge.html", json.loads((home / "gauge" / "gauge.json").read_text())
    check_page(browser, page, "gauge")
    with opened(browser, page) as tab:
        text = tab.inner_text("body")
        assert "Unusable: " in text and "cut.png" in text and "station at the end of the line" in text
        assert tab.locator("circle").count() == len(kept["images"]) == len(rows) - 1
        stopped = sum(one["label"] != "good" for one in kept["images"])
        assert tab.locator("circle.bar-bad").count() == stopped > 0
        assert all("score" in one for one in tab.locator("circle title").all_text_contents())
        box = tab.locator("svg").first.bounding_box()
        threshold = tab.locator('line[stroke="var(--ink)"]').first.bounding_box()
        assert box["x"] < threshold["x"] < box["x"] + box["width"], "the threshold lies in the chart"


def test_suspects(browser: Any, home: Path):
    run("fit", home / "cloth", *TINY, "--method", "padim", "--suspects", "-o", home / "c.amiss")
    check_page(browser, home / "c.amiss.suspects" / "suspects.html", "suspects")


def test_the_shift(browser: Any, home: Path):
    store, images = home / "store", home / "cloth" / "test" / "blot"
    run("watch", home / "b.amiss", images, "--store", store, "--once", "--names", "{serial}")
    run("results", "report", store, "--output", home / "shift.html")
    check_page(browser, home / "shift.html", "shift")
