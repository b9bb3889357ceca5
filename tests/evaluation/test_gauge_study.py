"""Gauge studies: what is counted, what is refused, and what a person gets to see."""

import json
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.data.study import Study, read_study
from amiss.evaluation.gauge import gauge
from amiss.metrics.gauge import gauge_variance
from amiss.reporting.gauge_page import write_gauge
from amiss.rules import Fixed
from amiss.testing import toy_part, write_image

PARTS, STATIONS, REPEATS = 6, 2, 3


def taken_again(parts=PARTS, stations=STATIONS, repeats=REPEATS, noise=4.0):
    """Images of good and defective parts with camera noise; (part, station, image) in turn."""
    rng = np.random.default_rng(8)
    good, bad = toy_part(parts, seed=21).images, toy_part(parts, seed=22, defective=True).images
    shown = [(bad if part % 2 else good)[part] for part in range(parts)]
    for part, image in enumerate(shown):
        for station in range(stations):
            for _ in range(repeats):
                again = image + 3.0 * station + noise * rng.normal(size=image.shape)
                yield f"P{part}", f"S{station}", np.clip(np.round(again), 0, 255).astype(np.uint8)


def study(taken, truth=True):
    parts, stations, images = zip(*taken, strict=True)
    return Study(
        "study", Images(list(images)), parts, stations, {p: int(p[1:]) % 2 == 1 for p in parts} if truth else {}
    )


@pytest.fixture(scope="module")
def found(inspector):
    return gauge(inspector, study(taken_again()))


def test_scores_and_verdicts_are_those_of_the_inspector(inspector, found):
    verdicts = list(inspector.inspect(study(taken_again()).images))
    table = np.array([verdict.score for verdict in verdicts]).reshape(PARTS, STATIONS, REPEATS)
    assert found.score.summary() == gauge_variance(table).summary()
    stopped = np.array([verdict.label is not Label.GOOD for verdict in verdicts]).reshape(PARTS, -1)
    alike = sum(len(set(row)) == 1 for row in stopped.tolist())
    everywhere = found.agreement["all stations"]
    assert (everywhere.alike.count, everywhere.alike.n) == (alike, PARTS)
    right = stopped == (np.arange(PARTS) % 2 == 1)[:, None]
    against = found.correctness["all stations"]
    assert against.effective.count == right.all(axis=1).sum()
    assert against.missed.value == pytest.approx(1 - right[1::2].mean())
    assert against.falsely_stopped.value == pytest.approx(1 - right[::2].mean())
    assert set(found.agreement) == {"S0", "S1", "all stations"}
    away = np.abs(table.mean(axis=(1, 2)) - inspector.rule.threshold)
    assert found.near.count == (away <= 1.96 * found.score.deviations["gauge"].value).sum()


def test_a_noisier_camera_repeats_worse(inspector, found):
    noisy = gauge(inspector, study(taken_again(noise=25.0)))
    assert noisy.score.deviations["repeatability"].value > 2 * found.score.deviations["repeatability"].value


def test_images_that_cannot_be_used_leave_their_part_out_of_the_components(inspector):
    taken = [*taken_again()]
    taken[4] = (*taken[4][:2], np.zeros((64, 64)))  # floats are not images
    found = gauge(inspector, study(taken))
    assert len(found.errors) == 1 and found.n_images == len(taken) - 1
    assert found.score.shape == (PARTS - 1, STATIONS, REPEATS) and "equally many" in found.score_note
    assert found.agreement["all stations"].alike.n == PARTS


def test_one_repeat_gives_agreement_between_stations_only(inspector):
    found = gauge(inspector, study(taken_again(repeats=1)))
    assert found.score is None and found.near is None and "2 usable images" in found.score_note
    assert set(found.agreement) == {"all stations"}


def test_verdicts_that_are_all_alike_have_no_kappa(inspector):
    found = gauge(inspector.with_rule(Fixed(1e9)), study(taken_again()))
    assert found.summary()["agreement"]["all stations"]["kappa"]["value"] is None
    assert any("kappa is not defined" in warning for warning in found.warnings)


def test_what_is_no_study(inspector):
    taken = [*taken_again()]
    with pytest.raises(DataError, match="copies of one another, pixel by pixel"):
        gauge(inspector, study([*taken, taken[0]]))
    with pytest.raises(DataError, match="at least 5 parts"):
        gauge(inspector, study(taken[: 4 * STATIONS * REPEATS]))
    with pytest.raises(DataError, match="every part has one image"):
        gauge(inspector, study(taken[:: STATIONS * REPEATS]))
    seen = next(iter(toy_part(40, seed=0).images))
    with pytest.raises(DataError, match="has seen 1 of these"):
        gauge(inspector, study([*taken, ("P0", "S0", seen)]))


def test_the_files_hold_it_all_and_are_safe(found, tmp_path):
    page, plain = write_gauge(tmp_path, found)
    text, values = page.read_text(), json.loads(plain.read_text())
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    assert values["score"]["grr"]["value"] == found.score.grr.value
    assert len(values["images"]) == PARTS * STATIONS * REPEATS and text.count("<circle") == len(values["images"])


def write_study(folder: Path) -> list[str]:
    rows = []
    for number, (part, station, image) in enumerate(taken_again()):
        place = folder / part / station / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_image(place, image)
        rows.append(f"{place.relative_to(folder)},{part},{station},{'ng' if int(part[1:]) % 2 else 'ok'}")
    return rows


def test_the_verb_reads_folders_and_tables_alike(inspector, tmp_path, amiss):
    inspector.save(tmp_path / "model.amiss")
    rows = write_study(tmp_path / "study")
    (tmp_path / "study" / "study.csv").write_text("\n".join(["path,part,station,label", *rows]))
    code, out, _ = amiss("gauge", tmp_path / "model.amiss", tmp_path / "study", "--output", tmp_path / "out")
    assert code == 0 and "6 parts, 2 stations, 36 images" in out and "%GRR" in out and "AIAG" in out
    assert "against the truth" not in out and (tmp_path / "out" / "gauge.html").is_file()
    code, text, _ = amiss("gauge", tmp_path / "model.amiss", tmp_path / "study" / "study.csv", "--json")
    values = json.loads(text)
    assert code == 0 and values["correctness"]["all stations"]["effective"]["n"] == 6
    (tmp_path / "study" / "P0" / "S0" / "0.png").write_bytes(b"broken")
    code, out, _ = amiss("gauge", tmp_path / "model.amiss", tmp_path / "study")
    assert code == 3 and "Unusable:" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,part\na.png,1\na.png,", "row 2: no part"),
        ("path\na.png", "no column part"),
        ("path,part,station\na.png,1,A\nb.png,1,", "no station while other rows"),
        ("path,part,label\na.png,1,ok\nb.png,1,ng", "good in one row and defective in another"),
        ("path,part,label\na.png,1,fine", "label must be one of"),
        ("path,part,label\na.png,1,ok\nb.png,2,", "no label while other rows"),
        ("path,part\nc.png,1", "1 images are missing"),
    ],
)
def test_tables_that_are_wrong(text, message, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "study.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_study(tmp_path / "study.csv")


def test_folders_that_are_wrong(tmp_path):
    for name in ("a.png", "P1/S1/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="PART/STATION/"):
        read_study(tmp_path)
