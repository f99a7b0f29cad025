"""A timeout in the clean-up of a cancelled task, which Debian 12's Python gets wrong by itself."""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path

import pytest

from agentd.timeouts import mend_timeouts

ROOT = Path(__file__).parent.parent


def as_in_3_11_2() -> type[asyncio.Timeout]:
    """That class forgets how many cancellations of its task came before it."""

    class Timeout(asyncio.Timeout):  # type: ignore[misc]
        _cancelling = property(lambda self: 0, lambda self, value: None)

    return Timeout


async def how_a_clean_up_ends(timeout: type[asyncio.Timeout]) -> str:
    """Of a task that is cancelled, and in its `finally` waits too long for something."""
    ends = []

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with timeout(asyncio.get_running_loop().time()):
                    await asyncio.Event().wait()
            except (TimeoutError, asyncio.CancelledError) as error:
                ends.append(type(error).__name__)

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return ends[0]


async def test_a_timeout_in_a_cancelled_task_is_a_timeout() -> None:
    assert await how_a_clean_up_ends(asyncio.Timeout) == "TimeoutError"


if sys.version_info >= (3, 11, 4):  # an older one's own is mended already: the test above shows it

    async def test_one_of_debian_12_is_mended() -> None:
        old = as_in_3_11_2()
        assert await how_a_clean_up_ends(old) == "CancelledError"
        mend_timeouts(old)
        assert await how_a_clean_up_ends(old) == "TimeoutError"


async def test_a_mended_one_lets_a_cancellation_pass_and_a_result_and_times_out() -> None:
    mended = as_in_3_11_2()
    mend_timeouts(mended)
    loop = asyncio.get_running_loop()

    async def waits(until: float | None) -> None:
        async with mended(until):
            await asyncio.Event().wait()

    task = asyncio.create_task(waits(None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        await waits(loop.time())
    async with mended(loop.time() + 60):
        await asyncio.sleep(0)


def raised_inside_except_star(tree: ast.AST) -> list[int]:
    """Lines. Before Python 3.11.4, what is raised there arrives wrapped in one more group."""
    handlers = [handler for node in ast.walk(tree) if isinstance(node, ast.TryStar) for handler in node.handlers]
    return [node.lineno for each in handlers for node in ast.walk(each) if isinstance(node, ast.Raise) and node.exc]


def test_nothing_is_raised_inside_except_star() -> None:
    paths = [path for root in ("agentd", "plugins", "bench") for path in (ROOT / root).rglob("*.py")]
    texts = {path: text for path in paths if "except*" in (text := path.read_text())}
    assert len(texts) > 3
    assert [f"{path}:{line}" for path in texts for line in raised_inside_except_star(ast.parse(texts[path]))] == []
    wrong = "try: pass\nexcept* ValueError as group:\n    raise group.exceptions[0]"
    assert raised_inside_except_star(ast.parse(wrong)) == [3]
