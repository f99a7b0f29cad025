"""A generator that is fed by tasks: order, errors, cancellation, back pressure."""

from __future__ import annotations

import asyncio

import pytest

from agentd.aio import Channel, produced
from tests.fakes.clock import run_virtual


def test_items_come_in_order_and_then_the_error() -> None:
    async def produce(out: Channel[int]) -> None:
        await out.send(1)
        await out.send(2)
        raise ValueError("broken")

    async def main() -> list[int]:
        seen: list[int] = []

        async def read() -> None:
            async for item in produced(produce, 1):
                seen.append(item)

        with pytest.raises(ValueError, match="broken"):
            await read()
        return seen

    assert run_virtual(main()) == [1, 2]


def test_an_error_of_a_task_group_comes_bare() -> None:
    async def fail() -> None:
        raise KeyError("inner")

    async def produce(out: Channel[int]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(1)

    async def main() -> None:
        with pytest.raises(KeyError, match="inner"):
            await anext(produced(produce, 1))

    run_virtual(main())


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_leaving_cancels_the_producer_and_waits_until_it_has_cleaned_up(how: str) -> None:
    events: list[str] = []

    async def produce(out: Channel[int]) -> None:
        try:
            await out.send(1)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            events.append("cleaned up")

    async def main() -> None:
        items = produced(produce, 1)
        assert await anext(items) == 1
        if how == "closed":
            await items.aclose()
        else:
            reader = asyncio.ensure_future(anext(items))
            await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        events.append("left")

    run_virtual(main())
    assert events == ["cleaned up", "left"]


def test_a_slow_reader_holds_the_producer_back() -> None:
    made: list[int] = []

    async def produce(out: Channel[int]) -> None:
        for number in range(100):
            await out.send(number)
            made.append(number)

    async def main() -> None:
        items = produced(produce, 2)
        await anext(items)
        await asyncio.sleep(1)
        assert len(made) <= 4
        await items.aclose()

    run_virtual(main())
