"""What an operator has muted in a call: the agent's ears, its voice, or both.

Muted ears hear silence in the place of the callers' sound, so an utterance under way ends as it would by itself; what
is typed is taken. A muted voice says nothing: what is being said is cut, and what is to be said waits, of the answers
to a caller's turns only the last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentd.audio import AudioFrame
from agentd.tools.acts import MuteCall, Muted


class Muting:
    """One session's; for its own task. `muted`: as an earlier incarnation left it."""

    def __init__(self, muted: frozenset[Muted] = frozenset()) -> None:
        self._muted = set(muted)

    @property
    def ears(self) -> bool:
        return "ears" in self._muted

    @property
    def voice(self) -> bool:
        return "voice" in self._muted

    def __bool__(self) -> bool:
        return bool(self._muted)

    def change(self, act: MuteCall) -> bool:
        """False: it is so already."""
        if (act.what in self._muted) is act.muted:
            return False
        self._muted ^= {act.what}
        return True

    async def heard(self, frames: AsyncIterator[AudioFrame]) -> AsyncIterator[AudioFrame]:
        """What the agent hears of this sound, sample for sample as long."""
        async for frame in frames:
            yield AudioFrame(bytes(len(frame.data)), frame.sample_rate_hz) if self.ears else frame
