"""The token with which an agent comes back into its room: as the same participant that it was."""

from __future__ import annotations

from agentd.transport.tokens import LiveKitCredentials, agent_token

AGENT_NAME_ATTRIBUTE = "lk.agent.name"


def agent_attributes(agent: str) -> dict[str, str]:
    """What front ends read of an agent's participant."""
    return {AGENT_NAME_ATTRIBUTE: agent}


def rejoin_token(credentials: LiveKitCredentials, room: str, identity: str, agent: str) -> str:
    return agent_token(credentials, room=room, identity=identity, name=agent, attributes=agent_attributes(agent))
