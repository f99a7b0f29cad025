"""A worker's calls that go from one agent to another: of the same generation, kept ready, and found again by the next
process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.handoffs import Handoff
from agentd.errors import AgentdError
from agentd.providers.llm import Message
from agentd.runtime.messages import StartJob
from agentd.runtime.other_agents import OtherAgents
from agentd.runtime.prepared import PreparedAgent, PreparedAgents
from agentd.session.journal import read_journal
from agentd.session.setup import Candidate, Providers
from tests.fakes.call import FakeTools
from tests.fakes.call import definition as talking
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeSTT, FakeTTS, FakeVAD, calls, says
from tests.fakes.room import FakeRoom
from tests.runtime.parts import FakeToolKit, definition, registry
from tests.runtime.test_worker import START, _forget_the_end, holding
from tests.session.test_handoff import tools_of

INVOICE = Handoff(agent="billing", when="asked about an invoice")


def start(agent: AgentDefinition, *others: AgentDefinition) -> StartJob:
    return replace(START, agent=agent.name, revision=agent.digest, others=others)


async def test_those_that_the_files_name_stay_what_they_were_when_the_call_began() -> None:
    desk, billing, newer = definition("desk"), definition("billing"), definition("billing", "2")
    agents = PreparedAgents(registry(), FakeToolKit)
    await agents.prepare(1, [desk, billing])
    await agents.commit({"desk": desk.digest, "billing": billing.digest})
    first = await agents.lease("desk", desk.digest, None, 1)
    others = OtherAgents(start(desk, billing), first, agents)
    await others.open()
    await agents.prepare(2, [newer])
    await agents.commit({"desk": desk.digest, "billing": newer.digest})
    equipped = await others.equip("billing")
    assert equipped.definition.digest == "billing-1"
    assert (await others.equip("desk")).providers is first.providers
    open_kits = FakeToolKit.open_kits
    await others.aclose()
    assert FakeToolKit.open_kits <= open_kits
    with pytest.raises(AgentdError):
        await agents.lease("billing", "billing-1", None, 1)
    await agents.aclose()


async def test_one_that_is_named_meanwhile_is_what_serves_and_one_that_is_nowhere_is_told() -> None:
    desk, night = definition("desk"), definition("night")
    agents = PreparedAgents(registry(), FakeToolKit)
    await agents.prepare(1, [desk, night])
    await agents.commit({"desk": desk.digest, "night": night.digest})
    others = OtherAgents(start(desk), await agents.lease("desk", desk.digest, None, 1), agents)
    assert (await others.equip("night")).definition.name == "night"
    with pytest.raises(AgentdError, match="there is no agent nobody"):
        await others.equip("nobody")
    await others.aclose()
    await agents.aclose()


async def test_a_worker_that_never_had_it_makes_it_for_a_rescued_call() -> None:
    desk, billing = definition("desk"), definition("billing")
    agents = PreparedAgents(registry(), FakeToolKit)
    first = await agents.lease("desk", desk.digest, desk, 1)
    others = OtherAgents(start(desk, billing), first, agents)
    await others.open()
    assert (await others.equip("billing")).definition.digest == "billing-1"
    await others.aclose()
    await agents.aclose()


async def test_one_that_says_reload_live_is_entered_as_it_serves_then() -> None:
    desk, billing = definition("desk"), replace(definition("billing"), reload="live")
    agents = PreparedAgents(registry(), FakeToolKit)
    await agents.prepare(1, [desk, billing])
    await agents.commit({"desk": desk.digest, "billing": billing.digest})
    others = OtherAgents(start(desk, billing), await agents.lease("desk", desk.digest, None, 1), agents)
    await others.open()
    assert (await others.equip("billing")).definition.digest == "billing-1"
    newer = replace(billing, digest="billing-2")
    await agents.prepare(2, [newer])
    await agents.commit({"desk": desk.digest, "billing": newer.digest})
    assert (await others.equip("billing")).definition.digest == "billing-2"
    assert (await others.equip("billing")).definition.digest == "billing-2"
    await others.aclose()
    await agents.aclose()


async def test_what_a_call_goes_on_with_has_the_tools_code_of_its_revision_and_the_former_is_let_go() -> None:
    old, new = definition("desk"), replace(definition("desk", "2"), reload="live")
    agents = PreparedAgents(registry(), FakeToolKit)
    await agents.prepare(1, [old])
    await agents.commit({"desk": old.digest})
    told: list[str] = []
    first = await agents.lease("desk", old.digest, None, 1)
    others = OtherAgents(start(old), first, agents, lambda definition: told.append(definition.digest))
    assert others.newest("desk") == old
    assert others.newest("nobody") is None
    await agents.prepare(2, [new])
    await agents.commit({"desk": new.digest})
    assert others.newest("desk") == new
    open_kits = FakeToolKit.open_kits
    mixed = replace(new, digest=f"{new.digest}+{old.digest}", places={"llm": "desk.yaml:2"})
    equipped = await others.equip_edited(mixed)
    assert FakeToolKit.open_kits == open_kits, "it shares the code of the revision that it has taken"
    assert equipped.definition.places == {"llm": "desk.yaml:2"}
    assert told == []
    others.runs(mixed)
    assert told == [mixed.digest]
    assert (await others.equip("desk")).definition.digest == mixed.digest
    await others.let_go(old)
    assert FakeToolKit.open_kits == open_kits - 1
    with pytest.raises(AgentdError):
        await agents.lease("desk", old.digest, None, 1)
    again = await others.equip_edited(mixed)
    await others.let_go(again.definition)
    assert await agents.lease_prepared("desk", mixed.digest) is not None, "the call runs by it all the same"
    await others.aclose()
    await agents.aclose()


def test_a_worker_tells_its_next_supervisor_what_its_calls_run_after_an_edit() -> None:
    desk, billing = definition("desk", "2"), definition("billing", "2")
    job = start(definition("desk"), definition("billing"))
    after = job.revised(desk).revised(billing)
    assert (after.revision, after.definition, after.others) == ("desk-2", desk, (billing,))


@dataclass
class Talking:
    """Prepared agents that can talk."""

    agents: Mapping[str, PreparedAgent]
    leased: list[str] = field(default_factory=list)

    async def lease(self, name: str, *asked: object) -> PreparedAgent:
        self.leased.append(name)
        return self.agents[name]

    async def lease_prepared(self, name: str, revision: str) -> PreparedAgent | None:
        return await self.lease(name)

    def newest(self, name: str) -> None:
        """Nothing was edited."""

    async def release(self, agent: PreparedAgent) -> None:
        self.leased.remove(agent.definition.name)

    async def aclose(self) -> None: ...


def prepared(agent: AgentDefinition, llm: FakeLLM) -> PreparedAgent:
    providers = Providers(
        vad=FakeVAD(),
        stt=(Candidate("fake", FakeSTT()),),
        llm=(Candidate("fake", llm),),
        tts=(Candidate("fake", FakeTTS()),),
    )
    kit: Any = None
    tools: FakeTools = tools_of(agent)
    return PreparedAgent(definition=agent, providers=providers, tools=tools, kit=kit, choices=(), generation=1)


def test_a_call_whose_process_died_goes_on_as_the_agent_that_it_was_handed_to(tmp_path: Path) -> None:
    path = tmp_path / "s-1.journal"
    desk = replace(talking(), name="desk", digest="d-1", handoffs=(INVOICE,), instructions="You are the desk.")
    billing = replace(talking(), name="billing", digest="b-1", instructions="You are billing.")
    desks, bills = FakeLLM(lambda _: [calls("handoff_to_billing")]), FakeLLM(says("This is billing."))
    job = replace(start(desk, billing), journal=path)

    async def story(words: str, incarnation: int) -> Talking:
        agents = Talking({"desk": prepared(desk, desks), "billing": prepared(billing, bills)})
        room = FakeRoom()
        async with holding(replace(job, incarnation=incarnation), room, agents):  # type: ignore[arg-type]
            await asyncio.sleep(0.1)
            room.link()
            await asyncio.sleep(5)
            room.type(words)
            await asyncio.sleep(8)
        return agents

    run_virtual(story("my invoice", 1))
    _forget_the_end(path)
    left = run_virtual(story("when is it due", 2))
    assert left.leased == []
    assert len(desks.requests) == 1
    last = bills.requests[-1].items
    assert [each.text for each in last if isinstance(each, Message) and each.role == "user"] == [
        "my invoice",
        "when is it due",
    ]
    assert last[0] == Message(role="system", text="You are billing.")
    assert [each.data["to"] for each in read_journal(path) if each.kind == "handoff"] == ["billing"]
