"""agentd_scripted: a dialogue engine in the model's place, and zero-cost ears and voice for benchmarks and tests."""

from __future__ import annotations

from agentd.registry import Component, Plugin

plugin = Plugin(
    name="scripted",
    version="0.1.0",
    components=(
        Component(
            kind="llm",
            provider="scripted",
            settings="agentd_scripted.config:ScriptedLLMSettings",
            factory="agentd_scripted.llm:create_llm",
            summary="A dialogue of states, templates and tools, written in the agent file; needs no model.",
            offline=True,
        ),
        Component(
            kind="stt",
            provider="scripted",
            settings="agentd_scripted.config:ScriptedSTTSettings",
            factory="agentd_scripted.stt:create_stt",
            summary="Answers texts of yours for every utterance; for benchmarks and tests.",
        ),
        Component(
            kind="tts",
            provider="scripted",
            settings="agentd_scripted.config:ScriptedTTSSettings",
            factory="agentd_scripted.tts:create_tts",
            summary="Answers a tone as long as the text, with word timings; for benchmarks and tests.",
        ),
    ),
)
