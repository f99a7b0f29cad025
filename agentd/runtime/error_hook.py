"""Unexpected exceptions, told to an address or a program: what failed and where, and nothing of what was said.

An exception is unexpected when it is logged with its traceback. Its message stays here, as it may hold anything; its
class, the classes behind it and the places in the code go. A thread sends; what comes faster than it can is lost and
counted, and nobody waits.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import subprocess
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from types import TracebackType
from typing import Any

import agentd
from agentd import logs
from agentd.tools import signing

WAITING = 100
TIMEOUT_S = 5.0
AGAIN_AFTER_S = 60.0
"""An exception of the same class at the same place is told once in this time, with how often it came."""
FRAMES = 50
SEEN = ("PATH", "HOME", "USER", "SHELL")
"""Of the environment, what a program sees: the rest holds secrets."""
CONTEXT = ("session", "agent", "job", "turn", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorHookSettings:
    """`secret`: of Standard Webhooks; "": unsigned. `command`: a program and its arguments. Either, or both."""

    url: str = ""
    secret: str = field(default="", repr=False)
    command: tuple[str, ...] = ()


def report_of(error: BaseException, logger: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of an exception. Pure."""
    return {
        "type": "error.unexpected",
        "version": agentd.__version__,
        "logger": logger,
        "exceptions": [_class_of(each) for each in _chain(error)],
        "frames": _frames(error.__traceback__),
        **{name: context[name] for name in CONTEXT if context.get(name) not in (None, "")},
    }


def _chain(error: BaseException) -> list[BaseException]:
    """The exception, and those that it came from; the first of each group."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        inner = following.exceptions[0] if isinstance(following, BaseExceptionGroup) else None
        following = inner or following.__cause__ or following.__context__
    return found


def _class_of(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(places: TracebackType | None) -> list[dict[str, Any]]:
    """The innermost last; of a file its last three parts, which say what code it is and not whose machine."""
    summary = traceback.extract_tb(places)[-FRAMES:]
    return [
        {"file": "/".join(PurePath(each.filename).parts[-3:]), "line": each.lineno, "function": each.name}
        for each in summary
    ]


class ErrorHook(logging.Handler):
    """A handler of the root logger."""

    def __init__(self, settings: ErrorHookSettings) -> None:
        super().__init__(logging.ERROR)
        self._url = settings.url
        self._command = settings.command
        self._keys = signing.keys(settings.secret) if settings.secret else ()
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._told: dict[tuple[str, str], tuple[float, int]] = {}  # when last, and how often since
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="error hook", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.name == __name__:
            return
        report = report_of(error, record.name, {**record.__dict__, **logs.present()})
        times = self._due(report, time.monotonic())
        if not times:
            return
        try:
            self._waiting.put_nowait({**report, "at": record.created, "times": times})
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Sends what waits, for a moment."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._waiting.put(None, timeout=TIMEOUT_S)
            self._thread.join(TIMEOUT_S)
        super().close()

    def _due(self, report: Mapping[str, Any], now: float) -> int:
        """How often it came since it was told last; 0: it is not told now."""
        place = report["frames"][-1] if report["frames"] else ""
        key = (report["exceptions"][0], str(place))
        last, since = self._told.get(key, (float("-inf"), 0))
        if now - last < AGAIN_AFTER_S:
            self._told[key] = (last, since + 1)
            return 0
        if len(self._told) >= WAITING:
            self._told.clear()
        self._told[key] = (now, 0)
        return since + 1

    def _run(self) -> None:
        while (report := self._waiting.get()) is not None:
            body = json.dumps(report, default=str).encode()
            for given, tell in ((self._url, self._send), (self._command, self._hand)):
                try:
                    if given:
                        tell(body)
                except (OSError, ValueError, subprocess.SubprocessError) as error:
                    logging.getLogger(__name__).warning("error hook failed: %s", type(error).__name__)

    def _send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": f"agentd/{agentd.__version__}"}
        if self._keys:
            message, at = f"msg_{secrets.token_hex(12)}", int(time.time())
            headers |= {
                "webhook-id": message,
                "webhook-timestamp": str(at),
                "webhook-signature": signing.signature(self._keys, message, at, body),
            }
        request = urllib.request.Request(self._url, data=body, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_S):
            pass

    def _hand(self, body: bytes) -> None:
        """To a process of its own: code of somebody's neither holds up nor takes down the one that failed."""
        environment = {name: os.environ[name] for name in SEEN if name in os.environ}
        subprocess.run(
            self._command,
            input=body,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=True,
        )


def tell_errors(settings: ErrorHookSettings | None) -> None:
    """From now on, of this process. Raises SecretMalformed."""
    if settings is not None:
        logging.getLogger().addHandler(ErrorHook(settings))
