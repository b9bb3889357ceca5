"""The command line: one file per verb. Heavy modules are imported inside the verbs, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from amiss.cli import (
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
)

REFUSED, INTERRUPTED = 2, 130
"""Exit codes of the command itself: it was asked for something impossible; the user stopped it."""

app = typer.Typer(
    name="amiss",
    help="Learn what normal looks like from good images alone, and tell where something is amiss, "
    "with a stated false-alarm rate.",
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


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options for every verb."""


def main() -> None:
    """Entry point: every error is one line and an exit code."""
    from amiss.core.errors import AmissError

    atexit.register(gc.freeze)  # else Python looks through all of torch for garbage before it ends: 1 s
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except AmissError as error:
        if debug:
            raise
        print(f"amiss: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(REFUSED)
    except OSError as error:
        if debug:
            raise
        print(f"amiss: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(REFUSED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer turns Ctrl-C into this
            print("amiss: interrupted; nothing half-written is left behind", file=sys.stderr)
        raise
