"""Speech to text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from agentd.audio import AudioFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class STTSettings:
    """Common to every recogniser; a plugin's own settings extend it."""

    def languages_known(self) -> frozenset[str] | None:
        """Primary subtags ("de") that it recognises under these settings; None: any, or nobody knows."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class STTCapabilities:
    """`streaming`: `stream` works; else the session calls `recognize` once an utterance. `punctuates`: where a sentence
    seems finished a full stop stands, so that a missing one means something. `early`: at this moment it has time for an
    utterance that may not have ended yet, at no cost but that time (agentd.session.early_words)."""

    streaming: bool
    interim_results: bool = False
    endpointing: bool = False  # sends "end_of_turn" events
    punctuates: bool = False
    early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was recognised. Empty `text` means that nobody said anything."""

    text: str
    language: str | None = None  # BCP 47, where the provider says it
    confidence: float | None = None  # 0 to 1
    identified: bool = False  # `language` is what was heard, and not what was asked for
    speaker: str | None = None  # which of the voices in this sound, by the recogniser's own name; None: it cannot tell


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEvent:
    """`interim`: may still change; `final`: will not; `end_of_turn`: the provider thinks that the speaker is done.

    `audio_end_s` is the end of the recognised audio, in seconds since the stream began, if known.
    """

    kind: Literal["interim", "final", "end_of_turn"]
    transcript: Transcript
    audio_end_s: float | None = None


class STTStream(Protocol):
    """One call's recognition, open for as long as the call. Iterating gives events until `aclose`."""

    async def push(self, frame: AudioFrame) -> None:
        """Takes a 16 kHz frame of the caller's audio, silence too; waits when the provider is behind."""
        ...

    async def flush(self) -> None:
        """The VAD heard the end of an utterance: finalise what was sent, if the provider can."""
        ...

    def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        """Events in order. Raises ProviderError when the connection is lost for good."""
        ...

    async def aclose(self) -> None: ...


class STT(Protocol):
    """A provider client, shared by all calls of a worker."""

    @property
    def capabilities(self) -> STTCapabilities: ...

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        """The text of one whole utterance at 16 kHz. Raises ProviderError. Streaming-only providers refuse it."""
        ...

    async def stream(self, *, language: str | None) -> STTStream:
        """Opens a stream for one call. Raises ProviderError. Batch-only providers refuse it."""
        ...

    async def aclose(self) -> None: ...
