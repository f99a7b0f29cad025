"""Settings of the Deepgram providers. Imports no SDK."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.providers.fields import Duration, JsonObject, Secret, setting
from agentd.providers.language_id import primary
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings

DEEPGRAM_URL = "https://api.deepgram.com"
URL_PATTERN = r"^(https?|wss?)://"

_KEY_DOC = "The API key. When absent DEEPGRAM_API_KEY, which goes to Deepgram itself only."
_URL_DOC = "Address of the API, without /v1; a regional or self-hosted Deepgram."
_OPEN_DOC = "Wait for a connection."


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepgramSTTSettings(STTSettings):
    """Streaming recognition (v1/listen)."""

    model: str = setting("Model to recognise with.", default="nova-3", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=DEEPGRAM_URL, pattern=URL_PATTERN)
    language: str | None = setting("Language of the speech, or multi; the agent's language when absent.", default=None)
    keyterms: tuple[str, ...] = setting("Names and words to expect, one entry each (Nova-3).", default=())
    interim_results: bool = setting("Send words while they may still change.", default=True)
    endpointing: Duration | None = setting(
        "Silence after which Deepgram ends a turn of its own; absent turns that off.",
        default=Duration(0.3), minimum=0.01, maximum=10,
    )  # fmt: skip
    utterance_end: Duration | None = setting(
        "Gap between words that ends a turn where noise hides the silence; needs interim_results.",
        default=Duration(1.0), minimum=1, maximum=5,
    )  # fmt: skip
    smart_format: bool = setting("Write numbers, dates and sums as people do.", default=True)
    punctuate: bool = setting("Write punctuation and capitals.", default=True)
    numerals: bool = setting("Write numbers as digits.", default=False)
    diarize: bool = setting(
        "Tell voices at one microphone apart: words of another voice than the first are never the caller's.",
        default=False,
    )
    extra_query: JsonObject = setting("Further parameters of the request, as they are.", default_factory=dict)
    open_timeout: Duration = setting(_OPEN_DOC, default=Duration(5.0), minimum=0.05, maximum=60)
    stall_timeout: Duration = setting(
        "The oldest that unanswered sound may get before the connection counts as dead.",
        default=Duration(3.0), minimum=0.2, maximum=60,
    )  # fmt: skip
    reconnect_window: Duration = setting(
        "How long a lost connection is tried again before the stream fails.",
        default=Duration(10.0), minimum=0, maximum=60,
    )  # fmt: skip

    def languages_known(self) -> frozenset[str] | None:
        """What `language` names."""
        return frozenset({primary(self.language)}) if self.language not in (None, "", "multi") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepgramTTSSettings(TTSSettings):
    """Streaming synthesis (v1/speak)."""

    model: str = setting("Model, which is also the voice and the language.", default="aura-2-thalia-en", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=DEEPGRAM_URL, pattern=URL_PATTERN)
    speed: float | None = setting("Rate of speech, where the model has it.", default=None, minimum=0.7, maximum=1.5)
    extra_query: JsonObject = setting("Further parameters of the request, as they are.", default_factory=dict)
    open_timeout: Duration = setting(_OPEN_DOC, default=Duration(5.0), minimum=0.05, maximum=60)
    first_audio_timeout: Duration = setting(
        "Wait for a segment's first sound.", default=Duration(5.0), minimum=0.05, maximum=60
    )
    stall_timeout: Duration = setting(
        "The longest gap in a segment's sound.", default=Duration(3.0), minimum=0.05, maximum=60
    )

    def languages_known(self) -> frozenset[str] | None:
        """A voice's name ends in its language."""
        language = self.model.rpartition("-")[2]
        return frozenset({language}) if self.model.startswith("aura-") and len(language) == 2 else None
