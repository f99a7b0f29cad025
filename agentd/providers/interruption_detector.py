"""Whether a caller who makes a sound while the agent speaks wants the turn: asked again and again while it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentd.audio import AudioFrame
from agentd.providers.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionDetectorSettings:
    """Common to every detector; a plugin's own settings extend it."""

    interrupts_from: float = setting(
        "Probability from which the agent is cut. Below it, words decide.", default=0.9, minimum=0.5, maximum=1.0
    )
    ignores_below: float = setting(
        "Probability below which the agent goes on speaking. Words still interrupt it.",
        default=0.2,
        minimum=0.0,
        maximum=0.5,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapSoFar:
    """`audio`: the last 3 s at most of the caller's sound, 16 kHz, from 0.2 s before the onset of speech, with the
    silence after it if there is some already. `speech`: the voice activity detector's probabilities, of windows of
    `window_s`, of which the last ends with `audio`. `language`: BCP 47."""

    audio: AudioFrame
    speech: tuple[float, ...]
    window_s: float
    language: str


class InterruptionDetector(Protocol):
    """Shared by all calls of a worker."""

    async def judge(self, overlap: OverlapSoFar) -> float:
        """The probability, 0 to 1, that the caller wants the turn: near 1 for the beginning of a sentence, near 0 for
        "uh-huh", a cough or a noise, 0.5 while it cannot be told. Asked up to sixteen times a second, one question at
        a time; an answer that takes more than 0.2 s is not waited for. Raises ProviderError."""
        ...

    async def aclose(self) -> None: ...
