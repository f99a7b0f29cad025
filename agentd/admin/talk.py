"""The talk page: an agent in the browser, with nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from agentd.admin.answers import CallableAgent, CallableAgents, told
from agentd.admin.settings import TokenEndpointSettings
from agentd.admin.token_endpoint import callable_agents
from agentd.runtime.status import Daemon

STATIC = Path(__file__).parent / "static"
FILES = {
    "talk.js": "text/javascript",
    "talk.css": "text/css",
    "livekit-client.umd.js": "text/javascript",
    "licences.html": "text/html",
}


def content_policy(server_url: str) -> str:
    """Only our own scripts, and connections to us and to LiveKit (whose address is also asked over HTTP)."""
    parts = urlsplit(server_url)
    secure = parts.scheme in ("wss", "https")
    livekit = f"{'wss' if secure else 'ws'}://{parts.netloc} {'https' if secure else 'http'}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob: "
        f"mediastream:; worker-src 'self' blob:; connect-src 'self' {livekit}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class TalkPage:
    def __init__(self, daemon: Daemon, settings: TokenEndpointSettings) -> None:
        self._daemon = daemon
        self._settings = settings
        self._headers = {
            "Content-Security-Policy": content_policy(settings.server_url),
            "Permissions-Policy": "microphone=(self)",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/talk", self.page),
            web.get("/talk/agents", self.agents),
            web.get("/talk/{file}", self.file),
        ]

    async def page(self, _: web.Request) -> web.StreamResponse:
        return self._answer("talk.html", "text/html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in FILES:
            raise web.HTTPNotFound
        return self._answer(name, FILES[name])

    async def agents(self, _: web.Request) -> web.Response:
        found = callable_agents(self._daemon, self._settings)
        listed = tuple(CallableAgent(name=agent.name, description=agent.description) for agent in found)
        return told(CallableAgents(agents=listed), headers={"Cache-Control": "no-store"})

    def _answer(self, name: str, content_type: str) -> web.FileResponse:
        headers = {**self._headers, "Content-Type": f"{content_type}; charset=utf-8"}
        return web.FileResponse(STATIC / name, headers=headers)
