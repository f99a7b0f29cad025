"""In a worker: agents that are ready to take calls, with the providers and tools that they share.

A prepared agent is known by (name, revision): an unchanged agent is carried from generation to generation untouched.
A provider is shared by all agents, of any generation, whose settings have the same digest. The tool kit (a snapshot
of the tools' code, and their processes) is shared by the agents that were prepared together. Each is closed when its
last user is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import AgentdError, ConfigError, PluginBroken
from agentd.registry import Registry
from agentd.runtime.messages import Rejection
from agentd.session.setup import Candidate, Providers
from agentd.session.standing import Standing
from agentd.tools.spec import ToolRunner

logger = logging.getLogger(__name__)

PROVIDER_DEADLINE_S = 60.0
"""To import an SDK and load a model; a recogniser of 1.5 GB takes some 10 s from a slow disk."""

TOOLS_DEADLINE_S = 30.0


class Closable(Protocol):
    async def aclose(self) -> None: ...


class ToolKit(Closable, Protocol):
    """Opens tools; what they share (code, processes, connections) is its own."""

    async def open(self, definition: AgentDefinition) -> ToolRunner: ...


Key = tuple[str, str]


@dataclass(slots=True)
class _Shared:
    """Something made once and closed with its last user. `standing`: of a provider."""

    value: Any
    users: int = 0
    standing: Standing = field(default_factory=Standing)


@dataclass(slots=True)
class PreparedAgent:
    """`sessions`: calls that use it now."""

    definition: AgentDefinition
    providers: Providers
    tools: ToolRunner
    kit: _Shared
    choices: tuple[ProviderChoice, ...]
    generation: int
    sessions: int = 0


class ProviderPool:
    """The provider clients of a worker, by kind, name and digest of the settings."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._shared: dict[Key, _Shared] = {}

    def __len__(self) -> int:
        return len(self._shared)

    async def acquire(self, choice: ProviderChoice) -> Any:
        """Raises AgentdError with what to install or set."""
        key = _key(choice)
        shared = self._shared.get(key)
        if shared is None:
            shared = _Shared(await self._make(choice))
            self._shared[key] = shared
        shared.users += 1
        return shared.value

    def standing(self, choice: ProviderChoice) -> Standing:
        """Of what was acquired: how it did lately, in all calls."""
        return self._shared[_key(choice)].standing

    async def release(self, choices: Iterable[ProviderChoice]) -> None:
        for choice in choices:
            shared = self._shared[_key(choice)]
            shared.users -= 1
            if shared.users == 0:
                del self._shared[_key(choice)]
                await close_quietly(shared.value, f"{choice.kind} {choice.provider}")

    async def _make(self, choice: ProviderChoice) -> Any:
        name = f"{choice.kind} {choice.provider}"
        component = self._registry.find(choice.kind, choice.provider)
        # Importing an SDK takes up to a second: not on the loop on which calls talk.
        factory = await asyncio.to_thread(self._registry.factory, component)
        try:
            async with asyncio.timeout(PROVIDER_DEADLINE_S):
                return await factory(choice.settings)
        except TimeoutError as error:
            raise PluginBroken(f"{name} was not ready within {PROVIDER_DEADLINE_S:.0f} s") from error
        except AgentdError:
            raise
        except Exception as error:  # a plugin is foreign code: what it raises must reject its agent, not end the worker
            logger.exception("provider could not be made", extra={"provider": name})
            raise PluginBroken(f"{name}: {type(error).__name__}: {error}") from error


def _key(choice: ProviderChoice) -> Key:
    return (f"{choice.kind}/{choice.provider}", choice.digest)


async def close_quietly(resource: Closable, name: str) -> None:
    """Closes; a failure is logged, for nothing depends on it any more."""
    try:
        async with asyncio.timeout(10):
            await resource.aclose()
    except Exception:  # foreign code again, and nobody is left to act on its failure
        logger.exception("could not be closed", extra={"resource": name})


class PreparedAgents:
    """The agents of a worker. `prepare` makes, `commit` names what serves, and what nobody needs is closed."""

    def __init__(self, registry: Registry, tool_kit: Callable[[str], ToolKit]) -> None:
        """`tool_kit`: of the code in this directory; "": in the agents' directory."""
        self.providers = ProviderPool(registry)
        self._tool_kit = tool_kit
        self._agents: dict[Key, PreparedAgent] = {}
        self._serving: frozenset[Key] = frozenset()
        self._candidates: set[Key] = set()  # named by a Prepare since the last Commit
        self._making = asyncio.Lock()

    def generations(self) -> tuple[int, ...]:
        return tuple(sorted({agent.generation for agent in self._agents.values()}))

    def definition(self, agent: str, revision: str) -> AgentDefinition | None:
        """What it has made of this revision; None: nothing (yet)."""
        made = self._agents.get((agent, revision))
        return made.definition if made is not None else None

    async def prepare(self, generation: int, definitions: Iterable[AgentDefinition]) -> tuple[Rejection, ...]:
        """Makes what is new; answers every agent that cannot be made, with the reasons."""
        rejected: list[Rejection] = []
        kits: dict[str, _Shared] = {}
        async with self._making:
            for definition in definitions:
                self._candidates.add((definition.name, definition.digest))
                if (definition.name, definition.digest) in self._agents:
                    continue
                try:
                    await self._make(generation, definition, kits.setdefault(definition.root, _Shared(None)))
                except AgentdError as error:
                    rejected.append(Rejection(agent=definition.name, problems=_reasons(error)))
                await asyncio.sleep(0)  # where nothing is to be waited for, the calls' sound goes on all the same
        return tuple(rejected)

    async def lease(
        self, agent: str, revision: str, definition: AgentDefinition | None, generation: int
    ) -> PreparedAgent:
        """The agent for one more call; one that is not prepared is made from `definition`. Raises AgentdError."""
        if (agent, revision) not in self._agents and definition is not None:
            async with self._making:
                if (agent, revision) not in self._agents:
                    await self._make(generation, definition, self._kit_of(definition))
        found = self._agents.get((agent, revision))
        if found is None:
            raise AgentdError(f"agent {agent} of revision {revision} is not prepared")
        found.sessions += 1
        return found

    async def lease_prepared(self, agent: str, revision: str) -> PreparedAgent | None:
        """The same; None where it is not prepared."""
        if (agent, revision) not in self._agents:
            return None
        return await self.lease(agent, revision, None, 0)

    def serving(self, agent: str) -> str:
        """The revision that serves. Raises AgentdError."""
        found = next((revision for name, revision in self._serving if name == agent), None)
        if found is None:
            raise AgentdError(f"there is no agent {agent}")
        return found

    def newest(self, agent: str) -> AgentDefinition | None:
        """What serves; None: there is none, or it could not be made here."""
        found = next((revision for name, revision in self._serving if name == agent), None)
        return self.definition(agent, found) if found is not None else None

    async def release(self, agent: PreparedAgent) -> None:
        """One call fewer."""
        agent.sessions -= 1
        await self.close_unused()

    async def commit(self, revisions: Mapping[str, str]) -> None:
        self.serve(revisions)
        await self.close_unused()

    def serve(self, revisions: Mapping[str, str]) -> None:
        """These serve from now on; see `close_unused`."""
        self._serving = frozenset(revisions.items())
        self._candidates.clear()

    async def aclose(self) -> None:
        """Everything, whoever uses it."""
        self._serving = frozenset()
        self._candidates.clear()
        for agent in self._agents.values():
            agent.sessions = 0
        await self.close_unused()

    async def _make(self, generation: int, definition: AgentDefinition, kit: _Shared) -> None:
        held: list[ProviderChoice] = []
        try:
            providers = await self._providers_of(definition, held)
            if kit.value is None:
                kit.value = self._tool_kit(definition.root)
            async with asyncio.timeout(TOOLS_DEADLINE_S):
                tools = await kit.value.open(definition)
        except BaseException as error:  # cancelled as well: what it holds is given back
            await self.providers.release(held)
            await self._close_kit(kit)
            if isinstance(error, TimeoutError):
                raise AgentdError(f"its tools were not ready within {TOOLS_DEADLINE_S:.0f} s") from error
            raise
        kit.users += 1
        self._agents[definition.name, definition.digest] = PreparedAgent(
            definition=definition,
            providers=providers,
            tools=tools,
            kit=kit,
            choices=tuple(held),
            generation=generation,
        )

    async def _providers_of(self, definition: AgentDefinition, held: list[ProviderChoice]) -> Providers:
        async def acquire(choice: ProviderChoice) -> Candidate[Any]:
            provider = await self.providers.acquire(choice)
            held.append(choice)
            return Candidate(choice.provider, provider, self.providers.standing(choice))

        async def with_fallbacks(choice: ProviderChoice | None) -> tuple[Candidate[Any], ...]:
            return tuple([await acquire(each) for each in (choice, *choice.fallback)]) if choice else ()

        own = Providers(
            vad=(await acquire(definition.vad)).provider,
            stt=await with_fallbacks(definition.stt),
            llm=await with_fallbacks(definition.llm),
            tts=await with_fallbacks(definition.tts),
            summary=await with_fallbacks(definition.context.llm),
            language_id=(await acquire(definition.language_id)).provider if definition.language_id else None,
            turn_detector=(await acquire(definition.turn_detector)).provider if definition.turn_detector else None,
            interruption_detector=(
                (await acquire(definition.interruption_detector)).provider if definition.interruption_detector else None
            ),
            realtime=await with_fallbacks(definition.realtime),
        )
        languages = {
            tag: replace(
                own,
                stt=await with_fallbacks(override.stt) if override.stt else own.stt,
                tts=await with_fallbacks(override.tts) if override.tts else own.tts,
            )
            for tag, override in definition.languages.items()
        }
        models = enumerate(step.llm for step in definition.when_busy)
        steps = {number: await with_fallbacks(llm) for number, llm in models if llm is not None}
        return replace(own, languages=languages, steps=steps)

    async def close_unused(self) -> None:
        """What neither serves nor has a call."""
        needed = self._serving | self._candidates
        unused = [key for key, agent in self._agents.items() if agent.sessions <= 0 and key not in needed]
        for agent in [self._agents.pop(key) for key in unused]:
            await close_quietly(agent.tools, f"tools of {agent.definition.name}")
            agent.kit.users -= 1
            await self._close_kit(agent.kit)
            await self.providers.release(agent.choices)
            await asyncio.sleep(0)

    def _kit_of(self, definition: AgentDefinition) -> _Shared:
        """For what a call goes on with after an edit, that of the revision which it has taken."""
        made = self._agents.get((definition.name, definition.revision))
        return made.kit if made is not None else _Shared(None)

    async def _close_kit(self, kit: _Shared) -> None:
        if kit.value is not None and kit.users <= 0:
            value, kit.value = kit.value, None
            await close_quietly(value, "tool kit")


def _reasons(error: AgentdError) -> tuple[str, ...]:
    if isinstance(error, ConfigError):
        return tuple(str(problem) for problem in error.problems)
    return (str(error) or type(error).__name__,)
