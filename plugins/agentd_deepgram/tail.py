"""The sound that Deepgram has not settled yet, kept for a connection that takes over. Pure."""

from __future__ import annotations

from collections import deque

from agentd.audio import AudioFrame


class Tail:
    """The last frames of a stream, at most `limit_s` of them."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._frames: deque[AudioFrame] = deque()
        self._kept_s = 0.0
        self.end_s = 0.0  # the stream's length so far

    @property
    def begin_s(self) -> float:
        """Where in the stream the kept sound begins."""
        return self.end_s - self._kept_s

    def push(self, frame: AudioFrame) -> None:
        self._frames.append(frame)
        self._kept_s += frame.duration_s
        self.end_s += frame.duration_s
        while self._kept_s > self._limit_s and len(self._frames) > 1:
            self._drop()

    def settle(self, until_s: float) -> None:
        """Forgets the frames that end before this place."""
        while self._frames and self.begin_s + self._frames[0].duration_s <= until_s + 1e-6:
            self._drop()

    def frames(self) -> tuple[AudioFrame, ...]:
        return tuple(self._frames)

    def _drop(self) -> None:
        self._kept_s -= self._frames.popleft().duration_s
