"""Log lines: one JSON object each, with the fields of where they are logged."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from agentd import logs


def line(message: str = "said", **extra: Any) -> dict[str, Any]:
    """What would be logged here and now."""
    record = logging.getLogger("test").makeRecord("test", logging.INFO, "f", 1, message, (), None, extra=extra)
    written = json.loads(logs.JsonFormatter().format(record))
    assert isinstance(written, dict)
    return {key: value for key, value in written.items() if key not in ("time", "level", "logger", "message")}


def test_fields_hold_inside_and_end_with_the_block() -> None:
    with logs.fields(session="s-1"):
        with logs.fields(turn=2):
            assert line(tool="find") == {"session": "s-1", "turn": 2, "tool": "find"}
        assert line() == {"session": "s-1"}
    assert line() == {}


def test_a_value_that_is_called_is_that_of_the_moment_and_none_is_left_out() -> None:
    turns: list[int] = []
    with logs.fields(turn=lambda: turns[-1] if turns else None):
        before = line()
        turns.append(1)
        first = line()
        turns.append(2)
        assert (before, first, line()) == ({}, {"turn": 1}, {"turn": 2})


async def test_a_task_keeps_the_fields_under_which_it_was_started() -> None:
    async def later() -> dict[str, Any]:
        await asyncio.sleep(0)
        return line()

    with logs.fields(turn=1):
        task = asyncio.create_task(later())
    with logs.fields(turn=2):
        assert await task == {"turn": 1}


def test_text_for_people_has_the_same_fields() -> None:
    with logs.fields(turn=lambda: 3, room=None):
        record = logging.getLogger("test").makeRecord("test", logging.INFO, "f", 1, "said", (), None)
        assert logs.TextFormatter().format(record).endswith("INFO    said  turn=3")
