"""The sound of one reply on its way to the caller: paced, pausable, its position always known.

A segment's sound is kept until it was heard, because a pause drops what is queued and later takes it up again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from agentd.audio import BYTES_PER_SAMPLE, AudioFrame
from agentd.providers.tts import SpeechChunk, TimedWord
from agentd.session.alignment import heard_text, resume_at
from agentd.session.room import AudioOut

FRAME_S = 0.05
"""Sound handed over at once. 10 ms frames cost twice the CPU of 60 to 100 ms ones (performance.md)."""

_CODEC_FRAME_S = 0.01  # a shorter rest would wait in the encoder's buffer for more


class Listener(Protocol):
    """Who wants to know how far the playout is."""

    def audible(self, sounding: bool) -> None:
        """Sound begins to go out; or it has run dry before the reply is finished."""

    def words_heard(self, segment: int, delta: str) -> None:
        """These words of the segment have begun to sound."""

    def segment_heard(self, segment: int, text: str, *, interrupted: bool) -> None:
        """The segment was played to its end, or cut after `text`."""


@dataclass(slots=True)
class _Segment:
    index: int
    text: str
    sound: bytearray = field(default_factory=bytearray)
    words: list[TimedWord] = field(default_factory=list)
    complete: bool = False
    sent: int = 0  # bytes handed over
    shown: str = ""  # the part of the text that was reported as heard
    heard: str = ""  # the same, but for what turned out not to have been heard after all


class Playback:
    """One reply's playout. `begin` and `add` feed it; `run` plays until `finish` and the last sample."""

    def __init__(self, out: AudioOut, listener: Listener, *, pace: float = 1.0) -> None:
        """`pace`: how much faster than usual the voice speaks, for estimates."""
        self._out = out
        self._listener = listener
        self._pace = pace
        self._rate = out.sample_rate_hz
        self._segments: list[_Segment] = []
        self._changed = asyncio.Event()
        self._finished = False
        self._held = False
        self._holds = 0  # counts pauses, so that a write under way knows that it was dropped
        self._audible = False
        self._writing = 0  # bytes of a write under way: they may wait long, for their time or for a way to the caller

    @property
    def idle(self) -> bool:
        """Nothing is playing and nothing waits to be played."""
        return not self._segments and self._out.queued_s <= 0

    def begin(self, index: int, text: str) -> None:
        """A segment will come; its sound is still being made."""
        self._segments.append(_Segment(index, text))

    def extend(self, index: int, text: str) -> None:
        """More words of a segment whose sound and words come side by side."""
        for segment in self._segments:
            if segment.index == index:
                segment.text += text

    def heard_s(self, index: int) -> float | None:
        """Seconds of this segment's sound that were heard; None: all of it, or it has not begun."""
        if not any(segment.index == index for segment in self._segments):
            return None
        return self._heard_bytes()[index] / BYTES_PER_SAMPLE / self._rate

    def add(self, chunk: SpeechChunk) -> None:
        """Takes sound at the output's rate, of a segment that has begun."""
        segment = next((s for s in self._segments if s.index == chunk.segment), None)
        if segment is None:
            return
        segment.sound += chunk.frame.data
        segment.words += chunk.words
        if chunk.last:
            grain = round(_CODEC_FRAME_S * self._rate) * BYTES_PER_SAMPLE
            segment.sound += bytes(-len(segment.sound) % grain)
            segment.complete = True
        self._changed.set()

    def finish(self) -> None:
        """No further segment will begin."""
        self._finished = True
        self._changed.set()

    def hold(self) -> None:
        """Stops the sound now; what was queued but not heard is taken back."""
        if self._held:
            return
        self._held = True
        self._take_back()

    def release(self) -> None:
        """Goes on from the word where `hold` stopped."""
        self._held = False
        self._changed.set()

    def unheard(self, seconds: float) -> None:
        """The sound of the last `seconds` and what is queued were not heard; they are played again. A segment that was
        over by then stays heard."""
        self._take_back(seconds)
        self._changed.set()

    def cut(self) -> None:
        """Stops for good: reports what was heard of each segment that had begun to sound."""
        self._take_back()
        for segment in self._segments:
            if segment.heard:
                self._listener.segment_heard(segment.index, segment.heard.strip(), interrupted=True)
        self._segments.clear()

    async def run(self) -> None:
        while not (self._finished and not self._segments):
            segment = self._next_to_send()
            if segment is not None and not self._held:
                await self._send(segment)
            elif self._out.queued_s > 0:
                await asyncio.sleep(min(max(self._out.queued_s, 0.001), FRAME_S))
            else:
                self._report()
                if self._finished and not self._segments:
                    return
                if not self._held:
                    self._set_audible(False)
                await self._wait()
            self._report()

    async def _wait(self) -> None:
        self._changed.clear()
        if self._next_to_send() is None or self._held:
            if self._finished and not self._segments:
                return
            await self._changed.wait()

    def _next_to_send(self) -> _Segment | None:
        """The segment whose sound goes out next; None while nothing is ready."""
        for segment in self._segments:
            if segment.sent < len(segment.sound):
                return segment
            if not segment.complete:
                return None
        return None

    async def _send(self, segment: _Segment) -> None:
        size = round(FRAME_S * self._rate) * BYTES_PER_SAMPLE
        data = bytes(segment.sound[segment.sent : segment.sent + size])
        self._set_audible(True)
        holds = self._holds
        segment.sent += len(data)
        self._writing = len(data)
        try:
            await self._out.write(AudioFrame(data, self._rate))
        finally:
            self._writing = 0
        if holds != self._holds:
            self._out.clear()  # the frame was already counted as taken back, and is not to be heard

    def _set_audible(self, sounding: bool) -> None:
        if sounding != self._audible:
            self._audible = sounding
            self._listener.audible(sounding)

    def _heard_bytes(self, lost_s: float = 0.0) -> dict[int, int]:
        """Bytes of each segment that have left the queue, but for the last `lost_s`."""
        queued = round((self._out.queued_s + lost_s) * self._rate) * BYTES_PER_SAMPLE + self._writing
        heard: dict[int, int] = {}
        for segment in reversed(self._segments):
            waiting = min(queued, segment.sent)
            heard[segment.index] = segment.sent - waiting
            queued -= waiting
        return heard

    def _take_back(self, lost_s: float | None = None) -> None:
        """Rewinds what was sent to what was heard, at the beginning of the word that was cut."""
        self._report()
        heard = self._heard_bytes(lost_s or 0.0)
        self._holds += 1
        self._writing = 0
        self._out.clear()
        for segment in self._segments:
            if segment.sent == 0 or heard[segment.index] == len(segment.sound):
                continue
            at_s = resume_at(heard[segment.index] / BYTES_PER_SAMPLE / self._rate, segment.words)
            segment.sent = round(at_s * self._rate) * BYTES_PER_SAMPLE
            if lost_s is not None:
                segment.heard = self._text_heard(segment, heard[segment.index])

    def _report(self) -> None:
        """In order: a segment without sound is not over before the one that is still heard."""
        heard = self._heard_bytes()
        for segment in list(self._segments):
            self._report_segment(segment, heard[segment.index])
            if not (segment.complete and segment.sent == len(segment.sound) == heard[segment.index]):
                return
            self._segments.remove(segment)
            self._listener.segment_heard(segment.index, segment.text, interrupted=False)

    def _text_heard(self, segment: _Segment, heard_bytes: int) -> str:
        heard_s = heard_bytes / BYTES_PER_SAMPLE / self._rate
        total_s = len(segment.sound) / BYTES_PER_SAMPLE / self._rate if segment.complete else None
        text = heard_text(segment.text, heard_s, total_s, segment.words, pace=self._pace)
        return segment.text if segment.complete and heard_bytes == len(segment.sound) else text

    def _report_segment(self, segment: _Segment, heard_bytes: int) -> None:
        text = self._text_heard(segment, heard_bytes)
        if len(text) > len(segment.heard):
            segment.heard = text
        if len(text) > len(segment.shown):
            self._listener.words_heard(segment.index, text[len(segment.shown) :])
            segment.shown = text
