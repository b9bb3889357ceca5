"""``amiss watch``: judge every image that comes into a folder, and keep each verdict."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.console import hold_folder
from amiss.cli.exit_codes import ExitCode
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.cli.watch_lines import Telling
from amiss.core.errors import AmissError, InputError
from amiss.core.extras import needs_extra

if TYPE_CHECKING:
    from amiss.connect.folder import FolderSource
    from amiss.inspector import Inspector
    from amiss.station.engine import Station


Model = Annotated[Path | None, typer.Argument(help="Artefact written by `amiss fit`.")]
FolderOption = Annotated[Path | None, typer.Argument(help="Folder that images come into; it may lie on a share.")]
StoreOption = Annotated[
    Path | None, typer.Option(help="Folder for the record, on a disk of this machine; made when missing.")
]
ResultFolder = Annotated[
    Path | None, typer.Option(help="Folder for one JSON file per image, written once its verdict is on disk.")
]
Once = Annotated[bool, typer.Option("--once", help="Judge what is in the folder, and end.")]
Recipe = Annotated[str | None, typer.Option(help="What kind of part it is. Default: the name of the model.")]
StationOption = Annotated[str | None, typer.Option(help="Name of this station, fixed with its store.")]
Database = Annotated[
    str | None, typer.Option(help="PostgreSQL instead of SQLite in the store: postgresql://user@host/name.")
]
Names = Annotated[
    str | None, typer.Option(help="How names tell serial, lot, camera and time, such as '{lot}/{serial}_*'.")
]
Sidecars = Annotated[
    bool, typer.Option("--sidecars", help="Each image has a file part.json beside it that tells them.")
]
Poll = Annotated[float, typer.Option(min=0.02, max=3600, help="Seconds between two looks at the folder.")]
Deadline = Annotated[
    float, typer.Option(min=0, help="Seconds from taking an image to its verdict; later is reject. 0: no limit.")
]
Audit = Annotated[float, typer.Option(min=0, max=1, help="Share of parts drawn at random for a person to look at.")]
Keep = Annotated[str, typer.Option(help="How long images are kept, such as good=24h,anomalous=365d.")]
Quota = Annotated[str, typer.Option(help="Bytes of images that are kept at most.")]
Floor = Annotated[str, typer.Option(help="Bytes that must stay free on the disk of the store.")]
Demo = Annotated[
    bool,
    typer.Option("--demo", help="Learn toy parts, let a fake line run for a minute, and show what comes of it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per verdict.")]


def watch(
    context: typer.Context,
    model: Model = None,
    folder: FolderOption = None,
    store: StoreOption = None,
    result_folder: ResultFolder = None,
    once: Once = False,
    recipe: Recipe = None,
    station: StationOption = None,
    database: Database = None,
    names: Names = None,
    sidecars: Sidecars = False,
    poll: Poll = 0.5,
    deadline: Deadline = 5.0,
    audit: Audit = 0.01,
    keep: Keep = "",
    quota: Quota = "20G",
    floor: Floor = "64M",
    demo: Demo = False,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Judge every image that comes into a folder. SIGTERM ends it with all that was taken; SIGHUP loads MODEL anew.

    Exits with 3 when --once met an image that could not be used.
    """
    with needs_extra("amiss watch", "station"):
        from amiss.connect.folder import FolderSource, Watching, check_places
        from amiss.connect.names import NamePattern
        from amiss.ledger.images import Keeping
        from amiss.ledger.store import Store
        from amiss.signature import signature_path
        from amiss.station.engine import Station

    if demo:
        from amiss.cli.watch_demo import run_demo

        run_demo(context, store or Path("demo-watch"), model, folder)
        return
    if model is None or folder is None or store is None:
        raise InputError("MODEL, FOLDER and --store must be given, or --demo")
    named = recipe or model.name.removesuffix(".amiss")
    how = Watching(folder, named, poll, NamePattern(names) if names else None, sidecars, result_folder, once)
    keeping = Keeping.of(keep, quota, floor)
    check_places(how, store)
    hold_folder(context, result_folder)

    def load() -> Inspector:
        from amiss.front import load as load_model

        return load_model(model, backend=backend, trusted_key=trusted_key, accepted=accepted)

    inspector, signature = load(), signature_path(model)
    telling = Telling(json=json)
    record = Store.make(store, station, database)
    engine = Station(record, deadline=deadline or None, audit=audit, keeping=keeping, tell=telling.line)
    with telling, engine, _signals(engine, telling) as ends:
        engine.recipes.deploy(named, inspector, reason="amiss watch", signature=signature)
        source = FolderSource(engine, how, telling.line, telling.verdict)
        with _reloading(engine, named, signature, load, telling):  # it may be told as soon as it says that it watches
            telling.begin(engine, source, inspector.statement())
            source.run(ends.event)
    _conclude(engine, source, telling, ends.number, once=once)


class _Ends:
    """Whether the station is to end, and by which signal."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.number: int | None = None


@contextmanager
def _signals(engine: Station, telling: Telling) -> Iterator[_Ends]:
    """SIGTERM and Ctrl-C let the station drain; a second Ctrl-C ends it at once."""
    from amiss.station.systemd import notify

    ends = _Ends()

    def end(number: int, frame: Any) -> None:
        if ends.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        ends.number = number
        ends.event.set()
        engine.hurry()
        notify("STOPPING=1")

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ends
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _reloading(engine: Station, recipe: str, signature: Path, load: Any, telling: Telling) -> Iterator[None]:
    """SIGHUP: what lies at MODEL now judges from now on, if it can be loaded and scores as it must."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        yield
        return
    asked, over = threading.Event(), threading.Event()

    def work() -> None:
        while not over.is_set():
            asked.wait()
            asked.clear()
            if over.is_set():
                return
            try:
                ready = engine.recipes.deploy(recipe, load(), reason="SIGHUP", signature=signature)
            except AmissError as error:
                telling.line(f"the model stays as it was: {error}")
            else:
                telling.line(f"version {ready.version} of {recipe} judges from now on ({ready.fingerprint[:12]})")

    thread = threading.Thread(target=work, name="amiss-reload", daemon=True)
    before = signal.signal(hangup, lambda number, frame: asked.set())
    thread.start()
    try:
        yield
    finally:
        signal.signal(hangup, before)
        over.set()
        asked.set()
        thread.join(timeout=1)


def _conclude(engine: Station, source: FolderSource, telling: Telling, number: int | None, *, once: bool) -> None:
    telling.end(engine, source)
    if number == signal.SIGINT:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if once and (engine.counts["error"] or source.failed):
        raise typer.Exit(ExitCode.UNUSABLE)
