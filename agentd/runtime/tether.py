"""A worker's link to its supervisor, whichever that is: when one is gone, calls go on and the next one takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agentd.ipc import FrameLink, LinkClosed

Reunite = Callable[[], Awaitable[FrameLink | None]]
"""Waits for the next supervisor; None: there is none to wait for, or none has come."""


class Tether:
    """A FrameLink. While there is no supervisor, `send` waits, and nothing that was to be told is lost but what the
    dead one had received; `receive` waits for the next. LinkClosed: there will be none."""

    def __init__(self, link: FrameLink, reunite: Reunite) -> None:
        self._link: FrameLink | None = link
        self._reunite = reunite
        self._over = False
        self._settled = asyncio.Event()  # there is a link, or there will be none
        self._settled.set()

    async def send(self, frame: bytes) -> None:
        while True:
            await self._settled.wait()
            link = self._link
            if link is None or self._over:
                raise LinkClosed("the supervisor is gone")
            try:
                return await link.send(frame)
            except LinkClosed:
                self._lost(link)

    async def receive(self) -> bytes:
        while not self._over:
            link = self._link
            if link is not None:
                try:
                    return await link.receive()
                except LinkClosed:
                    self._lost(link)
            found = None if self._over else await self._reunite()
            self._link, self._over = found, found is None
            self._settled.set()
        raise LinkClosed("the supervisor is gone")

    def close(self) -> None:
        self._over = True
        self._settled.set()
        if self._link is not None:
            self._link.close()

    def _lost(self, link: FrameLink) -> None:
        if self._link is link and not self._over:
            link.close()
            self._link = None
            self._settled.clear()
