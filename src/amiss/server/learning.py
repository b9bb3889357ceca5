"""Learning in the native API: collect good images, learn in a child process, look at what it promises, then deploy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool

from amiss.server.parts import IMAGE_BODY, Here, Reading
from amiss.server.recipes import Changer
from amiss.server.schemas import Learning

router = APIRouter(prefix="/api/v1/learnings", tags=["learnings"])

Name = Annotated[str, Path(max_length=64)]


@router.get("")
def list_learnings(here: Here, _: Reading) -> dict[str, Any]:
    """All of them, the newest first."""
    return {"learnings": here.learnings.summaries()}


@router.get("/methods")
def list_choices(here: Here, _: Reading) -> dict[str, Any]:
    """Methods and presets to choose from, the usual one first, with accuracy, speed and memory as measured."""
    return {"methods": here.learnings.choices.list()}


@router.post("", status_code=201)
def begin(here: Here, who: Changer, asked: Learning) -> dict[str, Any]:
    """Begin to collect good images for a recipe."""
    one = here.learnings.begin(asked.recipe, asked.method, asked.preset, asked.size, asked.rule, who.name)
    return asdict(one)


@router.put("/{learning}/images/{name:path}", openapi_extra=IMAGE_BODY)
async def put_image(request: Request, here: Here, _: Changer, learning: Name, name: str) -> dict[str, int]:
    """One good image, by the bytes of its file; one that cannot be used is refused."""
    data = await request.body()
    return {"images": await run_in_threadpool(here.learnings.put, learning, name, data)}


@router.post("/{learning}/start")
def start(here: Here, _: Changer, learning: Name) -> dict[str, Any]:
    """Learn from the images that came."""
    return asdict(here.learnings.start(learning))


@router.post("/{learning}/resume")
def resume(here: Here, _: Changer, learning: Name) -> dict[str, Any]:
    """Go on where it was cancelled."""
    return asdict(here.learnings.start(learning))


@router.post("/{learning}/cancel")
def cancel(here: Here, _: Changer, learning: Name) -> dict[str, Any]:
    """Stop; what it has come to is kept."""
    return asdict(here.learnings.cancel(learning))


@router.delete("/{learning}")
def remove(here: Here, _: Changer, learning: Name) -> dict[str, Any]:
    """Forget it with its images; a version that came of it stays."""
    here.learnings.remove(learning)
    return {}
