"""The page of `amiss serve` in a browser, walked by each role, at both widths and schemes, read by axe-core."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from amiss import fit
from amiss.testing import toy_part
from tests.server.running import Running, amiss, png, start
from tests.service.browser import SCHEMES, SCREENSHOTS, WIDTHS, chromium, findings, narrow_words, overflow

PASSWORD = "correct horse"
PAGES = {
    "operator": ["line", "review", "review?kind=audit", "review?kind=disagreement", "quality", "recipes"],
    "engineer": ["line", "line?wall", "review", "quality", "recipes", "learn"],
    "auditor": ["line", "quality", "recipes", "audit"],
}
"""What each role may open, named as in the address."""

CLOSED = {"operator": ["learn", "audit"], "engineer": [], "auditor": ["review", "learn"]}
REVIEWS, PARTS = 22, 400


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with parts to be reviewed and audited, an alarm in two lots, a broken image, and a person per role."""
    folder = tmp_path_factory.mktemp("site")
    images = toy_part(180, seed=0).images
    fit(images, method="padim", preset="tiny", size=64, rule="triage:35%,1%", calibration=0.6).save(
        folder / "toy.amiss"
    )
    with_audit = '[station]\nname = "test"\ndeadline_ms = 20000\n[http]\nport = 0\n[audit]\nrate = 0.15\n'
    (folder / "amiss.toml").write_text(with_audit + '[recipe.toy]\nartefact = "toy.amiss"\n')
    running = start(folder)
    post(running, "broken", b"\x89PNG broken", "L1")
    seed = 200
    while running.get("/api/v1/queue?kind=review").json["left"] < REVIEWS and seed < 200 + PARTS:
        seed += 1
        post(running, f"S{seed}", png(seed, defective=seed % 9 == 0), f"L{seed // 30}")
    for role in PAGES:
        amiss(folder, "serve", "person", "add", role, "--role", role, said=f"{PASSWORD}\n")
    yield running
    running.stop()


def post(site: Running, serial: str, data: bytes, lot: str) -> None:
    assert site.post(f"/api/v1/parts?recipe=toy&serial={serial}&lot={lot}", data).status in (200, 422)


@contextmanager
def tab_of(browser: Any, site: Running, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """A tab at the page; errors of scripts and what the policy refuses fail the test."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab, errors = context.new_page(), []
    tab.set_default_timeout(20_000)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda told: errors.append(told.text) if "Policy" in told.text else None)
    try:
        tab.goto(f"http://127.0.0.1:{site.port}/")
        yield tab
    finally:
        context.close()
    assert not errors, errors


def log_in(tab: Any, role: str) -> None:
    tab.get_by_label("Name").fill(role)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    tab.get_by_role("navigation", name="Pages").wait_for()


@pytest.fixture
def person(browser: Any, site: Running) -> Iterator[Callable[..., Any]]:
    """Log in as somebody; the tab, and the same person as a plain client."""
    with ExitStack() as stack:

        def enter(role: str, **how: Any) -> tuple[Any, Running]:
            tab = stack.enter_context(tab_of(browser, site, **how))
            log_in(tab, role)
            return tab, site.log_in(role, PASSWORD)

        yield enter


def go(tab: Any, page: str) -> None:
    tab.evaluate(f"() => {{ location.hash = '#/{page}' }}")
    tab.wait_for_function("() => !document.querySelector('.loading')")
    tab.wait_for_function("() => [...document.images].every(image => image.complete || image.loading === 'lazy')")


def look(tab: Any, name: str, width: int, scheme: str) -> None:
    """No finding of axe-core, nothing wider than the window, no word in pieces; and a screenshot where one is kept."""
    if kept := os.environ.get(SCREENSHOTS):
        Path(kept).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=f"{kept}/{re.sub(r'[^a-z]+', '-', name)}-{width}-{scheme}.png", full_page=True)
    what = f"{name} at {width} pixels, {scheme}"
    assert findings(tab) == [], what
    assert overflow(tab) <= 0, f"{what} is {overflow(tab)} pixels too wide"
    assert narrow_words(tab) == [], what


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("role", PAGES)
def test_every_page_of_a_role(person: Any, role: str, width: int, scheme: str) -> None:
    tab, api = person(role, width=width, scheme=scheme)
    for page in PAGES[role]:
        go(tab, page)
        tab.locator("main h1").first.wait_for(state="attached")
        look(tab, f"{role} {page}", width, scheme)
    part = api.get("/api/v1/parts?label=anomalous&limit=1").json["parts"][0]["id"]
    go(tab, f"part/{part}")
    look(tab, f"{role} part", width, scheme)
    for page in CLOSED[role]:
        go(tab, page)
        assert tab.locator("main h1").inner_text() == "Not here"


def test_the_door(browser: Any, site: Running) -> None:
    """A wrong password is said so, whoever is not known sees no part, and logging out ends it."""
    for width in WIDTHS:
        for scheme in SCHEMES:
            with tab_of(browser, site, width, scheme) as tab:
                tab.get_by_label("Name").wait_for()
                look(tab, "door", width, scheme)
    with tab_of(browser, site) as tab:
        tab.get_by_label("Name").fill("operator")
        tab.get_by_label("Password").fill("wrong horse")
        tab.get_by_role("button", name="Log in").click()
        assert "wrong" in tab.get_by_role("alert").inner_text()
        assert tab.locator("nav").count() == 0
        log_in(tab, "operator")
        tab.get_by_role("button", name="Log out").click()
        tab.get_by_label("Name").wait_for()
        assert tab.evaluate("() => fetch('api/v1/parts').then(answer => answer.status)") == 401


def test_twenty_parts_are_reviewed_by_single_keys_and_one_is_taken_back(person: Any) -> None:
    """A label is in the record before the next part shows."""
    tab, api = person("operator")
    go(tab, "review")
    left = api.get("/api/v1/queue?kind=review").json["left"]
    assert left >= 21
    names: list[str] = []
    for turn in range(20):
        name = tab.locator(".pair figcaption strong").first.inner_text()
        names.append(name)
        key, truth = [("g", "good"), ("d", "defective"), ("u", "unclear")][turn % 3]
        if key == "d":
            tab.get_by_label("Type of defect").fill("scratch")
            tab.locator("main h1").click()
        tab.keyboard.press(key)
        tab.wait_for_function("old => document.querySelector('.pair figcaption strong')?.innerText !== old", arg=name)
        shown = api.get(f"/api/v1/parts/{name}").json
        assert shown["truth"] == truth and shown["labels"][-1]["by"] == "operator"
        assert shown["labels"][-1]["type"] == ("scratch" if key == "d" else None)
    assert len(set(names)) == 20
    assert api.get("/api/v1/queue?kind=review").json["left"] == left - 20
    tab.keyboard.press("z")
    tab.wait_for_function("old => document.querySelector('.pair figcaption strong').innerText === old", arg=names[-1])
    assert api.get(f"/api/v1/parts/{names[-1]}").json["truth"] is None
    assert api.get("/api/v1/queue?kind=review").json["left"] == left - 19


def test_a_label_that_is_not_saved_keeps_its_part(person: Any) -> None:
    tab, api = person("operator")
    go(tab, "review")
    name = tab.locator(".pair figcaption strong").first.inner_text()
    tab.route("**/labels", lambda route: route.abort())
    tab.keyboard.press("g")
    tab.get_by_role("alert").wait_for()
    assert tab.locator(".pair figcaption strong").first.inner_text() == name
    assert api.get(f"/api/v1/parts/{name}").json["truth"] is None
    tab.unroute("**/labels")


def test_audit_parts_are_blind_and_boxes_are_in_pixels(person: Any, site: Running) -> None:
    tab, api = person("operator")
    go(tab, "review?kind=audit")
    tab.locator(".pair img.ready").first.wait_for()
    name = tab.locator(".pair figcaption strong").first.inner_text()
    part = site.log_in("auditor", PASSWORD).get(f"/api/v1/parts/{name}").json
    assert "score" not in api.get(f"/api/v1/parts/{name}").json
    assert api.get(f"/api/v1/parts/{part['id']}/overlay").status == 403
    words = tab.locator("main").inner_text()
    assert "p =" not in words and f"{part['score']:.4g}" not in words and tab.locator(".region").count() == 0
    tab.keyboard.press("b")
    box = tab.locator(".scene").first.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 3 / 4)
    tab.mouse.up()
    tab.keyboard.press("d")
    tab.wait_for_function("old => document.querySelector('.pair figcaption strong')?.innerText !== old", arg=name)
    label = api.get(f"/api/v1/parts/{name}").json["labels"][-1]
    wanted = [part["width"] / 4, part["height"] / 4, part["width"] / 4, part["height"] / 2]
    assert label["blind"] and label["boxes"][0] == pytest.approx(wanted, abs=1.5)
    go(tab, "quality")
    tab.get_by_text("of parts that people found defective, n = 1").wait_for()


def test_an_engineer_recalibrates_promotes_rolls_back_and_sets_aside(person: Any) -> None:
    tab, api = person("engineer")
    go(tab, "recipes")
    tab.get_by_role("button", name="Recalibrate").first.click()
    tab.get_by_label("alpha").fill("10%")
    tab.get_by_role("dialog").get_by_role("button", name="Recalibrate").click()
    tab.get_by_text("Version 2 was checked and tried").wait_for()
    assert "What other alphas would mean" in tab.locator(".fresh").inner_text()
    tab.get_by_role("button", name="Promote v2").click()
    dialog = tab.get_by_role("dialog")
    assert "Then: version 2" in dialog.inner_text()
    look(tab, "promote", 1280, "light")
    dialog.get_by_role("button", name="Promote").click()
    assert dialog.is_visible(), "a reason must be given"
    dialog.get_by_label("Reason").fill("fewer escapes")
    dialog.get_by_role("button", name="Promote").click()
    dialog.wait_for(state="detached")
    assert api.get("/api/v1/recipes").json["recipes"][0]["current"] == 2
    tab.get_by_role("button", name="Roll back").click()
    dialog.get_by_label("Reason").fill("more false alarms")
    dialog.get_by_role("button", name="Roll back").click()
    dialog.wait_for(state="detached")
    recipe = api.get("/api/v1/recipes").json["recipes"][0]
    assert recipe["current"] == 1 and recipe["deployments"][-1]["reason"] == "more false alarms"
    assert recipe["deployments"][-1]["actor"] == "engineer"
    go(tab, "quality")
    row = tab.locator(".lots tbody tr").first
    lot, parts = row.locator("th").inner_text(), int(row.locator("td").first.inner_text())
    row.get_by_role("button").click()
    dialog.get_by_label("Reason").fill("light")
    dialog.get_by_role("button", name="Set aside").click()
    dialog.wait_for(state="detached")
    tab.get_by_role("cell", name=f"lot {lot}").wait_for()
    kept = api.get("/api/v1/quarantines").json["quarantines"][0]
    assert (kept["lots"], kept["parts"], kept["reason"], kept["by"]) == ([lot], parts, "light", "engineer")


def compare(site: Running, api: Running, count: int) -> None:
    """Have parts judged, and wait until the version in the shadow has said what it thinks of them."""
    token = amiss(site.folder, "serve", "token", "add", "plc", "--scope", "inspect")
    for seed in range(4000, 4000 + count):
        assert site.bearing(token).post(f"/api/v1/parts?recipe=toy&serial=D{seed}", png(seed)).status == 200
    until = time.monotonic() + 60
    while api.get("/api/v1/recipes/toy/shadow").json["shadow"]["compared"] < count and time.monotonic() < until:
        time.sleep(0.1)


def test_a_shadow_is_compared_and_promoted_from_there(person: Any, site: Running) -> None:
    """Label what is disputed without knowing which version says what, read the test, promote."""
    made = site.log_in("engineer", PASSWORD).post(
        "/api/v1/recipes/toy/recalibrations", {"rule": "conformal", "alpha": "40%"}
    )
    version = made.json["version"]
    tab, api = person("engineer")
    go(tab, "recipes")
    tab.get_by_role("button", name=f"Shadow v{version}").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("is it stricter?")
    dialog.get_by_role("button", name="Put in the shadow").click()
    dialog.wait_for(state="detached")
    compare(site, api, 24)
    box = tab.get_by_role("region", name=f"Version {version} in the shadow")
    box.get_by_role("link", name="Label them").click()
    tab.locator(".pair figcaption strong").first.wait_for()
    while tab.locator(".pair figcaption strong").count():
        name = tab.locator(".pair figcaption strong").first.inner_text()
        assert "p =" not in tab.locator("main").inner_text() and tab.locator(".region").count() == 0
        tab.keyboard.press("g")
        gone = "document.querySelector('.pair figcaption strong')?.innerText !== old"
        tab.wait_for_function(f"old => document.querySelector('.empty') || {gone}", arg=name)
    told = api.get("/api/v1/recipes/toy/shadow").json["shadow"]
    assert told["labelled"] > 0 == told["unlabelled"]
    go(tab, "recipes")
    box.locator("table").wait_for()
    assert box.locator("tbody tr").first.locator("td").nth(1).inner_text() == str(told["good"]["shadow_right"])
    look(tab, "shadow", 1280, "light")
    box.get_by_role("button", name=f"Promote v{version}").click()
    dialog.get_by_text(re.compile("On the parts that are kept to certify|No audited part is left")).wait_for()
    look(tab, "promote from the shadow", 1280, "light")
    dialog.get_by_label("Reason").fill("it is right more often")
    dialog.get_by_role("button", name="Promote").click()
    dialog.wait_for(state="detached")
    assert api.get("/api/v1/recipes").json["recipes"][0]["current"] == version
    box.wait_for(state="detached")
    assert api.post("/api/v1/recipes/toy/rollback", {"reason": "end of the test"}).status == 200


def test_an_auditor_verifies_replays_and_takes_a_copy(person: Any, site: Running) -> None:
    tab, api = person("auditor")
    go(tab, "audit")
    first = tab.locator(".events tbody tr td").first
    assert int(first.inner_text()) == api.get("/api/v1/chain/head").json["seq"]
    tab.get_by_role("button", name="Verify").click()
    tab.get_by_text("Sound:").wait_for()
    with tab.expect_download() as taken:
        tab.get_by_role("link", name="Export").click()
    assert Path(taken.value.path()).read_text() == site.log_in("auditor", PASSWORD).get("/api/v1/export").body.decode()
    newest = first.inner_text()
    tab.get_by_role("button", name="Older").click()
    tab.wait_for_function("old => Number(document.querySelector('.events tbody td')?.innerText) < old", arg=int(newest))
    tab.get_by_label("Kind").select_option("labelled")
    part = api.get("/api/v1/parts?label=anomalous&limit=1").json["parts"][0]
    tab.get_by_label("Serial number, id or event").fill(part["serial"])
    tab.get_by_role("button", name="Show").click()
    tab.get_by_role("button", name="Replay").click()
    tab.get_by_text("The same, bit for bit").wait_for()
    go(tab, "recipes")
    assert tab.locator("main button").count() == 0
    go(tab, "quality")
    assert tab.get_by_role("button", name="Set aside").count() == 0


def test_from_a_folder_of_good_images_to_what_judges(person: Any, tmp_path: Path) -> None:
    """Upload, a file that is refused, cancel, resume, what it promises, and only then deployment."""
    tab, api = person("engineer")
    folder = tmp_path / "good parts"
    (folder / "more").mkdir(parents=True)
    for seed in range(40):
        (folder / ("more" if seed % 2 else "") / f"{seed}.png").write_bytes(png(1000 + seed))
    (folder / "broken.png").write_bytes(b"\x89PNG broken")
    (folder / "notes.txt").write_text("not an image")
    go(tab, "learn")
    tab.get_by_label("Recipe").fill("new-part")
    tab.get_by_text("Method, size and rule").click()
    tab.locator(".cost").wait_for()
    for label, value in (("Method", "padim"), ("Preset", "tiny")):
        tab.get_by_label(label, exact=True).select_option(value)
    for label, value in (("Size", "64"), ("Rule", "conformal:10%")):
        tab.get_by_label(label, exact=True).fill(value)
    tab.get_by_role("button", name="Begin").click()
    card = tab.get_by_role("region", name="Learning new-part")
    card.locator("input.folder").set_input_files(folder)
    card.get_by_role("button", name="Learn from 40 images").wait_for()
    assert "Refused (1)" in card.inner_text() and "broken.png" in card.inner_text()
    assert "1 file that is not an image" in card.inner_text()
    look(tab, "learn images", 1280, "light")
    card.get_by_role("button", name="Learn from 40 images").click()
    card.get_by_role("button", name="Cancel").click()
    card.get_by_role("button", name="Resume").click()
    deploy = card.get_by_role("button", name=re.compile("Let version 1 judge"))
    deploy.wait_for(timeout=180_000)
    assert "good part" in card.locator(".statement").inner_text() and card.locator(".trade tbody tr").count() > 0
    recipes = {one["recipe"]: one for one in api.get("/api/v1/recipes").json["recipes"]}
    assert recipes["new-part"]["current"] is None
    look(tab, "learn done", 1280, "light")
    deploy.click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("first model")
    dialog.get_by_role("button", name="Let it judge").click()
    dialog.wait_for(state="detached")
    recipes = {one["recipe"]: one for one in api.get("/api/v1/recipes").json["recipes"]}
    assert recipes["new-part"]["current"] == 1
