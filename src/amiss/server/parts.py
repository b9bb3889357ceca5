"""Parts of the native API: post one, list them, look at one, say what is true of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse

from amiss.core.errors import BusyError, ConflictError, NotReadyError, OutputError
from amiss.ledger.events import Draft, read_time
from amiss.ledger.labels import count_waiting, spell_label, truths, twin, waiting
from amiss.ledger.reader import Filter
from amiss.server.answers import Refused, judged, may, part_of
from amiss.server.context import Context, given_context
from amiss.server.desk import blinded
from amiss.server.people import Who
from amiss.server.schemas import Labelling
from amiss.station.jobs import Job, Ticket, new_id
from amiss.station.replay import Replay

router = APIRouter(prefix="/api/v1", tags=["parts"])

MOST = 200
"""Parts of one page."""

Text = Annotated[str | None, Query(max_length=200)]
Number = Annotated[int | None, Query(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Here = Annotated[Context, Depends(given_context)]
Reading = Annotated[Who, Depends(may("read"))]
Labeller = Annotated[Who, Depends(may("label"))]
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/parts", dependencies=[Depends(may("inspect"))], openapi_extra=IMAGE_BODY)
async def post_part(
    request: Request,
    here: Here,
    recipe: Annotated[str, Query(min_length=1, max_length=200)],
    serial: Text = None,
    lot: Text = None,
    camera: Text = None,
    taken_at: Text = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> JSONResponse:
    """Judge a part: the body is the bytes of an image file.

    `accept` is true only when the label is good, the verdict is on disk, and it was so in time. The same
    Idempotency-Key with the same bytes and recipe gets the stored verdict; with others it is refused.
    """
    here.check_recipe(recipe)
    data = await request.body()
    if not data:
        raise Refused(422, "the body must be the bytes of an image file, got none")
    key = f"http {idempotency_key}" if idempotency_key else f"http {new_id()}"
    job = Job(
        name=serial or "image", data=data, recipe=recipe, key=key, serial=serial, lot=lot, camera=camera,
        taken_at=taken_at,
    )  # fmt: skip
    return await judged(submit(here, job)[0], here.about)


def submit(here: Context, *jobs: Job) -> list[Ticket]:
    """Parts to the station, all of them or none; what refuses them is counted.

    Raises:
        AmissError: No room, no model, no disk.
    """
    try:
        return here.station.submit_all(jobs)
    except (BusyError, NotReadyError, OutputError) as error:
        here.metrics.refused.labels(type(error).__name__.removesuffix("Error").lower()).inc()
        raise


@router.get("/parts")
def list_parts(
    here: Here,
    who: Reading,
    recipe: Text = None,
    label: Text = None,
    lot: Text = None,
    serial: Text = None,
    since: Text = None,
    until: Text = None,
    before: Number = None,
    after: Number = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Parts, the newest first; `next` is the `before` of the next page. With `after` the oldest first."""
    only = Filter(
        recipe=recipe, label=label, lot=lot, serial=serial,
        since=None if since is None else read_time(since), until=None if until is None else read_time(until),
        blind=label is not None and "label" in who.may,  # which parts have a label would tell it
    )  # fmt: skip
    rows = here.station.reader.parts(only, before=before, after=after, limit=limit)
    known = truths(here.station.reader, [row["id"] for row in rows])
    parts = [_shown(here, who, row, known.get(row["id"])) for row in rows]
    return {"parts": parts, "next": rows[-1]["seq"] if len(rows) == limit else None}


def _shown(here: Context, who: Who, row: dict[str, Any], truth: str | None) -> dict[str, Any]:
    """A part as somebody may see it."""
    part = part_of(row, truth)
    return part if here.desk.show(row, truth, who) else blinded(part)


def _open(here: Context, who: Who, part: str) -> dict[str, Any]:
    """A part whose verdict somebody may see.

    Raises:
        Refused: It waits for its audit.
    """
    row = here.station.reader.part(part)
    if not here.desk.show(row, truths(here.station.reader, [row["id"]]).get(row["id"]), who):
        raise Refused(403, "this part was drawn for an audit: its verdict shows once it has been labelled")
    return row


@router.get("/parts/{part}")
def show_part(here: Here, who: Reading, part: str) -> dict[str, Any]:
    """Everything that is known of a part, by its id, its serial number, or the number of its event."""
    row = here.station.reader.part(part)
    known = truths(here.station.reader, [row["id"]])
    labels = [spell_label(one) for one in row["labels"]]
    kept = row["image"] is not None and row["image"]["state"] == "kept"
    return {**_shown(here, who, row, known.get(row["id"])), "image": kept, "labels": labels}


@router.get("/parts/{part}/image", response_class=Response)
def image(here: Here, _: Reading, part: str) -> Response:
    """The image as it came."""
    data, kind = here.views.original(here.station.reader.part(part))
    shown = kind.startswith("image/")
    headers = {"content-disposition": "inline" if shown else "attachment", "cache-control": "private, max-age=3600"}
    return Response(data, media_type=kind, headers=headers)


@router.get("/parts/{part}/overlay", response_class=Response)
def overlay(here: Here, who: Reading, part: str) -> Response:
    """A PNG with scores as colour; the image is scored again."""
    data = here.views.overlay(_open(here, who, part))
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


@router.get("/parts/{part}/thumb", response_class=Response)
def thumb(here: Here, _: Reading, part: str) -> Response:
    """A JPEG whose long side has 320 pixels at most."""
    data = here.views.thumb(here.station.reader.part(part))
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


@router.get("/parts/{part}/twin")
def good_twin(here: Here, _: Reading, part: str) -> dict[str, str | None]:
    """A good part to compare with: of the same recipe, judged shortly before."""
    return {"id": twin(here.station.reader, here.station.reader.part(part))}


@router.post("/parts/{part}/replay")
def replay(here: Here, who: Annotated[Who, Depends(may("replay"))], part: str) -> dict[str, Any]:
    """Score the stored image with the stored model again."""
    row = _open(here, who, part)
    station = here.station
    replayed = Replay(station.store, lambda data, bits: station.decoders.decode(data, None, bits).pixels).run([row])
    return next(replayed).summary()


@router.post("/parts/{part}/labels")
def label_part(here: Here, who: Labeller, part: str, said: Labelling) -> dict[str, Any]:
    """Say what is true of a part; the answer comes once it is on disk.

    Of a part that was drawn for an audit it is blind where it was taken from the queue and its verdict not seen before.
    """
    row = here.station.reader.part(part)
    blind = here.desk.blind(row, who, row["labels"])
    pool = None
    if blind:
        pool = "calibrate" if int(row["id"].replace("-", ""), 16) % 2 else "certify"
    elif said.truth in ("good", "defective"):
        pool = "learn" if said.truth == "good" else "defects"
    facts = {**said.model_dump(), "part": row["id"], "by": who.name, "blind": blind, "pool": pool}
    done = here.station.writer.submit(Draft("labelled", facts, who.name)).result()
    here.desk.release(row["id"])
    return {"seq": done.event.seq, "part": row["id"], "truth": said.truth, "blind": blind}


@router.get("/queue")
def queue(
    here: Here,
    who: Reading,
    kind: Annotated[str, Query(pattern="^(review|audit|disagreement)$")] = "review",
    limit: Limit = 20,
) -> dict[str, Any]:
    """Parts that wait for a person, the first first; those of an audit and disputed ones without their verdict."""
    reader = here.station.reader
    names = waiting(reader, kind, limit=limit, without=here.desk.held_by_others(who.name))
    parts = [part_of(reader.part(name)) for name in names]
    return {
        "left": count_waiting(reader, kind),
        "parts": parts if kind == "review" else [blinded(part) for part in parts],
    }


@router.post("/queue/{part}/claim")
def claim(here: Here, who: Labeller, part: str) -> dict[str, str]:
    """Have a part for five minutes, so that nobody else judges it meanwhile."""
    until = here.desk.claim(here.station.reader.part(part)["id"], who.name)
    if until is None:
        raise ConflictError("a part must belong to nobody else, got one that somebody else has now")
    return {"until": until}
