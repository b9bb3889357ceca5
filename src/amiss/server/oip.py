"""Open Inference Protocol v2: the same queue, record and caution as the native API, for clients that exist already.

Inputs are one of `image`, BYTES [N], the bytes of image files, and `pixels`, UINT8 [N, H, W, 3]. Outputs are `label`,
`accept`, `score`, `p_value` and `map`, all of them unless some are named.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from amiss import __version__
from amiss.core.errors import DataError, InputError
from amiss.core.verdict import Label
from amiss.server.answers import answer_of, may, no_verdict, refuse
from amiss.server.context import Context
from amiss.server.parts import IMAGE_BODY, Here, submit
from amiss.server.record import accepts
from amiss.server.tensors import Output, images_of, split_body
from amiss.station.jobs import Answer, Job, ScoreMap, Ticket, new_id

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

OUTPUTS = {"label": "BYTES", "accept": "BOOL", "score": "FP32", "p_value": "FP64", "map": "FP32"}
LENGTH = "Inference-Header-Content-Length"
Inspecting = Depends(may("inspect"))


@router.get("")
def server_metadata() -> dict[str, Any]:
    """What this server is."""
    return {"name": "amiss", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live")
def live() -> dict[str, bool]:
    """It runs."""
    return {"live": True, "ready": True}


@router.get("/health/ready")
def ready(here: Here) -> JSONResponse:
    """Whether it takes parts. The specification says live, kserve's client reads ready."""
    fine, _ = accepts(here)
    return JSONResponse({"ready": fine, "live": True}, 200 if fine else 503)


@router.get("/models/{model}", dependencies=[Inspecting])
@router.get("/models/{model}/versions/{version}", dependencies=[Inspecting])
def model_metadata(here: Here, model: str, version: str | None = None) -> dict[str, Any]:
    """Inputs and outputs of a recipe."""
    _check(here, model, version)
    versions = [str(row["version"]) for row in here.station.reader.versions() if row["recipe"] == model]
    inputs = [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
    ]
    outputs = [
        {"name": name, "datatype": kind, "shape": [-1, -1, -1] if name == "map" else [-1]}
        for name, kind in OUTPUTS.items()
    ]
    return {"name": model, "versions": versions, "platform": "amiss", "inputs": inputs, "outputs": outputs}


@router.get("/models/{model}/ready", dependencies=[Inspecting])
@router.get("/models/{model}/versions/{version}/ready", dependencies=[Inspecting])
def model_ready(here: Here, model: str, version: str | None = None) -> JSONResponse:
    """Whether a recipe, or this very version of it, judges now."""
    _check(here, model, version)
    fine, _ = accepts(here)
    return JSONResponse({"name": model, "ready": fine, "live": True}, 200 if fine else 503)


@router.post("/models/{model}/infer", dependencies=[Inspecting], openapi_extra=IMAGE_BODY)
@router.post("/models/{model}/versions/{version}/infer", dependencies=[Inspecting], openapi_extra=IMAGE_BODY)
async def infer(request: Request, here: Here, model: str, version: str | None = None) -> Response:
    """Judge up to 16 images. One that gets no verdict fails the whole request: nothing of it is accepted."""
    _check(here, model, version)
    asked, rest = split_body(await request.body(), request.headers.get(LENGTH))
    files, parameters = images_of(asked, rest), asked.get("parameters") or {}
    wanted = _wanted(asked)
    jobs = [_job(model, data, at, parameters, "map" in wanted) for at, data in enumerate(files)]
    tickets = submit(here, *jobs)
    answers = [await answer_of(ticket) for ticket in tickets]
    for ticket, answer in zip(tickets, answers, strict=True):
        if answer.event is None or answer.label is Label.ERROR:
            return await _failed(here, tickets, ticket, answer)
    outputs = [one for name in wanted if (one := _output(name, tickets, answers)) is not None]
    versions = {answer.event.data["version"] for answer in answers if answer.event is not None}
    head = {
        "model_name": model,
        "model_version": ",".join(str(one) for one in sorted(versions)),  # that judged; several for stored verdicts
        **({"id": asked["id"]} if isinstance(asked.get("id"), str) else {}),
        "parameters": {"parts": ",".join(answer.event.data["id"] for answer in answers if answer.event is not None)},
    }
    return _packed(head, outputs, _binary(asked))


async def _failed(here: Context, tickets: list[Ticket], ticket: Ticket, answer: Answer) -> Response:
    """Refuse a whole request for one of its parts. Those that are good are recorded as not accepted first."""
    untold = here.station.untold(tickets, "not told: another image of its request got no verdict")
    await asyncio.shield(asyncio.gather(*map(asyncio.wrap_future, untold), return_exceptions=True))
    if answer.event is None:
        return await no_verdict(ticket, answer)
    return refuse(422, answer.reason, part=answer.part)


def _check(here: Context, model: str, version: str | None) -> None:
    """Refuse a model or version that does not judge now.

    Raises:
        DataError: It does not.
    """
    found = here.judging(model)
    if found is None:
        raise DataError(f"model must be a recipe of this station, got {model!r}")
    if version not in (None, "", str(found.version)):
        raise DataError(f"version {version} of {model!r} does not judge now; version {found.version} does")


def _job(model: str, data: bytes, at: int, parameters: Any, wants_map: bool) -> Job:
    if not isinstance(parameters, dict):
        raise InputError("parameters must be an object")
    said: dict[str, str | None] = {}
    for name in ("serial", "lot", "camera", "key"):
        value = parameters.get(name)
        if value is not None and not (isinstance(value, str) and 0 < len(value) <= 200):
            raise InputError(f"{name} must be a text of 1 to 200 characters")
        said[name] = value
    key, serial = said["key"], said["serial"]
    return Job(
        name=serial or "image",
        data=data,
        recipe=model,
        key=f"oip {new_id()}" if key is None else f"oip {key} {at}",
        serial=serial,
        lot=said["lot"],
        camera=said["camera"],
        wants_map=wants_map,
    )


def _wanted(asked: dict[str, Any]) -> list[str]:
    named = asked.get("outputs")
    if not named:
        return list(OUTPUTS)
    if not isinstance(named, list) or not all(isinstance(one, dict) and one.get("name") in OUTPUTS for one in named):
        raise InputError(f"outputs must be of {', '.join(OUTPUTS)}")
    return [str(one["name"]) for one in named]


def _binary(asked: dict[str, Any]) -> set[str]:
    """Names of the outputs that are asked for as bytes."""

    def flag(owner: Any, name: str) -> Any:
        return (owner.get("parameters") or {}).get(name) if isinstance(owner.get("parameters") or {}, dict) else None

    named = asked.get("outputs") or []
    everything = bool(flag(asked, "binary_data_output"))
    said = {str(one["name"]): flag(one, "binary_data") for one in named}
    return {name for name in OUTPUTS if said.get(name, everything) or (said.get(name) is None and everything)}


def _output(name: str, tickets: list[Ticket], answers: list[Answer]) -> Output | None:
    rows = [answer.event.data for answer in answers if answer.event is not None]
    count = len(rows)
    if name == "map":
        return _maps([ticket.map for ticket in tickets])
    values: list[Any]
    if name == "accept":
        values = [answer.accept for answer in answers]
    elif name == "label":
        values = [row["label"] for row in rows]
    else:
        values = [row[name] for row in rows]
        if any(value is None for value in values):
            return None
    return Output(name, OUTPUTS[name], [count], values)


def _maps(maps: list[ScoreMap | None]) -> Output | None:
    """None where a map is missing, as for a verdict that was stored before, or the maps differ in size."""
    known = [one for one in maps if one is not None]
    sizes = {(one.height, one.width) for one in known}
    if len(known) != len(maps) or len(sizes) != 1:
        return None
    height, width = sizes.pop()
    return Output("map", "FP32", [len(known), height, width], b"".join(one.data for one in known))


def _packed(head: dict[str, Any], outputs: list[Output], binary: set[str]) -> Response:
    listed, tail = [], b""
    for one in outputs:
        if one.name in binary:
            data = one.as_bytes()
            about = {"name": one.name, "datatype": one.datatype, "shape": one.shape}
            listed.append({**about, "parameters": {"binary_data_size": len(data)}})
            tail += data
        else:
            listed.append(one.as_json())
    text = json.dumps({**head, "outputs": listed}, allow_nan=False).encode()
    if not tail:
        return Response(text, media_type="application/json")
    headers = {LENGTH: str(len(text))}
    return Response(text + tail, media_type="application/octet-stream", headers=headers)
