"""What a session offers its hooks besides their events: the job, its room, speech to wait for, and to be called when
the call is over. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from agentd.aio import now
from agentd.errors import ToolError
from agentd.session.restore import restore
from agentd.session.room import CallerChanged
from agentd.session.shutdown import MOST_CALLBACKS, SHUTDOWN_S
from agentd.tools.acts import GenerateReply, HandOff, SayText
from agentd.tools.spec import (
    AddShutdownCallback,
    Caller,
    Event,
    HookOutcome,
    JobDesk,
    PerformRpc,
    PublishData,
    RoomView,
    SendText,
    SetAttributes,
    SetMetadata,
    SetVariables,
    ToolContext,
)
from tests.fakes.call import FakeAgents, calling, equipment
from tests.fakes.providers import FakeLLM, FakeSTT, says
from tests.fakes.room import FakeRoom
from tests.session.test_hooks import hook, hooked, outcomes, python, ref
from tests.session.test_session import LONG, story


def desk_of(context: ToolContext) -> JobDesk:
    assert context.job is not None
    return context.job


def on_link(function: Any) -> Any:
    return hooked(hook("participant_linked", python=ref(function), timeout=30.0))


# Seeing and acting.


@story
async def test_a_hook_sees_its_job_and_the_room() -> None:
    seen: list[Any] = []

    async def look(event: Event, context: ToolContext) -> None:
        seen.append(desk_of(context).view())

    room = FakeRoom()
    room.control.seen = RoomView(name="room-1", metadata="of the room")
    async with calling(agent=on_link(look), tools=python(look), room=room, metadata='{"ticket": 7}') as call:
        await call.room.silent(1)
    (view,) = seen
    assert (view.id, view.metadata, view.room.metadata) == ("AJ_1", '{"ticket": 7}', "of the room")
    assert call.of("session.started")[0]["metadata"] == '{"ticket": 7}'


@story
async def test_it_changes_participants_sends_them_data_and_asks_their_programs() -> None:
    answers: list[str] = []

    async def act(event: Event, context: ToolContext) -> None:
        desk = desk_of(context)
        await desk.do(SetAttributes(attributes={"stage": "billing"}))
        await desk.do(SetAttributes(attributes={"vip": "yes"}, identity="caller"))
        await desk.do(SetMetadata(metadata="m", identity="caller"))
        await desk.do(PublishData(data=b"\x00", topic="cards", identities=("caller",)))
        await desk.do(SendText(text="Hello.", topic="notes"))
        answers.append(await desk.do(PerformRpc(identity="caller", method="where", payload="{}")))

    async with calling(agent=on_link(act), tools=python(act)) as call:
        call.room.callers_program.answers["where"] = "here"
        await call.room.silent(1)
    assert call.room.control.done == [
        ("attributes", {"stage": "billing"}, ""),
        ("attributes", {"vip": "yes"}, "caller"),
        ("metadata", "m", "caller"),
        ("text notes", "Hello.", ()),
    ]
    assert call.room.callers_program.sent == [(b"\x00", "cards", ("caller",))]
    assert answers == ["here"]
    assert call.of("agent.attributes") == [{"attributes": {"stage": "billing"}}]


@story
async def test_what_the_room_refuses_is_told_to_the_hook_and_not_on_record_as_done() -> None:
    refused: list[str] = []

    async def act(event: Event, context: ToolContext) -> None:
        try:
            await desk_of(context).do(SetAttributes(attributes={"stage": "billing"}))
        except ToolError as error:
            refused.append(str(error))

    room = FakeRoom()
    room.control.refuses = "the room was left"
    async with calling(agent=on_link(act), tools=python(act), room=room) as call:
        await call.room.silent(1)
    assert refused == ["the room was left"]
    assert call.of("agent.attributes") == []


@story
async def test_attributes_of_the_agent_are_set_again_when_its_process_has_died() -> None:
    async def act(event: Event, context: ToolContext) -> None:
        await desk_of(context).do(SetAttributes(attributes={"stage": "billing", "old": "x"}))
        await desk_of(context).do(SetAttributes(attributes={"old": ""}))

    agent = on_link(act)
    async with calling(agent=agent, tools=python(act)) as first:
        await first.room.silent(1)
    async with calling(agent=agent, tools=python(act), restored=restore(first.records), incarnation=2) as call:
        await call.room.silent(1)
    assert call.room.control.done[0] == ("attributes", {"stage": "billing", "old": ""}, "")


@story
async def test_speech_is_waited_for_and_tells_whether_it_was_cut() -> None:
    heard: list[tuple[float, bool]] = []

    async def act(event: Event, context: ToolContext) -> None:
        desk = desk_of(context)
        for speech in (desk.speak(SayText(text="One moment.")), desk.speak(GenerateReply(instructions="Go on."))):
            await speech.wait_for_playout()
            heard.append((round(now() - began, 1), speech.interrupted))

    async with calling(agent=on_link(act), tools=python(act), script=says(LONG)) as call:
        began = now()
        await call.room.silent(3)
        call.session.interrupt()
        await call.room.silent(1)
    assert [cut for _, cut in heard] == [False, True]
    assert 0 < heard[0][0] < heard[1][0] <= 3.1
    assert call.agent_texts[0] == "One moment."


@story
async def test_what_changes_about_the_caller_is_an_event_and_what_tools_see() -> None:
    seen: list[Any] = []

    async def look(event: Event, context: ToolContext) -> None:
        seen.append((dict(event.data), dict(context.caller.attributes)))

    agent = hooked(hook("participant_updated", if_={"attributes.tier": "gold"}, python=ref(look)))
    async with calling(agent=agent, tools=python(look), attributes={"tier": "none", "old": "x"}) as call:
        await call.room.silent(1)
        changed = Caller(identity="caller", name="Ann", attributes={"tier": "gold"}, metadata="m")
        for caller in (changed, changed, Caller(identity="somebody else")):
            call.room.tell(CallerChanged(caller=caller))
        await call.room.silent(1)
    told = {"identity": "caller", "name": "Ann", "metadata": "m", "attributes": {"tier": "gold", "old": ""}}
    assert seen == [(told, {"tier": "gold"})]
    assert len(call.of("caller.changed")) == 1


@story
async def test_agents_enter_and_leave_with_handles_of_their_own() -> None:
    """livekit-agents' on_enter and on_exit."""
    order: list[str] = []

    async def enters(event: Event, context: ToolContext) -> None:
        order.append(f"{event.data['agent']} enters")
        await desk_of(context).speak(SayText(text=f"This is {event.data['agent']}.")).wait_for_playout()
        order.append(f"{event.data['agent']} has spoken")

    async def leaves(event: Event, context: ToolContext) -> None:
        order.append(f"{event.data['agent']} leaves")

    hooks = (hook("agent_entered", python=ref(enters), timeout=20.0), hook("agent_left", python=ref(leaves)))
    tools = python(enters, leaves)
    first = hooked(*hooks)
    other = equipment(replace(first, name="billing"), FakeLLM(says("Yes.")), stt=FakeSTT(), tools=tools)
    async with calling(agent=first, tools=tools, agents=FakeAgents({"billing": other})) as call:
        await call.room.silent(4)
        call.session.do(HandOff(agent="billing", enter="wait"))
        await call.room.silent(4)
        call.room.leave(final=True)
        await call.task
    assert order == [
        *("test-agent enters", "test-agent has spoken", "test-agent leaves"),
        *("billing enters", "billing has spoken", "billing leaves"),
    ]


# At the end.


def adding(*refs: str) -> Any:
    async def add(event: Event, context: ToolContext) -> None:
        for each in refs:
            await desk_of(context).do(AddShutdownCallback(ref=each))

    return add


@story
async def test_a_shutdown_callback_is_called_with_the_reason_after_the_last_hooks() -> None:
    order: list[Any] = []

    async def on_close(event: Event, context: ToolContext) -> None:
        order.append(event.type)

    async def clean_up(event: Event, context: ToolContext) -> HookOutcome:
        await asyncio.sleep(2)
        order.append((event.type, event.data["reason"], desk_of(context).view().id, call.room.ended))
        return HookOutcome(actions=(SetVariables(values={"cleaned": True}),))

    add = adding(ref(clean_up), ref(clean_up))
    hooks = (hook("participant_linked", python="tools.code:add"), hook("close", python=ref(on_close)))
    async with calling(agent=hooked(*hooks), tools=python(add, on_close, clean_up)) as call:
        await call.room.silent(1)
        call.room.leave(final=True)
        assert await call.task == "caller_left"
    assert order == ["close", ("shutdown", "caller_left", "AJ_1", "left")]
    assert call.of("shutdown.added") == [{"ref": "tools.code:clean_up", "hook": 0}]
    assert outcomes(call)[-1] == (0, "shutdown", "ok")
    assert call.of("variables")[-1] == {"values": {"cleaned": True}}


@story
async def test_callbacks_run_side_by_side_and_are_ended_when_their_time_is_up() -> None:
    async def slow(event: Event, context: ToolContext) -> None:
        await asyncio.sleep(6)

    async def hang(event: Event, context: ToolContext) -> None:
        await asyncio.Event().wait()

    async def broken(event: Event, context: ToolContext) -> None:
        raise RuntimeError("no such ticket")

    add = adding(ref(hang), ref(slow), ref(broken))
    async with calling(agent=on_link(add), tools=python(add, slow, hang, broken)) as call:
        await call.room.silent(1)
        call.room.leave(final=True)
        began = now()
        await call.task
        took_s = now() - began
    assert SHUTDOWN_S <= took_s < SHUTDOWN_S + 0.5
    assert sorted(each[2] for each in outcomes(call)[1:]) == ["error", "ok", "timeout"]
    where = [each["where"] for each in call.of("error")]
    assert where == ["shutdown callback tools.code:broken", "shutdown callback tools.code:hang"]


@story
async def test_there_is_an_end_to_what_can_be_added_and_when() -> None:
    refused: list[str] = []

    async def add(event: Event, context: ToolContext) -> None:
        desk = desk_of(context)
        for number in range(MOST_CALLBACKS):
            await desk.do(AddShutdownCallback(ref=ref(late) if number == 0 else f"tools.code:{number}"))
        with pytest.raises(ToolError, match=f"at most {MOST_CALLBACKS}"):
            await desk.do(AddShutdownCallback(ref="tools.code:more"))

    async def late(event: Event, context: ToolContext) -> None:
        try:
            await desk_of(context).do(AddShutdownCallback(ref="tools.code:late"))
        except ToolError as error:
            refused.append(str(error))

    async def nothing(event: Event, context: ToolContext) -> None:
        """One of many."""

    tools = python(add, late)
    tools.hooks = {**tools.hooks, **{f"tools.code:{number}": nothing for number in range(1, MOST_CALLBACKS)}}
    async with calling(agent=on_link(add), tools=tools) as call:
        await call.room.silent(1)
        call.room.leave(final=True)
        await call.task
    assert refused == ["the call is over, and what was to be called then has been"]
    assert len(outcomes(call)) == 1 + MOST_CALLBACKS


@story
async def test_a_call_that_outlives_its_process_calls_what_was_added_before() -> None:
    called: list[str] = []

    async def clean_up(event: Event, context: ToolContext) -> None:
        called.append(event.data["reason"])

    add = adding(ref(clean_up))
    tools, agent = python(add, clean_up), on_link(add)
    async with calling(agent=agent, tools=tools) as first:
        await first.room.silent(1)
    assert called == []  # its process died
    async with calling(agent=agent, tools=tools, restored=restore(first.records), incarnation=2) as call:
        await call.room.silent(1)
        call.room.leave(final=True)
        await call.task
    assert called == ["caller_left"]
