"""An answer that comes in parts: how far the tool is, and at last its result. Pure.

`text/event-stream`: the events `progress`, `result` and `error`. JSON lines: objects with one of these keys.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

SSE = frozenset({"text/event-stream"})
JSON_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_KINDS = ("progress", "result", "error")


@dataclass(frozen=True, slots=True)
class Part:
    """`text`: what it holds, as it was written; JSON of a line's value."""

    kind: Literal["progress", "result", "error"]
    text: str


def reader(content_type: str) -> Lines | Events | None:
    """For this kind of answer; None: it comes in one piece."""
    if content_type in SSE:
        return Events()
    return Lines() if content_type in JSON_LINES else None


class Lines:
    """JSON lines. A line that is none of ours is left out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def push(self, data: bytes, *, end: bool = False) -> Iterator[Part]:
        *lines, self._rest = (self._rest + self._decoder.decode(data, end)).split("\n")
        for line in (*lines, self._rest) if end else lines:
            value = as_json(line)
            kind = next((each for each in _KINDS if isinstance(value, dict) and each in value), None)
            if kind is not None:
                found = value[kind]
                text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
                yield Part(kind, text)  # type: ignore[arg-type]  # it is one of the three


class Events:
    """Server-sent events, as HTML has them. One of another name is left out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._name = ""
        self._data: list[str] = []

    def push(self, data: bytes, *, end: bool = False) -> Iterator[Part]:
        text = self._rest + self._decoder.decode(data, end)
        held = text.endswith("\r") and not end  # its "\n" may follow
        *lines, self._rest = (text[:-1] if held else text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest += "\r" * held
        for line in (*lines, self._rest, "") if end else lines:
            yield from self._line(line)

    def _line(self, line: str) -> Iterator[Part]:
        if not line:
            name, text, self._name, self._data = self._name, "\n".join(self._data), "", []
            if name in _KINDS and text:
                yield Part(name, text)  # type: ignore[arg-type]  # it is one of the three
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)


def as_json(text: str) -> Any:
    """The value; the text itself where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
