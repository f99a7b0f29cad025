"""What passes by itself is 503 with Retry-After, wherever it is met."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentd.admin.acts import VERBS
from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.errors import TransportError
from agentd.runtime.journals import journal_path
from agentd.runtime.status import BetweenWorkers, SpeechStatus
from agentd.session.journal import Journal
from agentd.tools.acts import Act
from tests.admin.conftest import ENDPOINT
from tests.fakes.daemon import FakeDaemon, agent

BODIES: dict[str, Any] = {
    "say": {"text": "Hello."},
    "generate_reply": {"instructions": "Greet."},
    "instructions": {"append": "Be brief."},
    "variables": {"set": {"a": 1}},
    "handoff": {"agent": "front-desk"},
    "tools": {"disable": ["book"]},
    "mute": {"what": "ears"},
    "unmute": {"what": "ears"},
    "transfer": {"destination": "tel:+15550100"},
}
FULL = "all 2 calls of the agent are taken"


class Busy(FakeDaemon):
    """It has no room, and its one call is between two workers."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.full, self.state = FULL, state
        self.delivery = BetweenWorkers("the call s-1 is between two workers: bring it again in a moment")
        self.speech_list = [SpeechStatus(id="speech-1", session="s-1")]
        journal = Journal.create(journal_path(state, "s-1"))
        asked = {"arguments": "{}", "text": "Pay?", "expires_s": 1e6}
        journal.append(
            "consent", {"id": "c-1", "tool": "pay", "by": "operator", "identity": "ann", "outcome": "asked", **asked}
        )

    async def control(self, session_id: str, act: Act) -> SpeechStatus | None:
        raise BetweenWorkers(f"the call {session_id} is between two workers: ask again in a moment")


@asynccontextmanager
async def asking(daemon: FakeDaemon, dispatched: list[str] | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """`dispatched` None: LiveKit does not answer."""

    async def dispatch(agent_name: str, room: str, metadata: str) -> str:
        if dispatched is None:
            raise TransportError("LiveKit does not answer")
        dispatched.append(agent_name)
        return "AD_1"

    settings = AdminSettings(addr="127.0.0.1:0")
    async with (
        serve_admin(daemon, settings, Metrics(), ENDPOINT, dispatch=dispatch) as address,
        aiohttp.ClientSession(f"http://{address}") as client,
    ):
        yield client


async def says_when(answer: aiohttp.ClientResponse) -> str:
    """The detail of a refusal for now."""
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    return str((await answer.json())["detail"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/token", {"room_config": {"agents": [{"agent_name": "front-desk"}]}}),
        ("POST", "/v1/dispatches", {"agent": "front-desk"}),
        ("GET", "/v1/events", None),
        *(("POST", f"/v1/sessions/s-1/{verb}", BODIES.get(verb, {})) for verb in VERBS),
        ("DELETE", "/v1/sessions/s-1/speeches/speech-1", None),
        ("POST", "/v1/sessions/s-1/history", {"keep": 1}),
        ("POST", "/v1/sessions/s-1/approvals/c-1", {"approve": True}),
        ("POST", "/v1/callbacks/s-1/key", {"slot": 9}),
    ],
)
async def test_whoever_may_ask_again_is_told_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    monkeypatch.setattr("agentd.admin.events.READERS", 0)
    async with asking(Busy(tmp_path), []) as client:
        await says_when(await client.request(method, path, json=body))


async def test_no_agent_at_the_moment(tmp_path: Path) -> None:
    async with asking(FakeDaemon(agent(state="rejected")), []) as client:
        assert await says_when(await client.post("/v1/token")) == "no agent serves at the moment"


@pytest.mark.parametrize("why", [FULL, "draining"])
async def test_nobody_is_dispatched_where_nobody_can_take_the_call(tmp_path: Path, why: str) -> None:
    daemon, dispatched = FakeDaemon(), list[str]()
    daemon.full = why
    async with asking(daemon, dispatched) as client:
        detail = await says_when(await client.post("/v1/dispatches", json={"agent": "front-desk"}))
        assert (detail, dispatched) == (f"front-desk takes no calls at the moment: {why}", [])
        daemon.full = ""  # it has room, or a queue with some
        assert (await client.post("/v1/dispatches", json={"agent": "front-desk"})).status == 201
        assert dispatched == ["front-desk"]


async def test_a_livekit_that_is_away_may_be_back(tmp_path: Path) -> None:
    async with asking(FakeDaemon()) as client:
        assert "LiveKit" in await says_when(await client.post("/v1/dispatches", json={"agent": "front-desk"}))
