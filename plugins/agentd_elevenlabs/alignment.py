"""Times of characters -> times of words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentd.providers.tts import TimedWord

_SLACK_S = 0.01  # times are whole milliseconds, and characters may overlap a little


class Words:
    """One segment's words. A word is given once the next one has begun: a message may end in the middle of one."""

    def __init__(self) -> None:
        self._text = ""
        self._start_s = 0.0
        self._end_s = 0.0

    def push(self, alignment: Mapping[str, Any], sound_s: float) -> list[TimedWord]:
        """`alignment`: chars, charStartTimesMs, charDurationsMs; `sound_s`: the segment's sound before this message."""
        chars = alignment.get("chars") or []
        starts = alignment.get("charStartTimesMs") or []
        durations = alignment.get("charDurationsMs") or alignment.get("charsDurationsMs") or []
        if not starts:
            return []
        # Documented as relative to the message's own sound; servers that count from the segment's begin exist too.
        offset_s = sound_s if starts[0] / 1000 < self._end_s - _SLACK_S else 0.0
        words: list[TimedWord] = []
        for char, start_ms, duration_ms in zip(chars, starts, durations, strict=False):
            start_s = offset_s + start_ms / 1000
            words += self._take(char, start_s, start_s + duration_ms / 1000)
        return words

    def flush(self) -> list[TimedWord]:
        """The last word, when the segment is complete."""
        word = TimedWord(text=self._text, start_s=self._start_s, end_s=self._end_s)
        self._text = ""
        return [word] if word.text else []

    def _take(self, char: str, start_s: float, end_s: float) -> list[TimedWord]:
        blank = not char.strip()
        done = self.flush() if self._text[-1:].isspace() and not blank else []
        if not self._text:
            if blank:
                return done
            self._start_s = start_s
        self._text += char
        self._end_s = end_s
        return done
