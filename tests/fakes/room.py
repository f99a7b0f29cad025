"""A room in virtual time: a caller who speaks, types and leaves, and ears for what the agent plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentd.aio import Channel, now
from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame
from agentd.errors import ToolError, TransferFailed
from agentd.session.room import (
    AgentState,
    CallerLeft,
    CallerLinked,
    HandAction,
    KeyPressed,
    Number,
    RoomClosed,
    RoomEvent,
    TextReceived,
    TurnByHand,
    VoiceUnheard,
)
from agentd.tools.spec import Caller, RoomView

FRAME_SAMPLES = 512
QUEUE_S = 0.1


def _open_way() -> asyncio.Event:
    way = asyncio.Event()
    way.set()
    return way


@dataclass
class FakeAudioOut:
    """Plays in real (virtual) time; `played` holds (begin, end, sample value) of every stretch that was heard."""

    sample_rate_hz: int = OUTPUT_HZ
    played: list[tuple[float, float, int]] = field(default_factory=list)
    ends_at: float = 0.0
    way: asyncio.Event = field(default_factory=_open_way)

    async def write(self, frame: AudioFrame) -> None:
        await self.way.wait()
        while self.queued_s > QUEUE_S + 1e-6:
            await asyncio.sleep(self.queued_s - QUEUE_S)
        begin = max(now(), self.ends_at)
        self.ends_at = begin + frame.duration_s
        value = int.from_bytes(frame.data[:2], "little")
        self.played.append((begin, self.ends_at, value))

    @property
    def queued_s(self) -> float:
        left = self.ends_at - now()
        return left if left > 1e-6 else 0.0

    def clear(self) -> None:
        at = now()
        self.played = [(begin, min(end, at), value) for begin, end, value in self.played if begin < at]
        self.ends_at = min(self.ends_at, at)

    def heard_s(self) -> float:
        return sum(end - begin for begin, end, _ in self.played)


@dataclass
class FakeCaption:
    text: str = ""
    closed: bool = False

    async def write(self, delta: str) -> None:
        self.text += delta

    async def close(self) -> None:
        self.closed = True


class FakePhone:
    """Rings for `rings_s`. `refuses`: why nobody is reached; `asides`: what guests alone have heard."""

    def __init__(self, *, rings_s: float = 2.0, refuses: str = "", keys: str = "") -> None:
        self.rings_s, self.refuses, self.keys = rings_s, refuses, list(keys)
        self.done: list[tuple[str, ...]] = []
        self.asides: dict[str, FakeAudioOut] = {}

    async def refer(self, identity: str, number: Number) -> None:
        await self._ring()
        self.done.append(("referred", identity, number.to))

    async def ring(self, number: Number, name: str) -> str:
        await self._ring()
        self.done.append(("rang", number.to, number.trunk))
        return "guest"

    async def aside(self, guest: str) -> FakeAudioOut:
        return self.asides.setdefault(guest, FakeAudioOut())

    async def pressed(self, guest: str) -> str:
        await asyncio.sleep(1.0 if self.keys else 1_000.0)
        return self.keys.pop(0)

    async def introduce(self, guest: str) -> None:
        self.done.append(("introduced", guest))

    async def hang_up(self, guest: str) -> None:
        self.done.append(("hung up", guest))

    async def _ring(self) -> None:
        await asyncio.sleep(self.rings_s)
        if self.refuses:
            raise TransferFailed(self.refuses)


@dataclass
class FakeFrontEnd:
    """Answers `answers[method]`, or raises it; keeps what was asked and sent."""

    answers: dict[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    sent: list[tuple[bytes, str, tuple[str, ...]]] = field(default_factory=list)

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        self.asked.append((identity, method, payload))
        answer = self.answers.get(method, ToolError("the caller's front end does not offer it"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, data: bytes, topic: str, identities: Sequence[str]) -> None:
        self.sent.append((data, topic, tuple(identities)))


@dataclass
class FakeRoomControl:
    """Keeps what hooks did to whom; `refuses`: why nothing can be done. `seen`: what they see."""

    seen: RoomView = field(default_factory=lambda: RoomView(name="room-1"))
    done: list[tuple[str, object, object]] = field(default_factory=list)
    refuses: str = ""

    def view(self) -> RoomView:
        return self.seen

    async def set_attributes(self, attributes: Mapping[str, str], identity: str) -> None:
        self._do("attributes", dict(attributes), identity)

    async def set_metadata(self, metadata: str, identity: str) -> None:
        self._do("metadata", metadata, identity)

    async def send_text(self, text: str, topic: str, identities: Sequence[str]) -> None:
        self._do(f"text {topic}", text, tuple(identities))

    def _do(self, what: str, value: object, whom: object) -> None:
        if self.refuses:
            raise ToolError(self.refuses)
        self.done.append((what, value, whom))


class FakeRoom:
    def __init__(self) -> None:
        self.phone: FakePhone | None = None
        self.audio_out = FakeAudioOut()
        self.states: list[tuple[float, AgentState]] = []
        self.captions: dict[str, FakeCaption] = {}
        self.user_captions: list[tuple[str, str, bool]] = []
        self.captioned: list[tuple[str, str, bool]] = []  # whose, text, final
        self.ended: str | None = None
        self.callers_program = FakeFrontEnd()
        self.control = FakeRoomControl()
        self.offered: dict[str, Callable[[str, str, str], str]] = {}
        self.pressed: list[str] = []
        self._frames: dict[str, Channel[AudioFrame]] = {}
        self._events: Channel[RoomEvent] = Channel(100)

    # What the session uses.

    def audio_in(self, identity: str = "") -> AsyncIterator[AudioFrame]:
        return aiter(self._sound_of(identity))

    def events(self) -> AsyncIterator[RoomEvent]:
        return aiter(self._events)

    def offer(self, methods: Sequence[str], answer: Callable[[str, str, str], str]) -> None:
        self.offered = dict.fromkeys(methods, answer)

    @property
    def front_end(self) -> FakeFrontEnd:
        return self.callers_program

    async def set_state(self, state: AgentState) -> None:
        self.states.append((now(), state))

    async def open_caption(self, segment_id: str) -> FakeCaption:
        return self.captions.setdefault(segment_id, FakeCaption())

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        self.user_captions.append((segment_id, text, final))
        self.captioned.append((identity, text, final))

    async def send_keys(self, keys: str) -> None:
        self.pressed.append(keys)

    async def end(self, *, delete: bool) -> None:
        self.ended = "deleted" if delete else "left"

    def _sound_of(self, identity: str) -> Channel[AudioFrame]:
        return self._frames.setdefault(identity, Channel(10_000))

    # What the caller does, or somebody by identity.

    def link(
        self,
        *,
        returned: bool = False,
        outbound: bool = False,
        attributes: Mapping[str, str] | None = None,
        identity: str = "caller",
        name: str = "",
    ) -> None:
        caller = Caller(identity=identity, name=name, attributes=attributes or {})
        self._events.force(CallerLinked(caller=caller, returned=returned, outbound=outbound))

    def leave(self, *, final: bool = True, identity: str = "caller") -> None:
        self._events.force(CallerLeft(identity=identity, reason="CLIENT_INITIATED", final=final))

    def tell(self, event: RoomEvent) -> None:
        self._events.force(event)

    def type(self, text: str, identity: str = "caller") -> None:
        self._events.force(TextReceived(text=text, identity=identity))

    def push(self, keys: str, identity: str = "caller") -> None:
        """The caller presses these keys of their telephone."""
        for key in keys:
            self._events.force(KeyPressed(key=key, identity=identity))

    def press(self, action: HandAction, identity: str = "caller") -> None:
        self._events.force(TurnByHand(action=action, identity=identity))

    def lose_voice(self, seconds: float = 0.0) -> None:
        """Nobody hears the agent, and has not for the last seconds, until `regain_voice`. What is queued is lost."""
        at = now() - seconds
        out = self.audio_out
        out.way.clear()
        out.played = [(begin, min(end, at), value) for begin, end, value in out.played if begin < at]
        self._events.force(VoiceUnheard(seconds=seconds))

    def regain_voice(self) -> None:
        self.audio_out.way.set()

    def close(self, reason: str = "room_deleted") -> None:
        self._events.force(RoomClosed(reason=reason))

    def hear(self, frame: AudioFrame, identity: str = "") -> None:
        self._sound_of(identity).force(frame)

    async def speak(self, value: int, seconds: float, identity: str = "") -> None:
        """Sound whose samples are `value`; 0 is silence. Takes its time."""
        data = value.to_bytes(2, "little") * FRAME_SAMPLES
        for _ in range(round(seconds * INPUT_HZ / FRAME_SAMPLES)):
            await asyncio.sleep(FRAME_SAMPLES / INPUT_HZ)
            self.hear(AudioFrame(data, INPUT_HZ), identity)

    async def silent(self, seconds: float, identity: str = "") -> None:
        await self.speak(0, seconds, identity)
