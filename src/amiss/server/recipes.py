"""Recipes of the native API: versions, what judges, what has come of it, what is set aside."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi import Path as Part

from amiss.core.errors import DataError
from amiss.ledger.events import Draft, read_time
from amiss.ledger.labels import quarantines, set_aside
from amiss.server.answers import Refused, may
from amiss.server.context import Context
from amiss.server.parts import IMAGE_BODY, Here, Reading, Text
from amiss.server.people import Who
from amiss.server.schemas import Deploying, Quarantining, Reason, Recalibrating, Seq, Shadowing
from amiss.signature import signature_path
from amiss.station import questions
from amiss.station.learnings import trade_table
from amiss.station.pools import pools, tried
from amiss.station.recipes import Deployed, about_inspector

router = APIRouter(prefix="/api/v1", tags=["recipes"])

Changer = Annotated[Who, Depends(may("change"))]
Version = Annotated[Seq, Part()]


@router.get("/recipes")
def list_recipes(here: Here, _: Reading) -> dict[str, Any]:
    """Every recipe, its versions, and which of them judged from when on."""
    found: dict[str, dict[str, Any]] = {}
    for row in here.station.reader.versions():
        one = found.setdefault(row["recipe"], {"recipe": row["recipe"], "current": None, "versions": []})
        one.setdefault("deployments", [])
        one["versions"].append({name: row[name] for name in ("version", "at", "fingerprint", "about")})
    shadows = here.station.reader.shadows()
    for one in found.values():
        one["shadow"] = shadows.get(one["recipe"])
    for row in here.station.reader.deployments():
        one = found[row["recipe"]]
        one["current"] = row["version"]
        one["deployments"].append({name: row[name] for name in ("seq", "at", "version", "reason", "actor")})
    return {"recipes": list(found.values())}


@router.post("/recipes/{recipe}/versions", status_code=201, openapi_extra=IMAGE_BODY)
async def add_version(
    request: Request,
    here: Here,
    who: Changer,
    recipe: str,
    amiss_signature: Annotated[str | None, Header(max_length=8000)] = None,
) -> dict[str, Any]:
    """A model as a version of a recipe, from the bytes of its .amiss file: verified and tried, not deployed.

    Where the station has a trusted key, Amiss-Signature must be what the .sig file of the model says, on one line.
    """
    from starlette.concurrency import run_in_threadpool

    with tempfile.TemporaryDirectory(dir=here.station.store.folder, prefix=".upload-") as folder:
        path = Path(folder) / "model.amiss"
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        if amiss_signature is not None:
            signature_path(path).write_text(amiss_signature, encoding="utf-8")
        return await run_in_threadpool(_add, here, recipe, path, who.name)


def _add(here: Context, recipe: str, path: Path, actor: str) -> dict[str, Any]:
    before = {row["fingerprint"] for row in here.station.reader.versions()}
    ready = here.station.recipes.add_file(recipe, path, actor=actor)
    return {**_summary(ready), "known": ready.fingerprint in before}


@router.post("/recipes/{recipe}/deployments")
def deploy(here: Here, who: Changer, recipe: str, asked: Deploying) -> dict[str, Any]:
    """Let a version judge from now on. Parts on their way stay with the one before."""
    ready = here.station.recipes.deploy_version(
        recipe, asked.version, reason=asked.reason, actor=who.name, instead_of=asked.expected_current
    )
    return {"recipe": recipe, "version": ready.version, "reason": asked.reason}


@router.post("/recipes/{recipe}/rollback")
def roll_back(here: Here, who: Changer, recipe: str, asked: Reason) -> dict[str, Any]:
    """Let the version judge again that did so before the present one."""
    ready = here.station.recipes.roll_back(recipe, reason=asked.reason, actor=who.name)
    return {"recipe": recipe, "version": ready.version, "reason": asked.reason}


@router.post("/recipes/{recipe}/recalibrations", status_code=201)
def recalibrate(here: Here, who: Changer, recipe: str, asked: Recalibrating) -> dict[str, Any]:
    """What judges now with another rule, or calibrated on audited parts, as a new version that is not deployed.

    `trial` says what both do with the parts that are kept to certify; `refused`, why it may not judge, such as that
    nobody has signed it.
    """
    here.check_recipe(recipe)
    station = here.station
    before = station.recipes.current(recipe).inspector
    pool = station.reader if asked.scores == "audited" else None
    ready = station.recipes.recalibrate(recipe, asked.rule, asked.alpha, pool=pool, actor=who.name)
    refused = station.recipes.refusal(recipe, ready.version)
    trial = tried(station.reader, recipe, before, ready.inspector)
    return {**_summary(ready), "known": False, "trial": trial, "refused": refused}


@router.get("/recipes/{recipe}/versions/{version}/trial")
def trial(here: Here, _: Reading, recipe: str, version: Version) -> dict[str, Any]:
    """What a version and the one that judges now do with the parts that are kept to certify, with exact intervals."""
    recipes = here.station.recipes
    _known(here, recipe)
    before = recipes.current(recipe).inspector
    return tried(here.station.reader, recipe, before, recipes.version(recipe, version).inspector)


@router.get("/recipes/{recipe}/pools")
def show_pools(here: Here, _: Reading, recipe: str) -> dict[str, Any]:
    """What people's labels are for, how many there are, and whether they are enough to calibrate on."""
    judging = here.judging(_known(here, recipe))
    return pools(here.station.reader, recipe, None if judging is None else judging.inspector.rule)


@router.get("/recipes/{recipe}/shadow")
def show_shadow(here: Here, _: Reading, recipe: str) -> dict[str, Any]:
    """What the version in the shadow says beside the one that judges: McNemar's exact test on disputed parts."""
    left_out = here.station.shadows.left_out[_known(here, recipe)]
    return {"shadow": questions.shadow(here.station.reader, recipe, left_out)}


@router.post("/recipes/{recipe}/shadow")
def put_in_shadow(here: Here, who: Changer, recipe: str, asked: Shadowing) -> dict[str, Any]:
    """Let a version judge beside the one that judges, in idle time and without a say; null lets none do so."""
    here.station.recipes.put_in_shadow(_known(here, recipe), asked.version, reason=asked.reason, actor=who.name)
    return {"recipe": recipe, "version": asked.version, "reason": asked.reason}


@router.get("/recipes/{recipe}/monitor")
def monitor(here: Here, who: Reading, recipe: str, since: Text = None) -> dict[str, Any]:
    """The newest scores, and what the control charts said last."""
    return questions.scores(here.station.reader, _known(here, recipe), _time(since), blind="label" in who.may)


@router.get("/recipes/{recipe}/pareto")
def pareto(here: Here, who: Reading, recipe: str, since: Text = None) -> dict[str, Any]:
    """Where defects lie on the part, and which types people named."""
    return questions.pareto(here.station.reader, _known(here, recipe), _time(since), blind="label" in who.may)


@router.get("/recipes/{recipe}/lots")
def lots(here: Here, who: Reading, recipe: str, since: Text = None) -> dict[str, Any]:
    """Every lot with the share of anomalous parts and its interval."""
    return questions.lots(here.station.reader, _known(here, recipe), _time(since), blind="label" in who.may)


@router.get("/recipes/{recipe}/estimates")
def estimates(here: Here, _: Reading, recipe: str) -> dict[str, Any]:
    """False alarms and escapes among audited parts, with exact intervals."""
    return questions.estimates(here.station.reader, _known(here, recipe))


@router.get("/quarantines")
def list_quarantines(here: Here, _: Reading) -> dict[str, Any]:
    """What was set aside, the newest first."""
    reader = here.station.reader
    found = quarantines(reader)
    for one in found:
        one["parts"] = set_aside(reader, one["recipe"], one["first"], one["last"], one["lots"])
        one["by"] = one.pop("actor")
        del one["station"]
    return {"quarantines": found}


@router.post("/quarantines", status_code=201)
def quarantine(here: Here, who: Changer, asked: Quarantining) -> dict[str, Any]:
    """Set parts aside: a run of events or whole lots. Their images stay."""
    if (asked.first is None) == (not asked.lots):
        raise Refused(422, "either first or lots must be given")
    if asked.first is not None and asked.last is not None and asked.last < asked.first:
        raise Refused(422, f"last must be at least first ({asked.first}), got {asked.last}")
    first, recipe = asked.first or 1, _known(here, asked.recipe)
    facts = {"recipe": recipe, "first": first, "last": asked.last, "lots": asked.lots, "reason": asked.reason}
    done = here.station.writer.submit(Draft("quarantined", facts, who.name)).result()
    return {"seq": done.event.seq, "parts": set_aside(here.station.reader, recipe, first, asked.last, asked.lots)}


def _summary(ready: Deployed) -> dict[str, Any]:
    facts = {"recipe": ready.recipe, "version": ready.version, "fingerprint": ready.fingerprint}
    return {**facts, "about": about_inspector(ready.inspector), "trade": trade_table(ready.inspector)}


def _known(here: Context, recipe: str) -> str:
    if recipe not in {row["recipe"] for row in here.station.reader.versions()}:
        raise DataError(f"recipe must be one of this station, got {recipe!r}")
    return recipe


def _time(text: str | None) -> str | None:
    return None if text is None else read_time(text)
