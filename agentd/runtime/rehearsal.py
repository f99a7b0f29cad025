"""An agent's own tests: each conversation of its file held through a real session, in virtual time.

What takes real time, models on the network and tools that are called, does so; between them the clock jumps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agentd.aio import cancel_and_wait, now
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.scenarios import AgentTests, Scenario, ScenarioTurn
from agentd.errors import AgentdError
from agentd.registry import Registry
from agentd.runtime.expectations import observed, unmet
from agentd.runtime.prepared import ProviderPool, ToolKit
from agentd.runtime.rehearsal_parts import Deaf, RehearsedTools, TextRoom, Voiceless, Worldly
from agentd.runtime.rehearsal_results import Failure, ScenarioResult
from agentd.session.journal import Journal
from agentd.session.records import Record
from agentd.session.session import Session
from agentd.session.setup import Candidate, Equipment, NoAgents, Providers, SessionSetup
from agentd.tools.spec import ToolRunner
from agentd.virtual_time import real_time

logger = logging.getLogger(__name__)

QUIET_S = 1.0
"""The agent has nothing more to say once it has listened for so long; longer than any pause within an answer."""

POLL_S = 0.05
TURN_S = 120.0
"""Of the conversation's time: an agent that goes on for longer is stuck."""


class Rehearsal:
    """`others`: agents that the call may be handed to. `places`: by setting, the file:line of all that is written."""

    def __init__(
        self,
        definition: AgentDefinition,
        registry: Registry,
        kit: Callable[[str], ToolKit],
        *,
        others: Mapping[str, AgentDefinition],
        places: Mapping[str, str],
    ) -> None:
        self._definition = definition
        self._registry = registry
        self._kit = kit
        self._agents = {**others, definition.name: definition}
        self._places = places

    async def run(self, wanted: Callable[[str], bool] = lambda name: True) -> AsyncIterator[ScenarioResult]:
        """One after the other; `wanted`: of which names."""
        tests = self._definition.tests
        scenarios = [(n, one) for n, one in enumerate(tests.scenarios) if wanted(one.name)] if tests else []
        for number, scenario in scenarios:
            where = f"tests.scenarios[{number}]"
            try:
                async with self._cast(scenario) as agents:
                    yield await self._hold(scenario, where, agents)
            except AgentdError as error:
                place = self._place(where)
                failure = Failure(place=place, message=f"the agent cannot be made: {error}")
                yield ScenarioResult(
                    agent=self._definition.name, scenario=scenario.name, place=place, failures=(failure,)
                )

    async def results(self, wanted: Callable[[str], bool] = lambda name: True) -> tuple[ScenarioResult, ...]:
        return tuple([result async for result in self.run(wanted)])

    @asynccontextmanager
    async def _cast(self, scenario: Scenario) -> AsyncIterator[Cast]:
        """The agents of one conversation. Raises AgentdError."""
        cast = Cast(self._agents, self._definition.name, scenario, self._registry, self._kit)
        try:
            await cast.equip(self._definition.name)
            yield cast
        finally:
            with real_time():
                await cast.aclose()

    async def _hold(self, scenario: Scenario, where: str, agents: Cast) -> ScenarioResult:
        began = now()
        with TemporaryDirectory(prefix="agentd-test-") as folder:
            journal = Journal.create(Path(folder) / "test.journal")
            try:
                conversation = _Conversation(await agents.equip(self._definition.name), agents, scenario, journal)
                found = [found async for found in conversation.turns()]
            finally:
                journal.close()
        failures = [
            Failure(place=self._place(f"{where}.turns[{turn}].expect", setting, f"{where}.turns[{turn}]"), message=said)
            for turn, setting, said in found
        ]
        return ScenarioResult(
            agent=self._definition.name,
            scenario=scenario.name,
            place=self._place(where),
            failures=tuple(failures),
            lines=tuple(conversation.lines()),
            duration_s=round(now() - began, 3),
        )

    def _place(self, path: str, setting: str = "", around: str = "") -> str:
        exact = f"{path}.{setting}" if setting else path
        known = (self._places.get(each) for each in (exact, exact.partition("[")[0] if setting else "", path, around))
        return next((place for place in known if place), f"{self._definition.source.partition('#')[0]}:1")


class Cast(NoAgents):
    """The agents of one conversation (`agentd.session.setup.Agents`), without sound."""

    def __init__(
        self,
        agents: Mapping[str, AgentDefinition],
        first: str,
        scenario: Scenario,
        registry: Registry,
        kit: Callable[[str], ToolKit],
    ) -> None:
        self._agents = agents
        self._first = first
        self._scenario = scenario
        self._registry = registry
        self._providers = ProviderPool(registry)
        self._kit = kit
        self._held: list[ProviderChoice] = []
        self._open: list[ToolRunner | ToolKit] = []
        self._equipped: dict[str, Equipment] = {}

    async def equip(self, name: str) -> Equipment:
        """Raises AgentdError."""
        if name not in self._equipped:
            definition = self._agents.get(name)
            if definition is None:
                raise AgentdError(f"there is no agent {name}")
            with real_time():
                self._equipped[name] = await self._equipment(definition)
        return self._equipped[name]

    async def aclose(self) -> None:
        for each in reversed(self._open):
            await each.aclose()
        await self._providers.release(self._held)

    async def _equipment(self, definition: AgentDefinition) -> Equipment:
        models = tuple([await self._model(choice) for choice in self._choices(definition)])
        kit = self._kit(definition.root)
        self._open.append(kit)
        tools = await kit.open(definition)
        self._open.append(tools)
        return Equipment(
            definition=definition,
            providers=Providers(
                vad=Deaf(),
                stt=(Candidate("none", Deaf()),),
                llm=models,
                tts=(Candidate("none", Voiceless()),),
            ),
            tools=RehearsedTools(tools, self._given(definition)),
        )

    def _choices(self, definition: AgentDefinition) -> Sequence[ProviderChoice]:
        own = self._scenario.llm if definition.name == self._first else None
        chosen = own or (definition.tests.llm if definition.tests else None) or definition.llm
        if chosen is None:
            raise AgentdError("it has a realtime model, which takes no text conversation")
        return (chosen, *chosen.fallback)

    async def _model(self, choice: ProviderChoice) -> Candidate[Any]:
        model = await self._providers.acquire(choice)
        self._held.append(choice)
        offline = self._registry.find(choice.kind, choice.provider).offline
        return Candidate(choice.provider, model if offline else Worldly(model))

    def _given(self, definition: AgentDefinition) -> Mapping[str, Any]:
        tests: AgentTests | None = definition.tests
        return {**(tests.tools if tests else {}), **self._scenario.tools}


class _Conversation:
    def __init__(self, equipment: Equipment, agents: Cast, scenario: Scenario, journal: Journal) -> None:
        self._scenario = scenario
        self._records: list[Record] = []
        self._open_calls: set[str] = set()
        self._room = TextRoom()
        self._session = Session(
            SessionSetup(
                id="test",
                definition=equipment.definition,
                providers=equipment.providers,
                tools=equipment.tools,
                agents=agents,
                room=self._room,
                journal=journal,
                room_name="test",
                variables=scenario.variables,
                observe=self._observe,
            )
        )

    async def turns(self) -> AsyncIterator[tuple[int, str, str]]:
        """What is not as it should be: number of the turn, setting, words."""
        talk = asyncio.create_task(self._session.run())
        try:
            for number, turn in enumerate(self._scenario.turns):
                async for setting, said in self._turn(turn, talk, first=number == 0):
                    yield number, setting, said
            if not talk.done():
                self._room.leave()
                await asyncio.wait([talk], timeout=TURN_S)
        finally:
            await cancel_and_wait(talk)

    async def _turn(
        self, turn: ScenarioTurn, talk: asyncio.Task[str], *, first: bool
    ) -> AsyncIterator[tuple[str, str]]:
        mark = 0 if first else len(self._records)
        if turn.wait:
            await asyncio.wait([talk], timeout=turn.wait)
        if turn.say is not None:
            await self._at_rest(talk)
            mark = len(self._records)
            if talk.done():
                yield "", f'the call had ended before "{turn.say}" could be said'
                return
            self._room.type(turn.say)
        if not await self._at_rest(talk):
            yield "", f"the agent did not come to rest within {TURN_S:.0f} s"
        if talk.done() and (error := talk.exception()) is not None:
            yield "", f"the session failed: {type(error).__name__}: {error}"
        for found in unmet(turn.expect, observed(self._records[mark:])):
            yield found

    async def _at_rest(self, talk: asyncio.Task[str]) -> bool:
        """Once the agent has listened for a while and waits for no tool, or the call is over. False: it never does."""
        deadline, quiet_since = now() + TURN_S, now()
        while not talk.done() and now() - quiet_since < QUIET_S:
            if now() > deadline:
                return False
            await asyncio.sleep(POLL_S)
            if self._room.state != "listening" or self._open_calls:
                quiet_since = now()
        return True

    def _observe(self, record: Record) -> None:
        self._records.append(record)
        if record.kind == "tool.called":
            self._open_calls.add(str(record.data["id"]))
        elif record.kind in ("tool.completed", "tool.detached"):
            self._open_calls.discard(str(record.data["id"]))

    def lines(self) -> Sequence[str]:
        return [line for record in self._records if (line := _line(record))]


def _line(record: Record) -> str:
    data = record.data
    match record.kind:
        case "turn.user":
            return f"caller: {data['text']}"
        case "turn.agent" if data["text"]:
            return f"agent: {data['text']}"
        case "tool.called":
            return f"tool: {data['name']}({data['arguments']})"
        case "tool.completed":
            return f"tool: {data['name']} -> {data['content']}"
        case "handoff":
            return f"handoff: {data['to']}"
        case "session.ended":
            return f"end: {data['reason']}"
    return ""
