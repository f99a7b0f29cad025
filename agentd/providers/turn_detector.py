"""Whether a caller has finished: the opinion of a model on the turn so far, asked whenever the caller falls silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentd.audio import AudioFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDetectorSettings:
    """Common to every detector; a plugin's own settings extend it."""

    def languages_known(self) -> frozenset[str] | None:
        """Primary subtags ("de") that it judges under these settings; None: any, or nobody knows."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSoFar:
    """`audio`: the last 8 s at most of the turn, 16 kHz, with the silence that the voice activity detector waited for.
    `text`: its words as far as they are known: a recogniser that answers whole utterances has not heard the last one
    yet. `language`: BCP 47."""

    audio: AudioFrame
    text: str
    language: str


class TurnDetector(Protocol):
    """Shared by all calls of a worker."""

    async def judge(self, turn: TurnSoFar) -> float:
        """The probability, 0 to 1, that the caller has finished; from 0.5 on it counts as finished. An answer that
        takes more than 0.5 s is not waited for. Raises ProviderError."""
        ...

    async def aclose(self) -> None: ...
