"""What every request passes: which host it names, whose page sent it, who sends it, and how large it is.

One class in front of all routes, so that no route can forget it. Every answer carries the headers that keep a browser
from running anything but the page's own files.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.requests import ClientDisconnect

from amiss.server.people import LOCAL, People, Who

COOKIE = "amiss_session"
HEAD = 16 * 1024
"""Bytes of all headers together at most."""
SMALL, IMAGE, MODEL = 256 * 1024, 256 * 1024 * 1024, 4 * 1024**3
"""Bytes of a body at most: of JSON, of images, of a model."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

log = logging.getLogger("amiss.server")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class TooLarge(Exception):
    """A body is longer than it may be."""


class Guard:
    """In front of the application.

    Args:
        app: The application.
        people: Who may do what.
        hosts: Names by which this machine is called, without ports; any address of the loopback is one of them.
        open_to_all: Whether everybody may do everything while there is no person: only where nobody else can reach it.
        secure: Whether cookies are for TLS alone.
    """

    def __init__(self, app: App, people: People, hosts: Iterable[str], *, open_to_all: bool, secure: bool) -> None:
        self._app, self._people = app, people
        self._hosts = {"localhost", "127.0.0.1", "[::1]", *(host.lower() for host in hosts)}
        self._open, self.secure = open_to_all, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        scope["state"] = scope.get("state") or {}
        scope["state"]["who"] = self._who(headers)
        scope["state"]["secure"] = self.secure
        answer = _Answer(send)
        refused = self._refused(scope, headers)
        if refused is not None:
            await _say(answer.send, *refused)
            return
        body = _Body(receive, _limit(scope["path"]), answer)
        try:
            await self._app(scope, body.receive, answer.send)
        except TooLarge:
            pass
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:
            number = secrets.token_hex(4)
            log.exception("fault %s at %s %s", number, scope["method"], scope["path"])
            if not answer.begun:
                await _say(answer.send, 500, "a fault of the server; its log knows more by this id", number)
        if answer.muted and not answer.begun:
            answer.muted = False
            await _say(answer.send, 413, f"a body may have {_limit(scope['path'])} bytes and no more")

    def _who(self, headers: dict[str, str]) -> Who | None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind:
            return self._people.of_token(token.strip()) if kind.lower() == "bearer" else None
        session = read_cookie(headers)
        found = None if session is None else self._people.of_session(session)
        return LOCAL if found is None and self._open and not self._people.any else found

    def _refused(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD:
            return 431, f"headers may have {HEAD} bytes and no more"
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name not in self._hosts:
            return 421, "the Host header must name this machine; see hosts in the settings"
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site not in (None, "same-origin", "none"):
            return 403, "a write must come from the page of this server"
        if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
            return 403, "a write must come from the page of this server"
        length = headers.get("content-length")
        if length is not None and (not length.isdigit() or int(length) > _limit(scope["path"])):
            return 413, f"a body may have {_limit(scope['path'])} bytes and no more"
        return None


def read_cookie(headers: dict[str, str]) -> str | None:
    """The session that a browser sends."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


class _Answer:
    """Sends, with headers of our own; knows whether an answer has begun. Muted, it drops what the application says."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun, self.muted = send, False, False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.muted and not self.begun:
            return
        if message["type"] == "http.response.start":
            self.begun = True
            kept = {name for name, _ in HEADERS}
            own = [(name, value) for name, value in message.get("headers", []) if name.lower() not in kept]
            if not any(name.lower() == b"cache-control" for name, _ in own):
                own.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*own, *HEADERS]}
        await self._send(message)


def _limit(path: str) -> int:
    if path.endswith("/versions"):
        return MODEL
    return IMAGE if path.endswith(("/parts", "/infer")) or "/images/" in path else SMALL


class _Body:
    """Receives, as long as the body is not too long; then the answer is ours."""

    def __init__(self, receive: Receive, limit: int, answer: _Answer) -> None:
        self._receive, self._left, self._answer = receive, limit, answer

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self._answer.muted = True
            raise TooLarge
        return message


async def _say(send: Send, status: int, words: str, number: str | None = None) -> None:
    body = json.dumps({"error": words, "id": number or secrets.token_hex(4), "accept": False}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (413, 421, 431):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
