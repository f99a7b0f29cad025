"""`POST /v1/dispatches`: an agent is called into a room."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Any

from aiohttp import web

from agentd.admin.answers import Dispatched, told
from agentd.admin.deeds import note
from agentd.admin.problems import Overloaded, Refused, json_body
from agentd.errors import TransportError
from agentd.runtime.status import Daemon

MAX_METADATA = 16_384
MAX_NAME = 256
FIELDS = ("agent", "room", "metadata", "variables")

Dispatch = Callable[[str, str, str], Awaitable[str]]
"""(agent, room, metadata) -> the dispatch's id. Raises TransportError."""


class DispatchesApi:
    def __init__(self, daemon: Daemon, dispatch: Dispatch | None) -> None:
        self._daemon = daemon
        self._dispatch = dispatch

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/dispatches", self.create)]

    async def create(self, request: web.Request) -> web.Response:
        """201 when LiveKit has taken it; `GET /v1/sessions` shows the call as soon as it is there."""
        body = await json_body(request)
        agent, room, metadata = asked(body, [each.name for each in self._daemon.agents() if each.callable])
        note(request, agent=agent, room=room)
        if self._dispatch is None:
            raise Refused(503, "this daemon has no LiveKit server")
        if why := self._daemon.refusal(agent):  # LiveKit would take it, and nobody would come
            raise Overloaded(f"{agent} takes no calls at the moment: {why}")
        try:
            dispatch = await self._dispatch(agent, room, metadata)
        except TransportError as error:
            raise Overloaded(str(error)) from error
        note(request, dispatch=dispatch)
        return told(Dispatched(dispatch=dispatch, agent=agent, room=room), status=201)


def asked(body: Mapping[str, Any], agents: list[str]) -> tuple[str, str, str]:
    """Agent, room and metadata. Raises Refused."""
    if unknown := sorted(body.keys() - set(FIELDS)):
        raise Refused(422, f"{', '.join(unknown)}: not known here; a dispatch takes {', '.join(FIELDS)}")
    agent = _text(body, "agent", MAX_NAME)
    if agent not in agents:
        raise Refused(422, f"no agent {agent!r} serves", near=get_close_matches(agent, agents, 1))
    metadata, variables = _text(body, "metadata", MAX_METADATA), body.get("variables")
    if variables is not None:
        if metadata or not isinstance(variables, dict):
            raise Refused(422, "variables is an object, and stands for metadata")
        metadata = json.dumps({"variables": variables}, ensure_ascii=False)
        if len(metadata) > MAX_METADATA:
            raise Refused(422, f"variables have {len(metadata)} characters as JSON; {MAX_METADATA} are taken")
    return agent, _text(body, "room", MAX_NAME) or f"call-{secrets.token_hex(8)}", metadata


def _text(body: Mapping[str, Any], name: str, most: int) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refused(422, f"{name} is a text of at most {most} characters")
    return value
