"""Stand-ins for what a worker and a supervisor are made of: providers, tools, rooms, sessions, registrations, files."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from agentd.aio import now
from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.config.busy import BusyStep
from agentd.config.definition import AgentDefinition, Limits
from agentd.config.load import Loaded
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import Problem, ProviderRefused
from agentd.providers.tts import SpeechChunk
from agentd.registry import Component, Plugin, Registry
from agentd.runtime.messages import StartJob
from agentd.runtime.prepared import PreparedAgents
from agentd.runtime.status import Measure
from agentd.session.callbacks import Delivery
from agentd.session.happenings import Happenings
from agentd.session.setup import SessionSetup
from agentd.tools.acts import Act, CancelSpeech, EndSession, GenerateReply, InterruptSpeech, SayText
from agentd.tools.spec import LateAnswer
from agentd.transport.protocol import Accept, Assignment, Decline, Job, JobOffer, LoadReport, agent_identity
from tests.fakes.room import FakeRoom


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSettings:
    """`refuse`: the factory says so; `crash`: the factory ends its process."""

    label: str = ""
    refuse: str = ""
    crash: bool = False
    wait_s: float = 0.0


class FakeProvider:
    alive: ClassVar[Counter[str]] = Counter()
    made: ClassVar[Counter[str]] = Counter()

    def __init__(self, label: str) -> None:
        self.label = label
        FakeProvider.alive[label] += 1
        FakeProvider.made[label] += 1

    sample_rate_hz = OUTPUT_HZ
    aligned = False

    async def synthesize(self, segments: AsyncIterator[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        async for _ in segments:
            yield SpeechChunk(segment=0, frame=AudioFrame(b"\x01\x00" * 480, OUTPUT_HZ), last=True)

    async def aclose(self) -> None:
        FakeProvider.alive[self.label] -= 1


async def make_provider(settings: FakeSettings) -> FakeProvider:
    if settings.crash:
        os._exit(3)
    if settings.wait_s:
        await asyncio.sleep(settings.wait_s)
    if settings.refuse:
        raise ProviderRefused("fake", settings.refuse)
    return FakeProvider(settings.label)


def registry() -> Registry:
    components = tuple(
        Component(
            kind=kind,
            provider="fake",
            settings="tests.runtime.parts:FakeSettings",
            factory="tests.runtime.parts:make_provider",
            summary="A stand-in.",
        )
        for kind in ("stt", "llm", "tts", "vad")
    )
    return Registry([Plugin(name="fake", version="0", components=components)])


def choice(kind: Any, settings: FakeSettings = FakeSettings()) -> ProviderChoice:
    return ProviderChoice(kind=kind, provider="fake", settings=settings, digest=repr(settings))


def definition(
    name: str,
    revision: str = "1",
    *,
    llm: FakeSettings = FakeSettings(label="llm"),
    concurrency: int | None = None,
    when_busy: tuple[BusyStep, ...] = (),
) -> AgentDefinition:
    return AgentDefinition(
        name=name,
        instructions=f"You are {name}.",
        stt=choice("stt", FakeSettings(label="stt")),
        llm=choice("llm", llm),
        tts=choice("tts", FakeSettings(label="tts")),
        vad=choice("vad", FakeSettings(label="vad")),
        limits=Limits(concurrency=concurrency),
        when_busy=when_busy,
        source=f"agents.d/{name}.yaml",
        digest=f"{name}-{revision}",
    )


class FakeToolKit:
    """Counts kits that are open, and remembers which agent was opened from which."""

    open_kits = 0

    def __init__(self, root: str) -> None:
        self.root = root
        FakeToolKit.open_kits += 1

    async def open(self, definition: AgentDefinition) -> FakeTools:
        return FakeTools(self)

    async def aclose(self) -> None:
        FakeToolKit.open_kits -= 1


@dataclass
class FakeTools:
    kit: FakeToolKit
    closed: bool = False

    async def aclose(self) -> None:
        self.closed = True


ROOMS: dict[str, FakeRoom] = {}
"""As they were joined last by workers of this process."""


@asynccontextmanager
async def fake_rooms(
    start: StartJob, definition: AgentDefinition, rejoining: Callable[[], None]
) -> AsyncIterator[FakeRoom]:
    """A session stand-in asks nothing of it; the caller who waits for a place is there."""
    room = ROOMS[start.room] = FakeRoom()
    room.link()
    yield room


SPEECH: Mapping[str, Any] = {
    "purpose": "reply",
    "source": "generate_reply",
    "priority": 5,
    "interruptible": True,
    "in_history": True,
    "text": "",
    "instruction": None,
    "user_input": "",
    "end_call": None,
}


class FakeSession:
    """Journals like a session does, and obeys what it is told to say: "crash", "die", "block", "end soon", or words to
    keep."""

    running: ClassVar[dict[str, FakeSession]] = {}
    turn: int | None = None

    def __init__(self, setup: SessionSetup) -> None:
        self.setup = setup
        self._happenings = Happenings(setup.id, setup.definition.name)
        self._reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        self.record("delivered", key=key, text=answer.text)
        return "taken" if token == "right" else "refused"

    async def run(self) -> str:
        FakeSession.running[self.setup.id] = self
        if self.setup.restored is None:
            self.record(
                "session.started",
                agent=self.setup.definition.name,
                revision=self.setup.definition.digest,
                room=self.setup.room_name,
                job_id=self.setup.job_id,
                variables=dict(self.setup.variables),
            )
        else:
            self.record("session.resumed", incarnation=self.setup.incarnation, gap_s=0.0)
        self.record("caller.linked", identity="caller", name="Ann", kind="standard", returned=False)
        self.record("state", state="listening")
        try:
            reason = await self._reason
        finally:
            FakeSession.running.pop(self.setup.id, None)
        self.record("session.ended", reason=reason, duration_s=1.0)
        return reason

    def record(self, kind: str, /, **data: Any) -> None:
        record = self.setup.journal.append(kind, data)
        self.setup.observe(record)
        for event in self._happenings.take(record):
            self.setup.publish(event)

    def do(self, act: Act) -> None:
        match act:
            case EndSession(reason=reason) if not self._reason.done():
                self._reason.set_result(reason)
            case SayText(text=text):
                self._say(text, act.speech)
            case GenerateReply(speech=speech):  # never begins
                self._speech("speech.created", speech, **SPEECH)
            case CancelSpeech(speech=speech):
                self._speech("speech.finished", speech, interrupted=True)
            case InterruptSpeech():
                self.record("decision", rule="operator", action="interrupt", value=None, detail="")

    def look_at_files(self) -> None:
        """It keeps what it has."""

    def _speech(self, kind: str, speech: str, **data: Any) -> None:
        self.record(kind, speech=speech, requested=True, **data)

    def _say(self, text: str, speech: str) -> None:
        if text == "crash":
            self._reason.set_exception(RuntimeError("a fault in the session"))
        elif text == "die":
            os._exit(9)
        elif text == "block":
            time.sleep(30)
        else:
            if text == "end soon":
                asyncio.get_running_loop().call_later(0.5, self.do, EndSession(reason="caller_left"))
            turns = (self.setup.restored.turns if self.setup.restored else 0) + 1
            self.record("turn.user", turn=turns, text=text, rule="silence", value=0.5, delay_s=0.5, source="speech")
            self._speech("speech.finished", speech, interrupted=False)


def fake_agents() -> PreparedAgents:
    return PreparedAgents(registry(), FakeToolKit)


@dataclass
class Files:
    """What the agents' directory says; a test changes it and asks for a reload."""

    agents: dict[str, AgentDefinition] = field(default_factory=dict)
    broken: dict[str, AgentDefinition] = field(default_factory=dict)
    loads: int = 0
    load_s: float = 0.0

    def put(self, *definitions: AgentDefinition) -> None:
        for each in definitions:
            self.broken.pop(each.name, None)
            self.agents[each.name] = each

    def break_(self, name: str) -> None:
        self.broken[name] = self.agents.pop(name)

    def load(self, serving: Mapping[str, str]) -> Loaded:
        self.loads += 1
        if self.load_s:
            time.sleep(self.load_s)
        problems = {each.source: (problem(each.source),) for each in self.broken.values()}
        return Loaded(
            agents=dict(self.agents),
            problems=tuple(one for found in problems.values() for one in found),
            broken={each.source: (each.name,) for each in self.broken.values()},
            problems_by_source=problems,
        )


def problem(source: str) -> Problem:
    return Problem(file=source, line=3, column=1, pointer="/llm", code="unknown-key", message='unknown key "lmm"')


class FakeRegistration:
    """What LiveKit would see of one agent name. A test offers jobs with it."""

    def __init__(self, agent: str, calls: Any, changed: Callable[[bool], None]) -> None:
        self.agent = agent
        self.calls = calls
        self.registered = False
        self.draining = False
        self.renewals = 0
        self.running: list[str] = []
        self.ended: dict[str, str] = {}
        self._changed = changed
        self.jobs_made = 0

    @property
    def worked_at(self) -> float:
        return now()

    async def run(self) -> None:
        self.registered = True
        self._changed(True)
        try:
            await asyncio.Event().wait()
        finally:
            self.registered = False

    def drain(self) -> None:
        self.draining = True

    def renew(self) -> None:
        self.renewals += 1

    def load_changed(self) -> None:
        """The real one reports soon; a test asks `load` itself."""

    def load(self) -> LoadReport:
        load = self.calls.way_in(self.agent).told
        return LoadReport(load=load.load, full=load.full, job_count=0)

    def job_running(self, job_id: str) -> None:
        self.running.append(job_id)

    def job_ended(self, job_id: str, *, error: str = "") -> None:
        self.ended[job_id] = error

    def job(self, **values: Any) -> Job:
        self.jobs_made += 1
        return Job(
            id=f"J-{self.agent}-{self.jobs_made}", agent_name=self.agent, room_name=f"room-{self.jobs_made}", **values
        )

    async def offer(self, job: Job) -> Accept | Decline:
        return await self.calls.offered(self.agent, JobOffer(job=job))  # type: ignore[no-any-return]

    def assign(self, job: Job) -> None:
        identity = agent_identity(job.id)
        self.calls.assigned(self.agent, Assignment(job=job, url="ws://fake", token="job-token", identity=identity))

    async def dispatch(self, **values: Any) -> str | None:
        """A job from its offer to its assignment; the session's id, or None when it was declined."""
        job = self.job(**values)
        if isinstance(await self.offer(job), Decline):
            return None
        self.assign(job)
        session = self.calls.table.of_job(job.id)
        return session.id if session else None


@dataclass
class Counted:
    """A MeasureSink that adds up."""

    totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    lasts: dict[str, float] = field(default_factory=dict)

    def apply(self, measure: Measure) -> None:
        self.lasts[measure.name] = measure.value
        key = (measure.name, tuple(sorted(measure.labels.items())))
        self.totals[key] = self.totals.get(key, 0.0) + measure.value

    def last(self, name: str) -> float:
        """Of a gauge."""
        return self.lasts[name]

    def of(self, name: str, **labels: str) -> float:
        wanted = labels.items()
        return sum(v for (n, held), v in self.totals.items() if n == name and wanted <= dict(held).items())


def revised(files: Files, name: str, revision: str, **changes: Any) -> AgentDefinition:
    """Edits an agent's file."""
    changed = replace(files.agents[name], digest=f"{name}-{revision}", **changes)
    files.put(changed)
    return changed


def labels_alive() -> Mapping[str, int]:
    return {label: count for label, count in FakeProvider.alive.items() if count}
