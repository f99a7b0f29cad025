"""Putting a caller through: cold, warm, refused; and the caller who wants a moment, or is a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentd.config.builtins import (
    Destination,
    LeaveVoicemailTool,
    TransferTool,
    WaitTool,
)
from agentd.config.definition import IdlePrompt, Limits
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session.restore import restore
from agentd.tools.builtins import builtin
from agentd.tools.spec import ToolContext, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.room import FakePhone
from tests.session.test_session import story

DESK = Destination(name="desk", to="tel:+442071234567", when="they want a person")
DOCTOR = Destination(
    name="doctor", to="+4420", trunk="ST_1", mode="warm", when="it hurts", briefing="Call about {{ summary }}."
)
TRANSFER = TransferTool(type="builtin", name="transfer", destinations=(DESK, DOCTOR))


def tools_of(*tools: Any) -> FakeTools:
    """agentd's own tools, run as they are."""
    made = {tool.name: builtin(tool, definition(tools=tools), None) for tool in tools}

    def running(name: str) -> Callable[[ToolCall, ToolContext], Any]:
        async def run(call: ToolCall, context: ToolContext) -> ToolOutcome:
            return await made[name].run(call, context)

        return run

    return FakeTools({name: running(name) for name in made})


def transferring(destination: str) -> Callable[[Any], list[Any]]:
    """A model that puts the caller through when they speak, and says what it is told to say."""

    def script(request: Any) -> list[Any]:
        last = request.items[-1]
        if getattr(last, "role", "") == "user" and not any(isinstance(each, ToolResult) for each in request.items):
            arguments = f'{{"destination": "{destination}", "summary": "a sore back"}}'
            return [ToolCall(id="t1", name="transfer", arguments=arguments)]
        return [TextDelta("Nobody is free. " if getattr(last, "role", "") == "system" else "Still trying. ")]

    return script


async def put_through(call: Call, phone: FakePhone | None, words: str = "A person, please.") -> None:
    call.room.phone = phone
    await call.say(words)
    await call.room.silent(8.0)


def states(call: Call) -> list[tuple[str, str]]:
    return [(each["state"], each["reason"]) for each in call.of("transfer")]


@story
async def test_a_cold_transfer_is_announced_then_referred_and_the_agent_leaves_the_room_to_others() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("desk"), tools=tools_of(TRANSFER)) as call:
        phone = FakePhone()
        await put_through(call, phone)
        assert call.agent_texts == ["", "One moment, I'll put you through."]
        assert phone.done == [("referred", "caller", "tel:+442071234567")]
        assert states(call) == [("started", ""), ("completed", "")]
        assert call.of("session.ended")[0]["reason"] == "transferred"
        assert call.room.ended == "left"


@story
async def test_a_transfer_that_fails_is_told_to_the_caller_and_the_call_goes_on() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("desk"), tools=tools_of(TRANSFER)) as call:
        await put_through(call, FakePhone(refuses="the line is busy"))
        assert states(call) == [("started", ""), ("failed", "the line is busy")]
        assert call.agent_texts[-1] == "Nobody is free."
        assert "the line is busy" in call.last_request()[-1][1]
        assert call.room.ended is None
        await call.say("Never mind.")
        assert call.user_texts[-1] == "Never mind."


@story
async def test_where_there_is_no_telephone_the_model_is_told_so() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("desk"), tools=tools_of(TRANSFER)) as call:
        await put_through(call, None)
        assert states(call)[-1] == ("failed", "there is no telephone here")


@story
async def test_a_warm_transfer_briefs_whoever_answers_alone_and_brings_them_together() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("doctor"), tools=tools_of(TRANSFER)) as call:
        phone = FakePhone()
        await put_through(call, phone)
        assert phone.done == [("rang", "+4420", "ST_1"), ("introduced", "guest")]
        assert [state for state, _ in states(call)] == ["started", "answered", "completed"]
        assert phone.asides["guest"].heard_s() > 0.5
        assert "sore back" in " ".join(call.tts.spoken)
        assert "sore back" not in " ".join(call.agent_texts)
        assert call.room.ended == "left"


@story
async def test_while_it_rings_the_agent_still_talks_with_the_caller() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("doctor"), tools=tools_of(TRANSFER)) as call:
        call.room.phone = FakePhone(rings_s=30.0)
        await call.say("A doctor, please.")
        await call.room.silent(4.0)
        await call.say("Is anybody there?")
        await call.room.silent(2.0)
        assert call.agent_texts[-1] == "Still trying."
        assert call.room.ended is None


@story
async def test_whoever_answers_may_have_to_press_a_key_and_who_does_not_is_hung_up_on() -> None:
    asking = replace(DOCTOR, accept_key="1", accept_within=Duration(5.0))
    tool = replace(TRANSFER, destinations=(asking,))
    agent = definition(tools=(tool,))
    for keys, last in (("41", ("introduced", "guest")), ("4", ("hung up", "guest"))):
        async with calling(agent=agent, script=transferring("doctor"), tools=tools_of(tool)) as call:
            phone = FakePhone(keys=keys)
            await put_through(call, phone)
            await call.room.silent(6.0)
            assert phone.done[-1] == last, keys
            reason = "" if keys == "41" else "who answered did not take the call"
            assert states(call)[-1][1] == reason


@story
async def test_a_transfer_that_the_process_died_over_has_failed_in_the_next() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("doctor"), tools=tools_of(TRANSFER)) as call:
        call.room.phone = FakePhone(rings_s=60.0)
        await call.say("A doctor, please.")
        await call.room.silent(5.0)
        restored = restore(call.records)
    assert restored.transfer == "doctor"
    async with calling(
        agent=agent, script=transferring("doctor"), tools=tools_of(TRANSFER), restored=restored, incarnation=2
    ) as call:
        await call.room.silent(8.0)
        assert states(call) == [("failed", "a fault of the agent's broke it off")]
        assert call.agent_texts[-1] == "Nobody is free."


@story
async def test_a_destination_that_is_not_in_the_file_is_an_error_on_record() -> None:
    agent = definition(tools=(TRANSFER,))
    async with calling(agent=agent, script=transferring("nowhere"), tools=tools_of(TRANSFER)) as call:
        call.session.do(_asked("nowhere"))
        await call.room.silent(1.0)
        assert call.of("error")[0]["message"] == "there is no destination nowhere; there are: desk, doctor"


def _asked(destination: str) -> Any:
    from agentd.tools.acts import TransferCall

    return TransferCall(destination=destination)


@story
async def test_a_caller_who_asks_for_a_moment_is_not_asked_whether_they_are_there() -> None:
    tool = WaitTool(type="builtin", name="wait")
    agent = definition(
        tools=(tool,), limits=Limits(idle_prompt=IdlePrompt(after=Duration(8.0), say="Are you still there?"))
    )

    def script(request: Any) -> list[Any]:
        if getattr(request.items[-1], "role", "") == "user":
            return [ToolCall(id="w1", name="wait", arguments='{"seconds": 30}')]
        return [TextDelta("Fine.")]

    async with calling(agent=agent, script=script, tools=tools_of(tool)) as call:
        await call.say("One moment, I have to look for it.")
        await call.room.silent(25.0)
        assert call.agent_texts == [""]
        await call.room.silent(20.0)
        assert call.agent_texts == ["", "Are you still there?"]
        assert [each["rule"] for each in call.of("decision") if each["action"] == "Wait"] == ["asked_to_wait"]


@story
async def test_a_message_is_left_once_the_machine_is_quiet_and_to_its_end() -> None:
    tool = LeaveVoicemailTool(type="builtin", name="leave_voicemail", message="This is {{ clinic }}. Call us back.")
    agent = definition(tools=(tool,), variables={"clinic": "Hill Street"})

    def script(request: Any) -> list[Any]:
        return [ToolCall(id="v1", name="leave_voicemail", arguments="{}")]

    async with calling(agent=agent, script=script, tools=tools_of(tool)) as call:
        await call.say("You have reached the voicemail of Ben.", 3.0)
        await call.room.speak(call.learn("Beep."), 0.6)
        await call.room.silent(10.0)
        assert call.agent_texts[-1] == "This is Hill Street. Call us back."
        assert call.of("session.ended")[0]["reason"] == "voicemail"
