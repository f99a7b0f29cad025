"""A whole session over fakes, in virtual time."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentd.config.definition import AgentDefinition, Greeting, Limits
from agentd.config.provider_choice import ProviderChoice
from agentd.config.tools import ToolOptions
from agentd.config.turns import Turn
from agentd.errors import AgentdError
from agentd.providers.interruption_detector import InterruptionDetector
from agentd.providers.language_id import LanguageIdentifier
from agentd.providers.llm import LLM, LLMSettings, Message, ToolCall, ToolResult, ToolSchema
from agentd.providers.realtime import Realtime
from agentd.providers.stt import STT, STTSettings
from agentd.providers.tts import TTS, TTSSettings
from agentd.providers.turn_detector import TurnDetector
from agentd.providers.vad import VAD, VADSettings
from agentd.session.journal import Journal
from agentd.session.rates import Rates
from agentd.session.records import Record
from agentd.session.restore import Restored
from agentd.session.session import Session
from agentd.session.setup import Agents, Audit, Candidate, Equipment, NoAgents, Providers, SessionSetup, unaudited
from agentd.session.trials import Trials
from agentd.tools.spec import Event, HookOutcome, LateAnswer, RunnableTool, ToolContext, ToolOutcome
from tests.fakes.providers import FakeLLM, FakeSTT, FakeTTS, FakeVAD, says
from tests.fakes.room import FakeRoom


def definition(**changes: Any) -> AgentDefinition:
    """An agent on fakes with livekit-agents' defaults."""

    def choice(kind: Any, settings: Any) -> ProviderChoice:
        return ProviderChoice(kind=kind, provider="fake", settings=settings, digest=f"{kind}-1")

    agent = AgentDefinition(
        name="test-agent",
        instructions="Be brief.",
        stt=choice("stt", STTSettings()),
        llm=choice("llm", LLMSettings()),
        tts=choice("tts", TTSSettings()),
        vad=choice("vad", VADSettings()),
        digest="revision-1",
    )
    return replace(agent, **changes)


@dataclass
class FakeTools:
    """Tools by name: `async (ToolContext, arguments) -> ToolOutcome`."""

    run_tool: Mapping[str, Callable[[ToolCall, ToolContext], Any]] = field(default_factory=dict)
    tool_options: Mapping[str, ToolOptions] = field(default_factory=dict)
    ran: list[ToolCall] = field(default_factory=list)
    adopted: Mapping[str, Callable[[ToolCall, ToolContext], Any]] = field(default_factory=dict)
    """Functions of tools that sessions add, by their ref."""
    keys: list[str] = field(default_factory=list)
    hooks: Mapping[str, Callable[[Event, ToolContext], Any]] = field(default_factory=dict)
    """Functions of hooks by their ref: `async (Event, ToolContext) -> HookOutcome | TurnChange | None`."""

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        return tuple(ToolSchema(name=n, description=n, parameters={"type": "object"}) for n in self.run_tool)

    def options(self, name: str) -> ToolOptions:
        return self.tool_options.get(name, ToolOptions())

    def arguments(self, call: ToolCall) -> Mapping[str, Any]:
        value: Mapping[str, Any] = json.loads(call.arguments)
        return value

    def repeatable(self, name: str) -> bool:
        return self.options(name).idempotent

    def read(self, call: ToolCall, answer: LateAnswer) -> ToolOutcome:
        return ToolOutcome(result=ToolResult(call_id=call.id, name=call.name, content=answer.text))

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        self.ran.append(call)
        self.keys.append(context.key)
        answer = await self.run_tool[call.name](call, context)
        if isinstance(answer, ToolOutcome):
            return answer
        return ToolOutcome(result=ToolResult(call_id=call.id, name=call.name, content=str(answer)))

    def adopt(self, told: Mapping[str, Any]) -> RunnableTool:
        """Runs what `adopted` has under its reference."""
        return AdoptedTool(
            ToolSchema(name=told["name"], description="", parameters={"type": "object"}), self, told["ref"]
        )

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.hooks[ref](event, context)
        except TimeoutError:
            return HookOutcome(outcome="timeout", message=f"{ref}: no answer within {timeout_s:g} s")
        except RuntimeError as error:
            return HookOutcome(outcome="error", message=f"{ref}: {error}")
        return answer if isinstance(answer, HookOutcome) else HookOutcome(change=answer)

    async def aclose(self) -> None:
        pass


@dataclass
class AdoptedTool:
    """A tool that a session has added."""

    schema: ToolSchema
    tools: FakeTools
    ref: str
    options: ToolOptions = field(default_factory=ToolOptions)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        answer = await self.tools.adopted[self.ref](call, context)
        return ToolOutcome(result=ToolResult(call_id=call.id, name=call.name, content=str(answer)))


@dataclass
class Call:
    """A running session and everything around it."""

    room: FakeRoom
    session: Session
    stt: FakeSTT
    llm: FakeLLM
    tts: FakeTTS
    tools: FakeTools
    records: list[Record]
    events: list[Event]
    task: asyncio.Task[str]
    journal: Journal

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [record.data for record in self.records if record.kind == kind]

    @property
    def agent_texts(self) -> list[str]:
        return [turn["text"] for turn in self.of("turn.agent")]

    @property
    def user_texts(self) -> list[str]:
        return [turn["text"] for turn in self.of("turn.user")]

    def last_request(self) -> list[tuple[str, str]]:
        """The model's last request as (role, text)."""
        shown = []
        for item in self.llm.requests[-1].items:
            if isinstance(item, Message):
                shown.append((item.role, item.text))
            elif isinstance(item, ToolCall):
                shown.append(("call", item.name))
            else:
                shown.append(("result", item.content))
        return shown

    async def say(self, text: str, seconds: float = 1.0, who: str = "") -> None:
        """The caller says this, or one of several people, and then nothing for 2 s."""
        await self.room.speak(self.learn(text), seconds, who)
        await self.room.silent(2.0, who)

    def learn(self, text: str) -> int:
        """The sample value that the recogniser will take for this text."""
        value = len(self.stt.texts) + 1
        self.stt.texts[value] = text
        return value


@dataclass
class FakeAgents:
    """Other agents, each with a model, a voice and tools of its own; `takes_s`: until one is ready."""

    ready: dict[str, Equipment]
    takes_s: float = 0.0
    serving: dict[str, Equipment] = field(default_factory=dict)
    """What serves under a name since an edit; `refuses`: why it cannot be made, by digest."""
    refuses: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    async def equip(self, name: str) -> Equipment:
        await asyncio.sleep(self.takes_s)
        if name not in self.ready:
            raise AgentdError(f"there is no agent {name}")
        return self.ready[name]

    def newest(self, name: str) -> AgentDefinition | None:
        return self.serving[name].definition if name in self.serving else None

    async def equip_edited(self, definition: AgentDefinition) -> Equipment:
        made = self.serving[definition.name]
        await asyncio.sleep(self.takes_s)
        if why := self.refuses.get(definition.revision):
            raise AgentdError(why)
        return replace(made, definition=definition)

    def runs(self, definition: AgentDefinition) -> None:
        self.running.append(definition.digest)

    async def let_go(self, definition: AgentDefinition) -> None:
        self.released.append(definition.digest)


def equipment(
    agent: AgentDefinition,
    llm: LLM,
    *,
    stt: STT,
    tts: TTS | None = None,
    tools: FakeTools | None = None,
    vad: VAD | None = None,
) -> Equipment:
    """What makes a session this agent."""
    providers = Providers(
        vad=vad or FakeVAD(), stt=_chain(stt, None), llm=_chain(llm, None), tts=_chain(tts or FakeTTS(), None)
    )
    return Equipment(definition=agent, providers=providers, tools=tools or FakeTools())


@asynccontextmanager
async def calling(
    *,
    agent: AgentDefinition | None = None,
    script: Callable[..., Any] | None = None,
    stt: FakeSTT | None = None,
    tts: FakeTTS | None = None,
    tools: FakeTools | None = None,
    fallback_llm: LLM | None = None,
    summary_llm: LLM | None = None,
    fallback_tts: TTS | None = None,
    fallback_stt: STT | None = None,
    agents: Agents | None = None,
    restored: Restored | None = None,
    requested: Mapping[str, Any] | None = None,
    incarnation: int = 1,
    rates: Rates | None = None,
    callback_url: str = "",
    outbound: bool = True,
    link: bool = True,
    languages: Mapping[str, Providers] | None = None,
    language_id: LanguageIdentifier | None = None,
    turn_detector: TurnDetector | None = None,
    interruption_detector: InterruptionDetector | None = None,
    vad: VAD | None = None,
    realtime: Realtime | None = None,
    attributes: Mapping[str, str] | None = None,
    room: FakeRoom | None = None,
    metadata: str = "",
    observe: Callable[[Record], None] = lambda record: None,
    audit: Audit = unaudited,
) -> AsyncIterator[Call]:
    """A call under way; the caller is linked. `outbound`: without the echo warm-up. Cancelled at the end if it still
    runs."""
    agent = agent or definition()
    room = room or FakeRoom()
    stt, tts, tools = stt or FakeSTT(), tts or FakeTTS(), tools or FakeTools()
    llm = FakeLLM(script or says("Fine."))
    records: list[Record] = []
    events: list[Event] = []

    def seen(record: Record) -> None:
        records.append(record)
        observe(record)

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.create(Path(folder) / "call.journal")
        setup = SessionSetup(
            id="S1",
            definition=agent,
            providers=Providers(
                vad=vad or FakeVAD(),
                stt=_chain(stt, fallback_stt),
                llm=_chain(llm, fallback_llm),
                tts=_chain(tts, fallback_tts),
                summary=_chain(summary_llm, None) if summary_llm else (),
                languages=languages or {},
                language_id=language_id,
                turn_detector=turn_detector,
                interruption_detector=interruption_detector,
                realtime=_chain(realtime, None) if realtime else (),
            ),
            tools=tools,
            room=room,
            metadata=metadata,
            job_id="AJ_1",
            journal=journal,
            publish=events.append,
            observe=seen,
            audit=audit,
            agents=agents or NoAgents(),
            restored=restored,
            requested=requested,
            incarnation=incarnation,
            rates=rates or Rates(),
            trials=Trials(),
            callback_url=callback_url,
        )
        session = Session(setup)
        task = asyncio.create_task(session.run())
        if link:
            room.link(outbound=outbound, attributes=attributes)
        await asyncio.sleep(0)
        try:
            yield Call(room, session, stt, llm, tts, tools, records, events, task, journal)
        finally:
            task.cancel()
            await asyncio.wait([task])
            journal.close()
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()  # type: ignore[misc]


def _chain(first: Any, second: Any) -> tuple[Candidate[Any], ...]:
    chain = (Candidate("fake", first),)
    return (*chain, Candidate("spare", second)) if second is not None else chain


__all__ = ["Call", "FakeTools", "Greeting", "Limits", "Turn", "calling", "definition"]
