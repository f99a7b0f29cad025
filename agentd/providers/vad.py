"""Voice activity: the probability that somebody speaks, window by window.

A provider answers probabilities; hysteresis (activation, minimum speech and silence, padding) is
the session's (`agentd.session.listening`), the same for every provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agentd.audio import AudioFrame
from agentd.providers.fields import Duration, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class VADSettings:
    """The hysteresis, common to every VAD provider; the defaults are livekit-agents 1.8.9's."""

    activation: float = setting(
        "Probability from which a window counts as speech.", default=0.5, minimum=0.0, maximum=1.0,
        reload="next_session",
    )  # fmt: skip
    min_speech: Duration = setting("Speech shorter than this is no utterance.", default=Duration(0.05), minimum=0)
    min_silence: Duration = setting("Silence that ends an utterance.", default=Duration(0.25), minimum=0)
    prefix_padding: Duration = setting(
        "Audio kept from before the first speech window.", default=Duration(0.5), minimum=0
    )
    max_buffered_speech: Duration = setting(
        "The longest utterance kept for recognition; what is older is dropped.", default=Duration(60.0), minimum=1
    )


class VADStream(Protocol):
    """One call's detector. Not shared."""

    async def push(self, frame: AudioFrame) -> list[float]:
        """Takes a 16 kHz frame of any length; answers the probability (0 to 1) of every window that it completed."""
        ...


class VAD(Protocol):
    """A loaded model, shared by all calls of a worker."""

    @property
    def window_samples(self) -> int:
        """Samples at 16 kHz in one window."""
        ...

    def stream(self) -> VADStream: ...

    async def aclose(self) -> None: ...
