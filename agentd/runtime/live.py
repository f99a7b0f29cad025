"""The real parts of a worker: installed plugins, LiveKit's rooms, sessions, tools."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentd.config.definition import AgentDefinition
from agentd.registry import installed
from agentd.runtime.job import Rooms, Sessions
from agentd.runtime.messages import StartJob, WorkerSettings
from agentd.runtime.prepared import PreparedAgents
from agentd.runtime.rejoin import rejoin_token
from agentd.session.room import Room
from agentd.session.session import Session
from agentd.tools.confinement import Limits
from agentd.tools.endpoint import check_endpoint
from agentd.tools.host import ToolHost
from agentd.tools.http import WebhookClient
from agentd.tools.memory import Memory
from agentd.tools.runner import open_tools
from agentd.tools.spec import ToolRunner
from agentd.transport import sdk
from agentd.transport.room import LiveKitRoom, RoomJoin
from agentd.transport.tokens import LiveKitCredentials


@dataclass(frozen=True, slots=True)
class ToolKit:
    """What the tools of the agents that were prepared together share."""

    host: ToolHost
    webhooks: WebhookClient
    memory: Memory | None

    async def open(self, definition: AgentDefinition) -> ToolRunner:
        """Raises ToolError, also for where the supervisor will send: what is wrong is found before the agent serves."""
        for sink in definition.events:
            check_endpoint("events", sink, self.webhooks)
        if definition.on_request is not None:
            check_endpoint("on_request", definition.on_request, self.webhooks)
        return await open_tools(definition, host=self.host, webhooks=self.webhooks, memory=self.memory)

    async def aclose(self) -> None:
        await self.host.aclose()
        await self.webhooks.aclose()


@dataclass(frozen=True, slots=True)
class LiveParts:
    agents: PreparedAgents
    rooms: Rooms
    sessions: Sessions


def live_parts(settings: WorkerSettings) -> LiveParts:
    sdk.quiet()
    return LiveParts(PreparedAgents(installed(), tool_kits(settings)), livekit_rooms(settings), Session)


def tool_kits(settings: WorkerSettings) -> Callable[[str], ToolKit]:
    """By the directory of the tools' code; "": the agents' directory."""

    def tool_kit(root: str) -> ToolKit:
        memory = Memory(settings.memory_dir) if settings.memory_dir is not None else None
        return ToolKit(tool_host(settings, root), WebhookClient(settings.http_allow), memory)

    return tool_kit


def tool_host(settings: WorkerSettings, root: str = "") -> ToolHost:
    """`root`: where the code is, if that is not the agents' directory as it is now."""
    process = settings.tool_process
    return ToolHost(
        Path(root) if root else settings.agents_dir,
        settings.tools_allow,
        environment={name: os.environ[name] for name in process.env if name in os.environ},
        limits=Limits(
            memory_bytes=process.memory_mib << 20,
            cpu_s=process.cpu_s,
            open_files=process.open_files,
            processes=process.processes,
            file_bytes=process.file_mib << 20,
        ),
    )


def livekit_rooms(settings: WorkerSettings) -> Rooms:
    """Joins with the job's token; joins again with tokens for the same identity, minted here."""
    credentials = LiveKitCredentials(url=settings.livekit_url, api_key=settings.api_key, api_secret=settings.api_secret)

    @asynccontextmanager
    async def join(start: StartJob, definition: AgentDefinition, rejoining: Callable[[], None]) -> AsyncIterator[Room]:
        def fresh_token() -> str:
            rejoining()
            return rejoin_token(credentials, start.room, start.identity, start.called)

        options = RoomJoin(
            participant_kinds=definition.room.participant_kinds,
            participant_identity=start.participant,
            participants=definition.room.participants,
            text_input=definition.room.text_input,
            credentials=credentials,
            fresh_token=fresh_token,
        )
        async with LiveKitRoom.join(start.url, start.token, options) as room:
            yield room

    return join
