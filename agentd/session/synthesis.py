"""The sound of a reply, in the voice of each language that it is spoken in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from agentd.aio import Channel, Closed
from agentd.audio import AudioFrame, Resampler
from agentd.providers.tts import SpeechChunk
from agentd.session import attempts, resilience
from agentd.session.conversation import Conversation

Segments = Channel[str | None]
"""What is to be said, in order; None: the language changes here."""


class Stretch:
    """The reading end of a channel of segments, up to the next change of the language (None) or the end."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._ended = False
        self.last = False  # nothing follows it

    async def receive(self) -> str:
        """Raises Closed at the end of the stretch."""
        if self._ended:
            raise Closed
        try:
            segment = await self._segments.receive()
        except Closed:
            self._ended = self.last = True
            raise
        if segment is None:
            self._ended = True
            raise Closed
        return segment


async def voiced(
    conversation: Conversation, segments: Segments, record: attempts.Recorder
) -> AsyncGenerator[SpeechChunk, None]:
    """The sound of all segments, numbered through, at its synthesisers' rates. Raises ProviderError."""
    done, last = 0, False
    while not last:
        stretch, base = Stretch(segments), done
        voices, language = conversation.providers.tts, conversation.language
        pronunciations, pace = conversation.pronunciations, conversation.pace
        stream = resilience.synthesize(voices, stretch, language, record, pronunciations, pace)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                done += chunk.last
                yield replace(chunk, segment=chunk.segment + base)
        last = stretch.last


async def at_rate(stream: AsyncGenerator[SpeechChunk, None], rate_hz: int) -> AsyncGenerator[SpeechChunk, None]:
    """The same sound at one rate."""
    resampler: Resampler | None = None
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            if chunk.frame.sample_rate_hz == rate_hz:
                yield chunk
                continue
            resampler = resampler or Resampler(chunk.frame.sample_rate_hz, rate_hz)
            yield _resampled(chunk, resampler, rate_hz)
            resampler = None if chunk.last else resampler


def _resampled(chunk: SpeechChunk, resampler: Resampler, to_hz: int) -> SpeechChunk:
    data = resampler.push(chunk.frame).data
    if chunk.last:
        data += resampler.flush().data
    return SpeechChunk(segment=chunk.segment, frame=AudioFrame(data, to_hz), words=chunk.words, last=chunk.last)
