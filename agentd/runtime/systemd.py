"""What systemd is told of a `Type=notify-reload` service with a watchdog: datagrams to the socket that it names."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

Phase = Literal["ready", "reloading", "stopping", "alive"]


def notification(phase: Phase, monotonic_usec: int) -> str:
    if phase == "ready":
        return "READY=1"
    if phase == "stopping":
        return "STOPPING=1"
    if phase == "alive":
        return "WATCHDOG=1"
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}"


def is_watched(environment: Mapping[str, str], pid: int) -> bool:
    """Whether this process is to say that it is alive, and not one that has passed its environment on to us."""
    return bool(environment.get("WATCHDOG_USEC")) and environment.get("WATCHDOG_PID", str(pid)) == str(pid)


def notify(phase: Phase) -> None:
    """Does nothing where no service manager asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or (phase == "alive" and not is_watched(os.environ, os.getpid())):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    text = notification(phase, time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.sendto(text.encode(), address)
