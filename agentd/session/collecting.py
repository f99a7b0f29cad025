"""What a conversation must know of a task that runs in it; see `agentd.session.tasks`."""

from __future__ import annotations

from typing import Protocol

from agentd.providers.llm import ToolSchema


class Collecting(Protocol):
    """The task that runs, if one does."""

    @property
    def instructions(self) -> str:
        """What the model is told of it; "" when none runs."""
        ...

    def offered(self, tools: tuple[ToolSchema, ...]) -> tuple[ToolSchema, ...]:
        """What the model may call now, of the agent's tools and the task's own."""
        ...

    def masked(self, text: str) -> str:
        """A caller's words as they may be kept and shown: without a secret that they are being asked for."""
        ...

    @property
    def hides(self) -> bool:
        """Whether the caller is being asked for a secret, or whether it is right."""
        ...


class NoTask:
    """A conversation without tasks."""

    instructions = ""
    hides = False

    def offered(self, tools: tuple[ToolSchema, ...]) -> tuple[ToolSchema, ...]:
        return tools

    def masked(self, text: str) -> str:
        return text
