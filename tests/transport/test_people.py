"""Who of a room is heard, and who has the floor; the SDK's participants are stand-ins, time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from livekit import rtc

from agentd import aio
from agentd.session.room import CallerLeft, CallerLinked, CallerUnheard, RoomEvent, TurnByHand
from agentd.transport.audio_in import RtcAudioIn
from agentd.transport.caller import RETURN_GRACE_S, LinkedCaller
from agentd.transport.linking import Wanted
from agentd.transport.people import MOST_PEOPLE, People
from agentd.transport.preconnect import PreconnectBuffers
from agentd.transport.push_to_talk import PushToTalk
from agentd.transport.talk_floor import LONGEST_S, TalkFloor
from tests.fakes.clock import run_virtual


def somebody(identity: str, kind: int = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD) -> Any:
    return SimpleNamespace(
        identity=identity,
        name=identity.title(),
        kind=kind,
        attributes={},
        metadata="",
        track_publications={},
        disconnect_reason=rtc.DisconnectReason.CLIENT_INITIATED,
    )


class Stage:
    """People in a room, and what the session was told."""

    def __init__(self, group: asyncio.TaskGroup, floor: TalkFloor | None = None) -> None:
        self._events: aio.Channel[RoomEvent] = aio.Channel(100)
        self.gates = 0
        connected = asyncio.Event()
        connected.set()
        self.people = People(
            Wanted(), self._events, PreconnectBuffers(), group.create_task, connected, self._gate, floor
        )  # fmt: skip

    def _gate(self) -> None:
        self.gates += 1

    def join(self, *identities: str) -> None:
        for identity in identities:
            self.people.participant_came(somebody(identity))

    async def told(self) -> list[RoomEvent]:
        return [await self._events.receive() for _ in range(len(self._events))]

    def heard(self, *identities: str) -> list[str]:
        return [each for each in identities if (sound := self.people.sound_of(each)) and sound.heard]


def staged(floor: Callable[[], TalkFloor | None] = lambda: None) -> Callable[[Any], Callable[[], None]]:
    def decorate(test: Any) -> Callable[[], None]:
        async def on_stage() -> None:
            async with asyncio.TaskGroup() as group:
                await test(Stage(group, floor()))
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()

        def run() -> None:
            run_virtual(on_stage())

        run.__name__ = test.__name__
        return run

    return decorate


@staged()
async def test_everybody_of_an_admitted_kind_is_linked(stage: Stage) -> None:
    stage.join("anna", "ben")
    stage.people.participant_came(somebody("recorder", rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS))
    told = await stage.told()
    assert [event.caller.identity for event in told if isinstance(event, CallerLinked)] == ["anna", "ben"]
    assert stage.heard("anna", "ben", "recorder") == ["anna", "ben"]
    assert stage.people.admits("anna")
    assert not stage.people.admits("recorder")


@staged()
async def test_one_too_many_is_told_of_and_takes_the_first_place_that_is_free(stage: Stage) -> None:
    stage.join(*(f"p{n}" for n in range(MOST_PEOPLE)), "late", "later")
    unheard = [event for event in await stage.told() if isinstance(event, CallerUnheard)]
    assert [(event.identity, event.name, event.limit) for event in unheard] == [
        ("late", "Late", MOST_PEOPLE), ("later", "Later", MOST_PEOPLE),
    ]  # fmt: skip
    assert not stage.people.admits("late")
    stage.people.participant_went(somebody("p3"))
    await asyncio.sleep(RETURN_GRACE_S + 0.1)
    left, linked = await stage.told()
    assert isinstance(left, CallerLeft)
    assert (left.identity, left.final) == ("p3", True)
    assert isinstance(linked, CallerLinked)
    assert linked.caller.identity == "late"
    assert not stage.people.admits("later")


@staged()
async def test_who_is_back_within_the_grace_was_never_away_and_who_is_back_later_returns(stage: Stage) -> None:
    stage.join("anna", "ben")
    await stage.told()
    stage.people.participant_went(somebody("anna"))
    await asyncio.sleep(1)
    stage.join("anna")
    await asyncio.sleep(5)
    assert await stage.told() == []
    stage.people.participant_went(somebody("anna"))
    await asyncio.sleep(5)
    stage.join("anna")
    left, linked = await stage.told()
    assert isinstance(left, CallerLeft)
    assert isinstance(linked, CallerLinked)
    assert linked.returned


@staged()
async def test_a_telephone_that_is_called_is_nobody_until_it_is_answered(stage: Stage) -> None:
    phone = somebody("phone", rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    for status in ("dialing", "ringing"):
        phone.attributes = {"sip.callStatus": status}
        stage.people.participant_came(phone)
        stage.people.answered(phone)
    assert await stage.told() == []
    phone.attributes = {"sip.callStatus": "active"}
    stage.people.answered(phone)
    stage.people.answered(phone)
    (linked,) = await stage.told()
    assert isinstance(linked, CallerLinked)
    assert linked.outbound


@staged()
async def test_the_agents_voice_waits_only_when_nobody_is_there(stage: Stage) -> None:
    stage.join("anna", "ben")
    stage.people.participant_went(somebody("anna"))
    assert not stage.people.departing
    stage.people.participant_went(somebody("ben"))
    assert stage.people.departing
    stage.join("ben")
    assert not stage.people.departing


@staged()
async def test_after_our_own_connection_was_lost_who_has_gone_meanwhile_is_missed(stage: Stage) -> None:
    stage.join("anna", "ben")
    await stage.told()
    stage.people.connection_lost()
    stage.people.look_around({"ben": somebody("ben"), "carla": somebody("carla")})
    await asyncio.sleep(5)
    kinds = [(type(event), getattr(event, "identity", "")) for event in await stage.told()]
    assert kinds == [(CallerLinked, ""), (CallerLeft, "anna")]
    assert stage.heard("anna", "ben", "carla") == ["ben", "carla"]


@staged(TalkFloor)
async def test_only_who_has_the_floor_is_heard_and_a_second_is_refused(stage: Stage) -> None:
    stage.join("anna", "ben")
    await stage.told()
    assert stage.heard("anna", "ben") == []
    assert stage.people.press("anna", "begin") == ""
    assert stage.heard("anna", "ben") == ["anna"]
    assert stage.people.press("ben", "begin") == "the floor is taken"
    assert stage.people.press("ben", "end") == "the floor is another's"
    assert stage.heard("anna", "ben") == ["anna"]
    assert stage.people.press("anna", "end") == ""
    assert stage.people.press("anna", "end") == "press start_turn first"
    assert stage.people.press("ben", "begin") == ""
    assert stage.heard("anna", "ben") == ["ben"]
    assert await stage.told() == [
        TurnByHand(action="begin", identity="anna"),
        TurnByHand(action="end", identity="anna"),
        TurnByHand(action="begin", identity="ben"),
    ]


@staged(TalkFloor)
async def test_the_floor_is_free_at_once_when_its_holder_leaves(stage: Stage) -> None:
    stage.join("anna", "ben")
    stage.people.press("anna", "begin")
    await stage.told()
    stage.people.participant_went(somebody("anna"))
    assert await stage.told() == [TurnByHand(action="cancel", identity="anna")]
    assert stage.people.press("ben", "begin") == ""


@staged(TalkFloor)
async def test_the_floor_is_taken_back_after_its_time_and_what_was_said_is_the_turn(stage: Stage) -> None:
    stage.join("anna", "ben")
    stage.people.press("anna", "begin")
    await asyncio.sleep(LONGEST_S - 1)
    stage.people.press("anna", "end")
    stage.people.press("anna", "begin")  # a new turn has its own time
    await stage.told()
    await asyncio.sleep(LONGEST_S - 1)
    assert await stage.told() == []
    await asyncio.sleep(2)
    assert await stage.told() == [TurnByHand(action="end", identity="anna")]
    assert stage.heard("anna") == []
    assert stage.people.press("ben", "begin") == ""


@staged(TalkFloor)
async def test_a_refusal_reaches_the_front_end_as_an_rpc_error(stage: Stage) -> None:
    stage.join("anna", "ben")
    buttons = PushToTalk(stage.people.press)

    def call(method: str, identity: str) -> Any:
        return rtc.RpcInvocationData("r", identity, "", 10.0, method)

    assert await buttons._called(call("start_turn", "anna")) == "ok"
    with pytest.raises(rtc.RpcError, match="the floor is taken"):
        await buttons._called(call("start_turn", "ben"))
    with pytest.raises(rtc.RpcError, match="only who the agent talks with"):
        await buttons._called(call("start_turn", "eve"))
    packet = SimpleNamespace(topic="agentd.turn", participant=somebody("ben"), data=b"end_turn")
    buttons.packet(packet)  # type: ignore[arg-type]
    assert stage.heard("anna", "ben") == ["anna"]


def test_with_one_linked_caller_nobody_else_may_press_or_type() -> None:
    async def linked() -> None:
        events: aio.Channel[RoomEvent] = aio.Channel(10)
        async with asyncio.TaskGroup() as group:
            connected = asyncio.Event()
            caller = LinkedCaller(
                Wanted(), events, RtcAudioIn(), PreconnectBuffers(), group.create_task, connected, lambda: None
            )
            caller.participant_came(somebody("anna"))
            caller.participant_came(somebody("ben"))
        assert caller.admits("anna")
        assert not caller.admits("ben")
        assert not caller.admits("")
        assert caller.press("ben", "begin") == "only the linked caller may take a turn"
        assert [type(await events.receive()) for _ in range(len(events))] == [CallerLinked]
        assert caller.press("anna", "begin") == ""

    run_virtual(linked())


def test_a_telephone_that_is_answered_becomes_the_one_caller() -> None:
    async def rung() -> None:
        events: aio.Channel[RoomEvent] = aio.Channel(10)
        phone = somebody("phone", rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
        phone.attributes = {"sip.callStatus": "ringing"}
        async with asyncio.TaskGroup() as group:
            caller = LinkedCaller(
                Wanted(), events, RtcAudioIn(), PreconnectBuffers(), group.create_task, asyncio.Event(), lambda: None
            )
            caller.look_around({"phone": phone})
            caller.answered(phone)
            assert not caller.admits("phone")
            phone.attributes = {"sip.callStatus": "active"}
            caller.answered(phone)
            caller.answered(phone)
        assert caller.admits("phone")
        assert [type(await events.receive()) for _ in range(len(events))] == [CallerLinked]

    run_virtual(rung())
