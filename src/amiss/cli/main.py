"""The command line: one file per verb. Heavy modules are imported inside the verbs, so that help is quick."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from contextlib import suppress
from textwrap import fill
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
    export,
    fit,
    gauge,
    inspect,
    methods,
    monitor,
    plan,
    quantise,
    results,
    score,
    serve,
    sign,
    update,
    verify,
    watch,
)
from amiss.cli.console import aside, say
from amiss.cli.exit_codes import ExitCode, exit_code_lines

SECTIONS: dict[str, tuple[Any, ...]] = {
    "Learn and inspect": (
        *(
            data.data,
            fit.fit,
            update.update,
            calibrate.calibrate,
            inspect.inspect,
            score.score,
            methods.methods,
            demo.demo,
        ),
    ),
    "Measure": (evaluate.evaluate, certify.certify, compare.compare, gauge.gauge, plan.plan, bench.bench),
    "On the line": (watch.watch, serve.serve, results.results, monitor.monitor, quantise.quantise, export.export),
    "Trust": (sign.sign, verify.verify, accept.accept),
    "Install": (doctor.doctor, distil.distil),
}
"""The verbs, as the help shows them."""

NEXT = """New here: `amiss demo` learns real solar cells and writes a report. Then:
  amiss fit GOOD_IMAGES -o part.amiss      learn from a folder of good images
  amiss inspect part.amiss IMAGES -o out   judge others; see out/index.html
`amiss VERB --help` has the options of a verb."""


class Verbs(TyperGroup):
    """The verbs in sections, each with its whole first sentence, however narrow the terminal is."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        for title, verbs in SECTIONS.items():
            names = [verb.info.name if isinstance(verb, typer.Typer) else verb.__name__ for verb in verbs]
            commands = [(str(name), self.get_command(ctx, str(name))) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, one.get_short_help_str(200)) for name, one in commands if one])


def _epilog() -> str:
    lines = [fill(line, 76, subsequent_indent=" " * 5) for line in exit_code_lines()]
    return "\b\n" + NEXT + "\n\n\b\nExit codes:\n" + "\n".join(lines)


app = typer.Typer(
    name="amiss",
    cls=Verbs,
    help="Learn what normal looks like from good images alone, and tell where something is amiss, "
    "with a stated false-alarm rate.",
    epilog=_epilog(),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _verbs in SECTIONS.values():
    for _verb in _verbs:
        if isinstance(_verb, typer.Typer):
            app.add_typer(_verb)
        else:
            app.command()(_verb)


def _say_version(asked: bool) -> None:
    if asked:
        from amiss import __version__

        say(f"amiss {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
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
        app(arguments, prog_name="amiss")
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
