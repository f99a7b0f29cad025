"""A worker with real sessions in it, over stand-ins for rooms and providers."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agentd import logs
from agentd.aio import cancel_and_wait
from agentd.ipc import memory_links, send_object
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall
from agentd.runtime.messages import Commit, StartJob, Stop
from agentd.runtime.worker import Worker, freeze_heap
from agentd.session.journal import Journal, read_journal
from agentd.session.session import Session
from agentd.session.setup import Candidate, Providers
from agentd.tools.spec import ToolContext
from tests.fakes.call import FakeTools, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import Answer, FakeLLM, FakeSTT, FakeTTS, FakeVAD, calls
from tests.fakes.room import FakeRoom
from tests.runtime.parts import FakeSession, fake_agents, fake_rooms

log = logging.getLogger("tests.of.a.call")


class OneAgent:
    """Prepared agents of which there is one."""

    def __init__(self, llm: FakeLLM, tools: FakeTools) -> None:
        providers = Providers(
            vad=FakeVAD(),
            stt=(Candidate("fake", FakeSTT()),),
            llm=(Candidate("fake", llm),),
            tts=(Candidate("fake", FakeTTS()),),
        )
        self._agent = SimpleNamespace(definition=definition(), providers=providers, tools=tools)

    async def lease(self, *asked: object) -> Any:
        return self._agent

    def newest(self, name: str) -> None:
        """Nothing was edited."""

    async def release(self, agent: object) -> None: ...

    async def aclose(self) -> None: ...


@contextmanager
def logged() -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Gives the records with a message, as JSON logs have them."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logs.JsonFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lambda message: [
            record for record in map(json.loads, handler.stream.getvalue().splitlines()) if record["message"] == message
        ]
    finally:
        log.removeHandler(handler)


START = StartJob(
    session="s-1", job="j-1", agent="test-agent", called="test-agent", revision="revision-1", generation=1,
    room="room-1", url="", token="", identity="agent-j-1", journal=Path(),
)  # fmt: skip


@asynccontextmanager
async def holding(start: StartJob, room: FakeRoom, agent: OneAgent) -> AsyncIterator[asyncio.Event]:
    """A worker with this call. Whenever the event is set, the room logs "room shaken", outside of any turn."""
    ours, theirs = memory_links()
    shaken = asyncio.Event()

    async def shake() -> None:
        while True:
            await shaken.wait()
            shaken.clear()
            log.info("room shaken")

    @asynccontextmanager
    async def rooms(*asked: object) -> AsyncIterator[FakeRoom]:
        shaking = asyncio.create_task(shake())
        yield room
        await cancel_and_wait(shaking)

    worker = asyncio.create_task(Worker(theirs, agent, rooms, Session).run())  # type: ignore[arg-type]
    await send_object(ours, start)
    try:
        yield shaken
    finally:
        await cancel_and_wait(worker)


async def test_its_process_is_told_once_that_it_has_settled() -> None:
    ours, theirs = memory_links()
    settled: list[str] = []
    worker = Worker(theirs, fake_agents(), fake_rooms, FakeSession)
    worker.settled = lambda: settled.append("settled")
    running = asyncio.create_task(worker.run())
    for generation in (1, 2):
        await send_object(ours, Commit(generation=generation, revisions={}))
    await send_object(ours, Stop(reason="shutdown"))
    await running
    assert settled == ["settled"]


def test_a_heap_that_is_frozen_is_not_passed_over_again() -> None:
    try:
        freeze_heap()
        assert gc.get_freeze_count() > 10 * len(gc.get_objects())
    finally:
        gc.unfreeze()


def test_what_is_logged_in_a_call_carries_the_turn_in_which_it_is(tmp_path: Path) -> None:
    """A slow tool of the first turn logs in the second; the room logs before, between and after."""

    def script(request: ChatRequest) -> Answer:
        log.info("model asked")
        return [calls("look_up")] if len(llm.requests) == 1 else [TextDelta("Here you are.")]

    async def look_up(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(10)
        log.info("tool done")
        return "found"

    async def story() -> None:
        agent = OneAgent(llm, FakeTools(run_tool={"look_up": look_up}))
        async with holding(replace(START, journal=tmp_path / "s-1.journal"), room, agent) as shaken:
            await asyncio.sleep(0.1)
            room.link()
            for words in ("look it up", "and what is that"):
                shaken.set()
                await asyncio.sleep(1)
                room.type(words)
                await asyncio.sleep(1)
            await asyncio.sleep(20)
            shaken.set()
            await asyncio.sleep(1)

    room, llm = FakeRoom(), FakeLLM(script)
    with logged() as found:
        run_virtual(story())
        assert [record.get("turn") for record in found("room shaken")] == [None, 1, 2]
        assert [record["turn"] for record in found("model asked")] == [1, 2]
        assert [record["turn"] for record in found("tool done")] == [1]
        everything = [*found("room shaken"), *found("model asked"), *found("tool done")]
    for record in everything:
        assert (record["session"], record["job"], record["room"]) == ("s-1", "j-1", "room-1")
        assert record["agent"] == "test-agent"


def test_a_call_that_outlived_its_process_goes_on_counting(tmp_path: Path) -> None:
    def script(request: ChatRequest) -> Answer:
        log.info("model asked")
        return [TextDelta("Yes.")]

    async def story(start: StartJob) -> None:
        room = FakeRoom()
        async with holding(start, room, OneAgent(FakeLLM(script), FakeTools())):
            await asyncio.sleep(0.1)
            room.link()
            await asyncio.sleep(5)
            room.type("hello")
            await asyncio.sleep(5)

    path = tmp_path / "s-1.journal"
    with logged() as found:
        run_virtual(story(replace(START, journal=path)))
        _forget_the_end(path)
        run_virtual(story(replace(START, journal=path, incarnation=2)))
        assert [record["turn"] for record in found("model asked")] == [1, 2]


def test_a_call_whose_process_died_after_its_end_is_not_begun_again(tmp_path: Path) -> None:
    async def story(start: StartJob) -> FakeRoom:
        room = FakeRoom()
        async with holding(start, room, OneAgent(FakeLLM(lambda _: [TextDelta("Yes.")]), FakeTools())):
            await asyncio.sleep(0.1)
            room.link()
            await asyncio.sleep(5)
            room.leave(final=True)
            await asyncio.sleep(5)
        return room

    path = tmp_path / "s-1.journal"
    run_virtual(story(replace(START, journal=path)))
    before = path.read_bytes()
    room = run_virtual(story(replace(START, journal=path, incarnation=2)))
    assert path.read_bytes() == before
    assert room.states == []


def _forget_the_end(path: Path) -> None:
    """As SIGKILL would have left the journal."""
    kept = [record for record in read_journal(path) if record.kind != "session.ended"]
    path.unlink()
    journal = Journal.create(path)
    for record in kept:
        journal.append(record.kind, record.data)
    journal.close()
