"""`monitor` from scores and measures to a diagnosis; bad input; results of `amiss inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import AmissError, CalibrationError, DataError, InputError
from amiss.core.lots import Lots
from amiss.core.scores import Scores
from amiss.monitoring import Health, Stream, monitor, read_results
from amiss.rules import Conformal

NORMAL = np.sort(np.random.default_rng(100).normal(size=100))
THRESHOLD = float(np.sort(NORMAL)[-2])

pytestmark = pytest.mark.usefixtures("rough_limits")


def images(count: int, seed: int, brightness: float = 120.0, sharpness: float = 0.5) -> list[Health]:
    rng = np.random.default_rng([7, seed])
    return [
        Health(b, c, s, 0.0)
        for b, c, s in zip(
            rng.normal(brightness, 4, count), rng.normal(90, 3, count), rng.normal(sharpness, 0.02, count), strict=True
        )
    ]


def scores(*stretches: tuple[int, float], seed: int = 0) -> list[float | None]:
    rng = np.random.default_rng([8, seed])
    return [float(x) for count, shift in stretches for x in rng.normal(shift, size=count)]


def test_in_control() -> None:
    found = monitor(Stream(scores((150, 0)), health=images(150, 0)), NORMAL, threshold=THRESHOLD)
    assert not found.alarm and found.diagnosis.kind == "in control" and found.diagnosis.changed is None
    assert [run.name for run in found.charts] == ["cusum", "cusum-down", "rate", "martingale"]
    assert "n = 100" in found.statement and "370" in found.statement and "1 %" in found.statement
    assert [run.measure for run in found.health] == ["brightness", "contrast", "sharpness"]  # colour never varies


def test_charts_share_the_false_alarms() -> None:
    stream = Stream(scores((60, 0)))
    alone = monitor(stream, NORMAL, charts=["cusum"]).charts[0].design
    shared = monitor(stream, NORMAL, charts=["cusum", "cusum-down", "ewma"]).charts[0].design
    assert alone is not None and shared is not None
    assert alone.arl == pytest.approx(370, rel=0.02) and shared.arl == pytest.approx(1110, rel=0.02)


def test_the_light() -> None:
    health = images(120, 0) + images(40, 1, brightness=100)
    found = monitor(Stream(scores((120, 0), (40, 1.5)), health=health), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "light" and "brightness fell" in found.diagnosis.text
    assert "light and the exposure first" in found.diagnosis.text
    assert found.diagnosis.changed is not None and abs(found.diagnosis.changed.first - 120) <= 5
    assert f"since part {found.diagnosis.changed.first + 1}" in found.diagnosis.text


def test_the_focus() -> None:
    health = images(120, 0) + images(40, 1, sharpness=0.3)
    found = monitor(Stream(scores((120, 0), (40, 1.5)), health=health), NORMAL, threshold=THRESHOLD)
    assert (
        found.diagnosis.kind == "light" and "sharpness fell" in found.diagnosis.text and "focus" in found.diagnosis.text
    )
    assert "brightness" not in found.diagnosis.text


def test_the_parts() -> None:
    found = monitor(Stream(scores((120, 0), (40, 1.5)), health=images(160, 0)), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "parts" and "the parts changed" in found.diagnosis.text


def test_a_light_that_changed_long_before_is_not_the_cause() -> None:
    health = images(80, 0) + images(120, 1, brightness=100)
    found = monitor(Stream(scores((150, 0), (50, 1.5)), health=health), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "parts"
    assert found.health[0].chart.alarm is not None and abs(found.health[0].chart.alarm.changed.first - 80) <= 5


def test_more_defects() -> None:
    rng = np.random.default_rng(3)
    stream = scores((120, 0)) + [8.0 if rng.random() < 0.2 else s for s in scores((80, 0), seed=1)]
    found = monitor(Stream(stream, health=images(200, 0)), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "defects" and "more defects" in found.diagnosis.text


def test_falling_scores() -> None:
    found = monitor(Stream(scores((120, 0), (40, -1.5))), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "fell" and "covered lens" in found.diagnosis.text


def test_only_the_images() -> None:
    health = images(100, 0) + images(60, 1, brightness=135)
    found = monitor(Stream(scores((160, 0)), health=health), NORMAL, threshold=THRESHOLD)
    assert (
        found.alarm and found.diagnosis.kind == "images" and "brightness rose (119.2 to 135.2)" in found.diagnosis.text
    )


def test_a_reference_sees_what_changed_before_the_stream() -> None:
    stream = Stream(scores((80, 1.5)), health=images(80, 1, brightness=100))
    blind = monitor(stream, NORMAL, threshold=THRESHOLD)
    assert blind.diagnosis.kind == "scores" and "not known" in blind.diagnosis.text
    found = monitor(stream, NORMAL, threshold=THRESHOLD, reference=images(40, 2))
    assert found.diagnosis.kind == "light" and "40 reference" in found.health_note


def test_a_change_that_is_over_says_so() -> None:
    found = monitor(Stream(scores((120, 0), (30, 2.0), (400, 0), seed=2)), NORMAL, charts=["cusum"])
    assert found.alarm and not found.charts[0].alarm.lasting
    assert " to part 15" in found.diagnosis.text and "back inside" in found.diagnosis.text
    assert found.summary()["until"]["part"] == pytest.approx(150, abs=6)


def test_without_images_nothing_is_claimed_about_them() -> None:
    found = monitor(Stream(scores((120, 0), (40, 1.5))), NORMAL, threshold=THRESHOLD)
    assert found.diagnosis.kind == "scores" and "not known" in found.diagnosis.text and found.health == ()
    short = monitor(Stream(scores((55, 0)), health=images(55, 0)), NORMAL)
    assert short.health == () and "too few" in short.health_note


def test_errors_are_in_no_chart_and_keep_their_place() -> None:
    stream = scores((120, 0), (40, 2.0))
    stream[10] = stream[130] = None
    found = monitor(Stream(stream, names=[f"{i}.png" for i in range(160)]), NORMAL, threshold=THRESHOLD)
    assert len(found.charts[0].path) == 158
    assert found.stream.errors == [("10.png", "no score"), ("130.png", "no score")]
    assert any("2 of 160" in warning for warning in found.warnings)
    since = found.summary()["since"]
    assert since["name"] == f"{since['part'] - 1}.png" and abs(since["part"] - 121) <= 4
    assert since["score"] == stream[since["part"] - 1]


def test_dependence_and_few_scores_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    slow = np.convolve(rng.normal(size=303), np.ones(4) / 2, "valid")
    assert any("resemble" in one for one in monitor(Stream(slow.tolist()), NORMAL).warnings)
    quiet = monitor(Stream(scores((100, 0))), NORMAL[::3], threshold=None).warnings
    assert any("n = 34" in one for one in quiet) and any("rate of alarms is not charted" in one for one in quiet)
    assert not any("resemble" in one for one in quiet)


def test_false_alarms_of_the_whole() -> None:
    """Everything together, started anew for each of many short streams, each with its own calibration."""
    alarms = 0
    for run in range(60):
        rng = np.random.default_rng([9, run])
        found = monitor(
            Stream(rng.normal(size=37).tolist()), rng.normal(size=100), charts=["cusum", "cusum-down", "martingale"]
        )
        alarms += found.alarm
    assert alarms <= 14  # 60 x 37 / 370 = 6, and 1 % of 60; 14 or more has a probability below 1 %


def test_the_summary_is_plain_json_and_the_same_each_time() -> None:
    stream = Stream(scores((120, 0), (40, 1.5)), health=images(160, 0))
    first = json.dumps(monitor(stream, NORMAL, threshold=THRESHOLD).summary(), allow_nan=False)
    assert first == json.dumps(monitor(stream, NORMAL, threshold=THRESHOLD).summary(), allow_nan=False)


def test_constant_scores_and_one_part() -> None:
    assert not monitor(Stream([1.0] * 50), np.ones(50), threshold=1.0).alarm
    assert not monitor(Stream([0.3]), NORMAL, threshold=THRESHOLD).alarm


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Stream([]), InputError, "empty"),
        (lambda: Stream([0.1, float("nan")]), InputError, "part 2 must be a finite number.* got nan"),
        (lambda: Stream([0.1, 0.2], names=["a"]), InputError, "names must be one per part, got 1 for 2 parts"),
        (lambda: Stream([0.1, 0.2], health=images(3, 0)), InputError, "health must be one per part, got 3 for 2 parts"),
        (lambda: monitor(Stream([None, None], reasons=["empty file", ""]), NORMAL), DataError, "none of 2.*empty file"),
        (lambda: monitor(Stream([0.1]), NORMAL[:19]), CalibrationError, "at least 20 calibration scores.*got 19"),
        (lambda: monitor(Stream([0.1]), [*NORMAL, np.inf]), InputError, "must be finite numbers, got inf at index 100"),
        (lambda: monitor(Stream([0.1]), NORMAL, charts=["cusm"]), InputError, "Did you mean 'cusum"),
        (lambda: monitor(Stream([0.1]), NORMAL, charts=[]), InputError, "no chart"),
        (lambda: monitor(Stream([0.1]), NORMAL, arl=3), InputError, "arl must be .*, got 3"),
        (lambda: monitor(Stream([0.1]), NORMAL, delta=0.0), InputError, "delta"),
        (lambda: monitor(Stream([0.1]), NORMAL, baseline=5), InputError, "baseline must be .*, got 5"),
        (
            lambda: monitor(Stream([0.1], health=images(1, 0)), NORMAL, reference=images(5, 0)),
            InputError,
            "at least 20 reference images are needed, got 5",
        ),
    ],
)
def test_what_cannot_be(make, error: type[AmissError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def verdicts(values: list[float]) -> list[dict]:
    p = Conformal(0.05).calibrate(_scores(NORMAL)).p_value(np.array(values))
    return [
        {"name": f"{i}.png", "label": "good", "score": float(np.float32(v)), "p_value": float(q), "reason": ""}
        for i, (v, q) in enumerate(zip(values, p, strict=True))
    ]


def _scores(values: np.ndarray):
    from amiss.core.scores import Scores

    return Scores(values)


def write(path: Path, lines: list) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_results_are_read_in_their_order(tmp_path: Path) -> None:
    lines = verdicts([0.5, -0.5, 3.0])
    lines.insert(1, {"name": "x.png", "label": "error", "score": None, "p_value": None, "reason": "empty file"})
    stream = read_results(write(tmp_path / "results.jsonl", lines), NORMAL.astype(np.float32))
    assert list(stream.names) == ["0.png", "x.png", "1.png", "2.png"]
    assert stream.values.tolist() == [0.5, -0.5, 3.0] and stream.errors == [("x.png", "empty file")]


def test_results_of_a_rule_that_counts_lots_are_its_own(tmp_path: Path) -> None:
    normal = np.random.default_rng(0).normal(size=200).astype(np.float32)
    rule = Conformal(0.1).calibrate(Scores(normal), Lots(np.repeat(np.arange(20), 10)))
    row = {"name": "a.png", "label": "good", "score": 0.25, "p_value": float(rule.p_value(np.float32(0.25)))}
    path = write(tmp_path / "results.jsonl", [row])
    assert read_results(path, rule.normal, rule.p_value).values.tolist() == [0.25]
    with pytest.raises(DataError, match="give the model that made it"):
        read_results(path, rule.normal)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no verdict inside"),
        ([*verdicts([0.5]), '{"name": "a.png", "lab'], "line 2: not JSON"),
        (["[1, 2]"], "line 1: a verdict must have name"),
        ([{"name": "a.png", "label": "good"}], "line 1: a verdict must have name"),
        (
            [{"name": "a", "label": "good", "score": None, "p_value": 0.5}],
            "line 1: score and p-value must be finite numbers, got None",
        ),
        (
            ['{"name": "a", "label": "good", "score": NaN, "p_value": 0.5}'],
            "line 1: score and p-value must be finite numbers, got nan",
        ),
        ([{"name": "a", "label": "good", "score": 0.5, "p_value": 0.987}], "give the model that made it"),
    ],
)
def test_results_that_cannot_be_used(tmp_path: Path, lines: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_results(write(tmp_path / "results.jsonl", lines), NORMAL.astype(np.float32))


def test_results_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_results(tmp_path / "results.jsonl", NORMAL)
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / "nothing.jsonl", NORMAL)


def test_an_alarm_belongs_to_the_change_that_it_announces() -> None:
    """A false alarm at part 19 that is over is another alarm than that of a change which began with part 61."""
    stream = [0.0] * 15 + [2.5] * 4 + [0.0] * 41 + [1.5] * 40
    found = monitor(Stream(stream), NORMAL, threshold=THRESHOLD, charts=["cusum", "ewma"])
    for run in found.charts:
        assert run.alarm is not None and run.alarm.earlier is not None and run.alarm.earlier < 20
        assert run.alarm.changed.first == 60 and 60 <= run.alarm.part < 70 and run.alarm.lasting
        assert "another alarm at part 1" in run.alarm.words(found.stream)
        assert run.summary(found.stream)["other_alarm"]["part"] == run.alarm.earlier + 1


def test_no_alarm_is_before_its_change() -> None:
    for seed in range(40):
        rng = np.random.default_rng([11, seed])
        found = monitor(Stream(rng.normal(0.4, 1.2, size=150).tolist()), NORMAL, threshold=THRESHOLD, arl=20)
        for run in found.charts:
            assert run.alarm is None or run.alarm.changed.first <= run.alarm.part
            assert run.alarm is None or run.path[run.alarm.part] > run.upper[run.alarm.part]


def test_shifts_are_shared_by_scores_and_images() -> None:
    alone = monitor(Stream(scores((60, 0))), NORMAL, threshold=THRESHOLD, shifts=(20, 200))
    both = monitor(Stream(scores((60, 0)), health=images(60, 0)), NORMAL, reference=images(50, 1), shifts=(20, 200))
    assert alone.arl == pytest.approx(200 / -np.log(0.96)) and both.arl == pytest.approx(2 * alone.arl)
    assert "Of 20 shifts of 200 parts at most one alarms" in both.statement
    assert alone.chance < 0.05 and both.chance < 0.05
    full = monitor(Stream(scores((200, 0))), NORMAL, threshold=THRESHOLD, shifts=(20, 200))
    assert full.chance == pytest.approx(0.05) and "a probability of at most 5 %" in full.statement


def test_the_usual_limits_say_how_often_a_stream_alarms() -> None:
    found = monitor(Stream(scores((200, 0))), NORMAL, threshold=THRESHOLD)
    assert found.chance == pytest.approx(1 - np.exp(-200 / 370) + 0.01)
    assert "200 parts in which nothing changes alarms with a probability of at most 42.8 %" in found.statement
