"""A connection of uvicorn that is closed when its client is too slow: whoever drips headers holds no place."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 5.0
"""From the opening of a connection, or the end of a response, to the end of the next request's headers."""

BODY_SECONDS = 20.0
"""Between two pieces of a body."""


class ImpatientProtocol(H11Protocol):
    """`H11Protocol` with two limits of time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come: headers keep the limit they have, a body gets a new one."""
        before = self.cycle
        super().data_received(data)
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and (self.cycle is not before or self.cycle.more_body):
            self._wait(BODY_SECONDS if self.cycle.more_body else None)

    def on_response_complete(self) -> None:
        """The next request may come on the same connection."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait(max(HEAD_SECONDS, self.timeout_keep_alive))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._wait(None)
        super().connection_lost(exc)

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()
