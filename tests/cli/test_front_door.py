"""The first minutes with the command: version, help, completion, what a fit says, other people's decimals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import amiss as package
from amiss.cli.console import _Log
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import inside
from amiss.core.words import about
from amiss.data import Dataset
from amiss.evaluation.benchmark.forecast import forecast
from amiss.evaluation.benchmark.measured import measured
from amiss.recipe import Recipe
from amiss.rules import parse_rule
from amiss.testing import toy_part, write_images

TINY = ("--preset", "tiny", "--size", "64")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "good"
    write_images(folder, toy_part(40, seed=1).images)
    return folder


def test_the_version_is_that_of_the_package(amiss):
    assert amiss("--version") == (0, f"amiss {package.__version__}\n", "")


def test_help_names_every_verb_with_a_whole_sentence_at_80_columns(amiss, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    _, out, _ = amiss("--help")
    assert max(map(len, out.splitlines())) <= 80 and "..." not in out.partition("\n")[2]
    assert "amiss fit GOOD_IMAGES" in out and "Learn and inspect:" in out
    from amiss.cli.main import app

    names = [one.name or one.callback.__name__ for one in app.registered_commands] + ["results"]
    assert all(re.search(rf"^  {name} ", out, re.M) for name in names) and len(names) > 20


@pytest.mark.parametrize("verb", ["fit", "inspect", "watch", "export"])
def test_help_of_a_verb_at_80_columns(amiss, monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    _, out, _ = amiss(verb, "--help")
    assert max(map(len, out.splitlines())) <= 80


def test_completion_of_verbs_and_methods(amiss, monkeypatch):
    monkeypatch.setenv("_AMISS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "amiss cal")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert amiss()[1].split() == ["calibrate"]
    monkeypatch.setenv("COMP_WORDS", "amiss fit parts --method patchc")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert amiss()[1].split() == ["patchcore"]


def test_fit_says_what_it_will_do_and_how_large_the_model_is(amiss, parts, tmp_path):
    code, out, err = amiss("fit", parts, *TINY, "--method", "padim", "-o", tmp_path / "m.amiss")
    assert code == 0
    first, *_, last = out.splitlines()
    assert first.startswith("padim learns from 40 good images, resized to 64 x 64 pixels (height x width); 6 times")
    size = (tmp_path / "m.amiss").stat().st_size / 1e6
    assert f"({size:.1f} MB)" in last and "Next: amiss inspect" in last
    assert [line.split(",")[0] for line in err.splitlines() if line.startswith("fits")] == [
        *(f"fits: {done} of 6" for done in range(1, 6)),
        "fits: 6 done",
    ]


def test_a_forecast_grows_with_images_folds_and_tiles(parts):
    dataset = package.open_dataset(str(parts))
    low, high = measured()["padim", "default"].fit_ms_per_image
    assert 0 < low < high
    whole = forecast(dataset, Recipe(method="padim", calibration=0.25))
    assert whole[0].startswith("padim learns from 30 good images") and "and 10 others calibrate" in whole[0]
    assert f"{max(1, round(40 * low / 1000))} s" in whole[1]
    side = toy_part(1, seed=0).images[0].shape[0]
    tiled = forecast(dataset, Recipe(method="padim", tile=side // 2, size=None))
    assert "in 9 tiles each" in tiled[0]
    assert "No timing has been measured" in forecast(dataset, Recipe(method="stfpm"))[1]
    sorted_out = forecast(dataset, Recipe(method="padim", calibration=0.25, contamination=0.1))
    assert "Before that, patchcore learns 5 times to tell which are the strangest 3" in sorted_out[0]
    more = 40 * low + 30 * 5 * measured()["patchcore", "default"].fit_ms_per_image[0]
    assert about(more / 1000).removeprefix("about ") in sorted_out[1]


def test_a_forecast_is_that_of_the_fit_where_images_are_copies(tmp_path):
    images = toy_part(7, seed=1).images
    write_images(tmp_path / "good", [*images, *images.subset(range(5))])
    said = forecast(package.open_dataset(str(tmp_path / "good")), Recipe())
    assert said[0].startswith("patchcore learns from 7 good images")
    many = Dataset("many", Images([images[0]] * 110), Images([]))
    how = forecast(many, Recipe(method="padim", calibration=0.5))[0]
    assert "55 good images" in how and how.endswith("These counts include any copies; the fit counts each image once.")


def test_a_forecast_of_chosen_images_knows_their_lots(amiss, tmp_path):
    for folder, lots in (("learn", range(4)), ("others", range(4, 16))):
        write_images(tmp_path / folder, toy_part(len(lots), seed=lots[0]).images)
        names = sorted(path.name for path in (tmp_path / folder).iterdir())
        rows = [f"{name},train,L{lot}" for name, lot in zip(names, lots, strict=True)]
        (tmp_path / folder / "set.csv").write_text("\n".join(["path,split,lot", *rows]) + "\n")
    learn, others = (str(tmp_path / folder / "set.csv") for folder in ("learn", "others"))
    words = (learn, "--calibrate-on", others, "--future", "new-lots", "--method", "padim", *TINY, "--alpha", "10%")
    code, out, err = amiss("fit", *words, "-o", tmp_path / "m.amiss")
    assert code == 0, err
    assert "padim learns from 4 good images" in out and "and 12 others calibrate" in out and "of 12 lots" in out


def test_time_left_is_that_of_what_is_named(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("amiss.cli.console.time.monotonic", lambda: now[0])
    log = _Log()
    for fit in range(1, 4):
        for done in range(1, 11):
            now[0] += 10
            inside(log, f"fit {fit} of 3")("features", done, 10)
        log("fits", fit, 3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fit 1 of 3 > features: 7 of 10, about 30 s left of this step"
    assert [line for line in lines if line.startswith("fits")] == [
        "fits: 1 of 3, about 3 min left in all",
        "fits: 2 of 3, about 2 min left in all",
        "fits: 3 done",
    ]


@pytest.mark.parametrize("name", ["part.onnx", "part.pt", "part.zip"])
def test_a_model_is_not_written_under_the_name_of_something_else(amiss, parts, tmp_path, name):
    code, out, err = amiss("fit", parts, *TINY, "--output", tmp_path / name)
    assert code == 2 and out == "" and "must be a file name.amiss or a folder" in err
    assert ("amiss export MODEL --onnx FOLDER" in err) == name.endswith(".onnx")
    assert not list(tmp_path.iterdir())


def test_a_decimal_comma_is_a_decimal_comma_where_it_can_be(amiss, parts, tmp_path):
    code, out, _ = amiss("fit", parts, *TINY, "--method", "padim", "--alpha", "12,5%", "-o", tmp_path / "m.amiss")
    assert code == 0 and "12.5 %" in out
    code, out, _ = amiss(
        "calibrate", tmp_path / "m.amiss", "--rule", "fixed", "--threshold", "2,5", "-o", tmp_path / "n"
    )
    assert code == 0 and "is now 2.5 " in out
    assert amiss("plan", "--false-alarm", "0,5%")[1] == amiss("plan", "--false-alarm", "0.5%")[1]
    with pytest.raises(InputError, match=r"decimals take a point: 0\.5%"):
        parse_rule("conformal:0,5%")
    with pytest.raises(InputError, match=r"decimals take a point: 0\.5%"):
        parse_rule("tail:0,1%")
