"""The agents that a call of one agent may come to, by what their files say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentd.config.builtins import TransferTool
from agentd.config.definition import AgentDefinition


def reachable(agent: AgentDefinition, agents: Mapping[str, AgentDefinition]) -> dict[str, AgentDefinition]:
    """By name, without itself; those that are nowhere are left out."""
    found: dict[str, AgentDefinition] = {}
    waiting = [agent]
    while waiting:
        for name in _named(waiting.pop()):
            if name != agent.name and name not in found and name in agents:
                found[name] = agents[name]
                waiting.append(agents[name])
    return found


def _named(agent: AgentDefinition) -> Iterator[str]:
    """Whom its handoffs, hooks, tasks and transfers name."""
    yield from (handoff.agent for handoff in agent.handoffs)
    yield from (hook.do.handoff.agent for hook in agent.hooks if hook.do.handoff is not None)
    fields = (field for task in agent.tasks for field in task.fields)
    yield from (field.handoff.agent for field in fields if field.handoff is not None)
    for tool in agent.tools:
        if isinstance(tool, TransferTool):
            yield from (each.agent for each in tool.destinations if each.agent is not None)
