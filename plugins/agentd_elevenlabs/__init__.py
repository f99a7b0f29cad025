"""ElevenLabs: synthesis with word timings and realtime recognition, both over WebSocket."""

from agentd.registry import Component, Plugin

plugin = Plugin(
    name="elevenlabs",
    version="0.1.0",
    components=(
        Component(
            kind="tts",
            provider="elevenlabs",
            settings="agentd_elevenlabs.config:ElevenLabsTTSSettings",
            factory="agentd_elevenlabs.tts:create_tts",
            summary="Streaming synthesis with word timings.",
        ),
        Component(
            kind="stt",
            provider="elevenlabs",
            settings="agentd_elevenlabs.config:ElevenLabsSTTSettings",
            factory="agentd_elevenlabs.stt:create_stt",
            summary="Realtime recognition (Scribe).",
        ),
    ),
)
