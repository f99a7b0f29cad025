"""Every event of the reference really happens in a call, and hooks, the journal and the stream tell it alike."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace

import pytest

from agentd.admin.settings import AdminSettings
from agentd.config.builtins import TransferTool
from agentd.config.consent import Consent
from agentd.config.definition import (
    Greeting,
    IdlePrompt,
    LanguageOverride,
    Limits,
)
from agentd.config.rpc import RpcMethod
from agentd.config.tasks import DigitsField, Task
from agentd.config.tools import ToolOptions
from agentd.config.turns import Interruption, MaxSpeech, Turn
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, Message, TextDelta, ToolCall, ToolResult
from agentd.runtime.event_ring import EventRing
from agentd.session.event_types import EVENT_TYPES
from agentd.session.happenings import Happenings
from agentd.session.journal import read_journal
from agentd.session.records import Record
from agentd.session.room import CallerChanged, CallerMuted, CallerUnheard
from agentd.tools.acts import BeginTask, HandOff, MuteCall, PressKeys, TransferCall
from agentd.tools.spec import Caller, ChangeTools, Event, SetLanguage, ToolContext, ToolOutcome
from tests.admin.conftest import Serve
from tests.admin.test_events import TOKEN, told
from tests.fakes.call import FakeAgents, FakeTools, calling, equipment
from tests.fakes.clock import run_virtual
from tests.fakes.daemon import FakeDaemon
from tests.fakes.providers import Answer, FakeLLM, FakeSTT, calls, says
from tests.session.test_hooks import hook, hooked
from tests.session.test_session import LONG
from tests.session.test_transfers import DESK


@dataclass
class Told:
    """One call, as each way told it."""

    published: list[Event]
    hooked: list[Event]
    journal: list[Record]


async def _hold() -> Told:
    hooks: list[Event] = []

    async def see(event: Event, context: ToolContext) -> None:
        hooks.append(event)

    async def german(call: ToolCall, context: ToolContext) -> ToolOutcome:
        await asyncio.sleep(0.2)
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(SetLanguage(language="de-DE"), ChangeTools(changes={"spare": None})))

    answers: list[Answer] = [
        [TextDelta(LONG)],
        [calls("german"), *(ToolCall(id=name, name=name, arguments="{}") for name in ("german", "pay"))],
        [TextDelta("Ja.")],
    ]

    def script(request: ChatRequest) -> Answer:
        if request.items[-1] == Message(role="user", text="And now it fails."):
            return [ProviderRefused("fake", "bad key")]
        return answers.pop(0) if answers else [TextDelta("Fine.")]

    agent = hooked(
        hook("*", python="tools.code:see"),
        hook("user_state_changed", if_={"new_state": "away"}, set={"was_away": True}),
        greeting=Greeting(say="Welcome."),
        tools=(TransferTool(type="builtin", name="transfer", destinations=(DESK,)),),
        rpc=(RpcMethod(method="choose"),),
        tasks=(Task(name="code", fields=(DigitsField(type="digits", name="code", length=1),)),),
        languages={"de-DE": LanguageOverride()},
        turn=Turn(
            interruption=Interruption(acknowledgements=("right",)),
            max_speech=MaxSpeech(after=Duration(20.0), say="Let me stop you there."),
        ),
        limits=Limits(idle_prompt=IdlePrompt(after=Duration(20.0), say="Still there?", times=1)),
    )
    asked = {"pay": ToolOptions(confirm=Consent(by="operator"))}
    tools = FakeTools({"german": german, "pay": german}, asked, hooks={"tools.code:see": see})
    other = equipment(replace(agent, name="other"), FakeLLM(says("Other.")), stt=FakeSTT(), tools=tools)
    agents = FakeAgents({"other": other})
    async with calling(agent=agent, script=script, tools=tools, agents=agents) as call:
        await call.room.silent(2)
        await call.say("When do you open?")
        await call.room.speak(call.learn(""), 0.4)  # a cough
        await call.room.silent(12)
        await call.say("In German please.")
        await call.room.silent(30)  # away
        await call.say("And now it fails.")
        await call.room.silent(5)
        call.session.do(BeginTask(task="code"))
        await call.room.silent(4)
        call.room.push("7")
        call.session.do(PressKeys(keys="1"))
        await call.room.silent(4)
        call.session.do(MuteCall(what="ears"))
        call.session.do(MuteCall(what="ears", muted=False))
        call.session.do(TransferCall(destination="desk"))
        await call.room.silent(5)
        call.room._events.force(CallerMuted(muted=True))
        call.room.tell(CallerChanged(caller=Caller(identity="caller", attributes={"tier": "gold"})))
        call.room._events.force(CallerUnheard(identity="ninth", name="Nina", limit=8))
        call.room.offered["choose"]("caller", "choose", '{"seat": "12A"}')
        call.room.leave(final=False)
        await call.room.silent(1)
        call.room.link(returned=True)
        await call.room.speak(call.learn("On and on."), 25)
        await call.room.silent(5)
        edited = replace(agent, instructions="Be polite.", reload="live", digest="revision-2")
        agents.serving[agent.name] = equipment(edited, call.llm, stt=call.stt, tts=call.tts, tools=tools)
        call.session.look_at_files()
        await call.room.silent(1)
        call.session.do(HandOff(agent="other", enter="wait"))
        await call.room.silent(1)
        call.room.leave(final=True)
        assert await call.task == "caller_left"
        return Told(call.events, hooks, read_journal(call.journal.path))


@pytest.fixture(scope="module")
def held() -> Told:
    return run_virtual(_hold())


def test_every_event_of_the_reference_happens(held: Told) -> None:
    assert {event.type for event in held.published} == set(EVENT_TYPES)


def test_the_journal_tells_the_same(held: Told) -> None:
    fold = Happenings("S1", "test-agent")
    assert [event for record in held.journal for event in fold.take(record)] == held.published


def test_hooks_are_given_the_same_in_the_same_order(held: Told) -> None:
    assert held.hooked == held.published


async def test_the_stream_tells_the_same(held: Told, serve: Serve, daemon: FakeDaemon) -> None:
    daemon.ring = EventRing()
    client = await serve(AdminSettings(addr="127.0.0.1:0", token=TOKEN["Authorization"].removeprefix("Bearer ")))
    daemon.ring.add(held.published)
    assert [message.data for message in await told(client)] == [asdict(event) for event in held.published]
