"""A hook's JobContext in a real tool process: what it sees, what it asks of its session, and what it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.hooks import Hook, HookActions
from agentd.errors import ToolError
from agentd.tools.acts import Act, ClearUserTurn, CommitUserTurn, GenerateReply, SayText
from agentd.tools.asks import MOST_ASKS
from agentd.tools.host import ToolHost
from agentd.tools.job import (
    AddShutdownCallback,
    JobRequest,
    JobView,
    PerformRpc,
    PublishData,
    RoomMember,
    RoomView,
    SendText,
    SetAttributes,
    SetMetadata,
)
from agentd.tools.runner import open_tools
from agentd.tools.spec import EndCall, Event, HookOutcome, SetVariables, ToolContext, TurnChange
from tests.tools.test_runner import agent

CODE = """
import asyncio
from agentd.tools import Event, JobContext, JobError, RunContext, StopResponse

def look(job: JobContext) -> None:
    room = job.room
    people = room.remote_participants
    job.variables["seen"] = [
        job.job.id, job.job.metadata, room.name, room.sid, room.metadata,
        room.local_participant.identity, room.local_participant.kind, room.local_participant.attributes,
        list(people), [each.identity for each in room.linked_participants],
        people["phone"].metadata, people["phone"].name, dict(people["phone"].sip), dict(people["egress"].sip),
    ]

async def act(ctx: JobContext, event: Event) -> None:
    await ctx.room.set_attributes({"stage": "billing"})
    await ctx.room.set_attributes({"vip": "yes"}, identity="phone")
    await ctx.room.set_metadata("mine")
    await ctx.room.publish_data(b"\\x00\\xff", topic="cards", identities=["phone"])
    await ctx.room.send_text("Hello.", topic="lk.chat")
    answer = await ctx.room.perform_rpc("phone", "where", "{}", timeout=2)
    ctx.variables["answer"] = answer

def sync(ctx: JobContext) -> None:
    ctx.variables["answer"] = ctx.room.perform_rpc("phone", "where").result(5)
    ctx.room.set_attributes({"left": "behind"})

async def refused(ctx: JobContext) -> None:
    asked = (
        lambda: ctx.room.set_attributes({"lk.agent.state": "asleep"}), lambda: ctx.room.set_attributes({"n": 1}),
        lambda: ctx.room.perform_rpc("nobody", "where"), lambda: ctx.room.perform_rpc("phone", "where", timeout=0),
        lambda: ctx.room.publish_data("x", identities=[""]), lambda: ctx.say("  "),
    )
    problems = []
    for ask in asked:
        try:
            await ask()
        except JobError as error:
            problems.append(str(error))
    ctx.variables["problems"] = problems

async def speak(ctx: JobContext) -> None:
    said = ctx.say("One.", priority="high", interruptible=False, add_to_history=False)
    again = await said
    ctx.variables["said"] = [said.done, said.interrupted, again is said]
    cut = ctx.generate_reply("Be kind.", user_input="hi")
    cut.cancel(force=True)
    ctx.variables["cut"] = (await cut).interrupted
    ctx.say("Nobody waits for this.")
    ctx.commit_user_turn()
    ctx.clear_user_turn()
    ctx.end_call(say="Bye.")

async def later(ctx: JobContext) -> None:
    before = ctx.room.metadata
    room = await ctx.room.look()
    ctx.variables["metadata"] = [before, room.metadata, ctx.room.metadata]

async def on_shutdown(reason: str, ctx: JobContext) -> None:
    ctx.variables["over"] = [reason, ctx.job.id]

def plain() -> None: ...

def hook(ctx: JobContext) -> None:
    ctx.add_shutdown_callback(on_shutdown)
    ctx.add_shutdown_callback("tools.jobs:plain")

def local(ctx: JobContext) -> None:
    ctx.add_shutdown_callback(lambda: None)

def unfit(ctx: JobContext) -> None:
    ctx.add_shutdown_callback(takes_more)

def takes_more(reason: str, day: str) -> None: ...

async def impatient(ctx: JobContext) -> None:
    said = ctx.say("Slowly.")
    try:
        async with asyncio.timeout(0.05):
            await said
    except TimeoutError:
        ctx.variables["waited"] = True
    ctx.variables["interrupted"] = (await said).interrupted

def stop(event: Event) -> str:
    raise StopResponse

def both(ctx: RunContext, job: JobContext) -> None: ...

async def flood(ctx: JobContext) -> None:
    asked = [ctx.room.send_text("x") for _ in range(300)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    ctx.variables["failed"] = sum(isinstance(each, JobError) for each in found)

async def hang(ctx: JobContext) -> None:
    await ctx.room.perform_rpc("slow", "where")
"""


@dataclass
class FakeSpeech:
    interrupted: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for_playout(self) -> None:
        await self.over.wait()

    def cancel(self, *, force: bool = False) -> None:
        self.interrupted = force
        self.over.set()


@dataclass
class FakeDesk:
    """Speech takes `speech_s`; the program of `phone` says where it is, that of `slow` says nothing."""

    speech_s: float = 0.0
    said: list[Act] = field(default_factory=list)
    done: list[JobRequest] = field(default_factory=list)
    looks: int = 0

    def view(self) -> JobView:
        self.looks += 1
        sip = {"sip.phoneNumber": "+4917", "sip.callID": "c-1", "tier": "gold"}
        room = RoomView(
            name="room-1",
            sid="RM_1",
            metadata=f"look {self.looks}",
            local=RoomMember(identity="agent-1", kind="agent", attributes={"lk.agent.state": "listening"}),
            remote=(
                RoomMember(identity="phone", name="Ann", kind="sip", attributes=sip, metadata="m", linked=True),
                RoomMember(identity="egress", kind="egress"),
            ),
        )
        return JobView(id="AJ_1", metadata='{"ticket": 7}', room=room)

    def speak(self, act: SayText | GenerateReply) -> FakeSpeech:
        self.said.append(act)
        speech = FakeSpeech()
        if isinstance(act, SayText):
            asyncio.get_running_loop().call_later(self.speech_s, speech.over.set)
        return speech

    async def do(self, request: JobRequest) -> str:
        self.done.append(request)
        if isinstance(request, PerformRpc):
            if request.identity == "slow":
                await asyncio.Event().wait()
            if request.identity != "phone":
                raise ToolError("the caller is not there")
            return "here"
        return ""


EVENT = Event(type="participant_linked", session="s1", agent="front-desk", at=1.5, data={"identity": "ann"})


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def run(agents_dir: Path, host: ToolHost, context: ToolContext, desk: FakeDesk) -> Callable[..., Any]:
    (agents_dir / "tools" / "jobs.py").write_text(CODE)

    async def run_hook(name: str, event: Event = EVENT, timeout_s: float = 10, **changes: Any) -> HookOutcome:
        ref = f"tools.jobs:{name}"
        definition = replace(agent(), hooks=(Hook(on="*", do=HookActions(python="tools.jobs:plain")),))
        runner = await open_tools(definition, host=host)
        try:
            return await runner.run_hook(ref, event, replace(context, **{"job": desk, **changes}), timeout_s)
        finally:
            await runner.aclose()

    return run_hook


def values(outcome: HookOutcome) -> Any:
    assert outcome.outcome == "ok", outcome.message
    (set_,) = [each for each in outcome.actions if isinstance(each, SetVariables)]
    return set_.values


async def test_it_sees_the_job_the_room_and_everybody_in_it(run: Any) -> None:
    assert values(await run("look"))["seen"] == [
        *("AJ_1", '{"ticket": 7}', "room-1", "RM_1", "look 1"),
        *("agent-1", "agent", {"lk.agent.state": "listening"}),
        *(["phone", "egress"], ["phone"], "m", "Ann", {"phoneNumber": "+4917", "callID": "c-1"}, {}),
    ]


async def test_it_acts_on_the_room_and_hears_what_came_of_it(run: Any, desk: FakeDesk) -> None:
    assert values(await run("act")) == {"answer": "here"}
    assert desk.done == [
        SetAttributes(attributes={"stage": "billing"}),
        SetAttributes(attributes={"vip": "yes"}, identity="phone"),
        SetMetadata(metadata="mine"),
        PublishData(data=b"\x00\xff", topic="cards", identities=("phone",)),
        SendText(text="Hello.", topic="lk.chat"),
        PerformRpc(identity="phone", method="where", payload="{}", timeout_s=2.0),
    ]


async def test_a_function_that_is_not_async_can_wait_and_what_nobody_waits_for_is_done(
    run: Any, desk: FakeDesk
) -> None:
    assert values(await run("sync")) == {"answer": "here"}
    assert desk.done[1:] == [SetAttributes(attributes={"left": "behind"})]


async def test_what_cannot_be_done_is_an_error_that_says_why(run: Any, desk: FakeDesk) -> None:
    problems = values(await run("refused"))["problems"]
    assert problems == [
        'set_attributes: lk.agent.state: names that begin with "lk." are LiveKit\'s',
        "set_attributes: attributes are texts by names",
        "perform_rpc: the caller is not there",
        "perform_rpc: it was asked for with values that it does not take: identity, method, payload, timeout_s",
        "publish_data: identities are texts",
        "say: there is nothing to say, or it is said with what is none of its options",
    ]
    assert [type(each) for each in desk.done] == [PerformRpc]
    assert desk.said == []


async def test_speech_is_awaited_and_taken_back(run: Any, desk: FakeDesk) -> None:
    acts: list[Act] = []
    outcome = await run("speak", act=acts.append)
    assert values(outcome) == {"said": [True, False, True], "cut": True}
    assert desk.said == [
        SayText(text="One.", priority="high", interruptible=False, add_to_history=False),
        GenerateReply(instructions="Be kind.", user_input="hi"),
        SayText(text="Nobody waits for this."),
    ]
    assert acts == [CommitUserTurn(), ClearUserTurn()]
    assert EndCall(say="Bye.") in outcome.actions


async def test_a_speech_can_be_awaited_again_after_the_patience_for_it_ran_out(run: Any, desk: FakeDesk) -> None:
    desk.speech_s = 0.5
    assert values(await run("impatient")) == {"waited": True, "interrupted": False}


async def test_a_look_brings_the_room_up_to_date(run: Any) -> None:
    assert values(await run("later"))["metadata"] == ["look 1", "look 2", "look 2"]


async def test_functions_are_called_at_the_end_by_their_names(run: Any, desk: FakeDesk) -> None:
    assert (await run("hook")).outcome == "ok"
    assert desk.done == [AddShutdownCallback(ref="tools.jobs:on_shutdown"), AddShutdownCallback(ref="tools.jobs:plain")]
    over = Event(type="shutdown", session="s1", agent="front-desk", at=2.5, data={"reason": "caller_left"})
    assert values(await run("on_shutdown", over)) == {"over": ["caller_left", "AJ_1"]}
    assert (await run("plain", over)).outcome == "ok"


async def test_what_cannot_be_called_at_the_end_is_refused_where_it_is_added(run: Any, desk: FakeDesk) -> None:
    local, unfit = await run("local"), await run("unfit")
    assert "does not stand at the top of a module" in local.message
    assert unfit.message.endswith(
        "parameter day: a shutdown callback gets a `reason` and a JobContext, and nothing else"
    )
    assert desk.done == []


async def test_stop_response_drops_the_turn_and_is_an_error_elsewhere(run: Any) -> None:
    turn = Event(type="before_reply", session="s1", agent="front-desk", at=1.5, data={"text": "hello"})
    assert (await run("stop", turn)).change == TurnChange(drop=True)
    assert (await run("stop")).outcome == "error"


async def test_nobody_floods_the_session(run: Any, desk: FakeDesk) -> None:
    assert values(await run("flood")) == {"failed": 300 - MOST_ASKS}
    assert len(desk.done) == MOST_ASKS


async def test_one_that_waits_for_ever_is_ended_at_its_deadline(run: Any) -> None:
    async with asyncio.timeout(5):
        assert (await run("hang", timeout_s=0.5)).outcome == "timeout"
    assert (await run("both")).outcome == "ok"
