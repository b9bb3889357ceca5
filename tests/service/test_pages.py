"""Every page that Amiss writes, as a browser shows it: on a desk and on a phone, light and dark, read by axe-core."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import amiss
from amiss.inspector import Inspector
from amiss.reporting.inspection_page import write_index
from amiss.testing import toy_part
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
        for _ in range(4):
            tab.evaluate("() => window.scrollTo(0, document.body.scrollHeight)")
            tab.wait_for_timeout(200)
        assert before < cards.count() <= 1000


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
