"""Answers that come in parts, cut anywhere."""

from __future__ import annotations

import pytest

from agentd.tools.stream import Events, Lines, Part, reader

SSE = (
    b": a comment\r\n"
    b'event: progress\r\ndata: {"status": "asking"}\r\n\r\n'
    b"event: other\ndata: nothing\n\n"
    b"data: no name\n\n"
    b"event:progress\ndata:one\ndata: two\n\n"
    b'event: result\rdata: {"caf\xc3\xa9": 1}\r\r'
)
LINES = (
    b'{"progress": {"say": "Wait."}}\n'
    b"no json\n\n[1]\n"
    b'{"other": 1}\r\n'
    b'{"progress": "half"}\n'
    b'{"result": {"caf\xc3\xa9": 1}}'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    events = Events()
    parts = [part for at in range(0, len(SSE), size) for part in events.push(SSE[at : at + size])]
    parts += events.push(b"", end=True)
    assert parts == [
        Part("progress", '{"status": "asking"}'),
        Part("progress", "one\ntwo"),
        Part("result", '{"café": 1}'),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_they_are_cut(size: int) -> None:
    lines = Lines()
    parts = [part for at in range(0, len(LINES), size) for part in lines.push(LINES[at : at + size])]
    parts += lines.push(b"", end=True)
    assert parts == [Part("progress", '{"say": "Wait."}'), Part("progress", "half"), Part("result", '{"café": 1}')]


def test_only_these_kinds_come_in_parts() -> None:
    assert isinstance(reader("text/event-stream"), Events)
    assert isinstance(reader("application/x-ndjson"), Lines)
    assert reader("application/json") is None
