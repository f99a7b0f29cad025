"""What a benchmark measures: agentd, or a peer, serving one agent whose recogniser, model and synthesiser cost nothing.

Every subject answers each utterance with the same text, spoken as a tone of 40 ms a character, under its own default
turn settings or under the fastest that it can be set to. The voice activity detection is real.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from bench.caller import Server
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.processes import total_cpu_s

AGENT_NAME = "bench"
Settings = Literal["default", "fastest"]
ENDPOINTING_S: dict[Settings, float] = {"default": 0.5, "fastest": 0.1}
FASTEST = "vad: {provider: silero, min_silence: 100ms}\nturn: {endpointing: {min_delay: 0.1s}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    reply: str
    greeting: str = ""
    settings: Settings = "default"


class Serving(Protocol):
    """A subject that is registered as AGENT_NAME and takes dispatches."""

    def pids(self) -> list[int]:
        """All of its processes."""

    async def lags_s(self) -> list[float]:
        """The worst delay of each worker's event loop in the last second; nothing when it does not tell."""


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


class ServingDaemon:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.pids = daemon.pids

    async def lags_s(self) -> list[float]:
        return [float(worker["loop_lag_s"]) for worker in await self._daemon.workers()]


async def settled(serving: Serving, *, quiet: float = 0.1, timeout_s: float = 30.0) -> None:
    """Waits until the subject has used less than `quiet` of a core for a second: starting up is not measured."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        before, at = total_cpu_s(serving.pids()), time.monotonic()
        await asyncio.sleep(1)
        if total_cpu_s(serving.pids()) - before < quiet * (time.monotonic() - at):
            return
    raise RuntimeError("the subject does not come to rest")
