"""An interruption detector in virtual time: its opinions by what is being said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentd.errors import ProviderError
from agentd.providers.interruption_detector import OverlapSoFar

Opinion = float | Sequence[tuple[float, float]]
"""One probability, or (seconds of speech heard, probability) in order: the last that is reached holds."""


@dataclass
class FakeInterruptionDetector:
    """`text_of` tells what the sample value of a sound stands for; `opinions` the probability by text."""

    text_of: Callable[[int], str]
    opinions: Mapping[str, Opinion]
    takes_s: float = 0.02
    fails: ProviderError | None = None
    asked: list[OverlapSoFar] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def judge(self, overlap: OverlapSoFar) -> float:
        self.asked.append(overlap)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        if self.fails is not None:
            raise self.fails
        return self._opinion(overlap)

    def _opinion(self, overlap: OverlapSoFar) -> float:
        values = [int(value) for value in overlap.audio.array()[::512] if value]
        opinion = self.opinions.get(self.text_of(values[-1]) if values else "", 0.5)
        if isinstance(opinion, int | float):
            return float(opinion)
        speech_s = sum(probability >= 0.5 for probability in overlap.speech) * overlap.window_s
        return [0.5, *(value for after_s, value in opinion if speech_s >= after_s - 1e-6)][-1]

    async def aclose(self) -> None:
        pass
