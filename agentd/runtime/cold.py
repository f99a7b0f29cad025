"""Calls that an earlier daemon left: found by their journals, taken up again where their rooms still stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.config.reachable import reachable
from agentd.errors import JournalError
from agentd.runtime.calls import Calls, Mint
from agentd.runtime.jobs import Session
from agentd.runtime.journals import Unfinished, mark_ended, unfinished
from agentd.transport.protocol import agent_identity

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""Journals that the thread reads in one go: some milliseconds, unless calls were left in them."""


async def left_open(paths: Sequence[Path]) -> AsyncIterator[Unfinished]:
    """The calls that these journals leave open, in their order; what cannot be read is left alone. There may be as many
    as calls were ever taken: they are read in a thread, while the daemon serves."""
    number = 0
    for first in range(0, len(paths), AT_ONCE):
        for found in await asyncio.to_thread(_left_open, paths[first : first + AT_ONCE]):
            number += 1
            yield found
    if paths:
        logger.info("journals searched", extra={"journals": len(paths), "left_open": number})


def _left_open(paths: Sequence[Path]) -> list[Unfinished]:
    found = []
    for path in paths:
        with suppress(JournalError):
            if (call := unfinished(path)) is not None:
                found.append(call)
    return found


async def recover_calls(
    left: AsyncIterator[Unfinished],
    calls: Calls,
    agents: Mapping[str, AgentDefinition],
    livekit_url: str,
    mint: Mint,
    room_exists: Callable[[str], Awaitable[bool]],
) -> None:
    """Each call that was cut goes on in a worker, or its journal is closed. The definition is today's."""
    async for found in left:
        agent = str(found.started.data.get("agent", ""))
        room = str(found.started.data.get("room", ""))
        definition = agents.get(agent)
        if definition is not None and room and await room_exists(room):
            session = left_behind(found, definition, livekit_url, reachable(definition, agents))
            logger.warning("session recovered", extra=session.named)
            calls.adopt(session, token=mint(room, session.identity, agent))
        else:
            await asyncio.to_thread(mark_ended, found.path, "daemon_lost")


def left_behind(
    found: Unfinished, definition: AgentDefinition, url: str, others: Mapping[str, AgentDefinition]
) -> Session:
    data = found.started.data
    asked = str(found.requested.data.get("asked", "")) if found.requested else ""
    return Session(
        id=found.session,
        job=str(data.get("job_id", "")),
        agent=definition.name,
        definition=definition,
        generation=0,
        room=str(data["room"]),
        url=url,
        identity=agent_identity(str(data.get("job_id", ""))),
        journal=found.path,
        worker="",
        started_at=found.started.at,
        variables=data.get("variables") or {},
        metadata=str(data.get("metadata", "")),
        registration="" if asked == definition.name else asked,
        incarnation=found.incarnations + 1,
        own_token=True,
        lost_at=now(),
        others=tuple(others.values()),
    )
