"""A room without LiveKit, for `agentd console`: a file or a microphone for ears, a file or a loudspeaker for a mouth,
and the terminal for text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from agentd.aio import now
from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, silence
from agentd.runtime.pair_room import PairRoom
from agentd.tools.spec import Caller

FRAME_S = 0.032  # the VAD's window
QUEUE_S = 0.1


class Sink(Protocol):
    """Where the agent's sound goes. `play` gets it in real time, silence included."""

    def play(self, frame: AudioFrame) -> None: ...


class PacedOut:
    """Sound that leaves at the speed of speech, as from a room: `run` moves it to the sinks."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._queue = bytearray()
        self._room_for_more = asyncio.Event()
        self._room_for_more.set()

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def queued_s(self) -> float:
        return len(self._queue) / 2 / OUTPUT_HZ

    async def write(self, frame: AudioFrame) -> None:
        await self._room_for_more.wait()
        self._queue += frame.data
        if self.queued_s >= QUEUE_S:
            self._room_for_more.clear()

    def clear(self) -> None:
        self._queue.clear()
        self._room_for_more.set()

    async def run(self) -> None:
        """Every 20 ms: 20 ms of what is queued, filled up with silence."""
        size = round(0.02 * OUTPUT_HZ) * 2
        due = now()
        while True:
            due += 0.02
            await asyncio.sleep(max(0.0, due - now()))
            data = bytes(self._queue[:size])
            del self._queue[:size]
            if self.queued_s < QUEUE_S:
                self._room_for_more.set()
            for sink in self._sinks:
                sink.play(AudioFrame(data.ljust(size, b"\0"), OUTPUT_HZ))


class ConsoleCaption:
    """Prints words as they are spoken."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._text = ""

    async def write(self, delta: str) -> None:
        self._text += delta

    async def close(self) -> None:
        self._show(self._text.strip())


class ConsoleRoom(PairRoom):
    """One caller at a terminal. `said(who, text)` shows finished lines."""

    def __init__(self, sinks: list[Sink], said: Callable[[str, str], None]) -> None:
        super().__init__("console", Caller(identity="console", name="console"), frames=100)
        self.audio_out = PacedOut(sinks)
        self._said = said

    async def open_caption(self, segment_id: str) -> ConsoleCaption:
        return ConsoleCaption(lambda text: self._said("agent", text))

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        if final:
            self._said("you", text)

    # The caller's side.

    def hear(self, frame: AudioFrame) -> None:
        self._frames.force(frame)

    async def play_in(self, sound: AudioFrame) -> None:
        """The caller says this, in real time. `sound` is at 16 kHz."""
        step = round(FRAME_S * INPUT_HZ) * 2
        due = now()
        for at in range(0, len(sound.data), step):
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - now()))
            self.hear(AudioFrame(sound.data[at : at + step].ljust(step, b"\0"), INPUT_HZ))

    async def silent_until_listening(self, quiet_s: float) -> None:
        """The caller says nothing until the agent has listened for `quiet_s`."""
        listened_s = 0.0
        while listened_s < quiet_s:
            await self.play_in(silence(FRAME_S, INPUT_HZ))
            idle = self.state == "listening" and self.audio_out.queued_s == 0
            listened_s = listened_s + FRAME_S if idle else 0.0
