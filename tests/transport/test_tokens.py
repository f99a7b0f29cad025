from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from agentd.transport.tokens import (
    AgentToDispatch,
    LiveKitCredentials,
    agent_token,
    caller_token,
    deletion_token,
    registration_token,
)

CREDENTIALS = LiveKitCredentials(url="wss://example.com/", api_key="key", api_secret="s" * 40)


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, "s" * 40, algorithms=["HS256"])
    return decoded


def granted(token: str) -> dict[str, Any]:
    return {key: value for key, value in claims(token)["video"].items() if value not in ("", None)}


def test_an_agents_token_has_the_grants_and_the_kind_that_front_ends_look_for() -> None:
    token = agent_token(CREDENTIALS, room="lobby", identity="agent-AJ_1", agent_name="ada", name="Ada")
    said = claims(token)
    assert (said["sub"], said["kind"], said["name"], said["iss"]) == ("agent-AJ_1", "agent", "Ada", "key")
    assert said["attributes"] == {"lk.agent.name": "ada", "lk.agent.state": "initializing"}
    assert granted(token) == {
        "roomJoin": True,
        "room": "lobby",
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
        "canUpdateOwnMetadata": True,
        "agent": True,
    }


def test_a_callers_token_has_the_least_grants_and_ends_after_fifteen_minutes() -> None:
    token = caller_token(CREDENTIALS, room="lobby", identity="bob")
    said = claims(token)
    assert granted(token) == {
        "roomJoin": True,
        "room": "lobby",
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
        "canPublishData": True,
    }
    assert said["exp"] - time.time() == pytest.approx(900, abs=5)
    assert said.get("kind", "") == ""


def test_only_fields_that_were_asked_for_are_written() -> None:
    """A server refuses the whole token (401) over one field that it does not know."""
    plain = claims(caller_token(CREDENTIALS, room="lobby", identity="bob"))
    assert set(plain) == {"sub", "iss", "nbf", "exp", "video"} | {"identity", "kind"} & set(plain)
    with_agent = claims(
        caller_token(CREDENTIALS, room="lobby", identity="bob", agents=[AgentToDispatch(agent_name="ada")])
    )
    assert with_agent["roomConfig"] == {"agents": [{"agentName": "ada"}]}


def test_a_dispatch_carries_metadata_and_deployment_when_given() -> None:
    agents = [AgentToDispatch(agent_name="ada", metadata="m", deployment="blue"), AgentToDispatch(agent_name="bob")]
    said = claims(caller_token(CREDENTIALS, room="lobby", identity="bob", agents=agents))
    assert said["roomConfig"] == {
        "agents": [{"agentName": "ada", "metadata": "m", "deployment": "blue"}, {"agentName": "bob"}]
    }


def test_registration_and_deletion_tokens_can_do_one_thing_each() -> None:
    def only(token: str) -> set[str]:
        defaults = {"canPublish", "canSubscribe", "canPublishData"}  # mean nothing without a room
        return set(granted(token)) - defaults

    assert only(registration_token(CREDENTIALS)) == {"agent"}
    assert only(deletion_token(CREDENTIALS)) == {"roomCreate"}


@pytest.mark.parametrize(
    ("url", "websocket", "http"),
    [
        ("wss://a.livekit.cloud", "wss://a.livekit.cloud", "https://a.livekit.cloud"),
        ("ws://127.0.0.1:7880/", "ws://127.0.0.1:7880", "http://127.0.0.1:7880"),
        ("https://a.example/lk/", "wss://a.example/lk", "https://a.example/lk"),
        ("http://localhost:7880", "ws://localhost:7880", "http://localhost:7880"),
    ],
)
def test_one_url_serves_signalling_and_api(url: str, websocket: str, http: str) -> None:
    credentials = LiveKitCredentials(url=url, api_key="key", api_secret="secret")
    assert (credentials.websocket_url, credentials.http_url) == (websocket, http)


def test_the_secret_is_in_no_repr() -> None:
    assert "s" * 40 not in repr(CREDENTIALS)


def test_a_short_secret_of_a_development_server_makes_no_noise() -> None:
    credentials = LiveKitCredentials(url="ws://127.0.0.1:7880", api_key="devkey", api_secret="secret")
    assert caller_token(credentials, room="lobby", identity="bob")
