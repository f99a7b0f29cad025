"""The tools of one session: those of its agent, with what tools and hooks have added and taken away in this call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agentd.config.tools import ToolOptions
from agentd.errors import ToolError
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.tools.spec import Event, HookOutcome, LateAnswer, RunnableTool, ToolContext, ToolOutcome, ToolRunner

logger = logging.getLogger(__name__)

MAX_ADDED = 64
"""Tools of one call that are not in its agent file: more is a tool that adds without end."""


class SessionTools:
    """A ToolRunner over another, which sessions share and which stays as it is."""

    def __init__(self, shared: ToolRunner) -> None:
        self._shared = shared
        self._added: dict[str, RunnableTool] = {}
        self._removed: set[str] = set()
        self._changes: dict[str, Any] = {}  # what was done, by name

    def renewed(self, shared: ToolRunner) -> SessionTools:
        """The same changes of other tools: the agent's after an edit."""
        renewed = SessionTools(shared)
        renewed.change(self._changes)
        return renewed

    def change(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Carries out what `ChangeTools` asks for; what of it was done. What cannot be is left out, and logged."""
        done = {}
        for name, told in changes.items():
            try:
                self._change(name, told)
            except (ToolError, KeyError, TypeError, ValueError) as error:
                logger.warning("a tool was not added", extra={"tool": name, "error": str(error)})
            else:
                done[name] = told
        self._changes.update(done)
        return done

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        kept = (schema for schema in self._shared.schemas if self._is_shared(schema.name))
        return (*kept, *(tool.schema for tool in self._added.values()))

    def options(self, name: str) -> ToolOptions:
        return self._added[name].options if name in self._added else self._shared.options(name)

    def arguments(self, call: ToolCall) -> Mapping[str, Any]:
        return self._shared.arguments(call)

    def repeatable(self, name: str) -> bool:
        return self._added[name].repeatable if name in self._added else self._shared.repeatable(name)

    def read(self, call: ToolCall, answer: LateAnswer) -> ToolOutcome:
        return self._shared.read(call, answer)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        if call.name in self._added:
            return await self._added[call.name].run(call, context)
        return self._gone(call) if call.name in self._removed else await self._shared.run(call, context)

    def adopt(self, told: Mapping[str, Any]) -> RunnableTool:
        return self._shared.adopt(told)

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
        return await self._shared.run_hook(ref, event, context, timeout_s)

    async def aclose(self) -> None:
        """The shared tools are others', too."""

    def _gone(self, call: ToolCall) -> ToolOutcome:
        names = ", ".join(schema.name for schema in self.schemas) or "none"
        text = f"There is no tool {call.name} any more. The tools are: {names}."
        result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
        return ToolOutcome(result=result, outcome="unknown_tool")

    def _is_shared(self, name: str) -> bool:
        return name not in self._added and name not in self._removed

    def _change(self, name: str, told: Any) -> None:
        if told is None:
            self._added.pop(name, None)
            self._removed.add(name)
        elif told is True:
            if name not in {schema.name for schema in self._shared.schemas}:
                raise ToolError("the agent file has no tool of this name")
            self._added.pop(name, None)
            self._removed.discard(name)
        else:
            if len(self._added) >= MAX_ADDED and name not in self._added:
                raise ToolError(f"{MAX_ADDED} tools were added to this call already")
            self._added[name] = self._shared.adopt(told)
