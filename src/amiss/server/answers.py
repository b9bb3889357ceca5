"""From what the station says to HTTP: statuses, errors, and the shapes of parts and verdicts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from amiss.core.errors import (
    AmissError,
    ArtefactError,
    BusyError,
    CalibrationError,
    ConflictError,
    DataError,
    ImageError,
    InputError,
    MissingExtraError,
    NotReadyError,
    OutputError,
)
from amiss.core.verdict import Label
from amiss.ledger.events import Event
from amiss.server.people import Who
from amiss.station.jobs import Answer, Ticket

STATUS: tuple[tuple[type[AmissError], int], ...] = (
    (BusyError, 429),
    (NotReadyError, 503),
    (OutputError, 507),
    (MissingExtraError, 501),
    (ImageError, 422),
    (ConflictError, 409),
    (DataError, 404),
    (CalibrationError, 422),
    (ArtefactError, 422),
    (InputError, 422),
)
"""The first that fits."""


class Refused(Exception):
    """A request that is answered with a status and words.

    Args:
        status: Of HTTP.
        words: Why.
        retry: Seconds after which to come again.
    """

    def __init__(self, status: int, words: str, retry: float | None = None) -> None:
        super().__init__(words)
        self.status, self.words, self.retry = status, words, retry


def refuse(status: int, words: str, retry: float | None = None, **more: Any) -> JSONResponse:
    """An error as every client gets it: never accept."""
    headers = {} if retry is None else {"retry-after": str(max(1, round(retry)))}
    body = {"error": words, "id": secrets.token_hex(4), **more, "accept": False}
    return JSONResponse(body, status, headers)


def of_error(error: Exception) -> JSONResponse:
    """The answer to an error of ours."""
    if isinstance(error, Refused):
        return refuse(error.status, error.words, error.retry)
    status = status_of(error)
    return refuse(status, str(error), 1.0 if status in (429, 503) else None)


def status_of(error: Exception) -> int:
    """The status of an error of ours."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def who(request: Request) -> Who:
    """Whoever asks.

    Raises:
        Refused: Nobody knows.
    """
    found: Who | None = request.state.who
    if found is None:
        raise Refused(401, "log in, or send a token")
    return found


def may(what: str) -> Any:
    """A dependency: whoever asks may do this. Asynchronous, as all that need not wait: others change threads."""

    async def check(request: Request) -> Who:
        found = who(request)
        if what not in found.may:
            raise Refused(403, f"{found.name} ({found.role}) may not do this; it needs {what!r}")
        return found

    return check


def part_of(row: dict[str, Any], truth: str | None = None) -> dict[str, Any]:
    """A part as the API shows it."""
    score, threshold = row["score"], row["threshold"]
    left_out = ("station", "key", "image", "labels", "outbox")
    plain = {name: value for name, value in row.items() if name not in left_out}
    margin = None if score is None or threshold is None else score - threshold
    return {**plain, "margin": margin, "image": bool(row["sha256"]), "truth": truth}


async def answer_of(ticket: Ticket) -> Answer:
    """Wait for the answer to a part. It is given even where whoever waits gives up: then nobody hears it."""
    return await asyncio.shield(asyncio.wrap_future(ticket.answer))


async def failure_of(ticket: Ticket) -> Exception | None:
    """Why a verdict is not on disk; None where nobody knows yet."""
    committed: Future[Any] = ticket.committed
    try:
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(committed)), 0.5)
    except TimeoutError:
        return None
    except Exception as error:  # whatever it is, it is the answer
        return error
    return None


def verdict_of(answer: Answer, about: dict[str, Any]) -> dict[str, Any]:
    """A verdict as the API gives it.

    Args:
        answer: Whose event is on disk.
        about: alpha and n of the version that judged.
    """
    event = answer.event
    if event is None:
        raise NotReadyError("the verdict is not on disk")
    data = event.data
    score, threshold = data["score"], data["threshold"]
    names = ("id", "name", "recipe", "version", "fingerprint", "serial", "lot", "camera", "taken_at", "sha256")
    return {
        **{name: data[name] for name in names},
        "station": event.station,
        "seq": event.seq,
        "label": data["label"],
        "accept": answer.accept,
        "score": score,
        "threshold": threshold,
        "margin": None if score is None or threshold is None else score - threshold,
        "p_value": data["p_value"],
        "alpha": about.get("alpha"),
        "n": about.get("n"),
        "reason": data["reason"] or ("" if answer.accept or data["label"] != Label.GOOD else answer.reason or "late"),
        "regions": data["regions"],
        "ms": {**data["ms"], "all": round(answer.ms, 2)},
        "hash": event.hash,
    }


async def judged(ticket: Ticket, about: Callable[[Event], dict[str, Any]]) -> JSONResponse:
    """The answer to a part: its verdict, or why there is none.

    Args:
        ticket: The part.
        about: Alpha and n of the version that judged, given the verdict.
    """
    answer = await answer_of(ticket)
    if answer.event is not None:
        body = verdict_of(answer, about(answer.event))
        if answer.label is Label.ERROR:
            return JSONResponse({**body, "error": answer.reason}, 422)
        return JSONResponse(body, 504 if not answer.accept and answer.label is Label.GOOD else 200)
    return await no_verdict(ticket, answer)


async def no_verdict(ticket: Ticket, answer: Answer) -> JSONResponse:
    """Why there is no verdict on disk: too late, a key given twice, a disk that fails, or a station that ends."""
    if ticket.late:
        return refuse(504, answer.reason, part=answer.part)
    error = await failure_of(ticket)
    if isinstance(error, (ConflictError, OutputError)):
        return refuse(status_of(error), str(error), part=answer.part)
    return refuse(503, answer.reason, 1.0, part=answer.part)
