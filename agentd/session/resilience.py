"""Retries and fallbacks: the only place that tries a provider again.

A candidate that fails retryably is tried again after the others; one that refuses is left out for this request.
All attempts of a request share one time budget, because the caller is waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar, cast

from agentd.aio import Channel, Closed, now
from agentd.audio import AudioFrame
from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agentd.providers.llm import LLM, ChatRequest, LLMDelta
from agentd.providers.tts import TTS, SpeechChunk
from agentd.session.setup import Candidate

ROUNDS = 4  # a first attempt and three retries, as livekit-agents 1.8.9
RETRY_AFTER_S = 2.0
ATTEMPT_S = 10.0
BUDGET_S = 20.0

P = TypeVar("P")
T = TypeVar("T")


class Recorder(Protocol):
    def __call__(self, kind: str, /, **data: Any) -> None: ...


class Attempts:
    """The candidates of one request in the order in which they are to be tried."""

    def __init__(self, kind: str, candidates: Sequence[Candidate[Any]], record: Recorder) -> None:
        self._kind = kind
        self._left = list(candidates)
        self._record = record
        self._deadline = now() + BUDGET_S
        self._last: ProviderError = ProviderUnavailable(kind, "no provider was left to try")

    async def __aiter__(self) -> AsyncIterator[Candidate[Any]]:
        """Candidates, as long as somebody may succeed; the caller reports with `failed`. Raises the last failure."""
        for round_number in range(ROUNDS):
            if round_number:
                pause = min(self._last.retry_after_s or RETRY_AFTER_S, self._deadline - now())
                await asyncio.sleep(max(0.0, pause))
            for candidate in list(self._left):
                if now() >= self._deadline:
                    raise self._last
                yield candidate
            if not self._left:
                break
        raise self._last

    def failed(self, candidate: Candidate[Any], error: ProviderError, began: float) -> None:
        self._last = error
        if not error.retryable and candidate in self._left:
            self._left.remove(candidate)
        self.done(candidate, began, _outcome(error), message=error.message)

    def done(self, candidate: Candidate[Any], began: float, outcome: str = "ok", **more: Any) -> None:
        duration_s = round(now() - began, 4)
        self._record(
            "provider", kind=self._kind, provider=candidate.name, outcome=outcome, duration_s=duration_s, **more
        )

    def timeout_s(self) -> float:
        return max(0.1, min(ATTEMPT_S, self._deadline - now()))


def _outcome(error: ProviderError) -> str:
    return type(error).__name__.removeprefix("Provider").lower()


async def request(
    kind: str,
    candidates: Sequence[Candidate[P]],
    call: Callable[[P], Awaitable[T]],
    record: Recorder,
) -> T:
    """One answer of whichever candidate gives it first. Raises ProviderError."""
    attempts = Attempts(kind, candidates, record)
    async for candidate in attempts:
        began = now()
        try:
            async with asyncio.timeout(attempts.timeout_s()):
                answer = await call(candidate.provider)
        except TimeoutError:
            attempts.failed(candidate, ProviderTimeout(candidate.name, "no answer in time"), began)
        except ProviderError as error:
            attempts.failed(candidate, error, began)
        else:
            attempts.done(candidate, began)
            return answer
    raise AssertionError("Attempts ends by raising")


async def chat(
    candidates: Sequence[Candidate[LLM]], chat_request: ChatRequest, record: Recorder
) -> AsyncGenerator[LLMDelta, None]:
    """The deltas of the first candidate that begins an answer. What fails in mid-answer is raised as it is:
    the caller has heard the beginning."""
    attempts = Attempts("llm", candidates, record)
    async for candidate in attempts:
        began = now()
        stream = cast("AsyncGenerator[LLMDelta, None]", candidate.provider.chat(chat_request))
        async with aclosing(stream):
            try:
                async with asyncio.timeout(attempts.timeout_s()):
                    delta = await anext(stream, None)
            except TimeoutError:
                attempts.failed(candidate, ProviderTimeout(candidate.name, "no first token in time"), began)
                continue
            except ProviderError as error:
                attempts.failed(candidate, error, began)
                continue
            attempts.done(candidate, began)
            if delta is not None:
                yield delta
            async for delta in stream:
                yield delta
            return


async def synthesize(
    candidates: Sequence[Candidate[TTS]], segments: Channel[str], language: str | None, record: Recorder
) -> AsyncGenerator[SpeechChunk, None]:
    """The sound of all segments. When a synthesiser fails, the segments that it has not begun are given to the
    next attempt; the one that it broke off is ended where it broke."""
    feed = _Feed(segments)
    attempts = Attempts("tts", candidates, record)
    async for candidate in attempts:
        began = now()
        first = True
        stream = cast(
            "AsyncGenerator[SpeechChunk, None]", candidate.provider.synthesize(feed.replay(), language=language)
        )
        try:
            async with aclosing(stream):
                async for chunk in stream:
                    if first:
                        attempts.done(candidate, began)
                        first = False
                    yield feed.renumbered(chunk)
        except ProviderError as error:
            attempts.failed(candidate, error, began)
            for chunk in feed.broken_off(candidate.provider.sample_rate_hz):
                yield chunk
            continue
        return


class _Feed:
    """Segments on their way to a synthesiser, kept until they are done, so that another one can take them over."""

    def __init__(self, segments: Channel[str]) -> None:
        self._source = segments
        self._texts: list[str] = []
        self._done = 0  # segments whose last chunk was given on
        self._begun = False  # whether sound of segment number `_done` was given on
        self._offset = 0  # the synthesiser's segment 0 is this one

    async def replay(self) -> AsyncIterator[str]:
        self._offset = self._done
        for text in self._texts[self._done :]:
            yield text
        while (new := await self._next()) is not None:
            yield new

    async def _next(self) -> str | None:
        """Not by iterating the channel: an iterator that was cancelled with a failed attempt could not go on."""
        try:
            text = await self._source.receive()
        except Closed:
            return None
        self._texts.append(text)
        return text

    def renumbered(self, chunk: SpeechChunk) -> SpeechChunk:
        segment = chunk.segment + self._offset
        self._begun = not chunk.last
        self._done = segment + chunk.last
        return SpeechChunk(segment=segment, frame=chunk.frame, words=chunk.words, last=chunk.last)

    def broken_off(self, sample_rate_hz: int) -> list[SpeechChunk]:
        """Ends the segment that was being synthesised, if any of it was given on."""
        if not self._begun:
            return []
        ending = SpeechChunk(segment=self._done, frame=AudioFrame(b"", sample_rate_hz), last=True)
        self._done += 1
        self._begun = False
        return [ending]
