"""Logs: JSON lines, past tense, with session, room, job, turn and agent as fields from context variables; without
telephone numbers, e-mail addresses, card numbers and secrets, whoever logs them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from agentd.redaction import PATTERNS, Pattern, redacted, redacted_data
from agentd.revealed import without_secrets

_fields: ContextVar[dict[str, Any]] = ContextVar("log_fields", default={})  # noqa: B039 -- never mutated

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


@contextmanager
def fields(**values: Any) -> Iterator[None]:
    """Adds these fields to every record logged inside, in this task and the tasks that it starts.

    A value that is called gives the field at the moment of each record; None: the record goes without it.
    """
    token = _fields.set({**_fields.get(), **values})
    try:
        yield
    finally:
        _fields.reset(token)


def present() -> dict[str, Any]:
    """The fields of what is logged here and now, for a record that is made elsewhere."""
    return {key: value() if callable(value) else value for key, value in _fields.get().items()}


def _shown(record: logging.LogRecord) -> dict[str, Any]:
    extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    return {key: value for key, value in {**present(), **extra}.items() if value is not None}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={...}` of a logging call become fields. `redact`: what is taken out of texts."""

    def __init__(self, redact: Collection[Pattern] = PATTERNS) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage(), self._redact),
            **redacted_data(_shown(record), self._redact),
        }
        if record.exc_info:
            entry["exception"] = redacted(self.formatException(record.exc_info), self._redact)
        return without_secrets(json.dumps(entry, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """For people: time, level, message, then the fields as key=value. `redact`: what is taken out of texts."""

    def __init__(self, redact: Collection[Pattern] = PATTERNS) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        shown = " ".join(f"{key}={value}" for key, value in _shown(record).items())
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        said = redacted(f"{record.getMessage()}{'  ' + shown if shown else ''}", self._redact)
        line = f"{at} {record.levelname:<7} {said}"
        if not record.exc_info:
            return without_secrets(line)
        return without_secrets(f"{line}\n{redacted(self.formatException(record.exc_info), self._redact)}")


def configure(
    style: Literal["json", "text"],
    level: str = "INFO",
    stream: TextIO | None = None,
    redact: Collection[Pattern] = PATTERNS,
) -> None:
    """Sends the logs of this process to `stream` (stderr by default). Replaces earlier handlers."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if style == "json" else TextFormatter(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("asyncio", "livekit", "httpx", "httpx2", "httpcore", "websockets"):
        logging.getLogger(chatty).setLevel("WARNING")
