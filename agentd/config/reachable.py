"""The agents that a call of one agent may come to, by what their files say. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from agentd.config.definition import AgentDefinition
from agentd.config.named_agents import named_agents


def reachable(agent: AgentDefinition, agents: Mapping[str, AgentDefinition]) -> dict[str, AgentDefinition]:
    """By name, without itself; those that are nowhere are left out."""
    found: dict[str, AgentDefinition] = {}
    waiting = [agent]
    while waiting:
        for name in (each.agent for each in named_agents(waiting.pop())):
            if name != agent.name and name not in found and name in agents:
                found[name] = agents[name]
                waiting.append(agents[name])
    return found
