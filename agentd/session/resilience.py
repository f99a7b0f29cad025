"""Retries and fallbacks of a request, of a model's answer, and of a voice: what is asked of the next candidate when one
fails in the middle. Who that is, and when, is in `agentd.session.attempts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol, TypeVar

from agentd.aio import Closed, now
from agentd.audio import AudioFrame
from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agentd.providers.llm import LLM, ChatRequest, LLMDelta, TextDelta
from agentd.providers.tts import TTS, Markup, SpeechChunk, TimedWord, markup_of
from agentd.session.alignment import heard_text, pieces
from agentd.session.attempts import ATTEMPT_S, Attempts, Recorder
from agentd.session.boundary import plugin_code, stream_of
from agentd.session.markup import plain
from agentd.session.setup import Candidate
from agentd.session.voicing import Times, voiced

P = TypeVar("P")
T = TypeVar("T")


class Segments(Protocol):
    async def receive(self) -> str:
        """The next; raises Closed when there is none."""
        ...


async def request(
    kind: str,
    candidates: Sequence[Candidate[P]],
    call: Callable[[P], Awaitable[T]],
    record: Recorder,
) -> T:
    """One answer of whichever candidate gives it first. Raises ProviderError."""
    return (await opened(kind, candidates, call, record, proven=True))[1]


async def opened(
    kind: str,
    candidates: Sequence[Candidate[P]],
    call: Callable[[P], Awaitable[T]],
    record: Recorder,
    *,
    proven: bool = False,
) -> tuple[Candidate[P], T]:
    """The same, and whose it is. Not `proven`: a stream that is open has heard nothing yet. Raises ProviderError."""
    attempts = Attempts(kind, candidates, record)
    async for candidate in attempts:
        began = now()
        try:
            async with asyncio.timeout(attempts.timeout_s()):
                with plugin_code(candidate.name):
                    answer = await call(candidate.provider)
        except TimeoutError:
            attempts.failed(candidate, ProviderTimeout(candidate.name, "no answer in time"), began)
        except ProviderError as error:
            attempts.failed(candidate, error, began)
        else:
            attempts.done(candidate, began, proven=proven)
            return candidate, answer
    raise AssertionError("Attempts ends by raising")


async def chat(
    candidates: Sequence[Candidate[LLM]], chat_request: ChatRequest, record: Recorder
) -> AsyncGenerator[LLMDelta, None]:
    """The deltas of the first candidate that begins an answer: with words or a call, not with keep-alives. What fails
    in mid-answer is raised as it is, and so is ProviderTimeout when the answer stands still for `ATTEMPT_S`: the
    caller has heard the beginning."""
    attempts = Attempts("llm", candidates, record)
    async for candidate in attempts:
        began = now()
        stream = stream_of(candidate.name, partial(candidate.provider.chat, chat_request))
        async with aclosing(stream):
            try:
                deltas = await _next_useful(stream, candidate.name, attempts.timeout_s())
            except ProviderError as error:
                attempts.failed(candidate, error, began)
                continue
            attempts.done(candidate, began)
            while deltas:
                for delta in deltas:
                    yield delta
                try:
                    deltas = await _next_useful(stream, candidate.name, ATTEMPT_S)
                except ProviderError as error:
                    attempts.failed(candidate, error, began)
                    raise
            return


async def _next_useful(stream: AsyncGenerator[LLMDelta, None], name: str, within_s: float) -> list[LLMDelta]:
    """What comes up to the next word or call; what is left, or nothing, at the end. Raises ProviderError."""
    deltas: list[LLMDelta] = []
    try:
        async with asyncio.timeout(within_s):
            async for delta in stream:
                deltas.append(delta)
                if not isinstance(delta, TextDelta) or delta.text.strip():
                    break
    except TimeoutError:
        raise ProviderTimeout(name, f"no useful token for {within_s:g} s") from None
    return deltas


async def synthesize(
    candidates: Sequence[Candidate[TTS]],
    segments: Segments,
    language: str | None,
    record: Recorder,
    pronunciations: Mapping[str, str] | None = None,
    pace: float = 1.0,
) -> AsyncGenerator[SpeechChunk, None]:
    """The sound of all segments, which are marked texts (`agentd.session.markup`), with the times of the written words.

    When a synthesiser fails, ends early or makes no sound for `ATTEMPT_S` although it has a segment, the next attempt
    is given what is left: the segments that it had not begun, and of the one that it broke off the words that had not
    come.
    """
    feed = _Feed(segments, pronunciations or {}, pace)
    attempts = Attempts("tts", candidates, record)
    async for candidate in attempts:
        began = now()
        first = True
        texts = feed.replay(markup_of(candidate.provider))
        stream = stream_of(candidate.name, partial(candidate.provider.synthesize, texts, language=language))
        try:
            async with aclosing(stream):
                while (chunk := await feed.patiently(stream, candidate.name)) is not None:
                    if first:
                        attempts.done(candidate, began)
                        first = False
                    yield feed.placed(chunk)
            if feed.unfinished:
                raise ProviderUnavailable(candidate.name, "the sound ended before the text")
        except ProviderError as error:
            attempts.renew_budget(still_silent=first)
            attempts.failed(candidate, error, began)
            if (ending := feed.ending(candidate.provider.sample_rate_hz)) is not None:
                yield ending
            continue
        return


class _Feed:
    """Segments on their way to a synthesiser, kept until they are done, so that another one can take them over."""

    def __init__(self, segments: Segments, pronunciations: Mapping[str, str], pace: float) -> None:
        self._source = segments
        self._pronunciations = pronunciations
        self._pace = pace
        self._texts: list[str] = []
        self._done = 0  # segments whose last chunk was given on
        self._offset = 0  # the synthesiser's segment 0 is this one
        self._handed = 0  # segments that the synthesiser has taken
        self._patience: asyncio.Timeout | None = None
        # Of segment number `_done`:
        self._given_s = 0.0  # sound given on
        self._words: list[TimedWord] = []
        self._before_s = 0.0  # sound by synthesisers that broke off
        self._before_text = ""  # and the words that they said
        self._times: dict[int, Times] = {}  # of the segments that the synthesiser has taken

    @property
    def unfinished(self) -> bool:
        """The synthesiser has a segment whose sound is not complete."""
        return self._handed > self._done

    async def replay(self, markup: Markup) -> AsyncIterator[str]:
        """What the synthesiser is to speak."""
        self._offset = self._handed = self._done
        while True:
            if self._handed == len(self._texts) and not await self._fetch():
                return
            text = self._texts[self._handed]
            goes_on = self._handed == self._done and self._before_text
            if goes_on:
                text = plain(text)[len(self._before_text) :]
            spoken = voiced(text, markup, self._pronunciations)
            self._times[self._handed] = Times(spoken, estimate=bool(goes_on))
            self._handed += 1
            self._wait_again()
            yield spoken.spoken

    async def _fetch(self) -> bool:
        """Not by iterating the channel: an iterator that was cancelled with a failed attempt could not go on."""
        try:
            self._texts.append(await self._source.receive())
        except Closed:
            return False
        return True

    async def patiently(self, stream: AsyncGenerator[SpeechChunk, None], name: str) -> SpeechChunk | None:
        """The next chunk, None at the end. Waits for ever for the next segment, but not for the sound of one."""
        try:
            async with asyncio.timeout(ATTEMPT_S if self.unfinished else None) as self._patience:
                return await anext(stream, None)
        except TimeoutError:
            raise ProviderTimeout(name, f"no sound for {ATTEMPT_S:g} s") from None
        finally:
            self._patience = None

    def _wait_again(self) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(now() + ATTEMPT_S)

    def placed(self, chunk: SpeechChunk) -> SpeechChunk:
        """With the number and the times that it has in the whole reply."""
        segment = chunk.segment + self._offset
        words = self._written(segment, chunk)
        if self._before_s:
            shift = self._before_s
            words = tuple(TimedWord(text=w.text, start_s=w.start_s + shift, end_s=w.end_s + shift) for w in words)
        self._given_s += chunk.frame.duration_s
        self._words += words
        if chunk.last:
            self._next_segment()
        return SpeechChunk(segment=segment, frame=chunk.frame, words=words, last=chunk.last)

    def _written(self, segment: int, chunk: SpeechChunk) -> tuple[TimedWord, ...]:
        """The times of the written words."""
        times = self._times.get(segment)
        if times is None:
            return chunk.words
        words = times.push(chunk.words)
        if chunk.last:
            words += times.flush(self._given_s - self._before_s + chunk.frame.duration_s)
        return tuple(words)

    def _next_segment(self) -> None:
        self._times.pop(self._done, None)
        self._done += 1
        self._given_s = self._before_s = 0.0
        self._before_text = ""
        self._words = []

    def _estimated(self, sample_rate_hz: int) -> SpeechChunk | None:
        """When the words that were given on are heard, for want of better: the rest will have times."""
        if self._words or not self._before_text:
            return None
        self._words = Times(voiced(self._before_text), estimate=True).flush(self._given_s)
        return SpeechChunk(segment=self._done, frame=AudioFrame(b"", sample_rate_hz), words=tuple(self._words))

    def ending(self, sample_rate_hz: int) -> SpeechChunk | None:
        """Notes which words of a segment were given on by a synthesiser that failed; if all, the segment's end,
        else their times where the synthesiser gave none."""
        if not self._given_s:
            return None
        text = plain(self._texts[self._done])
        self._before_s = self._given_s
        begun = heard_text(text, self._given_s, None, self._words, pace=self._pace)
        if begun != text:
            *whole, _cut = pieces(begun) or [""]
            self._before_text = "".join(whole)
            return self._estimated(sample_rate_hz)
        ending = SpeechChunk(segment=self._done, frame=AudioFrame(b"", sample_rate_hz), last=True)
        self._next_segment()
        return ending
