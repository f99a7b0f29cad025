"""Deepgram's messages -> speech events. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from agentd.providers.stt import SpeechEvent, Transcript
from agentd_deepgram.sdk import ListenV1Results, ListenV1UtteranceEnd


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    confidence: float
    duration_s: float
    speaker: str | None = None  # where Deepgram tells voices apart


class Results:
    """One connection's results. Pieces that will not change are joined until Deepgram says that the speaker paused.

    `offset_s` is where in the stream the connection's sound began.
    """

    def __init__(self, offset_s: float, language: str | None) -> None:
        self.settled_s = offset_s  # up to here the stream's sound is recognised for good
        self._offset_s = offset_s
        self._language = language
        self._identified = False  # Deepgram says which language it heard: under language: multi
        self._pieces: list[_Piece] = []
        self._turn_ended = True  # nothing was said since the last end of turn

    def push(self, message: object) -> list[SpeechEvent]:
        """Takes any message of the SDK's; those that say nothing of speech give nothing."""
        if isinstance(message, ListenV1Results):
            return self._results(message)
        if isinstance(message, ListenV1UtteranceEnd):
            return self._utterance_end()
        return []

    def _results(self, message: ListenV1Results) -> list[SpeechEvent]:
        pieces = self._heard(message)
        end_s = self._offset_s + (message.start or 0.0) + (message.duration or 0.0)
        if pieces:
            self._turn_ended = False
        if not message.is_final:
            return self._interims(pieces, end_s) if pieces else []
        self.settled_s = max(self.settled_s, end_s)
        self._pieces += pieces
        return self._settled(message, end_s, new=bool(pieces))

    def _heard(self, message: ListenV1Results) -> list[_Piece]:
        """The words of one message; more than one piece where more than one voice said them."""
        alternatives = message.channel.alternatives if message.channel else []
        if not alternatives:
            return []
        best = alternatives[0]
        if best.languages:
            self._language, self._identified = best.languages[0], True
        confidence, duration_s = best.confidence or 0.0, message.duration or 0.0
        words = best.words or []
        if any(word.speaker is None for word in words) or not words:
            return [_Piece(best.transcript, confidence, duration_s)] if best.transcript else []
        return [
            _Piece(" ".join(w.punctuated_word or w.word or "" for w in run), confidence, duration_s, str(speaker))
            for speaker, run in ((number, list(said)) for number, said in groupby(words, lambda word: word.speaker))
        ]

    def _interims(self, pieces: list[_Piece], end_s: float) -> list[SpeechEvent]:
        """What is not final yet, of each voice for itself."""
        known = [*self._pieces, *pieces]
        voices = dict.fromkeys(piece.speaker for piece in known)
        texts = [self._joined([piece for piece in known if piece.speaker == voice]) for voice in voices]
        return [SpeechEvent(kind="interim", transcript=text, audio_end_s=end_s) for text in texts]

    def _settled(self, message: ListenV1Results, end_s: float, *, new: bool) -> list[SpeechEvent]:
        asked_for = bool(message.from_finalize)
        if not (message.speech_final or asked_for):
            return self._interims([], end_s) if new else []
        events = []
        if self._pieces or asked_for:  # an answer to Finalize may be empty: then nobody said anything more
            events += self._finals(end_s)
        if not asked_for:  # a pause that we asked for is no opinion of Deepgram's
            events += self._end_of_turn(end_s)
        return events

    def _utterance_end(self) -> list[SpeechEvent]:
        """Comes when noise kept speech_final away, and again after one that came."""
        events = []
        if self._pieces:
            events += self._finals(self.settled_s)
        return events + self._end_of_turn(self.settled_s)

    def _end_of_turn(self, end_s: float) -> list[SpeechEvent]:
        if self._turn_ended:
            return []
        self._turn_ended = True
        nothing_new = Transcript(text="", language=self._language)
        return [SpeechEvent(kind="end_of_turn", transcript=nothing_new, audio_end_s=end_s)]

    def _finals(self, end_s: float) -> list[SpeechEvent]:
        """All pieces, one event for what one voice said in one go."""
        runs = [list(run) for _, run in groupby(self._pieces, lambda piece: piece.speaker)] or [[]]
        self._pieces.clear()
        return [SpeechEvent(kind="final", transcript=self._joined(run), audio_end_s=end_s) for run in runs]

    def _joined(self, pieces: list[_Piece]) -> Transcript:
        weight = sum(piece.duration_s for piece in pieces)
        confidence = sum(piece.confidence * piece.duration_s for piece in pieces) / weight if weight else None
        return Transcript(
            text=" ".join(piece.text for piece in pieces),
            language=self._language,
            confidence=confidence,
            identified=self._identified,
            speaker=pieces[0].speaker if pieces else None,
        )

    def carried(self, offset_s: float) -> Results:
        """The state for a connection that takes over at this place in the stream: what was settled stays."""
        heir = Results(offset_s, self._language)
        heir._pieces, heir._turn_ended = self._pieces, self._turn_ended
        return heir
