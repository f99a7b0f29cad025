"""A realtime model in virtual time: it keeps a conversation, hears sample values, and says what its script tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agentd.aio import Channel
from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import ProviderError, ProviderRefused
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult, Usage
from agentd.providers.realtime import (
    AddItem,
    CallMade,
    CancelResponse,
    Command,
    CommandRefused,
    CommitSound,
    Configuration,
    Configure,
    ItemBegun,
    RealtimeEvent,
    RealtimeSettings,
    RemoveItem,
    Respond,
    ResponseEnded,
    SoundMade,
    SpeechBegan,
    SpeechStopped,
    TruncateItem,
    UtteranceKept,
    UtteranceWords,
    WordsMade,
)
from tests.fakes.call import definition
from tests.fakes.providers import CHARS_PER_S

Step = str | ToolCall | float | ProviderError  # words, a call, seconds to wait, a failure
SILENCE_S = 0.5


def realtime_agent(**changes: Any) -> AgentDefinition:
    choice = ProviderChoice(kind="realtime", provider="fake", settings=RealtimeSettings(), digest="realtime-1")
    return definition(**{"stt": None, "llm": None, "tts": None, "realtime": choice, **changes})


@dataclass
class FakeRealtime:
    """`script`: what is said to the conversation as (role, text). `words_s`: how long a transcript takes, by text."""

    script: Callable[[list[tuple[str, str]]], Iterable[Step]] = lambda told: ["Fine."]
    texts: dict[int, str | None] = field(default_factory=dict)  # by sample value; None: no transcript
    words_s: float = 0.1
    first_s: float = 0.1
    onset_s: float = 0.0  # how late it tells that speech has begun
    refusals: list[ProviderError] = field(default_factory=list)  # of connections
    refuses: list[type[Any]] = field(default_factory=list)  # each one command of this kind
    connections: list[FakeConnection] = field(default_factory=list)
    sample_rate_hz: int = OUTPUT_HZ

    async def connect(self, configuration: Configuration) -> FakeConnection:
        await asyncio.sleep(0.05)
        if self.refusals:
            raise self.refusals.pop(0)
        self.connections.append(FakeConnection(self, configuration))
        return self.connections[-1]

    async def aclose(self) -> None:
        pass

    @property
    def now(self) -> FakeConnection:
        return self.connections[-1]


@dataclass
class FakeConnection:
    model: FakeRealtime
    configuration: Configuration
    items: dict[str, ChatItem] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    refused: list[Command] = field(default_factory=list)
    sounds: dict[str, float] = field(default_factory=dict)
    closed: bool = False

    def __post_init__(self) -> None:
        self._events: Channel[RealtimeEvent | ProviderError] = Channel(100_000)
        self._values: dict[int, None] = {}
        self._heard_s = self._last_s = 0.0
        self._speaking = False
        self._made = 0
        self._answers: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def told(self) -> list[tuple[str, str]]:
        shown = []
        for item in self.items.values():
            match item:
                case Message(role=role, text=text):
                    shown.append((role, text))
                case ToolCall(name=name):
                    shown.append(("call", name))
                case ToolResult(content=content):
                    shown.append(("result", content))
        return shown

    def of(self, kind: type[Any]) -> list[Any]:
        return [command for command in self.commands if isinstance(command, kind)]

    def lose(self, error: ProviderError) -> None:
        self._events.force(error)

    # The connection.

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        async for event in self._events:
            if isinstance(event, ProviderError):
                raise event
            yield event

    async def aclose(self) -> None:
        self.closed = True
        for task in list(self._tasks):
            task.cancel()

    async def hear(self, frame: AudioFrame) -> None:
        value = int.from_bytes(frame.data[:2], "little")
        if self.configuration.detects_turns:
            self._detect(value, frame.duration_s)
        for found in dict.fromkeys(int(v) for v in frame.array() if v):
            self._values[found] = None
        self._heard_s += frame.duration_s

    def _detect(self, value: int, seconds: float) -> None:
        if value and not self._speaking:
            self._speaking = True
            if self.model.onset_s:
                self._start(self._tell_onset(self._heard_s))
            else:
                self._events.force(SpeechBegan(self._heard_s))
        if value:
            self._last_s = self._heard_s + seconds
        elif self._speaking and self._heard_s + seconds - self._last_s >= SILENCE_S:
            self._speaking = False
            self._events.force(SpeechStopped(self._last_s))
            self._keep()

    async def _tell_onset(self, at_s: float) -> None:
        await asyncio.sleep(self.model.onset_s)
        self._events.force(SpeechBegan(at_s))

    def _keep(self) -> None:
        text = " ".join(self.model.texts.get(value) or "" for value in self._values).strip()
        known = all(self.model.texts.get(value) is not None for value in self._values)
        self._values.clear()
        item = self._name()
        self.items[item] = Message(role="user", text=text)
        self._events.force(UtteranceKept(item))
        self._start(self._write(item, text if known else None))

    async def _write(self, item: str, text: str | None) -> None:
        await asyncio.sleep(self.model.words_s)
        self._events.force(UtteranceWords(item=item, text=text, final=True))

    async def send(self, command: Command) -> None:
        self.commands.append(command)
        refuses = type(command) in self.model.refuses
        if refuses:
            self.model.refuses.remove(type(command))
        if refuses or not self._obey(command):
            self.refused.append(command)
            self._events.force(CommandRefused(command=command, error=ProviderRefused("fake", "not possible")))
        await asyncio.sleep(0)  # an answer has begun before it can be cancelled

    def _obey(self, command: Command) -> bool:
        match command:
            case Configure(configuration):
                self.configuration = configuration
            case AddItem(id=name, item=item, after=after):
                if name in self.items or (after is not None and after not in self.items):
                    return False
                names = list(self.items)
                names.insert(0 if after is None else names.index(after) + 1, name)
                known = {**self.items, name: item}
                self.items = {each: known[each] for each in names}
            case RemoveItem(name):
                return self.items.pop(name, None) is not None
            case TruncateItem(id=name, heard_s=heard_s):
                if name not in self.items or heard_s > self.sounds.get(name, 0.0) + 1e-6:
                    return False
                self.items[name] = Message(role="assistant", text=f"[{heard_s:.1f} s]")
            case CommitSound():
                if not self._values:
                    return False
                self._keep()
            case Respond(response=name, apart=apart):
                if any(not key.startswith("-") for key in self._answers) and not apart:
                    return False
                key = f"-{name}" if apart else name
                self._answers[key] = self._start(self._answer(command, key))
            case CancelResponse(name):
                for key in (name, f"-{name}"):
                    if key in self._answers:
                        self._answers[key].cancel()
        return True

    # The model.

    async def _answer(self, command: Respond, key: str) -> None:
        error: ProviderError | None = None
        try:
            await asyncio.sleep(self.model.first_s)
            for step in self._script(command):
                if isinstance(step, ProviderError):
                    error = step
                    break
                await self._say(command, step)
        except asyncio.CancelledError:
            error = None
        self._answers.pop(key, None)
        usage = Usage(prompt_tokens=20, completion_tokens=10, cached_tokens=5)
        self._events.force(ResponseEnded(response=command.response, usage=usage, error=error))

    def _script(self, command: Respond) -> Iterable[Step]:
        said = (command.instructions or "").partition("<say>")[2].partition("</say>")[0]
        if said and command.apart:
            return [said]
        extra = [("system", command.instructions)] if command.instructions else []
        return self.model.script([*self.told, *extra])

    async def _say(self, command: Respond, step: str | ToolCall | float) -> None:
        if isinstance(step, float):
            await asyncio.sleep(step)
            return
        item, about = self._name(), {"response": command.response}
        if not command.apart:
            self.items[item] = step if isinstance(step, ToolCall) else Message(role="assistant", text=step)
        if isinstance(step, ToolCall):
            self._events.force(CallMade(**about, item=item, call=step))
            return
        self._events.force(ItemBegun(**about, item=item))
        for number, word in enumerate(step.split(" ")):
            text = word if number == 0 else f" {word}"
            self._events.force(WordsMade(**about, item=item, text=text))
            if self.configuration.speaks:
                seconds = len(text) / CHARS_PER_S
                self.sounds[item] = self.sounds.get(item, 0.0) + seconds
                frame = AudioFrame(b"\1\0" * round(seconds * OUTPUT_HZ), OUTPUT_HZ)
                self._events.force(SoundMade(**about, item=item, frame=frame))
            await asyncio.sleep(0.01)

    def _name(self) -> str:
        self._made += 1
        return f"model_{self._made}"

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def answers(*steps: Step | list[Step]) -> Callable[[list[tuple[str, str]]], Iterable[Step]]:
    """A model that answers these in turn, the last one again and again."""
    left = list(steps)

    def script(told: list[tuple[str, str]]) -> Iterable[Step]:
        step = left.pop(0) if len(left) > 1 else left[0]
        return step if isinstance(step, list) else [step]

    return script
