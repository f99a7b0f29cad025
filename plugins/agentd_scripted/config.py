"""The settings of the scripted providers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, IncludedFile, setting
from agentd.providers.llm import LLMSettings
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings
from agentd_scripted.dialogue import Dialogue
from agentd_scripted.loading import read_dialogue


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedLLMSettings(LLMSettings):
    """One of `dialogue`, `dialogue_file` and `replies`."""

    dialogue: Dialogue | None = setting("The dialogue.", default=None)
    dialogue_file: IncludedFile | None = setting("The same in a YAML file in the agents' directory.", default=None)
    replies: tuple[str, ...] = setting(
        "Instead of a dialogue: the answers to the first, second, ... turn, then from the beginning again; {text} is "
        "what the caller said, {turn} counts from 1.",
        default=(),
        interpolate=False,
        examples=(["You said: {text}"],),
    )
    first_delay: Duration = setting("Wait before the first word, as a model would.", default=Duration(0.0), minimum=0)
    delta_delay: Duration = setting("Wait between pieces of the answer.", default=Duration(0.0), minimum=0)
    delta_words: int = setting("Words in one piece of the answer.", default=4, minimum=1)

    def __post_init__(self) -> None:
        if (self.dialogue, self.dialogue_file, self.replies or None).count(None) != 2:
            raise ValueError("exactly one of dialogue, dialogue_file and replies is wanted")
        if self.dialogue_file:
            read_dialogue(self.dialogue_file.text, self.dialogue_file.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedSTTSettings(STTSettings):
    texts: tuple[str, ...] = setting(
        "The text of the first, second, ... utterance, then from the beginning again; {number} counts from 1. Counted "
        "by call when streaming, else by provider.",
        default=("utterance {number}",),
        min_length=1,
        interpolate=False,
    )
    streaming: bool = setting("Behave as a streaming recogniser.", default=False)
    delay: Duration = setting("Wait before the text.", default=Duration(0.0), minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedTTSSettings(TTSSettings):
    sound: Literal["tone", "noise", "silence"] = setting("What is heard in place of a voice.", default="tone")
    frequency_hz: int = setting("Of the tone.", default=440, minimum=50, maximum=8000)
    level: float = setting("Amplitude; 1 is full scale.", default=0.3, minimum=0.0, maximum=1.0)
    character: Duration = setting("Length of the sound for each character of text.", default=Duration(0.06), minimum=0)
    delay: Duration = setting("Wait before the sound of a segment.", default=Duration(0.0), minimum=0)
