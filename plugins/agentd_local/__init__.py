"""agentd_local: speech on this machine's processor, without keys and without a network.

Silero hears when somebody speaks, Whisper recognises, hibari speaks, fastText tells languages apart. Installed by the
extra `local`.
"""

from __future__ import annotations

import os

from agentd.registry import Component, Plugin

# onnxruntime 1.32 for Linux tells Microsoft of every process that imports it, unless this is set by then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

plugin = Plugin(
    name="local",
    version="0.1.0",
    components=(
        Component(
            kind="vad",
            provider="silero",
            settings="agentd_local.config:SileroSettings",
            factory="agentd_local.silero:create_vad",
            model="agentd_local.silero:model_file",
            summary="Silero voice activity detection on onnxruntime.",
            default=True,
        ),
        Component(
            kind="stt",
            provider="whisper",
            settings="agentd_local.config:WhisperSettings",
            factory="agentd_local.whisper:create_stt",
            model="agentd_local.whisper:model_folder",
            summary="Whisper tiny.en on ctranslate2: English, one answer an utterance.",
        ),
        Component(
            kind="tts",
            provider="hibari",
            settings="agentd_local.config:HibariSettings",
            factory="agentd_local.hibari_tts:create_tts",
            model="agentd_local.hibari_tts:voice_file",
            summary="hibari: one American English voice at 24 kHz.",
        ),
        Component(
            kind="turn_detector",
            provider="smart-turn",
            settings="agentd_local.config:SmartTurnSettings",
            factory="agentd_local.smart_turn:create_turn_detector",
            model="agentd_local.smart_turn:model_file",
            summary="Smart Turn v3.2: whether a voice sounds finished, in 23 languages.",
        ),
        Component(
            kind="interruption_detector",
            provider="prosody",
            settings="agentd_local.config:ProsodySettings",
            factory="agentd_local.prosody:create_interruption_detector",
            summary="Whether a sound over the agent's speech is short, or no voice; without a model.",
        ),
        Component(
            kind="language_id",
            provider="fasttext",
            settings="agentd_local.config:FastTextSettings",
            factory="agentd_local.fasttext_id:create_language_id",
            model="agentd_local.fasttext_id:model_file",
            summary="fastText's small model: 176 languages.",
            default=True,
        ),
    ),
)
