"""Settings of the ElevenLabs providers. Imports no SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, Secret, setting
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings

ELEVENLABS_URL = "https://api.elevenlabs.io"
URL_PATTERN = r"^(https?|wss?)://"

_KEY_DOC = "The API key. When absent ELEVENLABS_API_KEY, which goes to ElevenLabs itself only."
_URL_DOC = "Address of the API, without /v1: a region of ElevenLabs, or a proxy."
_OPEN_DOC = "Wait for a connection."


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevenLabsTTSSettings(TTSSettings):
    """Streaming synthesis (multi-stream-input)."""

    model: str = setting("Model; eleven_v3 has no WebSocket.", default="eleven_flash_v2_5", min_length=1)
    voice: str = setting("A voice's name or its id.", default="Rachel", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=ELEVENLABS_URL, pattern=URL_PATTERN)
    language: str | None = setting(
        "Language to speak, for models that know several; the agent's when absent.", default=None
    )
    speed: float | None = setting("1.0 is normal; the voice's own when absent.", default=None, minimum=0.7, maximum=1.2)
    stability: float | None = setting(
        "Low is lively, high is even; the voice's own when absent.", default=None, minimum=0, maximum=1
    )
    similarity_boost: float | None = setting("Closeness to the original voice.", default=None, minimum=0, maximum=1)
    style: float | None = setting("Exaggeration of the style; costs time.", default=None, minimum=0, maximum=1)
    use_speaker_boost: bool | None = setting("Raise the likeness to the speaker; costs time.", default=None)
    text_normalization: Literal["auto", "on", "off"] = setting(
        "Whether numbers and the like are spelled out before they are spoken.", default="auto"
    )
    open_timeout: Duration = setting(_OPEN_DOC, default=Duration(5.0), minimum=0.05, maximum=60)
    first_audio_timeout: Duration = setting(
        "Wait for a segment's first sound.", default=Duration(5.0), minimum=0.05, maximum=60
    )
    stall_timeout: Duration = setting(
        "The longest gap in a segment's sound.", default=Duration(3.0), minimum=0.05, maximum=60
    )

    @property
    def pace(self) -> float:
        return self.speed or 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevenLabsSTTSettings(STTSettings):
    """Realtime recognition (speech-to-text/realtime)."""

    model: str = setting("Model to recognise with.", default="scribe_v2_realtime", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=ELEVENLABS_URL, pattern=URL_PATTERN)
    language: str | None = setting(
        "Language of the speech, or multi: whichever is spoken; the agent's language when absent.", default=None
    )
    keyterms: tuple[str, ...] = setting("Names and words to expect, at most 50 of 20 characters.", default=())
    commit: Literal["manual", "vad"] = setting(
        "What settles a transcript: agentd's own voice activity detection (manual), or ElevenLabs' (vad).",
        default="manual",
    )
    vad_silence: Duration | None = setting(
        "With commit: vad, the silence that settles a transcript.", default=None, minimum=0.3, maximum=3
    )
    no_verbatim: bool = setting("Leave out filler words and false starts.", default=False)
    open_timeout: Duration = setting(_OPEN_DOC, default=Duration(5.0), minimum=0.05, maximum=60)
    stall_timeout: Duration = setting(
        "The oldest that unanswered sound may get before the connection counts as dead.",
        default=Duration(3.0), minimum=0.2, maximum=60,
    )  # fmt: skip
