"""A fixed registry for configuration tests: providers of every shape of setting, with nothing behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, IncludedFile, JsonObject, Secret, env_secret, setting
from agentd.providers.interruption_detector import InterruptionDetectorSettings
from agentd.providers.llm import LLMSettings
from agentd.providers.realtime import RealtimeSettings
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings
from agentd.providers.turn_detector import TurnDetectorSettings
from agentd.providers.vad import VADSettings
from agentd.registry import Component, Kind, Plugin, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class OwlSTTSettings(STTSettings):
    model: str = setting("Name of the model.", default="owl-2", min_length=1)
    api_key: Secret = setting("Key of the account.", default=env_secret("OWL_API_KEY"))
    keyterms: tuple[str, ...] = setting("Words to listen for.", default=())
    endpointing: Duration | None = setting("Silence that ends a turn.", default=None, minimum=0.01, maximum=5)
    speech: Literal["any", "en"] = setting("Languages it knows.", default="any")
    beams: int = setting("Width of the search.", default=1, minimum=1, maximum=10)

    def languages_known(self) -> frozenset[str] | None:
        return None if self.speech == "any" else frozenset({"en"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    times: int = setting("How often.", minimum=0)
    delay: Duration = setting("Between two tries.", default=Duration(1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParrotLLMSettings(LLMSettings):
    model: str = setting("Name of the model.")
    temperature: float | None = setting("Randomness.", default=None, minimum=0, maximum=2)
    base_url: str = setting(
        "Address.", default="https://parrot.example", pattern=r"^https?://", examples=("https://x.example/v1",)
    )
    api_key: Secret | None = setting("Key.", default=None)
    extra: JsonObject = setting("Sent as it is.", default_factory=dict)
    retry: RetrySettings | None = setting("Tries.", default=None)
    routes: Mapping[str, RetrySettings] = setting("Tries of each route.", default_factory=dict)
    dialogue_file: IncludedFile | None = setting("What to say.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TonePlain:
    type: Literal["plain"] = setting("One tone.")
    hertz: float = setting("Pitch.", default=440.0, minimum=20, maximum=20000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneChord:
    type: Literal["chord"] = setting("Several tones.")
    notes: tuple[int, ...] = setting("MIDI notes.", min_length=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrenTTSSettings(TTSSettings):
    voice: str = setting("Name of the voice.", default="anna")
    speed: float = setting("Speed of speech.", default=1.0, minimum=0.5, maximum=2.0)
    effects: tuple[TonePlain | ToneChord, ...] = setting("Sounds under the voice.", default=())

    def __post_init__(self) -> None:
        if self.voice == "anna" and self.speed > 1.5:
            raise ValueError("anna cannot speak faster than 1.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class MouseVADSettings(VADSettings):
    model_path: str | None = setting("Another model.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatTurnSettings(TurnDetectorSettings):
    model_path: str | None = setting("Another model.", default=None)

    def languages_known(self) -> frozenset[str] | None:
        return None if self.model_path else frozenset({"en", "de"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LynxOverlapSettings(InterruptionDetectorSettings):
    keenness: int = setting("How keen its ears are.", default=1, minimum=1, maximum=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class StarlingRealtimeSettings(RealtimeSettings):
    voice: str = setting("Name of the voice.", default="anna")


def _component(kind: Kind, provider: str, settings: str, *, default: bool = False) -> Component:
    return Component(
        kind=kind,
        provider=provider,
        settings=f"tests.fakes.plugins:{settings}",
        factory="tests.fakes.plugins:no_factory",
        summary=f"A {kind} for tests.",
        default=default,
    )


def fake_registry() -> Registry:
    components = (
        _component("stt", "owl", "OwlSTTSettings"),
        _component("llm", "parrot", "ParrotLLMSettings"),
        _component("llm", "broken", "NoSuchSettings"),
        _component("tts", "wren", "WrenTTSSettings"),
        _component("vad", "mouse", "MouseVADSettings", default=True),
        _component("turn_detector", "bat", "BatTurnSettings"),
        _component("interruption_detector", "lynx", "LynxOverlapSettings"),
        _component("realtime", "starling", "StarlingRealtimeSettings"),
    )
    return Registry([Plugin(name="zoo", version="1", components=components)])
