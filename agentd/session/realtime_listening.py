"""The caller's speech as a realtime model hears it: as a recogniser of whole utterances, or with turns of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agentd.aio import every, now
from agentd.audio import BYTES_PER_SAMPLE, INPUT_HZ, AudioFrame, Rechunker, silence
from agentd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from agentd.providers.realtime import CommitSound, SpeechBegan, SpeechStopped, UtteranceKept, UtteranceWords
from agentd.providers.stt import STTCapabilities, STTStream, Transcript
from agentd.providers.vad import VADSettings
from agentd.session import attempts
from agentd.session.conversation import Conversation
from agentd.session.echo import DoubleTalk, watched
from agentd.session.events import (
    NOT_TRANSCRIBED,
    THE_CALLER,
    Interim,
    ProviderEndOfTurn,
    Recognized,
    Sound,
    SpeechEnded,
    SpeechStarted,
    TurnEvent,
)
from agentd.session.listening import SILENT_TRACK_S
from agentd.session.realtime import Heard, RealtimeLink
from agentd.session.realtime_utterances import TRANSCRIPT_S, Utterances
from agentd.session.voice_detection import VoiceDetection

TAIL_S = 15.0  # of sound that another connection would have to hear again, at the most
PADDING_S = 0.5  # before speech, as a recogniser gets it
ROUGHLY_S = 0.1  # by which a model may err when it tells where speech ended

PIECE_SAMPLES = INPUT_HZ // 10
WATCH_S = 0.1


class RealtimeSTT:
    """A recogniser (agentd.providers.stt) of one session: what it is given, the model has heard."""

    capabilities = STTCapabilities(streaming=False)

    def __init__(self, link: RealtimeLink, utterances: Utterances) -> None:
        self._link = link
        self._utterances = utterances
        self._kept: asyncio.Future[str] | None = None  # the item of the utterance that was committed
        self._words: dict[str, asyncio.Future[str | None]] = {}  # by item

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        """Raises ProviderError when the model could not hear it. Without words in time it is `NOT_TRANSCRIBED`."""
        await self._link.until_connected(attempts.ATTEMPT_S)
        self._kept = asyncio.get_running_loop().create_future()
        pieces = Rechunker(PIECE_SAMPLES, audio.sample_rate_hz)
        for piece in (*pieces.push(audio), pieces.flush()):
            if piece is not None:
                self._link.hear(piece)
        self._link.send(CommitSound())
        item = await self._kept
        if not item:
            return Transcript(text="")
        text = await self._written(item)
        self._utterances.written(item, text)
        return Transcript(text=text)

    async def _written(self, item: str) -> str:
        answer = self._words.get(item)
        if answer is None:
            raise ProviderUnavailable(self._link.name, "the connection was lost with the utterance")
        try:
            async with asyncio.timeout(TRANSCRIPT_S):
                words = await asyncio.shield(answer)
        except TimeoutError:
            words = None
        finally:
            self._words.pop(item, None)
        return NOT_TRANSCRIBED if words is None else words.strip()

    async def stream(self, *, language: str | None) -> STTStream:
        raise ProviderRefused(self._link.name, "recognises whole utterances only, not streams")

    async def aclose(self) -> None:
        """The link is the session's."""

    # The link's side.

    def heard(self, event: Heard) -> None:
        match event:
            case UtteranceKept(item):
                self._utterances.kept(item)
                self._words[item] = asyncio.get_running_loop().create_future()
                self._answer(item)
            case UtteranceWords(item=item, text=text, final=True):
                if item in self._words and not self._words[item].done():
                    self._words[item].set_result(text)
                else:
                    self._utterances.written(item, (text or "").strip())

    def refused(self, error: ProviderError) -> None:
        self._answer("")

    def lost(self, error: ProviderError) -> None:
        self._utterances.lost()
        waiting = [self._kept, *self._words.values()]
        self._words.clear()
        for answer in waiting:
            if answer is not None and not answer.done():
                answer.set_exception(error)
                answer.exception()  # seen, if nobody waits for it any more

    def _answer(self, item: str) -> None:
        if self._kept is not None and not self._kept.done():
            self._kept.set_result(item)


@dataclass(slots=True)
class _Utterance:
    """`due`: then its words are not waited for any longer."""

    sound: Sound
    due: float


class ModelListening:
    """One session's ears (as agentd.session.listening.Listening) where the model tells when the caller speaks.

    Every utterance that it ends is answered with words, or with their absence, as a batch recogniser's is.
    """

    streaming = False

    def __init__(
        self,
        conversation: Conversation,
        link: RealtimeLink,
        utterances: Utterances,
        emit: Callable[[TurnEvent], None],
    ) -> None:
        self._conversation = conversation
        self._link = link
        self._utterances = utterances
        self._emit = emit
        self._since: float | None = None  # the caller speaks
        self._silent_since = now()
        self._ended: list[Sound] = []  # utterances that the model has not named yet
        self._open: dict[str, _Utterance] = {}  # that have no words yet, by item
        self._last_frame = now()
        self._tail: deque[AudioFrame] = deque()  # the sound since the last words that are known
        self._tail_s = 0.0
        self._detector: VoiceDetection | None = None
        self._double_talk = DoubleTalk()

    async def run(self, frames: AsyncIterator[AudioFrame]) -> None:
        """Until the frames end."""
        async with asyncio.TaskGroup() as group:
            watchdog = group.create_task(every(WATCH_S, self._watch))
            async for frame in frames:
                self._last_frame = now()
                echoes = watched(self._conversation.echo, frame, self._last_frame, self._note)
                self._hear(await self._without_echo(frame, echoes))
            watchdog.cancel()

    async def _without_echo(self, frame: AudioFrame, echoes: list[bool]) -> AudioFrame:
        """The model hears silence for the agent's own echo, and everything while the caller speaks over it: which
        takes a detector of our own, from when there is an echo."""
        if self._conversation.echo.path is None:
            self._detector = None
            return frame
        if self._detector is None:
            self._detector, self._double_talk = self._voice_detection(), DoubleTalk()
        settings = self._conversation.definition.vad.settings
        activation = settings.activation if isinstance(settings, VADSettings) else VADSettings().activation
        self._double_talk.without_echo(await self._detector.push(frame), echoes, activation)
        return frame if self._double_talk.heard or not any(echoes) else silenced(frame, echoes)

    def _voice_detection(self) -> VoiceDetection:
        conversation = self._conversation
        return VoiceDetection(conversation.providers.vad, conversation.definition.vad.provider, conversation.record)

    def _hear(self, frame: AudioFrame) -> None:
        self._link.hear(frame)
        self._tail.append(frame)
        self._tail_s += frame.duration_s
        unsettled = self._since is not None or self._ended or self._open
        self._shorten(TAIL_S if unsettled else PADDING_S)

    def _shorten(self, to_s: float) -> None:
        while self._tail_s > to_s:
            self._tail_s -= self._tail.popleft().duration_s

    def is_of(self, link: RealtimeLink) -> bool:
        """Whether it is this model that hears."""
        return self._link is link

    def recent(self) -> list[AudioFrame]:
        """What was heard last, and after the last speech that the model told of: another ear begins with it."""
        left_s = min(PADDING_S, now() - self._silent_since - ROUGHLY_S)
        frames: deque[AudioFrame] = deque()
        for frame in reversed(self._tail):
            left_s -= frame.duration_s
            if left_s < 0:
                break
            frames.appendleft(frame)
        return list(frames)

    def follow_agent(self) -> None:
        """The link tells the model; what may be another one's is the detector that knows speech from an echo."""
        self._detector = None

    def follow_language(self) -> None:
        """The link tells the model, before its next answer."""

    def turn_ended(self) -> None:
        """Nothing here is kept for a turn."""

    def overhear(self, *, wanted: bool) -> None:
        """There is no interruption detector beside the model's own detection: the check refuses one."""

    def end_utterance(self) -> None:
        if self._since is not None:
            self._stopped(now())
            self._link.send(CommitSound())

    def _watch(self) -> None:
        """A microphone that was muted gives no silence by itself; and words are not waited for for ever."""
        if self._since is not None and now() - self._last_frame > SILENT_TRACK_S:
            self._hear(silence(WATCH_S, INPUT_HZ))
        for item in [item for item, utterance in self._open.items() if now() >= utterance.due]:
            self._written(item, None)

    # The link's side.

    def heard(self, event: Heard) -> None:
        match event:
            case SpeechBegan(at_s) if self._since is None:
                self._since = self._moment(at_s)
                self._note("speech.started", at_s=round(self._since, 3))
                self._emit(SpeechStarted(self._since))
            case SpeechStopped(at_s) if self._since is not None:
                self._stopped(self._moment(at_s))
            case UtteranceKept(item) if self._ended:
                self._utterances.kept(item)
                self._open[item] = _Utterance(self._ended.pop(0), now() + TRANSCRIPT_S)
            case UtteranceKept(item):  # silence, after an utterance that was ended by hand
                self._link.forget(item)
            case UtteranceWords(item=item, text=text, final=False) if item in self._open and text:
                shown = self._conversation.collecting.masked(text.strip())
                self._note("transcript", text=shown, final=False, language=None, stt_s=None)
                self._emit(Interim(text.strip()))
            case UtteranceWords(item=item, text=text, final=True):
                self._written(item, text)

    def refused(self, error: ProviderError) -> None:
        if self._ended:
            self._ended.pop()
            self._emit(Recognized("", batch=True))

    def lost(self, error: ProviderError) -> None:
        """Words that were promised and will not come are none; the next connection hears that sound again."""
        if self._since is not None:
            self._stopped(now())
        for _ in (*self._ended, *self._open):
            self._emit(Recognized("", batch=True))
        self._ended.clear()
        self._open.clear()
        self._utterances.lost()
        for frame in self._tail:
            self._link.hear(frame)

    def _note(self, kind: str, /, **data: Any) -> None:
        self._conversation.record(kind, speaker=self._conversation.people.identity(THE_CALLER), **data)

    def _moment(self, at_s: float) -> float:
        """When the sound at this place of the connection was heard."""
        return now() - max(0.0, self._link.sound_s - at_s)

    def _stopped(self, until: float) -> None:
        assert self._since is not None
        since, self._since = self._since, None
        self._silent_since = until = max(since, until)
        self._ended.append(Sound(since=since, until=until, speech_s=until - since))
        self._note("speech.ended", duration_s=round(until - since, 3))
        self._emit(SpeechEnded(until, until - since, recognizing=True))
        self._emit(ProviderEndOfTurn())

    def _written(self, item: str, words: str | None) -> None:
        """None: there are none in time, or ever."""
        utterance = self._open.pop(item, None)
        text = NOT_TRANSCRIBED if words is None else words.strip()
        self._utterances.written(item, text)
        if utterance is None:
            return
        self._record(text, utterance)
        self._emit(Recognized(text, batch=True, sound=utterance.sound))

    def _record(self, text: str, utterance: _Utterance) -> None:
        if not text:
            self._note("speech.wordless")
            return
        waited_s = round(now() - utterance.sound.until, 4)
        shown = self._conversation.collecting.masked(text)
        self._note("transcript", text=shown, final=True, language=None, stt_s=waited_s)


def silenced(frame: AudioFrame, parts: list[bool]) -> AudioFrame:
    """The frame without the parts, of equal length, that are true."""
    cuts = [frame.samples * n // len(parts) * BYTES_PER_SAMPLE for n in range(len(parts) + 1)]
    pieces = [frame.data[begin:end] for begin, end in pairwise(cuts)]
    data = b"".join(bytes(len(piece)) if part else piece for piece, part in zip(pieces, parts, strict=True))
    return AudioFrame(data, frame.sample_rate_hz)
