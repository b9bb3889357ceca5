"""The command line as a user meets it: the real entry point, real files, its output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amiss.cli import main as entry
from amiss.cli.console import parse_settings
from amiss.core.errors import InputError
from amiss.runtime import installed
from amiss.testing import toy_part, write_image, write_images, write_mvtec

TINY = ("--preset", "tiny", "--size", "64", "--calibration", "0.5")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in MVTec layout, with masks."""
    root = tmp_path_factory.mktemp("world") / "cloth"
    bad = toy_part(8, seed=3, defective=True)
    return write_mvtec(root, toy_part(40, seed=1).images, toy_part(12, seed=2).images, blot=bad)


@pytest.fixture(scope="module")
def model(world: Path) -> Path:
    path = world.parent / "cloth.amiss"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["amiss", "fit", str(world), *TINY, "--output", str(path)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
    assert stop.value.code == 0
    return path


def test_fit_says_which_alpha_and_why(amiss, world, tmp_path):
    code, out, _ = amiss("fit", world, *TINY, "--output", tmp_path / "m.amiss")
    assert code == 0
    assert "5 %" in out and "n = 20" in out and "2 % needs n = 49" in out


def test_fit_as_json_is_one_object_with_the_record(amiss, world, tmp_path):
    _, out, _ = amiss("fit", world, *TINY, "--json", "--output", tmp_path / "m.amiss")
    record = json.loads(out)
    assert record["method"] == "ensemble" and record["alpha"] == 0.05 and record["calibration"]["n"] == 20


def test_ten_good_parts_give_an_inspector_that_says_its_guarantee_is_weaker(amiss, tmp_path):
    write_images(tmp_path / "parts", toy_part(10, seed=1).images)
    code, out, _ = amiss("fit", tmp_path / "parts", "--preset", "tiny", "--size", 64, "--output", tmp_path / "m.amiss")
    assert code == 0 and "by folds" in out and "weaker" in out and "10 %" in out
    code, out, _ = amiss("inspect", tmp_path / "m.amiss", tmp_path / "parts")
    assert code == 0 and "weaker" in out


def test_inspect_finds_the_defects(amiss, model, world):
    code, out, _ = amiss("inspect", model, world / "test", "--json")
    *verdicts, run = [json.loads(line) for line in out.splitlines()]
    assert run["run"]["found"] == run["run"]["judged"] == 20 and run["run"]["ignored"] == []
    assert all(v["margin"] == v["score"] - run["run"]["threshold"] for v in verdicts)
    assert all((v["margin"] > 0) == (v["label"] == "anomalous") for v in verdicts)
    found = [v["label"] == "anomalous" for v in verdicts if "/blot/" in v["name"]]
    alarms = [v["label"] == "anomalous" for v in verdicts if "/good/" in v["name"]]
    assert code == 0 and len(found) == 8 and sum(found) >= 6 and sum(alarms) <= 3


def test_inspect_goes_on_after_a_bad_file_and_exits_non_zero(amiss, model, tmp_path):
    write_images(tmp_path / "parts", toy_part(2, seed=5).images)
    (tmp_path / "parts" / "001b.png").write_text("this is not an image")
    write_image(tmp_path / "parts" / "one.png", np.zeros((1, 1), np.uint8))
    write_image(tmp_path / "parts" / "wide16.png", np.full((50, 200), 40_000, np.uint16))
    (tmp_path / "parts" / "notes.txt").write_text("ignored")
    code, out, _ = amiss("inspect", model, tmp_path / "parts", "--output", tmp_path / "out")
    assert code == 3
    assert "ERROR" in out and "001b.png" in out and "1 error" in out and "Ignored 1: not an image (1, such as" in out
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 5 and [line["label"] for line in lines].count("error") == 1
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 6
    assert len(list((tmp_path / "out" / "overlays").glob("*.png"))) == 4


def test_evaluate_prints_what_the_issue_names(amiss, model, world, tmp_path):
    code, out, _ = amiss("evaluate", model, world, "--json", "--output", tmp_path / "out")
    result = json.loads(out)
    assert code == 0
    for key in ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_aupro", "pixel_aupro_05"):
        assert 0 <= result[key] <= 1
    assert result["false_alarms"]["n"] == 12 and result["detections"]["n"] == 8
    assert result["alpha"] == 0.05 and result["n_calibration"] == 20 and result["seconds_per_image"] > 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == result


def test_evaluate_speaks_to_people_too(amiss, model, world):
    code, out, _ = amiss("evaluate", model, world)
    assert code == 0 and "image AUROC" in out and "false alarms:" in out and "95 % interval" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "nowhere"), ["nowhere", "no such folder"]),
        (("fit", "DATA", *TINY, "--alpha", "0.001"), ["alpha = 0.1 %", "999", "979 more", "20 support", "4.77 %"]),
        (("fit", "DATA", *TINY, "--alpha", "lots"), ["alpha must be a number", "such as 0.05", "got 'lots'"]),
        (("fit", "DATA", "--method", "patchcor"), ["patchcor", "Did you mean 'patchcore'"]),
        (("fit", "DATA", "--method", "patchcore", "--set", "bank=5"), ["'bank'", "bank_size"]),
        (
            ("fit", "DATA", "--method", "patchcore", "--set", "bank_size=much"),
            ["bank_size must be a whole number", "got 'much'"],
        ),
        (("fit", "DATA", *TINY, "--set", "bank_size"), ["name=value"]),
        (("fit", "DATA", "--size", "big"), ["size must be", "got 'big'"]),
        (("fit", "DATA", "--rule", "fixed"), ["--threshold"]),
        (("fit", "DATA", "--rule", "magic"), ["magic", "conformal"]),
        (("inspect", "nowhere.amiss", "DATA"), ["nowhere.amiss"]),
        (("inspect", "MODEL", "nowhere"), ["nowhere", "no such file"]),
        (("evaluate", "MODEL", "FLAT"), ["test"]),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(amiss, model, world, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    places = {"DATA": world, "MODEL": model, "FLAT": world / "train" / "good"}
    code, out, err = amiss(*(places.get(argument, argument) for argument in arguments))
    assert code == (4 if "999" in words else 2) and out == "" and err.startswith("amiss: ") and err.count("\n") == 1
    for word in words:
        assert word in err
    assert not list(tmp_path.iterdir())


def test_one_image_is_too_few(amiss, tmp_path):
    write_images(tmp_path / "parts", toy_part(1, seed=1).images)
    code, _, err = amiss("fit", tmp_path / "parts", "--method", "padim", *TINY, "--output", tmp_path / "m.amiss")
    assert code == 2 and "at least 2" in err and not (tmp_path / "m.amiss").exists()


def test_a_bad_file_among_the_good_images_stops_learning_and_is_named(amiss, tmp_path):
    write_images(tmp_path / "parts", toy_part(12, seed=1).images)
    (tmp_path / "parts" / "zz.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    code, _, err = amiss("fit", tmp_path / "parts", *TINY[:4], "--output", tmp_path / "m.amiss")
    assert code == 2 and "zz.png" in err and not (tmp_path / "m.amiss").exists()


def test_one_changed_byte_is_refused(amiss, model, world, tmp_path):
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "changed.amiss").write_bytes(data)
    code, out, err = amiss("inspect", tmp_path / "changed.amiss", world)
    assert code == 2 and out == "" and "not what was written" in err


def test_debug_shows_the_traceback_anywhere(monkeypatch):
    from amiss.core.errors import AmissError

    monkeypatch.setattr(sys, "argv", ["amiss", "fit", "nowhere", "--debug"])
    with pytest.raises(AmissError):
        entry.main()


def test_methods_and_doctor(amiss):
    code, out, _ = amiss("methods", "--json")
    assert code == 0 and {"padim", "patchcore"} <= set(json.loads(out))
    code, out, _ = amiss("doctor", "--json")
    report = json.loads(out)
    assert code == 0 and report["can_inspect"] and report["can_learn"]
    assert report["runtimes"] == installed()
    assert amiss("methods")[0] == amiss("doctor")[0] == 0


def test_the_hyper_parameters_of_a_method(amiss):
    code, out, _ = amiss("methods", "gmm", "--json")
    shown = json.loads(out)["hyperparameters"]
    assert code == 0 and json.loads(out)["name"] == "gmm"
    assert shown["covariance"]["enum"] == ["full", "diagonal"] and shown["covariance"]["default"] == "diagonal"
    assert shown["variance"]["must_be"] == "a number above 0 and below 1"
    assert all(one["description"] and one["must_be"] and "default" in one for one in shown.values())
    code, out, _ = amiss("methods", "gmm")
    assert code == 0 and "  neighbourhood = 1\n      an odd whole number of at least 1\n      Odd width" in out
    code, _, err = amiss("methods", "gnn")
    assert code == 2 and "got 'gnn'" in err


@pytest.mark.parametrize(
    ("method", "pairs", "settings"),
    [
        ("padim", ["stages=8", "dimension=50", "backbone=123"], {"stages": [8], "dimension": 50, "backbone": "123"}),
        ("uninformed_students", ["architectures=a,b"], {"architectures": ["a", "b"]}),
        ("mkd", ["standardise=False"], {"standardise": False}),
        ("padim", ["nothing=4,8"], {"nothing": [4, 8]}),
        (None, ["stages=4,8", "backbone=tiny-random"], {"stages": [4, 8], "backbone": "tiny-random"}),
    ],
)
def test_settings_are_read_by_the_type_that_is_declared(method, pairs, settings):
    assert parse_settings(pairs, method) == settings


@pytest.mark.parametrize("pairs", [["stages"], ["=8"], ["stages=8", "stages=4"]])
def test_settings_that_are_no_pairs(pairs):
    with pytest.raises(InputError, match="name=value, each name once, got"):
        parse_settings(pairs, "padim")


def test_ctrl_c_leaves_nothing_behind_and_says_so(amiss, world, tmp_path, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amiss.inspector.Inspector.save", stop)
    code, _, err = amiss("fit", world, *TINY, "--output", tmp_path / "m.amiss")
    assert code == 130 and "interrupted" in err and not list(tmp_path.iterdir())


def test_learning_without_torch_names_the_extra_in_one_line(world, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None; import amiss.cli.main as m\n"
        f"sys.argv = ['amiss', 'fit', {str(world)!r}, '--output', 'm.amiss']; m.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "amiss[fit]" in done.stderr


def test_deciding_over_a_batch(amiss, model, world, tmp_path):
    code, out, _ = amiss("inspect", model, world / "test" / "blot", "--batch", "20%", "--json")
    batch = json.loads(out.splitlines()[-2])["batch"]
    assert code == 0 and batch["judged"] == 8 and batch["warning"].startswith("n = 20 calibration images")
    code, out, _ = amiss("inspect", model, world / "test", "--batch", "0.2")
    assert code == 0 and f"Together, {out.count(chr(10) + '  ')} of 20 images are named" in out
    code, _, err = amiss("inspect", model, world / "test", "--batch", "20")
    assert code == 2 and "batch must be a number above 0 and below 1, such as 0.05, got 20.0" in err


def test_planning(amiss):
    code, out, _ = amiss("plan", "--false-alarm", "0.005", "--confidence", "0.95", "--json")
    assert code == 0 and json.loads(out)["false_alarm"]["rows"][0]["n"] == 598
    code, out, _ = amiss("plan", "--escape", "1%", "--good", "120", "--defective", "0")
    assert code == 0 and " 299 " in out and "120 good parts without a false alarm show: at most 2.47 %" in out
    assert "0 defective parts without an escape show: at most 100 %" in out
    for words, says in (
        ((), "nothing to plan"),
        (("--escape", "2"), "escape must be a number above 0 and below 1"),
        (("--escape", "x"), "'x'"),
    ):
        code, _, err = amiss("plan", *words)
        assert code == 2 and says in err and err.count("\n") == 1


def test_an_interrupted_fit_is_not_thrown_away(amiss, world, tmp_path, monkeypatch):
    command = ("fit", world, *TINY, "--method", "simplenet", "--set", "steps=220", "--output", tmp_path / "m.amiss")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("amiss.fitting.deploy", interrupt)
        code, _, err = amiss(*command)
    assert code == 130 and "--resume" in err and not (tmp_path / "m.amiss").exists()
    code, _, err = amiss(*command)
    assert code == 2 and "m.amiss.training" in err and "--resume" in err
    code, _, _ = amiss(*command, "--resume")
    assert code == 0 and [path.name for path in tmp_path.iterdir()] == ["m.amiss"]
