"""What a benchmark measures: agentd, or a peer, serving one agent whose recogniser, model and synthesiser cost nothing.

Every subject answers each utterance with the same text, spoken as a tone of 40 ms a character, under its own default
turn settings or under the fastest that it can be set to. The voice activity detection is real.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from agentd.loadtest.caller import Server
from agentd.loadtest.steps import Serving, ServingDaemon
from bench.daemon import running_daemon, zero_cost_agent

AGENT_NAME = "bench"
Settings = Literal["default", "fastest"]
ENDPOINTING_S: dict[Settings, float] = {"default": 0.5, "fastest": 0.1}
FASTEST = "vad: {provider: silero, min_silence: 100ms}\nturn: {endpointing: {min_delay: 0.1s}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    reply: str
    greeting: str = ""
    settings: Settings = "default"


class Subject(Protocol):
    name: str

    def serving(self, server: Server, agent: Agent) -> AbstractAsyncContextManager[Serving]: ...


class Agentd:
    """The daemon of this repository, started as a user would start it."""

    name = "agentd"

    def __init__(self, *, workers: int) -> None:
        self._workers = workers

    @asynccontextmanager
    async def serving(self, server: Server, agent: Agent) -> AsyncIterator[Serving]:
        extra = f'greeting: {{say: "{agent.greeting}"}}\n' if agent.greeting else ""
        extra += FASTEST if agent.settings == "fastest" else ""
        files = {f"{AGENT_NAME}.yaml": zero_cost_agent(AGENT_NAME, [agent.reply], extra=extra)}
        async with running_daemon(server, files, workers=self._workers) as daemon:
            yield ServingDaemon(daemon)
