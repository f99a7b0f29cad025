"""Access tokens, minted from the API key: for registrations, for agents that rejoin, and for callers.

Nothing here needs the rtc SDK: the supervisor mints.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from jwt.warnings import InsecureKeyLengthWarning
from livekit.api.access_token import AccessToken, SIPGrants, VideoGrants
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from agentd.transport.protocol import agent_attributes

REGISTRATION_TTL_S = 3_600.0
AGENT_TTL_S = 3_600.0
CALLER_TTL_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitCredentials:
    """Where the server is (ws, wss, http or https) and the key that signs our tokens."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)

    @property
    def websocket_url(self) -> str:
        return as_websocket(self.url)

    @property
    def http_url(self) -> str:
        return _with_scheme(self.url, {"ws": "http", "wss": "https"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentToDispatch:
    """An agent that LiveKit shall send into the room when the room is created."""

    agent_name: str
    metadata: str = ""
    deployment: str = ""


def registration_token(credentials: LiveKitCredentials) -> str:
    """Lets its holder register as a worker, and nothing else."""
    grants = VideoGrants(agent=True)
    return _signed(_token(credentials, REGISTRATION_TTL_S).with_grants(grants))


def listing_token(credentials: LiveKitCredentials) -> str:
    """Lets its holder list rooms, for a minute."""
    return _signed(_token(credentials, 60.0).with_grants(VideoGrants(room_list=True)))


def deletion_token(credentials: LiveKitCredentials) -> str:
    """Lets its holder delete rooms (the server asks for `roomCreate`), for a minute."""
    return _signed(_token(credentials, 60.0).with_grants(VideoGrants(room_create=True)))


def room_admin_token(credentials: LiveKitCredentials, room: str) -> str:
    """Lets its holder change who is in this room, for a minute."""
    return _signed(_token(credentials, 60.0).with_grants(VideoGrants(room_admin=True, room=room)))


def phone_token(credentials: LiveKitCredentials, room: str) -> str:
    """Lets its holder ring somebody into this room, and say who hears whom there, for two minutes."""
    grants = VideoGrants(room_admin=True, room=room)
    token = _token(credentials, 120.0).with_grants(grants).with_sip_grants(SIPGrants(call=True))
    return _signed(token)


def agent_token(
    credentials: LiveKitCredentials,
    *,
    room: str,
    identity: str,
    agent_name: str = "",
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    ttl_s: float = AGENT_TTL_S,
) -> str:
    """Lets an agent of ours (re)join `room` as `identity`: the same grants that the server gives with a job.

    With `agent_name`, the participant carries from the start what front ends look for.
    """
    marks = agent_attributes(agent_name) if agent_name else {}
    grants = VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=True,
        agent=True,
    )
    token = _token(credentials, ttl_s).with_identity(identity).with_kind("agent").with_grants(grants)
    return _signed(_described(token, name, metadata, {**marks, **(attributes or {})}))


def caller_token(
    credentials: LiveKitCredentials,
    *,
    room: str,
    identity: str,
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    agents: Sequence[AgentToDispatch] = (),
    sources: Sequence[str] = ("microphone",),
    ttl_s: float = CALLER_TTL_S,
) -> str:
    """Lets a person talk in `room`: join it, publish the named sources and data, hear the others.

    `agents` are dispatched when the room is created, so the room's name should be fresh. Only fields that
    were asked for are written: a server refuses the whole token (401) over one field it does not know.
    """
    grants = VideoGrants(
        room_join=True,
        room=room,
        can_publish=True,
        can_publish_sources=list(sources),
        can_subscribe=True,
        can_publish_data=True,
    )
    token = _token(credentials, ttl_s).with_identity(identity).with_grants(grants)
    if agents:
        token = token.with_room_config(RoomConfiguration(agents=[_dispatch(agent) for agent in agents]))
    return _signed(_described(token, name, metadata, attributes))


def _token(credentials: LiveKitCredentials, ttl_s: float) -> AccessToken:
    return AccessToken(credentials.api_key, credentials.api_secret).with_ttl(timedelta(seconds=ttl_s))


def _signed(token: AccessToken) -> str:
    """The length of the secret is the LiveKit server's matter: `livekit-server --dev` has one of six letters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        return token.to_jwt()


def _described(token: AccessToken, name: str, metadata: str, attributes: Mapping[str, str] | None) -> AccessToken:
    if name:
        token = token.with_name(name)
    if metadata:
        token = token.with_metadata(metadata)
    if attributes:
        token = token.with_attributes(dict(attributes))
    return token


def _dispatch(agent: AgentToDispatch) -> RoomAgentDispatch:
    return RoomAgentDispatch(agent_name=agent.agent_name, metadata=agent.metadata, deployment=agent.deployment)


def as_websocket(url: str) -> str:
    """A server's address as clients connect to it."""
    return _with_scheme(url, {"http": "ws", "https": "wss"})


def _with_scheme(url: str, replace: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=replace.get(parts.scheme, parts.scheme))).rstrip("/")
