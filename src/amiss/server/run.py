"""`serve`: a station, its sources, and the server in front, from the first model to the last verdict."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from amiss.connect.folder import FolderSource, Watching
from amiss.connect.names import NamePattern
from amiss.core.errors import AmissError, InputError, OutputError
from amiss.inspector import Inspector
from amiss.ledger.events import now
from amiss.ledger.images import Keeping
from amiss.ledger.store import Store
from amiss.server.app import make_app
from amiss.server.context import Context
from amiss.server.metrics import Metrics
from amiss.server.people import People
from amiss.server.protocol import ImpatientProtocol
from amiss.server.settings import Settings
from amiss.signature import signature_path
from amiss.station.engine import Station
from amiss.station.learnings import Learnings
from amiss.station.stored import keep_signature
from amiss.station.systemd import notify
from amiss.station.views import Views

CONNECTIONS = 64
"""At the same time."""

_AGAIN = 5.0  # seconds until a source that was stopped begins again

log = logging.getLogger("amiss.server")


def check(settings: Settings, people: People) -> None:
    """Refuse to listen where others could reach it unprotected.

    Raises:
        InputError: An address of the network without a person and TLS.
    """
    http = settings.http
    if http.loopback and not http.behind_proxy:
        return
    if not people.any:
        raise InputError(f"host {http.host} needs a person first: amiss serve person add")
    if http.certificate is None and not http.behind_proxy:
        raise InputError(f"host {http.host} needs TLS (certificate and key), or behind_proxy = true")


def serve(
    settings: Settings,
    load: Callable[[str], Inspector],
    tell: Callable[[str], None],
    *,
    begun: Callable[[Context, str], None] = lambda found, address: None,
) -> None:
    """Run until SIGTERM or Ctrl-C; then finish what was taken.

    Args:
        settings: What amiss.toml says.
        load: From an artefact's path to its inspector.
        tell: Called with one line for whoever watches.
        begun: Called once parts are taken, with the address of the page.

    Raises:
        AmissError: It cannot begin.
    """
    store = Store.make(settings.store.path, settings.station.name, settings.store.url)
    people = People(store.folder)
    check(settings, people)
    listening = _listen(settings)
    metrics = Metrics()
    keeping = Keeping.of(settings.store.keep, settings.store.quota, settings.store.floor)
    station = Station(
        store,
        cores=settings.station.threads,
        deadline=settings.station.deadline_ms / 1000,
        audit=settings.audit.rate,
        keeping=keeping,
        tell=tell,
        heard=metrics.heard,
    )
    with ExitStack() as stack:
        stack.callback(listening.close)
        stack.enter_context(station)
        views = Views(store, station.decoders, station.recipes)
        learnings = Learnings(store.folder / "learnings", station.recipes, station.decoders)
        stack.callback(learnings.close)
        found = Context(station, settings, people, views, learnings, metrics, began=now())
        metrics.watch(station)
        _load(found, load, tell)
        ends = stack.enter_context(_sources(found, tell))
        _run(found, listening, ends, begun)


def _load(found: Context, load: Callable[[str], Inspector], tell: Callable[[str], None]) -> None:
    """What judged last judges again; a recipe that is new begins with the artefact of the settings."""
    recipes = found.station.recipes
    recipes.hold_to(load)
    for table in found.settings.recipe.values():
        if table.artefact is not None:  # signed since it was stored, or stored by an Amiss that kept no signatures
            keep_signature(found.station.store, signature_path(table.artefact))
    for recipe, failure in recipes.resume().items():
        tell(f"recipe {recipe} cannot judge: {failure}")
    for name, table in found.settings.recipe.items():
        if table.artefact is not None and not recipes.has(name):
            inspector, signature = load(table.artefact), signature_path(table.artefact)
            recipes.deploy(name, inspector, reason="first version, by the settings", signature=signature)
    found.ready = True


@contextmanager
def _sources(found: Context, tell: Callable[[str], None]) -> Iterator[threading.Event]:
    """Folders that are watched, a thread each."""
    ends, threads = threading.Event(), []
    for name, table in found.settings.connect.items():
        names = NamePattern(table.names) if table.names else None
        results = None if table.results is None else Path(table.results)
        how = Watching(Path(table.folder), table.recipe, table.poll, names, table.sidecars, results)
        source = FolderSource(found.station, how, tell)
        threads.append(threading.Thread(target=_watch, args=(name, source, ends, tell), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield ends
    finally:
        ends.set()
        for thread in threads:
            thread.join(timeout=5)


def _watch(name: str, source: FolderSource, ends: threading.Event, tell: Callable[[str], None]) -> None:
    """Run a source until the end. Whatever stops it is told once, and it begins again."""
    said = ""
    while not ends.is_set():
        try:
            source.run(ends)
        except Exception as error:  # of any kind: nobody else would see that no part is taken
            words = str(error) if isinstance(error, (AmissError, OSError)) else f"{type(error).__name__}: {error}"
            if words != said:
                tell(f"{name} takes no parts: {words}; it tries again")
            said = words
            ends.wait(_AGAIN)


def _run(
    found: Context, listening: socket.socket, ends: threading.Event, begun: Callable[[Context, str], None]
) -> None:
    http = found.settings.http
    config = uvicorn.Config(
        make_app(found),
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        backlog=128,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=16 * 1024,
        ssl_certfile=http.certificate,
        ssl_keyfile=http.key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )
    server = _Server(config, found.station)
    host, port = listening.getsockname()[:2]
    scheme = "https" if http.certificate else "http"
    listening.listen(config.backlog)  # before anybody is told: whoever comes now waits, and is not refused
    begun(found, f"{scheme}://{'localhost' if http.loopback else host}:{port}/")
    notify("READY=1")
    server.run(sockets=[listening])
    notify("STOPPING=1")
    ends.set()
    found.station.drain()


class _Server(uvicorn.Server):
    """Lets the station refuse parts as soon as the end is asked for, and answers those on their way first."""

    def __init__(self, config: uvicorn.Config, station: Station) -> None:
        super().__init__(config)
        self._station = station

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal: refuse, then drain; it is the usual end, exit code 0. A second Ctrl-C does not wait."""
        self._station.refuse()
        self._station.hurry()
        notify("STOPPING=1")
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _listen(settings: Settings) -> socket.socket:
    """Taken before anything is loaded, so that a port in use is said at once.

    Raises:
        OutputError: The address cannot be had.
    """
    http = settings.http
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((http.host, http.port))
    except OSError as error:
        found.close()
        raise OutputError(f"{http.host}:{http.port} cannot be listened on ({error.strerror or error})") from error
    return found
