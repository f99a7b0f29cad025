"""A worker process with the stand-ins of `tests.runtime.parts` instead of plugins, rooms and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentd import logs
from agentd.ipc import FrameLink, parent_link, receive_object
from agentd.runtime.alone import run_alone
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.worker import Worker
from tests.runtime.parts import FakeSession, fake_agents, fake_rooms


async def main() -> None:
    link = await parent_link()
    settings: WorkerSettings = await receive_object(link)
    logs.configure("text", "ERROR")
    assert settings.worker
    await run_alone(link, settings, made)


def made(settings: WorkerSettings, link: FrameLink, orphaned: Callable[[], None]) -> Worker:
    return Worker(link, fake_agents(), fake_rooms, FakeSession, orphaned)


if __name__ == "__main__":
    asyncio.run(main())
