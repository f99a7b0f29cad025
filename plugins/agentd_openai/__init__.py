"""OpenAI and everything that speaks its interface: language models, recognition, synthesis, realtime models."""

from agentd.registry import Component, Plugin

plugin = Plugin(
    name="openai",
    version="0.1.0",
    components=(
        Component(
            kind="llm",
            provider="openai",
            settings="agentd_openai.config:OpenAILLMSettings",
            factory="agentd_openai.llm:create_llm",
            summary="Chat completions with streaming and tools, at OpenAI or any compatible base_url.",
        ),
        Component(
            kind="stt",
            provider="openai",
            settings="agentd_openai.config:OpenAISTTSettings",
            factory="agentd_openai.stt:create_stt",
            summary="Recognition of whole utterances (audio.transcriptions).",
        ),
        Component(
            kind="tts",
            provider="openai",
            settings="agentd_openai.config:OpenAITTSSettings",
            factory="agentd_openai.tts:create_tts",
            summary="Synthesis, one streamed request a segment (audio.speech).",
        ),
        Component(
            kind="realtime",
            provider="openai",
            settings="agentd_openai.config:OpenAIRealtimeSettings",
            factory="agentd_openai.realtime:create_realtime",
            summary="A model that listens and speaks by itself (Realtime API).",
        ),
    ),
)
