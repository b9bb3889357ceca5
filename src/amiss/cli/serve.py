"""``amiss serve``: a station behind HTTP, with a page for people; and who may use it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from amiss.cli.backend_option import Backend
from amiss.cli.console import aside, say
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.errors import InputError
from amiss.core.extras import needs_extra

if TYPE_CHECKING:
    from amiss.inspector import Inspector
    from amiss.server.people import People

FILE = Path("amiss.toml")


class _RunByDefault(TyperGroup):
    """`amiss serve amiss.toml` is `amiss serve run amiss.toml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


serve = typer.Typer(
    name="serve",
    help="Judge parts that come by HTTP, with a page for people.\n\n"
    "`amiss serve [OPTIONS] [SETTINGS]` is short for `amiss serve run`.",
    cls=_RunByDefault,
    no_args_is_help=False,
)
person = typer.Typer(name="person", help="Who may log in.", no_args_is_help=True)
token = typer.Typer(name="token", help="Tokens of machines.", no_args_is_help=True)
serve.add_typer(person)
serve.add_typer(token)

SettingsFile = Annotated[Path, typer.Option("--settings", help="The settings, whose store it is.")]


@serve.command()
def run(
    settings: Annotated[Path, typer.Argument(help="Settings, as `amiss serve init` writes them.")] = FILE,
    check: Annotated[bool, typer.Option("--check", help="Read settings and models, and end.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Learn toy parts and solar cells, let a fake line run, and open the page.")
    ] = False,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of the one in the settings.")] = None,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
) -> None:
    """Judge parts until SIGTERM or Ctrl-C; what was taken is finished."""
    with needs_extra("amiss serve", "serve"):
        from amiss.server.run import serve as begin
        from amiss.server.settings import read_settings

    def load(path: str) -> Inspector:
        from amiss.front import load as load_model

        return load_model(path, backend=backend, trusted_key=trusted_key, accepted=accepted)

    _log()
    if demo:
        from amiss.cli.serve_demo import run_demo

        run_demo(8470 if port is None else port, load)
        return
    found = read_settings(settings)
    if port is not None:
        found = found.model_copy(update={"http": found.http.model_copy(update={"port": port})})
    if check:
        from amiss.server.people import People
        from amiss.server.run import check as check_settings

        check_settings(found, People(Path(found.store.path)))
        for name, recipe in found.recipe.items():
            if recipe.artefact is not None:
                say(f"{name}: {load(recipe.artefact)!r}")
        say(f"{settings} can be served")
        return
    begin(found, load, aside, begun=lambda context, address: say(f"Open {address}   (Ctrl-C ends it)"))


@serve.command()
def init(
    settings: Annotated[Path, typer.Argument(help="File to write.")] = FILE,
) -> None:
    """Write settings with a comment on each."""
    with needs_extra("amiss serve", "serve"):
        from amiss.server.settings import TEMPLATE
    from amiss.storage import write_file

    if settings.exists():
        raise InputError(f"{settings} must not exist, or be deleted first")
    write_file(settings, TEMPLATE.encode())
    say(f"{settings} is written; put a model beside it, then: amiss serve {settings}")


@person.command("add")
def add_person(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
    role: Annotated[
        str, typer.Option(help="operator (labels), engineer (also changes), or auditor (reads).")
    ] = "operator",
    settings: SettingsFile = FILE,
) -> None:
    """Add a person, or change the password. It is asked for, or read from the first line of standard input."""
    people = _people(settings)
    if sys.stdin.isatty():
        password = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    people.add_person(name, role, password)
    say(f"{name} may log in as {role}")


@person.command("remove")
def remove_person(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
    settings: SettingsFile = FILE,
) -> None:
    """Remove a person; open sessions end at once."""
    _people(settings).remove(name)
    say(f"{name} may not log in any more")


@person.command("list")
def list_people(settings: SettingsFile = FILE) -> None:
    """Persons and tokens."""
    for name, role in _people(settings).names():
        say(f"{name}  {role}")


@token.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Of the machine that gets it.")],
    scope: Annotated[list[str], typer.Option(help="inspect, read or metrics; may be given again.")],
    days: Annotated[float | None, typer.Option(min=0.01, help="Days until it expires. Default: never.")] = None,
    settings: SettingsFile = FILE,
) -> None:
    """Make a token, which is shown once."""
    say(_people(settings).add_token(name, scope, days))


@token.command("remove")
def remove_token(
    name: Annotated[str, typer.Argument(help="Of the machine.")],
    settings: SettingsFile = FILE,
) -> None:
    """Revoke a token."""
    _people(settings).remove(name)
    say(f"{name} is not known any more")


def _people(settings: Path) -> People:
    with needs_extra("amiss serve", "serve"):
        from amiss.server.people import People
        from amiss.server.settings import read_settings
    from amiss.ledger.store import Store

    found = read_settings(settings)
    return People(Store.make(found.store.path, found.station.name, found.store.url).folder)


def _log() -> None:
    """Faults and refusals of the server as lines of JSON on standard error."""
    import json
    import logging
    import time

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
            facts = {"at": moment, "level": record.levelname.lower(), "text": record.getMessage()}
            if record.exc_info:
                facts["trace"] = self.formatException(record.exc_info)
            return json.dumps({**facts, **getattr(record, "facts", {})})

    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logger = logging.getLogger("amiss.server")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
