"""In a worker: the agents of one call, each leased for as long as the call may need it.

Those that its files name are of the generation that the call began with: an edit meanwhile is for the next call, unless
the agent says `reload: live`. Any other that an operator or a tool names is the one that serves now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from agentd.config.definition import AgentDefinition
from agentd.runtime.messages import StartJob
from agentd.runtime.prepared import PreparedAgent, PreparedAgents
from agentd.session.setup import Equipment


def _untold(definition: AgentDefinition) -> None:
    """Nobody wants to know."""


class OtherAgents:
    """One call's (`agentd.session.setup.Agents`). `first`: the agent that it began with, which is leased already, and
    released with the others. `revised`: is told by what the call goes on after an edit."""

    def __init__(
        self,
        start: StartJob,
        first: PreparedAgent,
        agents: PreparedAgents,
        revised: Callable[[AgentDefinition], None] = _untold,
    ) -> None:
        self._start = start
        self._agents = agents
        self._revised = revised
        self._named: Mapping[str, AgentDefinition] = {each.name: each for each in start.others}
        self._leased: dict[str, PreparedAgent] = {start.agent: first}
        self._aside: list[PreparedAgent] = []  # made ready by an edit, or replaced by one
        self._places: dict[str, Mapping[str, str]] = {first.definition.digest: start.places}
        self._places |= {each.digest: each.places for each in start.others}

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
        found, newest = self._leased.get(name), self.newest(name)
        if newest is not None and newest.reload == "live" and newest.rollout is None and name != self._start.agent:
            wanted: AgentDefinition | None = newest
        else:
            wanted = found.definition if found is not None else self._named.get(name)
        if found is None or (wanted is not None and wanted.digest != found.definition.digest):
            revision = wanted.digest if wanted is not None else self._agents.serving(name)
            self._put(await self._agents.lease(name, revision, wanted, self._start.generation))
        return self._equipment(self._leased[name])

    def newest(self, name: str) -> AgentDefinition | None:
        return self._agents.newest(name)

    async def equip_edited(self, definition: AgentDefinition) -> Equipment:
        """Raises AgentdError."""
        found = await self._agents.lease(definition.name, definition.digest, definition, self._start.generation)
        self._aside.append(found)
        self._places[definition.digest] = definition.places
        return self._equipment(found)

    def runs(self, definition: AgentDefinition) -> None:
        found = self._take_aside(definition)
        if found is not None:
            self._put(found)
            self._revised(definition)

    async def let_go(self, definition: AgentDefinition) -> None:
        found = self._take_aside(definition)
        if found is not None:
            await self._agents.release(found)

    async def aclose(self) -> None:
        """The call is over."""
        leased = [*self._leased.values(), *self._aside]
        self._leased.clear()
        self._aside.clear()
        for agent in leased:
            await self._agents.release(agent)

    def _put(self, agent: PreparedAgent) -> None:
        """In the place of the one of its name."""
        before = self._leased.get(agent.definition.name)
        if before is not None:
            self._aside.append(before)
        self._leased[agent.definition.name] = agent

    def _take_aside(self, definition: AgentDefinition) -> PreparedAgent | None:
        key = (definition.name, definition.digest)
        found = next((each for each in self._aside if (each.definition.name, each.definition.digest) == key), None)
        if found is not None:
            self._aside.remove(found)
        return found

    def _equipment(self, agent: PreparedAgent) -> Equipment:
        """With the places of the file as it was then, which may have moved without a change since it was made."""
        definition = agent.definition
        places = self._places.get(definition.digest, definition.places)
        own = definition.name == self._start.agent
        providers = agent.providers.on_step(self._start.llm_step) if own else agent.providers
        return Equipment(definition=replace(definition, places=places), providers=providers, tools=agent.tools)
