"""The command line: one file per verb. Heavy modules are imported inside the verbs, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Annotated

import typer

from amiss.cli import (
    accept,
    bench,
    calibrate,
    certify,
    compare,
    data,
    demo,
    distil,
    doctor,
    evaluate,
    fit,
    gauge,
    inspect,
    methods,
    monitor,
    plan,
    quantise,
    results,
    sign,
    verify,
    watch,
)
from amiss.cli.console import aside
from amiss.cli.exit_codes import ExitCode, exit_code_lines

app = typer.Typer(
    name="amiss",
    help="Learn what normal looks like from good images alone, and tell where something is amiss, "
    "with a stated false-alarm rate.",
    epilog="\b\nExit codes:\n" + "\n".join(exit_code_lines()),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    data.data,
    fit.fit,
    calibrate.calibrate,
    quantise.quantise,
    inspect.inspect,
    evaluate.evaluate,
    monitor.monitor,
    watch.watch,
    sign.sign,
    verify.verify,
    accept.accept,
    compare.compare,
    certify.certify,
    gauge.gauge,
    plan.plan,
    bench.bench,
    demo.demo,
    distil.distil,
    methods.methods,
    doctor.doctor,
):
    app.command()(verb)
app.add_typer(results.results)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options for every verb."""


def main() -> None:
    """Entry point: every error is one line and an exit code."""
    atexit.register(gc.freeze)  # else Python looks through all of torch for garbage before it ends: 1 s
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # not a text file, as under a test
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    before = signal.getsignal(signal.SIGTERM)
    with suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, _terminate)
    try:
        _run()
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, before)


def _run() -> None:
    from amiss.core.errors import AmissError

    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except AmissError as error:
        if debug:
            raise
        aside(f"amiss: {' '.join(str(error).split())}")
        sys.exit(_code(error))
    except OSError as error:
        if debug:
            raise
        aside(f"amiss: {error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(ExitCode.FAILED)
    except SystemExit as stop:
        if stop.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):  # typer turns Ctrl-C into the first
            aside("amiss: interrupted; nothing half-written is left behind")
        raise


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the command as Ctrl-C does: what was given stays, what is unfinished is removed."""
    sys.exit(ExitCode.TERMINATED)


def _code(error: Exception) -> ExitCode:
    from amiss.core.errors import CalibrationError, DivergedError, OutputError

    if isinstance(error, CalibrationError):
        return ExitCode.PROMISE
    return ExitCode.FAILED if isinstance(error, (OutputError, DivergedError)) else ExitCode.REFUSED
