"""What systemd is told: that the station is ready, that it is alive, that it ends. Nothing where it does not ask."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(*words: str) -> bool:
    """Send such as "READY=1" or "STATUS=..." to the socket that NOTIFY_SOCKET names.

    Returns:
        Whether anybody was told.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(1.0)
        channel.sendto("\n".join(words).encode(), address)
        return True
    return False


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear that this process is alive, WATCHDOG_USEC; None where it does not."""
    asked, whom = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not asked.isdecimal() or int(asked) == 0 or (whom.isdecimal() and int(whom) != os.getpid()):
        return None
    return int(asked) / 1e6
