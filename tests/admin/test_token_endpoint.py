from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import jwt
import pytest

from agentd.admin.claims import Deciding
from agentd.admin.problems import Refused
from agentd.admin.settings import AdminSettings
from agentd.admin.token_endpoint import admit
from agentd.config.consent import AllowCallers
from agentd.config.tools import ProviderTool, WebhookTool
from agentd.runtime.status import AgentStatus
from tests.admin.conftest import CREDENTIALS, ENDPOINT, Serve
from tests.fakes.daemon import FakeDaemon, agent, held_agents
from tests.runtime.parts import definition

JSON = {"Content-Type": "application/json"}


def claims(answer: dict[str, str]) -> dict[str, Any]:
    return jwt.decode(answer["participant_token"], CREDENTIALS.api_secret, algorithms=["HS256"])


def asking(name: str, **more: Any) -> dict[str, Any]:
    return {"room_config": {"agents": [{"agent_name": name, **more}]}}


async def test_it_is_off_by_default(serve: Serve) -> None:
    assert (await (await serve()).post("/v1/token", json={})).status == 404


@pytest.mark.parametrize("path", ["/v1/token", "/api/token"])
async def test_a_caller_gets_a_token_for_a_fresh_room_with_the_least_grants(serve: Serve, path: str) -> None:
    client = await serve(endpoint=ENDPOINT)
    answer = await client.post(path, json=asking("front-desk", metadata='{"vip": true}'))
    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store")
    body = await answer.json()
    assert set(body) == {"server_url", "participant_token"}
    assert body["server_url"] == "ws://127.0.0.1:7880"
    said = claims(body)
    assert said["video"] == {
        "roomJoin": True,
        "room": said["video"]["room"],
        "canPublish": True,
        "canPublishSources": ["microphone"],
        "canSubscribe": True,
        "canPublishData": True,
    }
    assert said["exp"] - said["nbf"] == 900
    assert said["roomConfig"] == {"agents": [{"agentName": "front-desk", "metadata": '{"vip": true}'}]}
    again = claims(await (await client.post(path, json=asking("front-desk"))).json())
    assert again["video"]["room"] != said["video"]["room"]
    assert again["sub"] != said["sub"]


async def test_what_the_caller_says_of_itself_is_in_the_token(serve: Serve) -> None:
    body = {
        "participant_identity": "ann",
        "participant_name": "Ann",
        "participant_metadata": "m",
        "participant_attributes": {"plan": "gold"},
    }
    said = claims(await (await (await serve(endpoint=ENDPOINT)).post("/v1/token", json=body)).json())
    assert (said["sub"], said["name"], said["metadata"], said["attributes"]) == ("ann", "Ann", "m", {"plan": "gold"})


async def test_the_only_agent_is_called_when_none_is_named(serve: Serve) -> None:
    client = await serve(endpoint=ENDPOINT)
    for sent in ({"json": {}}, {}):
        said = claims(await (await client.post("/v1/token", **sent)).json())
        assert said["roomConfig"] == {"agents": [{"agentName": "front-desk"}]}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"room_name": "someone-elses"}, 403, "fresh room"),
        ({"grants": {"roomAdmin": True}}, 400, "grants"),
        ({"room_config": {"metadata": "x"}}, 403, "metadata"),
        ({"room_config": {"egress": {"room": {}}}}, 403, "egress"),
        ({"room_config": {"emptyTimeout": 9}}, 403, "empty_timeout"),
        ({"room_config": {"nonsense": 1}}, 400, "nonsense"),
        ({"room_config": []}, 200, ""),
        ({"room_config": "x"}, 400, "object"),
        (asking("nobody"), 403, "nobody"),
        (asking("rejected"), 403, "rejected"),
        (asking("front-desk", attributes={"a": "b"}), 403, "attributes"),
        ({"room_config": {"agents": [{"agent_name": "front-desk"}] * 5}}, 403, "5 agents"),
        ({"participant_attributes": {"lk.publish_on_behalf": "x"}}, 403, "lk.publish_on_behalf"),
        ({"participant_attributes": {"a": 1}}, 400, "strings"),
        ({"participant_name": 7}, 400, "string"),
        ({"participant_name": "x" * 257}, 400, "257"),
        ({"participant_metadata": "x" * 16_385}, 400, "16384"),
        ({}, 400, "billing, front-desk"),
    ],
)
def test_more_than_a_call_is_refused(body: dict[str, Any], status: int, word: str) -> None:
    agents = ["front-desk"] if status == 200 else ["front-desk", "billing"]
    if status == 200:
        assert admit(body, agents=agents, choose_room=False, nonce="n", deciding=Deciding()).room == "call-n"
        return
    with pytest.raises(Refused, match=word) as refused:
        admit(body, agents=agents, choose_room=False, nonce="n", deciding=Deciding())
    assert refused.value.status == status


def test_a_room_may_be_named_where_that_is_allowed() -> None:
    admission = admit({"room_name": "lobby"}, agents=["a"], choose_room=True, nonce="n", deciding=None)
    assert admission.room == "lobby"


def guarded(daemon: FakeDaemon, name: str, **allow: Any) -> None:
    """Another agent, to which a call may be handed, with a tool for some callers."""
    tool = WebhookTool(
        type="webhook", name="t", description="d", url="https://x.example", allow_callers=AllowCallers(**allow)
    )
    daemon.agent_list = (*daemon.agent_list, agent(name))
    daemon.definitions[name] = replace(definition(name), tools=(tool, ProviderTool(type="provider", name="web_search")))


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"participant_attributes": {"role": "doctor"}}, "role"),
        ({"participant_attributes": {"sip.phoneNumber": "+4420"}}, "sip.phoneNumber"),
        ({"participant_identity": "staff-1"}, "staff-1"),
        ({"participant_identity": "agent-AJ_1"}, "agentd's own"),
        ({"participant_identity": "agentd-guest-1"}, "agentd's own"),
    ],
)
async def test_a_caller_does_not_say_by_what_tools_are_allowed(
    serve: Serve, daemon: FakeDaemon, said: dict[str, Any], word: str
) -> None:
    guarded(daemon, "ward", attributes={"role": ("doctor",)}, identities=("staff-*", "*"))
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="t"), ENDPOINT)
    answer = await client.post("/v1/token", json={**asking("front-desk"), **said})
    assert (answer.status, word in (await answer.json())["detail"]) == (403, True)
    other = {"participant_attributes": {"plan": "gold"}, "participant_identity": "ann"}
    assert (await client.post("/v1/token", json={**asking("front-desk"), **other})).status == 201


async def test_an_operator_vouches_for_a_caller(serve: Serve, daemon: FakeDaemon) -> None:
    guarded(daemon, "ward", attributes={"role": ("doctor",)}, identities=("staff-*",))
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="t"), ENDPOINT)
    headers = {"Authorization": "Bearer t"}
    said = {"participant_attributes": {"role": "doctor"}, "participant_identity": "staff-1"}
    answer = await client.post("/v1/token", json={**asking("ward"), **said}, headers=headers)
    assert claims(await answer.json())["attributes"] == {"role": "doctor"}
    said = {"participant_identity": "agent-AJ_1"}
    assert (await client.post("/v1/token", json={**asking("ward"), **said}, headers=headers)).status == 403


async def test_callers_are_told_livekits_address_as_they_reach_it(serve: Serve) -> None:
    endpoint = replace(ENDPOINT, public_url="wss://livekit.example.com")
    client = await serve(AdminSettings(addr="127.0.0.1:0", talk_page=True), endpoint)
    assert (await (await client.post("/v1/token", json={})).json())["server_url"] == "wss://livekit.example.com"
    assert "wss://livekit.example.com" in (await client.get("/talk")).headers["Content-Security-Policy"]


async def test_only_agents_of_the_list_that_serve_may_be_called(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.agent_list = (agent("front-desk"), agent("internal"), agent("broken", state="rejected"))
    client = await serve(endpoint=dataclasses.replace(ENDPOINT, agents=("front-desk", "broken")))
    assert (await client.post("/v1/token", json=asking("front-desk"))).status == 201
    assert (await client.post("/v1/token", json=asking("internal"))).status == 403
    assert (await client.post("/v1/token", json=asking("broken"))).status == 403


@pytest.mark.parametrize("held", held_agents(), ids=lambda held: held.state)
async def test_an_agent_of_which_an_earlier_revision_serves_may_be_called(
    serve: Serve, daemon: FakeDaemon, held: AgentStatus
) -> None:
    daemon.agent_list = (held, agent("deleted", state="draining"))
    client = await serve(AdminSettings(addr="127.0.0.1:0", talk_page=True), ENDPOINT)
    assert (await client.post("/v1/token", json=asking(held.name))).status == 201
    unnamed = claims(await (await client.post("/v1/token", json={})).json())
    assert unnamed["roomConfig"] == {"agents": [{"agentName": held.name}]}
    listed = (await (await client.get("/talk/agents")).json())["agents"]
    assert [each["name"] for each in listed] == [held.name]


async def test_pages_of_listed_sites_may_ask_and_others_not(serve: Serve) -> None:
    client = await serve(endpoint=dataclasses.replace(ENDPOINT, origins=("https://shop.example",)))
    asked = {"Origin": "https://shop.example"}
    preflight = await client.options("/v1/token", headers={**asked, "Access-Control-Request-Method": "POST"})
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, "https://shop.example")
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type"
    answer = await client.post("/v1/token", json={}, headers=asked)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (201, "https://shop.example")
    refused = await client.post("/v1/token", json={"room_name": "x"}, headers=asked)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (403, "https://shop.example")
    for path in ("/v1/token", "/api/token"):
        assert (await client.post(path, json={}, headers={"Origin": "https://evil.example"})).status == 403
    assert (await client.post("/v1/reload", headers=asked)).status == 403


async def test_callers_need_no_admin_token(serve: Serve) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="t"), ENDPOINT)
    assert (await client.post("/v1/token", json={})).status == 201


async def test_the_talk_page_is_served_with_a_policy_that_lets_nothing_in(serve: Serve) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", talk_page=True, token="t"), ENDPOINT)
    page = await client.get("/talk")
    assert (page.status, page.content_type) == (200, "text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self' ws://127.0.0.1:7880 http://127.0.0.1:7880;" in policy
    for name in ("talk.js", "talk.css", "livekit-client.umd.js", "licences.html"):
        assert (await client.get(f"/talk/{name}")).status == 200
    assert (await client.get("/talk/..%2Ftalk.py")).status == 404
    listed = await (await client.get("/talk/agents")).json()
    assert listed == {"agents": [{"name": "front-desk", "description": "Answers the clinic's calls."}]}


async def test_there_is_no_talk_page_unless_it_is_enabled(serve: Serve) -> None:
    assert (await (await serve(endpoint=ENDPOINT)).get("/talk")).status == 404
    assert (await (await serve(AdminSettings(addr="127.0.0.1:0", talk_page=True))).get("/talk")).status == 404


async def test_a_full_daemon_answers_503_and_when_to_ask_again(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.full = "every worker is full"
    client = await serve(endpoint=ENDPOINT)
    answer = await client.post("/v1/token", json=asking("front-desk"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert (await answer.json())["detail"] == "front-desk takes no calls at the moment: every worker is full"
