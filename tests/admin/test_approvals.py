"""Calls that wait for an operator, over HTTP and from the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentd.admin.settings import AdminSettings
from agentd.runtime.approvals import approvals_in
from agentd.runtime.journals import journal_path
from agentd.session.journal import Journal
from agentd.session.records import Record
from agentd.tools.acts import DecideApproval
from tests.admin.conftest import Serve
from tests.admin.test_remote import Remote
from tests.admin.test_remote import daemon as daemon
from tests.admin.test_remote import remote as remote
from tests.fakes.daemon import FakeDaemon

HEADERS = {"Authorization": "Bearer correct"}


def consent(outcome: str, name: str = "consent-1-1", **more: Any) -> dict[str, Any]:
    asked = {"arguments": '{"amount":5}', "text": "Pay 5?", "expires_s": 60.0} if outcome == "asked" else {}
    return {"id": name, "tool": "pay", "by": "operator", "identity": "anna", "outcome": outcome, **asked, **more}


@pytest.fixture
def kept(daemon: FakeDaemon, tmp_path: Path) -> Journal:
    daemon.state = tmp_path
    journal = Journal.create(journal_path(tmp_path, "s-1"))
    journal.append("consent", consent("asked"))
    return journal


def guarded() -> AdminSettings:
    return AdminSettings(addr="127.0.0.1:0", token="correct")


async def test_an_approval_is_listed_and_decided_once(serve: Serve, daemon: FakeDaemon, kept: Journal) -> None:
    client = await serve(guarded())
    assert (await client.get("/v1/sessions/s-1/approvals")).status == 401
    told = await (await client.get("/v1/sessions/s-1/approvals", headers=HEADERS)).json()
    (approval,) = told["approvals"]
    assert (approval["id"], approval["state"], approval["question"]) == ("consent-1-1", "open", "Pay 5?")
    path = "/v1/sessions/s-1/approvals/consent-1-1"
    for body in ({}, {"approve": "yes"}, {"approve": True, "by": "me"}):
        assert (await client.post(path, json=body, headers=HEADERS)).status == 422
    assert (await client.post(f"{path}0", json={"approve": True}, headers=HEADERS)).status == 404
    assert (await client.post(path, json={"approve": True}, headers=HEADERS)).status == 202
    assert daemon.controlled[-1] == ("s-1", DecideApproval(approval="consent-1-1", approve=True))
    kept.append("consent", consent("granted"))
    refused = await client.post(path, json={"approve": False}, headers=HEADERS)
    assert refused.status == 409
    assert "granted already" in (await refused.json())["detail"]


async def test_arguments_are_for_those_with_the_token(serve: Serve, kept: Journal) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token=None))
    told = await (await client.get("/v1/sessions/s-1/approvals")).json()
    assert (told["approvals"][0]["tool"], told["approvals"][0]["arguments"]) == ("pay", None)
    assert (await client.get("/v1/sessions/s-9/approvals")).status == 404


async def test_the_verb_lists_approves_and_declines(remote: Remote, daemon: FakeDaemon, kept: Journal) -> None:
    listed = await remote("approve", "s-1")
    assert listed.output.startswith("consent-1-1  ")
    assert 'left  pay {"amount":5}  for anna' in listed.output
    assert (await remote("approve", "s-1", "consent-1-1", "--deny")).output == "Declined consent-1-1.\n"
    assert daemon.controlled[-1] == ("s-1", DecideApproval(approval="consent-1-1", approve=False))
    unknown = await remote("approve", "s-1", "consent-9-9")
    assert unknown.exit_code == 1
    assert "lists them" in unknown.output
    assert (await remote("approve", "s-1", "--deny")).exit_code == 2
    await asyncio.sleep(0)


def test_what_is_not_for_an_operator_is_no_approval_and_time_closes_one() -> None:
    records = [
        Record(seq=0, at=100.0, kind="consent", data=consent("asked", "a", by="spoken")),
        Record(seq=1, at=100.0, kind="consent", data=consent("asked", "b")),
        Record(seq=2, at=101.0, kind="consent", data=consent("replaced", "b")),
        Record(seq=3, at=101.0, kind="consent", data=consent("asked", "c")),
    ]
    assert [(each.id, each.state) for each in approvals_in(records, 150.0)] == [("b", "replaced"), ("c", "open")]
    assert approvals_in(records, 162.0)[-1].state == "expired"
