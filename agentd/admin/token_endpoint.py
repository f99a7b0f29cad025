"""LiveKit's standard token endpoint: a caller's page asks for a token and gets one for a fresh room.

A token joins one room for 15 minutes, publishes a microphone and data, subscribes, and dispatches the agents that
were asked for. Everything else that a request may carry is refused, not ignored: whoever asks learns it at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.protobuf.json_format import ParseDict, ParseError
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from agentd.admin.answers import Token, told
from agentd.admin.claims import (
    FRESH_IDENTITY,
    Deciding,
    deciding,
    refuse_attributes,
    refuse_identity,
    refuse_own_identity,
)
from agentd.admin.deeds import asking, note
from agentd.admin.problems import Overloaded, Refused, json_body
from agentd.admin.settings import TokenEndpointSettings
from agentd.runtime.status import AgentStatus, Daemon
from agentd.transport.tokens import AgentToDispatch, caller_token

PATHS = ("/v1/token", "/api/token")
FIELDS = (
    "room_name",
    "participant_name",
    "participant_identity",
    "participant_metadata",
    "participant_attributes",
    "room_config",
)
MAX_TEXT = 256
MAX_METADATA = 16_384
MAX_ATTRIBUTES = 32
MAX_AGENTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A request that was found good: what the token will say."""

    room: str
    identity: str
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    agents: tuple[AgentToDispatch, ...] = ()


def admit(
    body: Mapping[str, Any], *, agents: Collection[str], choose_room: bool, nonce: str, deciding: Deciding | None
) -> Admission:
    """Checks a request. `agents`: who may be asked for; `nonce` makes names fresh; `deciding`: what this caller may not
    say of themselves; None: an operator vouches for them. Raises Refused."""
    if unknown := [key for key in body if key not in FIELDS]:
        raise Refused(400, f"{unknown[0]} is not a field of a token request; it takes {', '.join(FIELDS)}")
    if body.get("room_name") and not choose_room:
        raise Refused(403, "room_name is refused: every call gets a fresh room")
    identity = _text(body, "participant_identity", MAX_TEXT)
    attributes = _attributes(body.get("participant_attributes") or {})
    refuse_own_identity(identity)
    if deciding is not None:
        refuse_identity(identity, deciding)
        refuse_attributes(attributes, deciding)
    return Admission(
        room=_text(body, "room_name", MAX_TEXT) or f"call-{nonce}",
        identity=identity or f"{FRESH_IDENTITY}{nonce}",
        name=_text(body, "participant_name", MAX_TEXT),
        metadata=_text(body, "participant_metadata", MAX_METADATA),
        attributes=attributes,
        agents=_agents(body.get("room_config") or {}, agents),
    )


def _text(body: Mapping[str, Any], key: str, limit: int) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str):
        raise Refused(400, f"{key} must be a string")
    if len(value) > limit:
        raise Refused(400, f"{key} has {len(value)} characters; {limit} are allowed")
    return value


def _attributes(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Refused(400, "participant_attributes must be an object of strings")
    if len(value) > MAX_ATTRIBUTES or sum(len(key) + len(item) for key, item in value.items()) > MAX_METADATA:
        raise Refused(400, f"participant_attributes holds too much: {MAX_ATTRIBUTES} are allowed")
    if reserved := [key for key in value if key.startswith("lk.")]:
        raise Refused(403, f"participant_attributes.{reserved[0]} is refused: lk.* is LiveKit's own")
    return value


def _agents(value: Any, agents: Collection[str]) -> tuple[AgentToDispatch, ...]:
    config = _room_configuration(value)
    for set_field, _ in config.ListFields():
        if set_field.name != "agents":
            raise Refused(403, f"room_config.{set_field.name} is refused: only agents may be asked for")
    if len(config.agents) > MAX_AGENTS:
        raise Refused(403, f"room_config.agents names {len(config.agents)} agents; {MAX_AGENTS} are allowed")
    if not config.agents:
        return _only_agent(agents)
    return tuple(_agent(dispatch, agents) for dispatch in config.agents)


def _room_configuration(value: Any) -> RoomConfiguration:
    if not isinstance(value, dict):
        raise Refused(400, "room_config must be an object")
    try:
        return ParseDict(value, RoomConfiguration())
    except ParseError as error:
        raise Refused(400, f"room_config: {error}") from error


def _only_agent(agents: Collection[str]) -> tuple[AgentToDispatch, ...]:
    if len(agents) == 1:
        return (AgentToDispatch(agent_name=next(iter(agents))),)
    if not agents:
        raise Overloaded("no agent serves at the moment")
    raise Refused(400, f"say in room_config.agents which agent is called: {', '.join(sorted(agents))}")


def _agent(dispatch: RoomAgentDispatch, agents: Collection[str]) -> AgentToDispatch:
    for set_field, _ in dispatch.ListFields():
        if set_field.name not in ("agent_name", "metadata", "deployment"):
            raise Refused(403, f"room_config.agents[].{set_field.name} is refused")
    if dispatch.agent_name not in agents:
        raise Refused(403, f"there is no agent {dispatch.agent_name!r} that may be called")
    if len(dispatch.metadata) > MAX_METADATA:
        raise Refused(400, f"room_config.agents[].metadata: {MAX_METADATA} characters are allowed")
    return AgentToDispatch(agent_name=dispatch.agent_name, metadata=dispatch.metadata, deployment=dispatch.deployment)


def signed(admission: Admission, settings: TokenEndpointSettings) -> str:
    return caller_token(
        settings.credentials,
        room=admission.room,
        identity=admission.identity,
        name=admission.name,
        metadata=admission.metadata,
        attributes=admission.attributes,
        agents=admission.agents,
        ttl_s=settings.ttl_s,
    )


def callable_agents(daemon: Daemon, settings: TokenEndpointSettings) -> tuple[AgentStatus, ...]:
    """The agents that a caller may ask for now."""
    found = (agent for agent in daemon.agents() if agent.callable)
    return tuple(agent for agent in found if not settings.agents or agent.name in settings.agents)


class TokenEndpoint:
    def __init__(self, daemon: Daemon, settings: TokenEndpointSettings) -> None:
        self._daemon = daemon
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        return [web.post(path, self.token) for path in PATHS]

    async def token(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        agents = [agent.name for agent in callable_agents(self._daemon, self._settings)]
        nonce = secrets.token_hex(8)
        operator = asking.get() is not None
        choose_room = self._settings.choose_room or operator
        rules = None if operator else self._deciding()
        admission = admit(body, agents=agents, choose_room=choose_room, nonce=nonce, deciding=rules)
        self._refuse_when_full(admission)
        called = [asked.agent_name for asked in admission.agents]
        note(request, room=admission.room, identity=admission.identity, agents=called)
        answer = Token(server_url=self._settings.server_url, participant_token=signed(admission, self._settings))
        return told(answer, status=201, headers={"Cache-Control": "no-store"})

    def _deciding(self) -> Deciding:
        known = (self._daemon.definition(agent.name) for agent in self._daemon.agents())
        return deciding(definition for definition in known if definition is not None)

    def _refuse_when_full(self, admission: Admission) -> None:
        """A caller who would wait in a room to which nobody comes is told so."""
        for asked in admission.agents:
            if why := self._daemon.refusal(asked.agent_name):
                raise Overloaded(f"{asked.agent_name} takes no calls at the moment: {why}")
