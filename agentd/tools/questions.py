"""In a tool process: what a hook's function asks its session, and who waits for the answers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from agentd.tools.job_context import Ask, JobError


class Questions:
    """`send` gives the worker a message. Functions ask from whatever thread they run in, and the thread that reads the
    worker's messages answers."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._send = send
        self._numbers = itertools.count(1)  # never used again in this process: an answer may come late
        self._open: dict[int, Future[Any]] = {}
        self._access = threading.Lock()

    def of(self, call: int) -> tuple[Ask, Callable[[int, bool], None]]:
        """What the function of this call asks by, and takes back what it asked to be said."""

        def ask(what: str, values: dict[str, Any]) -> tuple[int, Future[Any]]:
            number, future = next(self._numbers), Future[Any]()
            with self._access:
                self._open[number] = future
            self._send({"type": "ask", "call": call, "id": number, "ask": what, "values": values})
            return number, future

        def take_back(number: int, force: bool) -> None:
            self._send({"type": "cancel", "call": call, "id": number, "force": force})

        return ask, take_back

    def answered(self, message: Mapping[str, Any]) -> None:
        with self._access:
            future = self._open.pop(message["id"], None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if "error" in message:
            future.set_exception(JobError(message["error"]))
        else:
            future.set_result(message["value"])

    def drop(self) -> None:
        """The function has returned: nothing that it left behind hears of it any more."""
        with self._access:
            left, self._open = self._open, {}
        for future in left.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(JobError("the hook has returned"))
