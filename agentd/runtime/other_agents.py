"""In a worker: the agents that one call is handed to, each leased for as long as the call lasts.

Those that its files name are of the generation that the call began with: an edit meanwhile is for the next call. Any
other that an operator or a tool names is the one that serves now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agentd.config.definition import AgentDefinition
from agentd.runtime.messages import StartJob
from agentd.runtime.prepared import PreparedAgent, PreparedAgents
from agentd.session.setup import Equipment


class OtherAgents:
    """One call's (`agentd.session.setup.Agents`). `first`: the agent that it began with, which is leased already."""

    def __init__(self, start: StartJob, first: PreparedAgent, agents: PreparedAgents) -> None:
        self._start = start
        self._agents = agents
        self._named: Mapping[str, AgentDefinition] = {each.name: each for each in start.others}
        self._leased: dict[str, PreparedAgent] = {}
        self._first = first

    async def open(self) -> None:
        """Keeps those that the files name ready from the beginning, as far as this worker has them already: a commit
        meanwhile would close them."""
        for name, definition in self._named.items():
            if (found := await self._agents.lease_prepared(name, definition.digest)) is not None:
                self._leased[name] = found

    def begins(self, start: StartJob) -> None:
        """The call, which has waited for a place, begins as this says."""
        self._start = start

    async def equip(self, name: str) -> Equipment:
        """Raises AgentdError."""
        if name == self._start.agent:
            places = self._start.places
            own = equipment_of(self._first, places)
            return replace(own, providers=own.providers.on_step(self._start.llm_step))
        named = self._named.get(name)
        found = self._leased.get(name)
        if found is None:
            revision = named.digest if named is not None else self._agents.serving(name)
            found = await self._agents.lease(name, revision, named, self._start.generation)
            self._leased[name] = found
        return equipment_of(found, (named or found.definition).places)

    async def aclose(self) -> None:
        """The call is over."""
        while self._leased:
            _, agent = self._leased.popitem()
            await self._agents.release(agent)


def equipment_of(agent: PreparedAgent, places: Mapping[str, str]) -> Equipment:
    """`places`: of the file as it was when the call began, which may have moved without a change since it was made."""
    return Equipment(definition=replace(agent.definition, places=places), providers=agent.providers, tools=agent.tools)
