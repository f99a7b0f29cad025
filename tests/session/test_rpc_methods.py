"""What front ends call, in whole calls over fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from agentd.config.definition import RoomOptions
from agentd.config.rpc import RpcMethod
from agentd.errors import RpcRefused
from agentd.session.rpc_methods import MOST_CALLS, PERIOD_S
from agentd.tools.acts import HandOff
from tests.fakes.call import Call, FakeAgents, calling, definition, equipment
from tests.fakes.providers import FakeLLM, FakeSTT, says
from tests.session.test_hooks import hook
from tests.session.test_session import story

CHOOSE = RpcMethod(
    method="choose",
    parameters={"type": "object", "properties": {"seat": {"type": "string"}}, "additionalProperties": False},
    set=("seat",),
)


def answer(call: Call, method: str = "choose") -> Callable[[str, str], str]:
    return lambda identity, payload: call.room.offered[method](identity, method, payload)


@story
async def test_a_call_sets_variables_and_is_an_event_for_hooks() -> None:
    said = hook("rpc_received", if_={"method": "choose"}, say="Seat {{ event.payload.seat }} it is.")
    async with calling(agent=definition(rpc=(CHOOSE,), hooks=(said,))) as call:
        await asyncio.sleep(1)
        assert answer(call)("caller", '{"seat": "12A"}') == "ok"
        await asyncio.sleep(4)
        assert call.agent_texts == ["Seat 12A it is."]
        assert call.of("variables") == [{"values": {"seat": "12A"}}]
        assert [e.data["method"] for e in call.events if e.type == "rpc_received"] == ["choose"]


@story
async def test_what_does_not_fit_is_refused_and_leaves_no_trace() -> None:
    async with calling(agent=definition(rpc=(CHOOSE,))) as call:
        await asyncio.sleep(1)
        for payload in ("no json", "[1]", '{"seat": 12}', '{"seat": "12A", "price": 0}', '"text"', "[" * 100_000):
            with pytest.raises(RpcRefused, match="payload"):
                answer(call)("caller", payload)
        assert call.of("rpc.received") == []
        assert call.of("variables") == []


@story
async def test_only_those_whom_the_agent_talks_with_may_call_or_who_is_named() -> None:
    named = RpcMethod(method="override", identities=("kiosk-*", "boss"))
    async with calling(agent=definition(rpc=(CHOOSE, named))) as call:
        await asyncio.sleep(1)
        for identity in ("somebody", "", "kiosk-1"):
            with pytest.raises(RpcRefused, match="not for you"):
                answer(call)(identity, "{}")
        assert answer(call, "override")("kiosk-1", "") == "ok"
        assert answer(call, "override")("boss", "{}") == "ok"
        for identity in ("caller", "bosses", "my-kiosk-1"):
            with pytest.raises(RpcRefused, match="not for you"):
                answer(call, "override")(identity, "{}")


@story
async def test_of_several_people_each_may_while_they_are_here() -> None:
    agent = definition(rpc=(CHOOSE,), room=RoomOptions(participants="everyone"))
    async with calling(agent=agent, link=False) as call:
        call.room.link(identity="anna", outbound=True)
        call.room.link(identity="ben", outbound=True)
        await asyncio.sleep(1)
        assert answer(call)("ben", "{}") == "ok"
        call.room.leave(identity="ben")
        await asyncio.sleep(1)
        with pytest.raises(RpcRefused):
            answer(call)("ben", "{}")


@story
async def test_a_flood_is_refused_until_it_is_over() -> None:
    async with calling(agent=definition(rpc=(CHOOSE,))) as call:
        await asyncio.sleep(1)
        for _ in range(MOST_CALLS):
            answer(call)("caller", "{}")
        with pytest.raises(RpcRefused, match="too many"):
            answer(call)("caller", "{}")
        await asyncio.sleep(PERIOD_S + 0.1)
        assert answer(call)("caller", "{}") == "ok"


@story
async def test_an_agent_without_methods_offers_none() -> None:
    async with calling() as call:
        await asyncio.sleep(1)
        assert call.room.offered == {}


@story
async def test_after_a_handoff_front_ends_may_call_the_methods_of_the_agent_that_has_the_call() -> None:
    pay = RpcMethod(method="pay", set=("amount",), parameters={"type": "object"})
    other = replace(definition(rpc=(pay,)), name="billing")
    agents = FakeAgents({"billing": equipment(other, FakeLLM(says("Yes.")), stt=FakeSTT())})
    async with calling(agent=definition(rpc=(CHOOSE,)), agents=agents) as call:
        await asyncio.sleep(1)
        assert list(call.room.offered) == ["choose"]
        call.session.do(HandOff(agent="billing", enter="wait"))
        await asyncio.sleep(1)
        assert list(call.room.offered) == ["pay"]
        assert answer(call, "pay")("caller", '{"amount": 3}') == "ok"
        assert call.of("variables") == [{"values": {"amount": 3}}]
