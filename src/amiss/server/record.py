"""The record in the native API: events, the chain and whether it is sound; and what the station is like now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from amiss import __version__
from amiss.ledger.events import Event, spell
from amiss.ledger.labels import KINDS, count_waiting, hidden
from amiss.ledger.reader import Filter
from amiss.ledger.verify import verify as check
from amiss.server.answers import may, who
from amiss.server.context import Context
from amiss.server.desk import blinded
from amiss.server.parts import Here, Number, Reading, Text
from amiss.server.people import Who
from amiss.station.recipes import about_inspector

router = APIRouter(prefix="/api/v1", tags=["record"])

Tracer = Annotated[Who, Depends(may("trace"))]


@router.get("/me")
def me(here: Here, found: Annotated[Who, Depends(who)]) -> dict[str, Any]:
    """Whoever asks, and what is allowed."""
    return {"name": found.name, "role": found.role, "may": sorted(found.may), "people": here.people.any}


@router.get("/status")
def status(here: Here, found: Reading) -> dict[str, Any]:
    """What the station is like now."""
    station = here.station
    midnight = spell(datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0))
    today = {"good": 0, "review": 0, "anomalous": 0, "error": 0}
    for row in station.reader.counts(Filter(since=midnight, blind="label" in found.may)):
        today[row["label"]] += row["parts"]
    seq, head = station.writer.head
    accepting, why = accepts(here)
    names = ("good", "review", "anomalous", "error", "refused", "late")
    said = {row["recipe"]: row for row in station.reader.charts()}
    recipes = []
    for one in station.recipes.all:
        chart = said.get(one.recipe, {"alarm": False, "text": "", "first": None})
        facts = {"recipe": one.recipe, "version": one.version, "fingerprint": one.fingerprint}
        shown = {name: chart[name] for name in ("alarm", "text", "first")}
        recipes.append({**facts, **about_inspector(one.inspector), "chart": shown})
    return {
        "station": station.store.station,
        "amiss": __version__,
        "since": here.began,
        "accepting": accepting,
        "why": why,
        "queue": station.waiting,
        "cores": station.cores,
        "deadline_ms": None if station.deadline is None else 1000 * station.deadline,
        "counts": {name: station.counts[name] for name in names},
        "today": today,
        "chain": {"seq": seq, "hash": head},
        "disk_free": shutil.disk_usage(station.store.folder).free,
        **{kind: count_waiting(station.reader, kind) for kind in KINDS},
        "recipes": recipes,
    }


def accepts(here: Here) -> tuple[bool, str]:
    """Whether the station takes parts, and why not."""
    if not here.ready:
        return False, "models are being loaded"
    if here.station.draining:
        return False, "the station is ending"
    if not here.station.healthy():
        return False, "a thread that judges hangs, or the record is not written"
    if not here.station.recipes.all:
        return False, "no model is deployed"
    return True, ""


@router.get("/events")
def events(
    here: Here,
    who: Tracer,
    after: Number = 0,
    before: Number = None,
    kind: Text = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Events in their order; `next` is the `after` of the next page. With `before` the newest come first, and so on."""
    reader = here.station.reader
    if before is not None:
        found = reader.last_events(before, kind=kind, limit=limit)
    else:
        found = list(islice(reader.events(after=after or 0, kind=kind), limit))
    names = ("seq", "at", "kind", "actor", "hash", "prev")
    bodies = _bodies(here, who, found)
    shown = [{**{name: getattr(event, name) for name in names}, "data": bodies[event.seq]} for event in found]
    return {"events": shown, "next": found[-1].seq if len(found) == limit else None}


def _bodies(here: Context, who: Who, found: list[Event]) -> dict[int, dict[str, Any]]:
    """What events say, by their numbers; for people who label without verdicts that wait for an audit."""
    bodies = {event.seq: event.data for event in found}
    about = {seq: str(data.get("id") or data.get("part")) for seq, data in bodies.items()}
    secret = hidden(here.station.reader, [*about.values()]) if "label" in who.may else set()
    return {seq: blinded(data) if about[seq] in secret else data for seq, data in bodies.items()}


@router.get("/chain/head")
def head(here: Here, _: Reading) -> dict[str, Any]:
    """Number and hash of the last event: keep it elsewhere, and a chain that was cut off is found."""
    seq, found = here.station.reader.head()
    return {"seq": seq, "hash": found}


@router.post("/verify")
def verify(here: Here, _: Tracer) -> dict[str, Any]:
    """Check the whole chain and the tables that are made from it."""
    found = check(here.station.reader)
    return {"sound": found.faults == 0, "events": found.events, "faults": list(found.shown)}


@router.get("/export", response_class=StreamingResponse)
def export(here: Here, who: Tracer) -> StreamingResponse:
    """All events as lines that `sha256sum` checks: seq, prev, hash, body.

    Who takes a copy has seen all verdicts: labels of that person on parts until then are not blind.
    """
    here.desk.copied(who.name, here.station.reader.head()[0])

    def lines() -> Iterator[str]:
        for event in here.station.reader.events():
            yield event.line() + "\n"

    headers = {"content-disposition": 'attachment; filename="amiss.chain"'}
    return StreamingResponse(lines(), media_type="text/plain", headers=headers)
