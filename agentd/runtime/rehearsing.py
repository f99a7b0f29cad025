"""The process in which an agent's tests run for the supervisor, which runs no user's code and no provider's itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agentd import logs
from agentd.config.definition import AgentDefinition
from agentd.ipc import parent_link, receive_object, send_object
from agentd.registry import Registry, installed
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.rehearsal_results import ScenarioResult

LONGEST_S = 86_400.0  # of all conversations' time


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearse:
    """The first message: whose tests. `others`: agents that a call may be handed to; `places`: see Rehearsal."""

    settings: WorkerSettings
    definition: AgentDefinition
    others: tuple[AgentDefinition, ...]
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """The answer."""

    results: tuple[ScenarioResult, ...]


async def main() -> None:
    link = await parent_link()
    asked: Rehearse = await receive_object(link)
    logs.configure(asked.settings.log_style, "CRITICAL")
    await send_object(link, Rehearsed(results=await asyncio.to_thread(rehearsed, asked, installed())))
    link.close()
    await link.wait_closed()


def rehearsed(
    asked: Rehearse, registry: Registry, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[ScenarioResult, ...]:
    """On a loop of its own, whose time is virtual. `wanted`: scenarios of which names."""
    from agentd.runtime.live import tool_kits
    from agentd.runtime.rehearsal import Rehearsal
    from agentd.virtual_time import run_virtual

    with TemporaryDirectory(prefix="agentd-test-") as memory:
        rehearsal = Rehearsal(
            asked.definition,
            registry,
            tool_kits(replace(asked.settings, memory_dir=Path(memory))),
            others={each.name: each for each in asked.others},
            places=asked.places,
        )
        return run_virtual(rehearsal.results(wanted), limit_s=LONGEST_S)
