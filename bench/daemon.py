"""A running daemon, and an agent for it that costs nothing, for benchmarks and system tests."""

from __future__ import annotations

from agentd.loadtest.daemon import Daemon, free_port, running_daemon

__all__ = ["Daemon", "free_port", "running_daemon", "zero_cost_agent"]

FAST_AGENT = """\
version: 1
name: {name}
{extra}
stt: {{provider: scripted, texts: ["utterance {{number}}"]}}
llm: {{provider: scripted, replies: {replies}}}
tts: {{provider: scripted, sound: tone, character: {character}}}
"""


def zero_cost_agent(name: str, replies: list[str] | None = None, *, character: str = "40ms", extra: str = "") -> str:
    """An agent file whose recogniser, model and synthesiser take no time: what is measured is agentd. VAD is real."""
    shown = "[" + ", ".join(f'"{reply}"' for reply in replies or ["This is the answer."]) + "]"
    return FAST_AGENT.format(name=name, replies=shown, character=character, extra=extra)
