"""`GET /v1/tools`: what the models of the agents that serve may call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from agentd.admin.answers import Tools, told
from agentd.config.agent_files import AgentFiles
from agentd.config.definition import AgentDefinition
from agentd.config.folder import Folder
from agentd.runtime.status import Daemon
from agentd.tools.listing import ListedTool, tools_of

_NOT_SERVING = ("draining", "rejected")


class ToolsApi:
    """`files` None: there is no directory in which docstrings could be read."""

    def __init__(self, daemon: Daemon, files: AgentFiles | None) -> None:
        self._daemon = daemon
        self._directory = files.directory if files else None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/tools", self.tools)]

    async def tools(self, _: web.Request) -> web.Response:
        names = [status.name for status in self._daemon.agents() if status.state not in _NOT_SERVING]
        definitions = [found for name in names if (found := self._daemon.definition(name)) is not None]
        listed = await asyncio.to_thread(_listed, definitions, self._directory)
        return told(Tools(tools=tuple(listed)))


def _listed(definitions: Sequence[AgentDefinition], directory: Path | None) -> list[ListedTool]:
    """Each text of code is read once, however many agents share it. Blocks."""
    folders = {root: Folder(Path(root)) for root in {each.root for each in definitions} if root}
    here = Folder(directory) if directory else None
    return [tool for each in definitions for tool in tools_of(each, folders.get(each.root, here))]
