"""The caller's sound becomes events: voice activity, then words, from a streaming or a batch recogniser."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from agentd.aio import Channel, every, now
from agentd.audio import INPUT_HZ, AudioFrame, concat
from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agentd.providers.stt import STT, SpeechEvent, STTStream, Transcript
from agentd.providers.vad import VADSettings
from agentd.session import attempts, resilience
from agentd.session.activity import Offset, Onset, VoiceActivity
from agentd.session.boundary import closed, plugin_code, stream_of
from agentd.session.conversation import Conversation
from agentd.session.deafness import Deafness
from agentd.session.early_words import EarlyWords
from agentd.session.echo import DoubleTalk, EchoWatch, watched
from agentd.session.events import (
    THE_CALLER,
    Interim,
    ProviderEndOfTurn,
    Recognized,
    Sound,
    SpeechEnded,
    SpeechStarted,
    TurnEvent,
    Voice,
)
from agentd.session.judging import TurnJudge
from agentd.session.overhearing import Overhearing
from agentd.session.setup import Candidate
from agentd.session.voice_detection import VoiceDetection

SILENT_TRACK_S = 0.5
"""Speech with no frame for this long has ended: the microphone was muted or the network fails (pipecat's limit)."""

SHORTEST_SPEECH_S = 0.15
"""Less speech than this holds no word; recognisers make one up ("you")."""

SEND_STALL_S = 3.0
"""A recogniser that takes no sound for this long will not take any: its stream is opened again (fault table, F17)."""

PENDING_UTTERANCES = 8
PENDING_FRAMES = 250  # 16 s at 64 ms: what a recogniser's reconnect may take


@dataclass(frozen=True, slots=True)
class _Utterance:
    audio: AudioFrame
    sound: Sound
    early: asyncio.Future[Transcript] | None  # its words, which were asked for at its last lull


class Listening:
    """One person's ear. `emit` takes events in order and must not block; `emit_other`: what another voice says at the
    same microphone. `echo` watches for the agent's voice there."""

    def __init__(
        self,
        conversation: Conversation,
        emit: Callable[[TurnEvent], None],
        *,
        voice: Voice = THE_CALLER,
        echo: EchoWatch | None = None,
        emit_other: Callable[[TurnEvent], None] | None = None,
    ) -> None:
        self._conversation = conversation
        self._emit = emit
        self._emit_other = emit_other or emit
        self._voice = voice
        self._echo = echo or conversation.echo
        self._double_talk = DoubleTalk()
        self._own_voice: str | None = None  # the recogniser's name for the one that this ear is for: the first heard
        self._detect_voice()
        self._last_frame = now()
        self._offset_at = now()
        self._recent: deque[AudioFrame] = deque()  # the last `prefix_padding` of sound, or the utterance
        self._recent_s = 0.0
        self._utterances: Channel[_Utterance] = Channel(PENDING_UTTERANCES)
        self._early = EarlyWords(self._recognize)
        self._deafness = Deafness(conversation)
        self._judge = TurnJudge(conversation, emit, voice)
        self._overhearing = Overhearing(conversation, self._activity, emit, self._note)
        self._frames: Channel[AudioFrame | None] = Channel(PENDING_FRAMES)  # None: flush
        self._recognisers = conversation.providers.stt
        self._language = conversation.language
        self._tells_language = False  # the recogniser finds the language out by itself
        self._language_due = False  # it changed in mid-utterance, which the former recogniser ends
        self._language_changed = asyncio.Event()

    @property
    def streaming(self) -> bool:
        return self._recognisers[0].provider.capabilities.streaming

    def _detect_voice(self) -> None:
        settings, vad = self._conversation.definition.vad.settings, self._conversation.providers.vad
        self._settings = settings if isinstance(settings, VADSettings) else VADSettings()
        name = self._conversation.definition.vad.provider
        self._detector, self._vad = vad, VoiceDetection(vad, name, self._conversation.record)
        self._activity = VoiceActivity(self._settings, vad.window_samples / INPUT_HZ)

    def follow_agent(self) -> None:
        """The conversation goes on as another agent, whose detectors and recogniser hear it. To be called while nobody
        has the turn; what it has in common with the one before goes on as it was."""
        conversation = self._conversation
        if conversation.providers.vad is not self._detector or conversation.definition.vad.settings != self._settings:
            self.end_utterance()
            self._detect_voice()
        self._judge.follow_agent()
        self._overhearing.follow_agent(self._activity)
        if conversation.providers.stt != self._recognisers or conversation.language != self._language:
            self.follow_language()

    def recent(self) -> list[AudioFrame]:
        """What was heard last, for another ear to begin with."""
        return list(self._recent)

    def follow_language(self) -> None:
        """The conversation goes on in another language: from the next utterance on it is listened for."""
        self._language_due = True
        if not self._activity.speaking:
            self._change_language()

    def _change_language(self) -> None:
        if not self._language_due:
            return
        self._language_due = False
        before, self._recognisers = self._recognisers, self._conversation.providers.stt
        self._language = self._conversation.language
        if self._recognisers is not before or not self._tells_language:
            self._language_changed.set()

    async def run(self, frames: AsyncIterator[AudioFrame]) -> None:
        """Until the frames end."""
        async with asyncio.TaskGroup() as group:
            watchdog = group.create_task(every(0.1, self._watch))
            recognisers = [group.create_task(self._recognize_all()), group.create_task(self._stream_all())]
            recognisers.append(group.create_task(self._early.run()))
            judges = [group.create_task(self._judge.run()), group.create_task(self._overhearing.run())]
            async for frame in frames:
                await self._take(frame)
            self.end_utterance()
            watchdog.cancel()
            self._utterances.close()
            self._frames.close()
            for task in (*judges, *recognisers):
                task.cancel()

    async def _take(self, frame: AudioFrame) -> None:
        self._last_frame = now()
        self._judge.keep(frame, self._last_frame)
        if self.streaming:
            self._frames.force(frame)
        else:
            self._keep(frame)
        probabilities = await self._vad.push(frame)
        echoes = watched(self._echo, frame, self._last_frame, self._note)
        if self._echo.path is not None:
            probabilities = self._double_talk.without_echo(probabilities, echoes, self._settings.activation)
        for change in self._activity.push(probabilities, self._last_frame):
            self._changed(change)
        if not self.streaming:
            free = self._recognisers[0].provider.capabilities.early
            self._early.follow(self._activity, self._last_frame, self._utterance_sound, free=free)
        self._overhearing.hear(frame, probabilities, self._last_frame)

    def _keep(self, frame: AudioFrame) -> None:
        """Sound for a batch recogniser: the padding before speech, or the utterance up to its limit."""
        self._recent.append(frame)
        self._recent_s += frame.duration_s
        speaking = self._activity.speaking
        limit_s = self._settings.max_buffered_speech if speaking else self._settings.prefix_padding
        while self._recent_s > limit_s and len(self._recent) > 1:
            self._recent_s -= self._recent.popleft().duration_s

    def _utterance_sound(self) -> AudioFrame:
        return concat(self._recent, INPUT_HZ)

    def _changed(self, change: Onset | Offset) -> None:
        if isinstance(change, Onset):
            self._note("speech.started", at_s=round(change.since, 3))
            self._judge.speech(change.since)
            self._emit(SpeechStarted(change.since))
            return
        self._offset_at = change.last_speech
        recognizing = not self.streaming and change.speech_s >= SHORTEST_SPEECH_S
        self._note("speech.ended", duration_s=round(change.speech_s, 3))
        if self.streaming and change.speech_s >= SHORTEST_SPEECH_S:
            self._deafness.speech_ended()
        judging = change.speech_s >= SHORTEST_SPEECH_S and self._judge.ask()
        self._emit(SpeechEnded(change.last_speech, change.speech_s, recognizing, judging))
        if self.streaming:
            self._frames.force(None)
        elif recognizing:
            utterance = _Utterance(self._utterance_sound(), _sound(change), self._early.take(change.last_speech))
            if not self._utterances.send_nowait(utterance):
                # Every SpeechEnded that promised an answer must get one, or the turn would never end.
                self._conversation.record("error", where="stt", message="too many utterances wait: one was dropped")
                self._emit(Recognized("", batch=True))
            self._recent.clear()
            self._recent_s = 0.0
        else:
            self._note("speech.wordless")
            self._emit(Recognized(""))
        if not self.streaming:  # else the words of this utterance are still to come
            self._change_language()

    def _watch(self) -> None:
        if self._activity.speaking and now() - self._last_frame > SILENT_TRACK_S:
            self.end_utterance()
        self._deafness.look()

    def end_utterance(self) -> None:
        """What is being said has ended, whatever the sound says; its words are still to come."""
        for change in self._activity.stop():
            self._changed(change)

    def overhear(self, *, wanted: bool) -> None:
        """Whether an opinion of what is being said over the agent's speech decides something."""
        self._overhearing.wanted = wanted

    def turn_ended(self) -> None:
        """What is said from now on belongs to another turn."""
        self._judge.turn_ended()

    # Batch recognisers: one utterance after the other.

    async def _recognize_all(self) -> None:
        async for utterance in self._utterances:
            transcript = await (utterance.early or self._recognize(utterance.audio))
            text = transcript.text.strip()
            self._record(transcript, final=True, since=utterance.sound.until)
            language = transcript.language if transcript.identified else None
            if text and self._is_other(transcript):
                self._emit_other(Recognized(text, language))
                text = ""
            self._judge.words(text)
            punctuated = self._recognisers[0].provider.capabilities.punctuates
            self._emit(Recognized(text, language, batch=True, sound=utterance.sound, punctuated=punctuated))

    async def _recognize(self, audio: AudioFrame) -> Transcript:
        conversation = self._conversation
        language = conversation.language

        async def call(stt: STT) -> Transcript:
            return await stt.recognize(audio, language=language)

        try:
            transcript = await resilience.request("stt", self._recognisers, call, conversation.record)
        except ProviderError as error:
            conversation.record("error", where=f"stt {error.provider}", message=error.message)
            self._deafness.unheard()
            return Transcript(text="")
        self._deafness.heard()
        return transcript

    def _record(self, transcript: Transcript, *, final: bool, since: float) -> None:
        if transcript.text.strip():
            other = {"other_voice": True} if self._is_other(transcript) else {}
            self._note(
                "transcript",
                text=self._conversation.collecting.masked(transcript.text.strip()),
                final=final,
                language=transcript.language,
                stt_s=round(now() - since, 4) if final else None,
                **other,
            )
        elif final:
            self._note("speech.wordless")

    def _note(self, kind: str, /, **data: Any) -> None:
        """Records it with whose sound it is about."""
        self._conversation.record(kind, **data, speaker=self._conversation.people.identity(self._voice))

    def _is_other(self, transcript: Transcript) -> bool:
        """Whether these words are of another voice than the one that was heard first at this microphone."""
        if transcript.speaker is None or not transcript.text.strip():
            return False
        if self._own_voice is None:
            self._own_voice = transcript.speaker
        return transcript.speaker != self._own_voice

    # Streaming recognisers: a stream for the whole call, opened again when it is lost or the language changes.

    async def _stream_all(self) -> None:
        conversation = self._conversation
        while True:
            self._language_changed.clear()
            if not self.streaming:
                await self._language_changed.wait()
                continue
            recognisers, at_once = self._recognisers, False
            try:
                recogniser, stream = await resilience.opened(
                    "stt", recognisers, lambda stt: stt.stream(language=conversation.language), conversation.record
                )
                at_once = True
                await self._use(recogniser, stream)
            except ProviderError as error:
                self._deafness.lost()
                conversation.record("error", where=f"stt {error.provider}", message=error.message)
                if not (at_once and attempts.spared(recognisers)):
                    await asyncio.sleep(attempts.RETRY_AFTER_S)

    async def _use(self, recogniser: Candidate[STT], stream: STTStream) -> None:
        """Until the language changes. Raises ProviderError when the stream is lost."""
        lost: ProviderError | None = None
        began = now()
        self._own_voice = None  # a new stream names voices anew
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send_frames(recogniser, stream))
                reader = group.create_task(self._read(recogniser, stream))
                change = group.create_task(self._language_changed.wait())
                await asyncio.wait([reader, change], return_when=asyncio.FIRST_COMPLETED)
                for task in (sender, reader, change):
                    task.cancel()
        except* ProviderError as group_error:
            lost = attempts.first(group_error)  # raised below: here, Python before 3.11.4 wraps it in a group
        finally:
            await closed(recogniser.name, stream)
        if lost is None and not self._language_changed.is_set():
            lost = ProviderUnavailable(recogniser.name, "the stream ended by itself")
        if lost is not None:
            attempts.lost("stt", recogniser, lost, began, self._conversation.record)
            raise lost

    async def _read(self, recogniser: Candidate[STT], stream: STTStream) -> None:
        async with aclosing(stream_of(recogniser.name, lambda: stream)) as events:
            async for event in events:
                attempts.stands("stt", recogniser)
                self._deafness.heard()
                self._heard(event, punctuated=recogniser.provider.capabilities.punctuates)

    async def _send_frames(self, recogniser: Candidate[STT], stream: STTStream) -> None:
        """Raises ProviderTimeout when the recogniser takes no more: its connection is half open."""
        async for frame in self._frames:
            try:
                async with asyncio.timeout(SEND_STALL_S):
                    with plugin_code(recogniser.name):
                        await (stream.flush() if frame is None else stream.push(frame))
            except TimeoutError:
                raise ProviderTimeout(recogniser.name, f"took no sound for {SEND_STALL_S:g} s") from None

    def _heard(self, event: SpeechEvent, *, punctuated: bool) -> None:
        match event.kind:
            case "interim":
                self._record(event.transcript, final=False, since=self._offset_at)
                if not self._is_other(event.transcript):
                    self._emit(Interim(event.transcript.text.strip()))
            case "final" if self._is_other(event.transcript):
                self._record(event.transcript, final=True, since=self._offset_at)
                language = event.transcript.language if event.transcript.identified else None
                self._emit(Interim(""))  # what was shown of them as the caller's
                self._emit_other(Recognized(event.transcript.text.strip(), language))
            case "final":
                self._judge.words(event.transcript.text.strip())
                self._record(event.transcript, final=True, since=self._offset_at)
                self._tells_language = event.transcript.identified
                language = event.transcript.language if event.transcript.identified else None
                self._emit(Recognized(event.transcript.text.strip(), language, punctuated=punctuated))
                if not self._activity.speaking:
                    self._change_language()
            case "end_of_turn":
                self._emit(ProviderEndOfTurn())


def _sound(offset: Offset) -> Sound:
    return Sound(since=offset.since, until=offset.last_speech, speech_s=offset.speech_s, probability=offset.probability)
