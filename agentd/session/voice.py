"""The agent's voice on its way out, watched for its echo."""

from __future__ import annotations

from agentd.aio import now
from agentd.audio import AudioFrame
from agentd.session.echo import EchoWatch
from agentd.session.room import AudioOut


class WatchedVoice:
    """An AudioOut (agentd.session.room) over the room's: the echo watches, one for each microphone, are told what goes
    out, and when."""

    def __init__(self, out: AudioOut, *echoes: EchoWatch) -> None:
        self._out = out
        self._echoes = echoes

    def watched(self) -> EchoWatch:
        """One more, at another microphone."""
        echo = EchoWatch()
        self._echoes = (*self._echoes, echo)
        return echo

    def unwatch(self, echo: EchoWatch) -> None:
        self._echoes = tuple(each for each in self._echoes if each is not echo)

    @property
    def sample_rate_hz(self) -> int:
        return self._out.sample_rate_hz

    @property
    def queued_s(self) -> float:
        return self._out.queued_s

    async def write(self, frame: AudioFrame) -> None:
        await self._out.write(frame)
        begins = now() + self._out.queued_s - frame.duration_s
        for echo in self._echoes:
            echo.played(frame, begins)

    def clear(self) -> None:
        self._out.clear()
        for echo in self._echoes:
            echo.cleared(now())
