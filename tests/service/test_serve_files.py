"""The page of `amiss serve` without persons: files that are brought to it, parts set aside since one, and a pause."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from amiss import fit
from amiss.testing import toy_part
from tests.server.running import Running, png, start
from tests.service.browser import chromium, findings
from tests.service.test_serve_page import go, look, post, tab_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def own(browser: Any, toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without persons."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copy(toy_model, folder)
    running = start(folder)
    yield running
    assert running.stop() == 0


@contextmanager
def page_of(browser: Any, own: Running, page: str) -> Iterator[Any]:
    with tab_of(browser, own) as tab:
        tab.get_by_role("navigation", name="Pages").wait_for()
        go(tab, page)
        yield tab


def drop(tab: Any, target: Any, *paths: Path) -> None:
    """Drag files and folders of this machine over an element, and let them go, as the browser itself does it."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = tab.context.new_cdp_session(tab)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})


def test_folders_and_files_are_dropped(browser: Any, own: Running, tmp_path: Path) -> None:
    folder = tmp_path / "lot 7"
    (folder / "camera 2" / "deep").mkdir(parents=True)
    for number, place in enumerate((folder, folder / "camera 2", folder / "camera 2" / "deep")):
        (place / f"part {number}.png").write_bytes(png(number))
    (folder / ".hidden.png").write_bytes(png(9))
    (folder / "notes.txt").write_text("not an image")
    (tmp_path / "one more.png").write_bytes(png(3))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    with page_of(browser, own, "learn") as tab:
        tab.get_by_label("Recipe").fill("dropped")
        tab.get_by_role("button", name="Begin").click()
        card = tab.get_by_role("region", name="Learning dropped")
        drop(tab, card.locator(".drop"), folder, tmp_path / "one more.png", tmp_path / "broken.png")
        card.get_by_role("button", name="Learn from 4 images").wait_for()
        card.get_by_text("Refused (1)").wait_for()
        words = card.inner_text()
        assert "broken.png" in words and "2 files that are not images were left out" in words
        (one,) = [each for each in own.get("/api/v1/learnings").json["learnings"] if each["recipe"] == "dropped"]
        kept = sorted(path.name for path in (own.store / "learnings" / one["id"] / "images").iterdir())
        named = [re.sub("-[0-9a-f]{12}[.]", ".", name) for name in kept]
        assert named == ["one_more.png", "part_0.png", "part_1.png", "part_2.png"]
        look(tab, "learn dropped", 1280, "light")


def test_a_method_is_chosen_by_what_it_costs(browser: Any, own: Running) -> None:
    known = {one["method"]: one for one in own.get("/api/v1/learnings/methods").json["methods"]}
    with page_of(browser, own, "learn") as tab:
        tab.get_by_label("Recipe").fill("chosen")
        tab.get_by_text("Method, size and rule").click()
        tab.locator(".cost").get_by_text("Measured: image AUROC").wait_for()
        names = tab.get_by_label("Method", exact=True).locator("option").all_inner_texts()
        assert len(names) == len(known) and names[0] == known["ensemble"]["title"]
        tab.get_by_text("Compare all methods").click()
        title = known["padim"]["title"]
        row = tab.locator(".costs tbody tr").filter(has=tab.get_by_role("rowheader", name=title, exact=True)).first
        cost = known["padim"]["presets"][0]["measured"]
        assert f"{cost['mean']:.3f}" in row.inner_text()
        look(tab, "learn methods", 1280, "dark")
        row.get_by_role("button").click()
        assert tab.get_by_label("Method", exact=True).input_value() == "padim"
        tab.get_by_role("button", name="Begin").click()
        tab.get_by_role("region", name="Learning chosen").get_by_text("padim, preset default").wait_for()


def test_a_model_is_uploaded(browser: Any, own: Running, tmp_path: Path) -> None:
    model, cut = tmp_path / "second.amiss", tmp_path / "cut.amiss"
    fit(toy_part(60, seed=5).images, method="padim", preset="tiny", size=64, calibration=0.5).save(model)
    cut.write_bytes(model.read_bytes()[:-100])
    with page_of(browser, own, "recipes") as tab:
        tab.get_by_role("button", name="Upload a model").click()
        dialog = tab.get_by_role("dialog")
        dialog.get_by_label("Recipe").fill("second")
        dialog.get_by_label("File (.amiss)").set_input_files(cut)
        dialog.get_by_role("button", name="Upload and try").click()
        dialog.get_by_role("alert").wait_for()
        assert "second" not in {one["recipe"] for one in own.get("/api/v1/recipes").json["recipes"]}
        dialog.get_by_label("File (.amiss)").set_input_files(model)
        dialog.get_by_role("button", name="Upload and try").click()
        dialog.wait_for(state="detached")
        card = tab.get_by_role("region", name="second", exact=True)
        card.get_by_text("Version 1 was checked and tried.").wait_for()
        assert card.locator(".trade tbody tr").count() > 0 and "No version judges" in card.inner_text()
        recipes = {one["recipe"]: one for one in own.get("/api/v1/recipes").json["recipes"]}
        assert recipes["second"]["current"] is None and len(recipes["second"]["versions"]) == 1


def test_parts_are_set_aside_since_the_one_where_the_light_changed(browser: Any, own: Running) -> None:
    changed = 0
    for number in range(120):
        image = toy_part(1, seed=5000 + number, defective=number >= 60).images[0]
        if number >= 60:
            image = cv2.add(image, np.full_like(image, 40))
        data = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
        found = own.post(f"/api/v1/parts?recipe=toy&serial=N{number}", data)
        assert found.status == 200
        changed = changed or (found.json["seq"] if number == 60 else 0)
    until = time.monotonic() + 300  # the charts are drawn by a process of the lowest priority
    while not (chart := own.get("/api/v1/recipes/toy/monitor").json)["alarm"] and time.monotonic() < until:
        time.sleep(0.2)
    assert chart["alarm"] and abs(chart["first"] - changed) < 30, (chart["first"], changed)
    with page_of(browser, own, "quality?recipe=toy") as tab:
        tab.get_by_role("button", name=f"Set aside since event {chart['first']}").click()
        dialog = tab.get_by_role("dialog")
        assert dialog.get_by_label("Since event").input_value() == str(chart["first"])
        dialog.get_by_label("Reason").fill("brighter light")
        look(tab, "set aside since", 1280, "light")
        dialog.get_by_role("button", name="Set aside").click()
        dialog.wait_for(state="detached")
        tab.get_by_role("cell", name=f"since event {chart['first']}").wait_for()
    kept = own.get("/api/v1/quarantines").json["quarantines"][0]
    parts = [one for one in own.get("/api/v1/parts?limit=200").json["parts"] if one["seq"] >= chart["first"]]
    assert (kept["first"], kept["last"], kept["parts"]) == (chart["first"], None, len(parts))
    assert kept["reason"] == "brighter light"


def test_pause_holds_what_is_shown_and_a_station_that_is_gone_is_said(
    browser: Any, tmp_path: Path, toy_model: Path
) -> None:
    shutil.copy(toy_model, tmp_path)
    mine = start(tmp_path)
    with tab_of(browser, mine) as tab:
        tab.get_by_text("No parts yet").wait_for()
        post(mine, "A", png(1), "L1")
        tab.locator(".newest").get_by_text("A", exact=True).wait_for()
        tab.keyboard.press("p")
        tab.get_by_text("Paused:").wait_for()
        post(mine, "B", png(2), "L1")
        tab.wait_for_timeout(3000)
        assert tab.locator(".newest").get_by_text("B", exact=True).count() == 0
        tab.keyboard.press("p")
        tab.locator(".newest").get_by_text("B", exact=True).wait_for()
        assert mine.stop() == 0
        tab.get_by_text("The station cannot be reached. What you see is from").wait_for()
        assert findings(tab) == []
        assert tab.locator(".newest").get_by_text("B", exact=True).count() == 1
