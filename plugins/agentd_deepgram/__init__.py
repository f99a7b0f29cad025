"""Deepgram: streaming recognition and synthesis, both over WebSocket."""

from agentd.registry import Component, Plugin

plugin = Plugin(
    name="deepgram",
    version="0.1.0",
    components=(
        Component(
            kind="stt",
            provider="deepgram",
            settings="agentd_deepgram.config:DeepgramSTTSettings",
            factory="agentd_deepgram.stt:create_stt",
            summary="Streaming recognition with interim results, keyterms and endpointing (Nova).",
        ),
        Component(
            kind="tts",
            provider="deepgram",
            settings="agentd_deepgram.config:DeepgramTTSSettings",
            factory="agentd_deepgram.tts:create_tts",
            summary="Streaming synthesis (Aura).",
        ),
    ),
)
