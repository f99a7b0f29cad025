"""An ear's voice activity detection, which does not fail: a call whose detector breaks is not to end, nor to go deaf.

A stream that breaks is opened anew. When that has happened too often loudness stands in for it: it takes noise for
speech more often, and the caller is heard. After a while the detector is tried again.
"""

from __future__ import annotations

from collections import deque

from agentd.aio import now
from agentd.audio import INPUT_HZ, AudioFrame, Rechunker, level_dbfs
from agentd.errors import ProviderError
from agentd.providers.vad import VAD, VADStream
from agentd.session.attempts import Recorder
from agentd.session.boundary import plugin_code

FAILURES = 3
WITHIN_S = 30.0
REST_S = 30.0
SPEECH_DBFS = -40.0
"""RMS of a window: speech at a microphone with gain control has -30 to -15, a quiet room -60 to -50."""


class VoiceDetection:
    """As `agentd.providers.vad.VADStream`. `name`: of the provider. Raises nothing that a provider does."""

    def __init__(self, vad: VAD, name: str, record: Recorder) -> None:
        self._vad = vad
        self._name = name
        self._record = record
        self._stream: VADStream | None = None
        self._windows = Rechunker(vad.window_samples, INPUT_HZ)
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._rests_until = 0.0

    async def push(self, frame: AudioFrame) -> list[float]:
        if now() < self._rests_until:
            return self._loud(frame)
        try:
            with plugin_code(self._name):
                self._stream = self._stream or self._vad.stream()
                return await self._stream.push(frame)
        except ProviderError as error:
            self._failed(error)
            return self._loud(frame)

    def _loud(self, frame: AudioFrame) -> list[float]:
        return [1.0 if level_dbfs(window) >= SPEECH_DBFS else 0.0 for window in self._windows.push(frame)]

    def _failed(self, error: ProviderError) -> None:
        self._stream = None
        self._failed_at.append(now())
        message = error.message
        if len(self._failed_at) == FAILURES and now() - self._failed_at[0] < WITHIN_S:
            self._rests_until = now() + REST_S
            self._failed_at.clear()
            message = f"{message}; loudness stands in for it for {REST_S:g} s"
        self._record("error", where=f"vad {self._name}", message=message)
