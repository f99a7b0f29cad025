"""The same items without a server and in virtual time: a whole session with the real detectors of voice, words and
turns, heard by the same caller and judged by the same rules. Of agentd alone.

Seconds of a call take tens of milliseconds, and nothing else on the machine changes a figure, so rules can be tried on
many seeds. What it leaves out: LiveKit's transport (153 ms of every delay), codecs, and the time that models take:
the recogniser answers `words_s` after an utterance, whatever the processor is doing. What a real line does to an echo
is in it: frames come unevenly, and jitter buffers make its way longer in mid-call.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agentd.aio import now
from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, resample
from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.load import load
from agentd.loadtest.heard import EAR_PIECE, Heard
from agentd.loadtest.microphone import EAR_HZ, MIC_HZ, Echo, EchoPath
from agentd.providers.llm import ChatRequest, Message, TextDelta
from agentd.registry import installed
from agentd.session.records import Record
from bench.turn_taking.corpus import Item
from bench.turn_taking.judge import judge
from bench.turn_taking.kept import KeptModels
from bench.turn_taking.phrases import STORIES
from bench.turn_taking.scenario import follow
from bench.turn_taking.sounds import Take
from bench.turn_taking.subjects import Agentd
from bench.turn_taking.table import Record as Judged
from bench.turn_taking.timeline import Timeline
from tests.fakes.call import calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import Answer
from tests.fakes.room import FakeAudioOut, FakeCaption, FakeRoom

FRAME_SAMPLES = 1024  # 64 ms, as a room's
FRAME_S = FRAME_SAMPLES / INPUT_HZ
TRANSPORT_S = 0.15  # of an echo's way: from the agent to the caller and back
UNEVEN_S = 0.06
"""By which frames come later than others where there is an echo, whose delay is hard to tell by it: as through a real
server on a busy machine."""

LONGER_S = 0.03  # by which the way of an echo grows when a jitter buffer runs dry
LONGER_EVERY_S = 4.0
LONGEST_CALL_S = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item's verdict, what the caller noticed, and what the session recorded, by its time."""

    judged: Judged
    seen: Timeline
    records: tuple[tuple[float, Record], ...]

    @property
    def spoken_s(self) -> float:
        """Of what the voice activity detector took for speech."""
        return float(sum(record.data["duration_s"] for _, record in self.records if record.kind == "speech.ended"))

    def __str__(self) -> str:
        """What went on from the moment at which the caller did it, with the rules behind it."""
        verdict, zero = self.judged.verdict, self.seen.doing[0] if self.seen.doing else 0.0
        lines = [f"{at - zero:5.2f} {line}" for at, r in self.records if at > zero - 0.2 for line in _told(r)]
        head = f"  {self.judged.subject} {self.judged.item.id}: {verdict.outcome}: {verdict.why}"
        return "\n        ".join([head, *lines])


def _told(record: Record) -> list[str]:
    data = record.data
    match record.kind:
        case "speech.started" | "speech.ended":
            return [record.kind]
        case "transcript":
            return [f'heard "{data["text"]}"']
        case "turn.judged" | "interruption.judged":
            return [f"{record.kind} {data['probability']}"]
        case "turn.user":
            return [f'turn "{data["text"]}" by {data["rule"]} ({data["value"]})']
        case "decision" if data["action"] in ("PauseSpeech", "ResumeSpeech", "Interrupt", "Ignore"):
            return [f"{data['action']} by {data['rule']} ({data['value']})"]
        case "echo":
            return [f"echo {dict(data)}"]
    return []


@dataclass(frozen=True, slots=True)
class _Caption:
    at: float
    sender: str
    text: str
    chunk: str = "new"


@dataclass(frozen=True, slots=True)
class _State:
    at: float
    state: str


@dataclass
class _Loudspeaker(FakeAudioOut):
    """Keeps what is played, at the moment at which it is."""

    samples: np.ndarray = field(default_factory=lambda: np.zeros(LONGEST_CALL_S * OUTPUT_HZ, np.int16))

    async def write(self, frame: AudioFrame) -> None:
        await super().write(frame)
        first = round((self.ends_at - frame.duration_s) * OUTPUT_HZ)
        sound = frame.array()[: max(0, len(self.samples) - first)]
        self.samples[first : first + len(sound)] = sound

    def clear(self) -> None:
        super().clear()
        self.samples[round(now() * OUTPUT_HZ) :] = 0


class SoundingRoom(FakeRoom):
    """Tells the caller what a front end would show."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_out: _Loudspeaker = _Loudspeaker()
        self.shown: list[_Caption] = []

    async def open_caption(self, segment_id: str) -> FakeCaption:
        caption = _Shown(self.shown)
        self.captions[segment_id] = caption
        return caption

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        self.shown.append(_Caption(now(), "caller", text))


class _Shown(FakeCaption):
    def __init__(self, shown: list[_Caption]) -> None:
        super().__init__()
        self._shown = shown

    async def write(self, delta: str) -> None:
        await super().write(delta)
        self._shown.append(_Caption(now(), "agent", self.text))


class OfflineCaller:
    """What `agentd.loadtest.caller.Caller` is in a room, for `scenario.follow`."""

    identity = "caller"

    def __init__(self, room: SoundingRoom) -> None:
        self._room = room
        self._sound: deque[tuple[np.ndarray, asyncio.Future[float] | None, asyncio.Future[float] | None]] = deque()
        self._echo: EchoPath | None = None
        self._longer_at = LONGER_EVERY_S
        self._uneven = np.random.default_rng(0)
        self._pieces = 0  # of 10 ms, heard
        self.heard = Heard()

    @property
    def captions(self) -> list[_Caption]:
        return self._room.shown

    @property
    def states(self) -> list[_State]:
        return [_State(at, state) for at, state in self._room.states]

    def echo(self, echo: Echo | None) -> None:
        self._echo = EchoPath(replace(echo, delay_s=echo.delay_s + TRANSPORT_S)) if echo else None

    async def say(self, samples: np.ndarray) -> tuple[float, float]:
        sound = resample(AudioFrame(samples.astype(np.int16).tobytes(), MIC_HZ), INPUT_HZ).array()
        padded = np.pad(sound, (0, -len(sound) % FRAME_SAMPLES))
        loop = asyncio.get_running_loop()
        began, ended = loop.create_future(), loop.create_future()
        frames = padded.reshape(-1, FRAME_SAMPLES)
        for number, frame in enumerate(frames):
            self._sound.append((frame, None if number else began, ended if number == len(frames) - 1 else None))
        return await began, await ended - (len(padded) - len(sound)) / INPUT_HZ

    def hush(self) -> None:
        while self._sound:
            for future in self._sound.popleft()[1:]:
                _resolve(future)

    async def until(self, ready: Callable[[], object], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not ready():
                await asyncio.sleep(0.02)

    async def hears_after(self, at: float, timeout_s: float = 10.0) -> float:
        await self.until(lambda: self.heard.sound_after(at) is not None, timeout_s)
        found = self.heard.sound_after(at)
        assert found is not None
        return found

    async def live(self) -> None:
        """Frame after frame: what is said and what comes back goes out, what was played is heard."""
        ends = now()
        while True:
            frame, began, ended = self._sound.popleft() if self._sound else (np.zeros(FRAME_SAMPLES), None, None)
            since, ends = ends, ends + FRAME_S
            _resolve(began)
            late_s = self._uneven.uniform(0, UNEVEN_S) if self._echo else 0.0
            await asyncio.sleep(ends + late_s - now())
            mixed = np.clip(frame + self._echoed(since), -32768, 32767).astype("<i2")
            self._room.hear(AudioFrame(mixed.tobytes(), INPUT_HZ))
            self._hear(now())
            _resolve(ended)

    def _echoed(self, since: float) -> np.ndarray:
        if self._echo is None:
            return np.zeros(FRAME_SAMPLES)
        if since >= self._longer_at:
            self._longer_at += LONGER_EVERY_S
            self._echo.delay(LONGER_S)
        self._echo.push(self._room.audio_out.samples[round(since * EAR_HZ) :][: round(FRAME_S * EAR_HZ)])
        return self._echo.pull(round(FRAME_S * MIC_HZ)).reshape(FRAME_SAMPLES, -1).mean(axis=1)

    def _hear(self, until: float) -> None:
        for number in range(self._pieces, int(until * EAR_HZ / EAR_PIECE + 1e-6)):
            piece = self._room.audio_out.samples[number * EAR_PIECE : (number + 1) * EAR_PIECE]
            if len(piece) == EAR_PIECE:
                self.heard.add((number + 1) * EAR_PIECE / EAR_HZ, piece)
            self._pieces = number + 1


def _resolve(future: asyncio.Future[float] | None) -> None:
    if future is not None and not future.done():
        future.set_result(now())


def definition_of(who: Agentd) -> AgentDefinition:
    """Raises ValueError for an agent file with errors."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench.yaml").write_text(who.file)
        result = load(Path(folder), DaemonConfig(), installed(), {})
    if result.errors:
        raise ValueError("\n".join(map(str, result.errors)))
    return next(iter(result.agents.values()))


def _answer(request: ChatRequest) -> Answer:
    """The first, second ... answer to the caller's first, second ... turn."""
    turns = sum(isinstance(item, Message) and item.role == "user" for item in request.items)
    return [TextDelta(STORIES[(max(1, turns) - 1) % len(STORIES)])]


def measure(
    who: Agentd, items: Sequence[Item], takes: dict[str, tuple[Take, Take | None]], models: KeptModels
) -> list[Outcome]:
    agent = definition_of(who)
    return [run_virtual(_one(who.name, agent, item, *takes[item.id], models)) for item in items]


async def _one(
    name: str, agent: AgentDefinition, item: Item, take: Take, question: Take | None, models: KeptModels
) -> Outcome:
    records: list[tuple[float, Record]] = []
    room = SoundingRoom()
    async with AsyncExitStack() as stack:
        call = await stack.enter_async_context(
            calling(
                agent=agent,
                room=room,
                script=_answer,
                outbound=False,
                observe=lambda record: records.append((now(), record)),
                **models.providers(agent),
            )
        )
        call.llm.first_token_s = 0.0
        caller = OfflineCaller(room)
        living = asyncio.ensure_future(caller.live())
        stack.callback(living.cancel)
        seen = await follow(caller, item, take, question)
    return Outcome(Judged(subject=name, item=item, verdict=judge(item, seen)), seen, tuple(records))
