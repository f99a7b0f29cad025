"""A worker process with the stand-ins of `tests.runtime.parts` instead of plugins, rooms and sessions."""

from __future__ import annotations

import asyncio
import os

from agentd import logs
from agentd.ipc import parent_link, receive_object
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.worker import Worker
from tests.runtime.parts import FakeSession, fake_agents, fake_rooms


async def main() -> None:
    link = await parent_link()
    settings: WorkerSettings = await receive_object(link)
    logs.configure("text", "ERROR")
    assert settings.worker
    await Worker(link, fake_agents(), fake_rooms, FakeSession, orphaned=lambda: os._exit(1)).run()


if __name__ == "__main__":
    asyncio.run(main())
