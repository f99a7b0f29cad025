"""What the supervisor asks of a worker, message by message."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agentd.aio import cancel_and_wait
from agentd.errors import WorkerDied
from agentd.ipc import memory_links, receive_object, send_object
from agentd.runtime.launch import Launched
from agentd.runtime.messages import Prepare, Prepared, Rejection
from agentd.runtime.worker_handle import PREPARED_AT_ONCE, WorkerHandle
from tests.fakes.call import definition


async def test_many_agents_are_prepared_a_few_at_a_time_and_all_refusals_are_told() -> None:
    agents = tuple(replace(definition(), name=f"agent-{number}", digest=f"{number}") for number in range(40))
    refused = {"agent-3", "agent-39"}
    ours, theirs = memory_links()
    handle = WorkerHandle("worker-1", 4, 0)
    listener = SimpleNamespace(sessions_of=lambda worker: 0)
    holding = asyncio.create_task(handle.hold(Launched(link=ours, pid=1), listener))  # type: ignore[arg-type]
    preparing = asyncio.create_task(handle.prepare(1, agents))
    sizes: list[int] = []
    while sum(sizes) < len(agents):
        message = await receive_object(theirs)
        if isinstance(message, Prepare):
            sizes.append(len(message.definitions))
            assert not preparing.done()
            rejected = [
                Rejection(agent=each.name, problems=("no",)) for each in message.definitions if each.name in refused
            ]
            await send_object(theirs, Prepared(request=message.request, rejected=tuple(rejected)))
    assert {rejection.agent for rejection in await preparing} == refused
    await cancel_and_wait(holding)
    assert sizes == [PREPARED_AT_ONCE, PREPARED_AT_ONCE, 40 - 2 * PREPARED_AT_ONCE]
    assert {name for name, _ in handle.revisions} == {each.name for each in agents} - refused


async def test_one_that_died_between_two_messages_is_not_waited_for() -> None:
    ours, theirs = memory_links()
    handle = WorkerHandle("worker-1", 4, 0)
    listener = SimpleNamespace(sessions_of=lambda worker: 0)
    holding = asyncio.create_task(handle.hold(Launched(link=ours, pid=1), listener))  # type: ignore[arg-type]
    preparing = asyncio.create_task(handle.prepare(1, (definition(),) * (PREPARED_AT_ONCE + 1)))
    while not isinstance(message := await receive_object(theirs), Prepare):
        pass
    handle._answers[message.request].set_result(Prepared(request=message.request))
    handle.close()
    with pytest.raises(WorkerDied):
        await preparing
    with pytest.raises(ExceptionGroup):  # its outbox is closed
        await holding


async def test_no_agents_are_nothing_to_ask() -> None:
    assert await WorkerHandle("worker-1", 4, 0).prepare(1, ()) == ()
