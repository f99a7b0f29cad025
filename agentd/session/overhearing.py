"""What the caller's sound over the agent's speech is: its silences, and an interruption detector's opinion of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentd.aio import Channel, now
from agentd.audio import INPUT_HZ, AudioFrame, concat
from agentd.errors import ProviderError
from agentd.providers.interruption_detector import InterruptionDetectorSettings, OverlapSoFar
from agentd.session.activity import VoiceActivity
from agentd.session.attempts import Recorder
from agentd.session.boundary import plugin_code
from agentd.session.conversation import Conversation
from agentd.session.events import LullBegan, LullEnded, Outlook, OverlapJudged

OVERLAP_S = 3.0
"""Of sound that a detector hears: by then there are words."""

PADDING_S = 0.2  # of sound from before the onset of speech
ASK_EVERY_S = 0.06  # with every frame of a room's
JUDGE_S = 0.2
"""An opinion that comes later is about something that the caller has long gone on from."""

Emit = Callable[[LullBegan | LullEnded | OverlapJudged], None]


@dataclass(frozen=True, slots=True)
class _Piece:
    frame: AudioFrame
    speech: tuple[float, ...]
    ended_at: float


@dataclass(frozen=True, slots=True)
class _Question:
    since: float  # the onset of the utterance
    overlap: OverlapSoFar


class Overhearing:
    """One ear's. `wanted`: both speak now, and an opinion decides something."""

    def __init__(self, conversation: Conversation, activity: VoiceActivity, emit: Emit, record: Recorder) -> None:
        self._conversation = conversation
        self.follow_agent(activity)
        self._emit = emit
        self._record = record
        self._pieces: deque[_Piece] = deque()
        self._lull: float | None = None
        self._questions: Channel[_Question] = Channel(1)
        self._busy = False
        self._asked_at = 0.0
        self._silent_on: float | None = None  # the utterance of which it gave no opinion
        self._told: tuple[float, Outlook] | None = None  # what the journal knows
        self.wanted = False

    def follow_agent(self, activity: VoiceActivity) -> None:
        """Whoever has the call says what is asked; `activity`: the ear's, as it is now."""
        choice = self._conversation.definition.interruption_detector
        settings = choice.settings if choice else None
        self._name = choice.provider if choice else ""
        self._settings = (
            settings if isinstance(settings, InterruptionDetectorSettings) else InterruptionDetectorSettings()
        )
        self._detector = self._conversation.providers.interruption_detector
        self._activity = activity

    def hear(self, frame: AudioFrame, speech: Sequence[float], ended_at: float) -> None:
        """After the voice activity has heard it."""
        self._follow_lull()
        if self._detector is None:
            return
        self._pieces.append(_Piece(frame, tuple(speech), ended_at))
        while self._pieces[0].ended_at <= ended_at - OVERLAP_S:
            self._pieces.popleft()
        due = not self._busy and ended_at - self._asked_at >= ASK_EVERY_S
        if self.wanted and due and self._activity.speaking and self._activity.since != self._silent_on:
            self._ask(ended_at)

    def _follow_lull(self) -> None:
        lull, before = self._activity.lull_since, self._lull
        self._lull = lull
        if lull is not None and lull != before:
            self._emit(LullBegan(lull))
        elif lull is None and before is not None and self._activity.speaking:
            self._emit(LullEnded(self._activity.last_speech - self._activity.window_s))

    def _ask(self, at: float) -> None:
        since = self._activity.since
        heard = [piece for piece in self._pieces if piece.ended_at > since - PADDING_S]
        overlap = OverlapSoFar(
            audio=concat([piece.frame for piece in heard], INPUT_HZ),
            speech=tuple(probability for piece in heard for probability in piece.speech),
            window_s=self._activity.window_s,
            language=self._conversation.language,
        )
        self._asked_at, self._busy = at, True
        self._questions.force(_Question(since, overlap))

    async def run(self) -> None:
        async for question in self._questions:
            began = now()
            probability = await self._judge(question.overlap)
            self._busy = False
            if probability is None:
                self._silent_on = question.since
            else:
                self._tell(question, probability, now() - began)

    async def _judge(self, overlap: OverlapSoFar) -> float | None:
        detector = self._detector
        if detector is None:  # it was asked for an agent that has the call no longer
            return None
        try:
            async with asyncio.timeout(JUDGE_S):
                with plugin_code(self._name):
                    return await detector.judge(overlap)
        except (ProviderError, TimeoutError) as error:
            message = error.message if isinstance(error, ProviderError) else f"no answer within {JUDGE_S:g} s"
            where = f"interruption_detector {self._name}".strip()
            self._record("error", where=where, message=message)
            return None

    def _tell(self, question: _Question, probability: float, took_s: float) -> None:
        """Journaled when it is another opinion than before."""
        outlook, value = outlook_of(probability, self._settings)
        if self._told != (question.since, outlook):
            self._told = (question.since, outlook)
            self._record(
                "interruption.judged",
                outlook=outlook,
                probability=round(probability, 3),
                value=value,
                sound_s=round(question.overlap.audio.duration_s, 3),
                duration_s=round(took_s, 4),
            )
        self._emit(OverlapJudged(since=question.since, outlook=outlook, value=value))


def outlook_of(probability: float, settings: InterruptionDetectorSettings) -> tuple[Outlook, str]:
    """What follows from it, and the configuration behind that."""
    if probability >= settings.interrupts_from:
        return "interrupts", f"interruption_detector.interrupts_from={settings.interrupts_from}"
    value = f"interruption_detector.ignores_below={settings.ignores_below}"
    return ("ignored" if probability < settings.ignores_below else "open"), value
