"""Every verb that writes tests its output before any work, whatever else is wrong; options first, work later."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from amiss.cli.main import app
from amiss.storage import claim

VERBS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
WRITING = sorted(name for name, verb in VERBS.items() if any(option.name == "output" for option in verb.params))
NEEDED = {"arch": "pdn-xs"}
GIVEN = {"data", "images", "model", "study"}
"""Arguments that some verb can do without."""
TOGETHER = {"score"}
"""Verbs of which several runs, on many machines, write one output."""


def call(name: str, output: Path) -> list[object]:
    """A call whose data and models are not there."""
    words: list[object] = [name]
    for option in VERBS[name].params:
        if option.param_type_name == "argument" and (option.required or option.name in GIVEN):
            words.append("nothing")
        elif option.required and option.name != "output":
            words += [f"--{option.name}", NEEDED[option.name]]
    return [*words, "--output", output]


def test_the_verbs_that_write_are_known() -> None:
    assert {"bench", "calibrate", "certify", "compare", "evaluate", "fit", "inspect", "monitor"} <= set(WRITING)


@pytest.mark.parametrize("name", WRITING)
def test_an_output_that_cannot_be_written_is_found_out_first(amiss, name: str, tmp_path: Path) -> None:
    """A verb that fails here does not call `hold_file` or `hold_folder` of `cli/console.py` first."""
    (tmp_path / "file").write_text("in the way")
    code, out, err = amiss(*call(name, tmp_path / "file" / "x"))
    assert code == 1 and out == "" and f"{tmp_path / 'file' / 'x'} cannot be written (" in err, err
    if name in TOGETHER:
        return
    with claim(tmp_path / "x", folder=True), claim(tmp_path / "x.amiss", folder=False):
        for place in ("x", "x.amiss"):
            code, _, err = amiss(*call(name, tmp_path / place))
            if code == 1 and "being written by another run" in err:
                break
        else:
            pytest.fail(f"two runs of {name} can share an output: {err}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_options_of_monitor_are_refused_before_the_stream_is_read(amiss, tmp_path: Path) -> None:
    from amiss.front import fit
    from amiss.testing import toy_part

    model = tmp_path / "m.amiss"
    fit(toy_part(40, seed=1).images, method="padim", preset="tiny", size=64, calibration=0.5).save(model)
    for words, said in (
        (("--chart", "foo"), "got 'foo'"),
        (("--arl", "5"), "got 5"),
        (("--baseline", "3"), "got 3"),
        (("--reference", "gone"), "gone: no such file"),
    ):
        code, _, err = amiss("monitor", model, tmp_path / "nowhere", *words)
        assert code == 2 and said in err
