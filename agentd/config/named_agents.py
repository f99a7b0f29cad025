"""The other agents that an agent's file names, with the places where it does. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentd.config.builtins import TransferTool
from agentd.config.definition import AgentDefinition


@dataclass(frozen=True, slots=True)
class NamedAgent:
    """`setting`: what names it ("tasks[0].fields[1].handoff"). `history`: what of the conversation goes along."""

    agent: str
    setting: str
    history: str = "full"

    @property
    def pointer(self) -> str:
        return "/" + self.setting.replace("[", "/").replace("]", "").replace(".", "/")


def named_agents(agent: AgentDefinition) -> Iterator[NamedAgent]:
    """By its handoffs, hooks, tasks and transfers."""
    for number, handoff in enumerate(agent.handoffs):
        yield NamedAgent(handoff.agent, f"handoffs[{number}]", handoff.history)
    for number, hook in enumerate(agent.hooks):
        if hook.do.handoff is not None:
            passed = hook.do.handoff
            yield NamedAgent(passed.agent, f"hooks[{number}].do.handoff", passed.history)
    for number, task in enumerate(agent.tasks):
        for place, field in enumerate(task.fields):
            if field.handoff is not None:
                passed = field.handoff
                yield NamedAgent(passed.agent, f"tasks[{number}].fields[{place}].handoff", passed.history)
    for number, tool in enumerate(agent.tools):
        for place, each in enumerate(tool.destinations if isinstance(tool, TransferTool) else ()):
            if each.agent is not None:
                yield NamedAgent(each.agent, f"tools[{number}].destinations[{place}]")
