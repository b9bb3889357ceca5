"""`make_app`: routes, errors, and the guard in front of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

import amiss
from amiss.core.errors import AmissError
from amiss.server import learning, oip, parts, recipes, record
from amiss.server.answers import Refused, may, of_error, refuse
from amiss.server.context import Context, context
from amiss.server.guard import COOKIE, Guard, read_cookie
from amiss.server.people import HOURS, Who
from amiss.server.schemas import Login

WEB = Path(amiss.__file__).parent / "web"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


def make_app(found: Context) -> Guard:
    """The application of a station.

    Args:
        found: What routes work with.
    """
    app = FastAPI(
        title="Amiss", version=amiss.__version__, docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    app.state.context = found
    for each in (parts.router, recipes.router, record.router, learning.router, oip.router):
        app.include_router(each)
    _add_sessions(app)
    _add_health(app)
    _add_page(app)
    _add_errors(app)
    http = found.settings.http
    open_to_all = http.loopback and not http.behind_proxy
    secure = http.certificate is not None or http.behind_proxy
    hosts = {*http.hosts, http.host}
    return Guard(app, found.people, hosts, open_to_all=open_to_all, secure=secure)


def _add_sessions(app: FastAPI) -> None:
    @app.post("/login", tags=["sessions"])
    def log_in(request: Request, said: Login) -> JSONResponse:
        """Begin a session."""
        here = context(request)
        found = here.people.log_in(said.name, said.password)
        if isinstance(found, float):
            if found:
                return refuse(429, "too many tries to log in; wait", found)
            return refuse(401, "name or password is wrong")
        session, who = found
        answer = JSONResponse({"name": who.name, "role": who.role, "may": sorted(who.may), "people": True})
        answer.set_cookie(
            COOKIE, session, max_age=3600 * HOURS, httponly=True, samesite="strict", secure=request.state.secure
        )
        return answer

    @app.post("/logout", tags=["sessions"])
    def log_out(request: Request) -> JSONResponse:
        """End a session."""
        session = read_cookie(dict(request.headers))
        if session is not None:
            context(request).people.log_out(session)
        answer = JSONResponse({})
        answer.delete_cookie(COOKIE)
        return answer


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    def healthz(request: Request) -> JSONResponse:
        """Whether every thread moves: if not, the process should be begun anew."""
        fine = context(request).station.healthy()
        return JSONResponse({"healthy": fine}, 200 if fine else 503)

    @app.get("/readyz", tags=["health"])
    def readyz(request: Request) -> JSONResponse:
        """Whether parts are taken now."""
        fine, why = record.accepts(context(request))
        return JSONResponse({"ready": fine, "why": why}, 200 if fine else 503)

    @app.get("/metrics", tags=["health"], response_class=Response)
    def metrics(request: Request, _: Annotated[Who, Depends(may("metrics"))]) -> Response:
        """For Prometheus."""
        return Response(context(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    files = {path.relative_to(WEB).as_posix(): path for path in WEB.rglob("*") if path.is_file()}

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return page("index.html")

    @app.get("/web/{name:path}", include_in_schema=False)
    def page(name: str) -> Response:
        path = files.get(name)
        if path is None:
            raise Refused(404, "there is no such file")
        kind = KINDS.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(AmissError)
    @app.exception_handler(Refused)
    def ours(request: Request, error: Exception) -> JSONResponse:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = dict(error.errors()[0])
        where = ".".join(str(each) for each in first["loc"])
        return refuse(422, f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        answer = refuse(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer
