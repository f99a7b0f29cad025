"""When speech begins and ends, from the VAD's probabilities. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentd.providers.vad import VADSettings

RELEASE_MARGIN = 0.15
"""Speech goes on until the probability falls this far below `activation`: Silero's own hysteresis."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech since `since`, on the clock of the windows."""

    since: float


@dataclass(frozen=True, slots=True)
class Offset:
    """Silence since `last_speech`; `speech_s` of speech windows in the utterance that began at `since`; `probability`:
    the mean over them."""

    last_speech: float
    speech_s: float
    since: float = 0.0
    probability: float = 1.0


class VoiceActivity:
    """One call's hysteresis. `window_s`: length of a VAD window."""

    def __init__(self, settings: VADSettings, window_s: float) -> None:
        self._settings = settings
        self.window_s = window_s
        self._speaking = False
        self._run_s = 0.0  # speech windows in a row, before the onset; speech of the utterance after it
        self.last_speech = 0.0  # the end of the last speech window
        self.since = 0.0  # the onset of the utterance
        self._lull = False
        self._sum = 0.0  # of the probabilities of the windows in `_run_s`

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def lull_since(self) -> float | None:
        """Since when there is silence within the utterance; None in speech, and between utterances."""
        return self.last_speech if self._speaking and self._lull else None

    def push(self, probabilities: Sequence[float], end: float) -> list[Onset | Offset]:
        """Windows of which the last ended at `end`."""
        changes: list[Onset | Offset] = []
        for index, probability in enumerate(probabilities):
            at = end - self.window_s * (len(probabilities) - 1 - index)
            change = self._window(probability, at)
            if change is not None:
                changes.append(change)
        return changes

    def stop(self) -> list[Onset | Offset]:
        """No more sound comes, as from a microphone that was muted: an utterance under way ends."""
        return [self._offset()] if self._speaking else []

    def _window(self, probability: float, at: float) -> Onset | Offset | None:
        threshold = self._settings.activation - (RELEASE_MARGIN if self._speaking else 0.0)
        if probability >= threshold:
            self._run_s += self.window_s
            self._sum += probability
            self.last_speech = at
            self._lull = False
            if not self._speaking and self._run_s >= self._settings.min_speech:
                self._speaking = True
                self.since = at - self._run_s
                return Onset(self.since)
            return None
        self._lull = True
        if not self._speaking:
            self._run_s = self._sum = 0.0
        elif at - self.last_speech >= self._settings.min_silence - 1e-6:
            return self._offset()
        return None

    def _offset(self) -> Offset:
        probability = self._sum * self.window_s / self._run_s
        offset = Offset(self.last_speech, self._run_s, self.since, probability)
        self._speaking, self._run_s, self._sum = False, 0.0, 0.0
        return offset
