"""Words that are recognised at a lull of an utterance, before it has surely ended.

The end of an utterance is known when the voice activity detector's `min_silence` has passed, and a recogniser of whole
utterances takes its time from then on. So it is asked at the lull already. If the silence lasts, the words are there
sooner by what the silence took; if the caller speaks on, the answer is thrown away. A call has one such request at the
most, and none while the recogniser has something else to do: what is tried in vain takes nothing from anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentd.aio import Channel
from agentd.audio import AudioFrame
from agentd.providers.stt import Transcript
from agentd.session.activity import VoiceActivity

LULL_S = 0.09
"""Three windows of silence: closures within a word are shorter, and the ends of words mostly, too."""

SHORTEST_S = 0.3
"""Shorter utterances are mostly no words, or an "uh-huh" in which nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    lull: float  # since when there was silence
    audio: AudioFrame
    words: asyncio.Future[Transcript]


class EarlyWords:
    """One ear's. `recognise` must not raise a provider's errors."""

    def __init__(self, recognise: Callable[[AudioFrame], Awaitable[Transcript]]) -> None:
        self._recognise = recognise
        self._questions: Channel[_Attempt] = Channel(1)
        self._busy = False
        self._tried: float | None = None  # the last lull that was asked about
        self._attempt: _Attempt | None = None  # of the lull that is still going on

    def follow(self, activity: VoiceActivity, at: float, sound: Callable[[], AudioFrame], *, free: bool) -> None:
        """After the voice activity has heard what came until `at`. `sound`: the utterance so far; `free`: the
        recogniser has time for what may be in vain."""
        lull = activity.lull_since
        if self._attempt is not None and self._attempt.lull != lull:
            self._attempt = None
        if lull is None or lull == self._tried or at - lull < LULL_S or lull - activity.since < SHORTEST_S:
            return
        if self._busy or not free:
            return
        self._tried, self._busy = lull, True
        self._attempt = _Attempt(lull, sound(), asyncio.get_running_loop().create_future())
        self._questions.force(self._attempt)

    def take(self, last_speech: float) -> asyncio.Future[Transcript] | None:
        """The words of the utterance that has ended with this lull, on their way or there; None: they are to be asked
        for."""
        attempt, self._attempt = self._attempt, None
        return attempt.words if attempt is not None and attempt.lull == last_speech else None

    async def run(self) -> None:
        async for attempt in self._questions:
            words = await self._recognise(attempt.audio)
            self._busy = False
            if not attempt.words.done():
                attempt.words.set_result(words)
