"""The agent's voice on its way out, watched for its echo."""

from __future__ import annotations

from agentd.aio import now
from agentd.audio import AudioFrame
from agentd.session.echo import EchoWatch
from agentd.session.room import AudioOut


class WatchedVoice:
    """An AudioOut (agentd.session.room) over the room's: the echo watch is told what goes out, and when."""

    def __init__(self, out: AudioOut, echo: EchoWatch) -> None:
        self._out = out
        self._echo = echo

    @property
    def sample_rate_hz(self) -> int:
        return self._out.sample_rate_hz

    @property
    def queued_s(self) -> float:
        return self._out.queued_s

    async def write(self, frame: AudioFrame) -> None:
        await self._out.write(frame)
        self._echo.played(frame, now() + self._out.queued_s - frame.duration_s)

    def clear(self) -> None:
        self._out.clear()
        self._echo.cleared(now())
