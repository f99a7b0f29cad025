"""The sound of the caller's turn so far, and a turn detector's opinion of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from agentd.aio import Channel, now
from agentd.audio import INPUT_HZ, AudioFrame, concat
from agentd.errors import ProviderError
from agentd.providers.turn_detector import TurnDetector, TurnSoFar
from agentd.session.boundary import plugin_code
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER, TurnJudged, Voice

TURN_S = 8.0
"""Of sound that a detector hears: what Smart Turn was trained on."""

PADDING_S = 0.2  # of sound from before the onset of speech
JUDGE_S = 0.5
"""A caller waits in silence for the answer: a later one is worth less than going on without."""

PENDING = 2


class TurnJudge:
    """One person's. Every `ask` that answers True is followed by one TurnJudged."""

    def __init__(
        self, conversation: Conversation, emit: Callable[[TurnJudged], None], voice: Voice = THE_CALLER
    ) -> None:
        self._conversation = conversation
        self._detector: TurnDetector | None = None
        self.follow_agent()
        self._emit = emit
        self._voice = voice
        self._sound: deque[tuple[float, AudioFrame]] = deque()  # by the moment of its end
        self._since: float | None = None  # the onset of the turn
        self._words: list[str] = []
        self._questions: Channel[TurnSoFar] = Channel(PENDING)

    def follow_agent(self) -> None:
        """Whoever has the call says what is asked."""
        wanted = self._conversation.turn_settings.detection in ("auto", "model")
        self._detector = self._conversation.providers.turn_detector if wanted else None

    def keep(self, frame: AudioFrame, ended_at: float) -> None:
        if self._detector is None:
            return
        self._sound.append((ended_at, frame))
        while self._sound[0][0] < ended_at - TURN_S:
            self._sound.popleft()

    def speech(self, since: float) -> None:
        """Speech began; the turn's, if it is its first."""
        self._since = since if self._since is None else self._since

    def words(self, text: str) -> None:
        """Final words of the turn."""
        if text and self._detector is not None:
            self._words.append(text)

    def turn_ended(self) -> None:
        self._since = None
        self._words.clear()

    def ask(self) -> bool:
        """Asks for an opinion, where there is a detector that has time."""
        if self._detector is None or self._since is None:
            return False
        begin = self._since - PADDING_S
        sound = concat([frame for ended_at, frame in self._sound if ended_at > begin], INPUT_HZ)
        turn = TurnSoFar(audio=sound, text=" ".join(self._words), language=self._conversation.language)
        return self._questions.send_nowait(turn)

    async def run(self) -> None:
        async for turn in self._questions:
            self._emit(TurnJudged(await self._judge(turn)))

    async def _judge(self, turn: TurnSoFar) -> float | None:
        detector = self._detector
        if detector is None:  # it was asked for an agent that has the call no longer
            return None
        began, name = now(), self._conversation.definition.turn_detector
        try:
            async with asyncio.timeout(JUDGE_S):
                with plugin_code(name.provider if name else "turn_detector"):
                    probability = await detector.judge(turn)
        except (ProviderError, TimeoutError) as error:
            message = error.message if isinstance(error, ProviderError) else f"no answer within {JUDGE_S:g} s"
            where = f"turn_detector {name.provider}" if name else "turn_detector"
            self._conversation.record("error", where=where, message=message)
            return None
        self._conversation.record(
            "turn.judged",
            probability=round(probability, 3),
            duration_s=round(now() - began, 4),
            speaker=self._conversation.people.identity(self._voice),
        )
        return probability
