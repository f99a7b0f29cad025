"""Text to speech."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agentd.audio import AudioFrame
from agentd.providers.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class TTSSettings:
    """Common to every synthesiser; a plugin's own settings extend it."""

    pronunciations: Mapping[str, str] = setting(
        "Words to be spoken otherwise than written: {GP: gee pee}.", default_factory=dict
    )

    def languages_known(self) -> frozenset[str] | None:
        """Primary subtags ("de") that it speaks under these settings; None: any, or nobody knows."""
        return None

    @property
    def pace(self) -> float:
        """How fast the voice speaks by these settings; 1.0 is normal."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Markup:
    """What of the expressive markup a synthesiser takes; the rest is left out of what it is given.

    `breaks`: `<break time="0.3s"/>`. `emphasis`: `<emphasis>so</emphasis>`. `cues`: what it knows of `[laughs]`, in
    small letters. `ssml`: it takes SSML; texts are escaped and come in `<speak>`.
    """

    breaks: bool = False
    emphasis: bool = False
    cues: frozenset[str] = frozenset()
    ssml: bool = False


PLAIN = Markup()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word (with the space or punctuation after it) and where it is heard, in seconds of its segment's audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechChunk:
    """Sound of the segment with this index, at the provider's rate.

    `words`: timings that became known with this chunk (they may run ahead of its sound).
    `last`: no more sound of this segment follows; such a chunk may have an empty frame.
    """

    segment: int
    frame: AudioFrame
    words: tuple[TimedWord, ...] = ()
    last: bool = False


class TTS(Protocol):
    """A provider client, shared by all calls of a worker."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def aligned(self) -> bool:
        """Whether chunks carry word timings."""
        ...

    def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        """An async generator: the sound of one reply.

        `segments` are sentences or clauses, numbered from 0 as they arrive; a later one may come long
        after the sound of an earlier one. Chunks come in order of segment, every segment ends with one
        `last` chunk. Closing the generator stops the work. Raises ProviderError.
        """
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Expressive(Protocol):
    """A TTS that takes markup says so by this."""

    @property
    def markup(self) -> Markup: ...


def markup_of(tts: TTS) -> Markup:
    return tts.markup if isinstance(tts, Expressive) else PLAIN
