"""Settings of the OpenAI providers. Imports no SDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from agentd.providers.fields import Duration, JsonObject, Secret, setting
from agentd.providers.llm import LLMSettings
from agentd.providers.realtime import RealtimeSettings
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings

OPENAI_URL = "https://api.openai.com/v1"
URL_PATTERN = r"^https?://"

_KEY_DOC = "The API key. When absent OPENAI_API_KEY, which goes to OpenAI itself only."
_URL_DOC = "Address of the API, with its /v1; any server that speaks OpenAI's interface."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAILLMSettings(LLMSettings):
    """Chat completions. `web_search` as a tool of type provider: the model searches the web (models that can, such as
    gpt-4o-search-preview); its settings are the request's `web_search_options`."""

    provider_tools: ClassVar[frozenset[str]] = frozenset({"web_search"})

    model: str = setting("Model to ask.", default="gpt-4.1-mini", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=OPENAI_URL, pattern=URL_PATTERN)
    temperature: float | None = setting(
        "Randomness; the model's own default when absent.", default=None, minimum=0, maximum=2
    )
    max_tokens: int | None = setting("The longest answer, in tokens.", default=None, minimum=1)
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = setting(
        "How long a reasoning model may think; low values suit speech.", default=None
    )
    parallel_tool_calls: bool | None = setting(
        "Whether the model may call several tools at once; its own default when absent.", default=None
    )
    extra_body: JsonObject = setting("Further members of the request, sent as they are.", default_factory=dict)
    first_token_timeout: Duration = setting(
        "Wait for the first useful token: keep-alives and empty deltas do not count.",
        default=Duration(5.0), minimum=0.05, maximum=300,
    )  # fmt: skip
    stall_timeout: Duration = setting(
        "The longest gap between useful tokens after that.", default=Duration(3.0), minimum=0.05, maximum=300
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISTTSettings(STTSettings):
    """Recognition of whole utterances."""

    model: str = setting("gpt-4o-mini-transcribe, gpt-4o-transcribe or whisper-1.", default="gpt-4o-mini-transcribe")
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=OPENAI_URL, pattern=URL_PATTERN)
    language: str | None = setting(
        "Language of the speech, or multi: whichever is spoken; the agent's language when absent.", default=None
    )
    prompt: str | None = setting("Names and words to expect.", default=None)
    timeout: Duration = setting("Wait for the transcript.", default=Duration(10.0), minimum=0.05, maximum=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAITTSSettings(TTSSettings):
    """Synthesis, one request a segment."""

    model: str = setting("gpt-4o-mini-tts, tts-1 or tts-1-hd.", default="gpt-4o-mini-tts")
    voice: str = setting("alloy, ash, coral, echo, nova, sage, shimmer ...", default="alloy", min_length=1)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=OPENAI_URL, pattern=URL_PATTERN)
    speed: float = setting("1.0 is normal.", default=1.0, minimum=0.25, maximum=4.0)
    instructions: str | None = setting("How to speak; not for tts-1.", default=None, interpolate=False)
    first_audio_timeout: Duration = setting(
        "Wait for a segment's first sound.", default=Duration(5.0), minimum=0.05, maximum=300
    )
    stall_timeout: Duration = setting(
        "The longest gap in a segment's sound.", default=Duration(3.0), minimum=0.05, maximum=300
    )

    @property
    def pace(self) -> float:
        return self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIRealtimeSettings(RealtimeSettings):
    """A model that listens and speaks by itself (Realtime API)."""

    model: str = setting("gpt-realtime-2.1, gpt-realtime-2.1-mini, gpt-realtime ...", default="gpt-realtime-2.1")
    voice: str = setting(
        "marin, cedar, alloy, ash, ballad, coral, echo, sage, shimmer, verse.", default="marin", min_length=1
    )
    speed: float = setting("1.0 is normal.", default=1.0, minimum=0.25, maximum=1.5)
    api_key: Secret | None = setting(_KEY_DOC, default=None)
    base_url: str = setting(_URL_DOC, default=OPENAI_URL, pattern=URL_PATTERN)
    transcription_model: str = setting(
        "The model that writes down what the caller says.", default="gpt-4o-mini-transcribe", min_length=1
    )
    transcription_prompt: str | None = setting("Names and words to expect in it.", default=None)
    language: str | None = setting(
        "Language of the caller's speech, or multi: whichever is spoken; the agent's language when absent.",
        default=None,
    )
    noise_reduction: Literal["near_field", "far_field"] | None = setting(
        "near_field for headsets, far_field for rooms; none when absent.", default=None
    )
    vad: Literal["server", "semantic"] = setting(
        "With `turn.detection: realtime`: server (silence ends a turn) or semantic (a model tells whether more comes).",
        default="semantic",
    )
    eagerness: Literal["auto", "low", "medium", "high"] = setting(
        "How soon the semantic one takes the caller to be done.", default="auto"
    )
    threshold: float = setting("Loudness from which the server one hears speech.", default=0.5, minimum=0, maximum=1)
    silence: Duration = setting(
        "Silence after which it takes the caller to be done.", default=Duration(0.5), minimum=0.1, maximum=10
    )
    max_output_tokens: int | None = setting("The longest answer, in tokens.", default=None, minimum=1, maximum=4096)
    extra_session: JsonObject = setting("Further members of the session, sent as they are.", default_factory=dict)
    open_timeout: Duration = setting(
        "Wait for a configured connection.", default=Duration(5.0), minimum=0.05, maximum=300
    )
    stall_timeout: Duration = setting(
        "A connection that answers no ping for this long is lost.", default=Duration(5.0), minimum=0.05, maximum=300
    )

    @property
    def pace(self) -> float:
        return self.speed
