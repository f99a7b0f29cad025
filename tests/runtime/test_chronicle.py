"""What the daemon itself did stands in the audit log, in one chain with what operators did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings
from agentd.runtime.audit_chain import verify
from agentd.runtime.audit_log import files_of, log_of
from agentd.runtime.chronicle import Chronicle
from agentd.runtime.daemon_events import held, released
from agentd.runtime.holds import Hold
from agentd.runtime.messages import AuditSettings
from agentd.runtime.status import CodeOutcome, ReloadOutcome
from tests.runtime.daemon import running
from tests.runtime.parts import Files, definition


def records(settings: AuditSettings) -> list[dict[str, Any]]:
    key = settings.key.encode() or None
    found = verify([(str(path), path.read_bytes()) for path in files_of(settings.path)], key)
    assert not found.broken
    return found.records


@pytest.fixture
def audit(tmp_path: Path) -> AuditSettings:
    return AuditSettings(path=tmp_path / "audit.jsonl", key="of the log")


async def test_a_daemons_life_is_on_record(tmp_path: Path, audit: AuditSettings) -> None:
    files = Files({"desk": definition("desk"), "shop": definition("shop")})
    first = files.agents["desk"].digest
    async with running(tmp_path, files, audit=audit) as daemon:
        files.put(definition("desk", "2"))
        del files.agents["shop"]
        await daemon.supervisor.reload()
        await daemon.supervisor.reload()  # nothing has changed: nothing is told
        await daemon.call("desk")
        daemon.supervisor.drain()
        daemon.supervisor.cut()
        assert daemon.run is not None
        assert await daemon.run is False
    told = records(audit)
    assert [record["kind"] for record in told] == [
        "daemon.started",
        "agent.served",
        "agent.served",
        "agent.served",
        "agent.removed",
        "daemon.draining",
        "daemon.ended",
    ]
    changed, removed, draining, ended = told[3:]
    assert (changed["agent"], changed["previous"]) == ("desk", first)
    assert changed["revision"] == files.agents["desk"].digest != first
    assert (removed["agent"], removed["generation"]) == ("shop", changed["generation"])
    assert (draining["calls"], ended["outcome"]) == (1, "calls_cut")


def test_new_code_of_the_workers_is_on_record(audit: AuditSettings) -> None:
    chronicle = Chronicle(audit)
    replaced = CodeOutcome(state="replaced", files=("/p/owl.py",), workers=("worker-3",))
    for code in (replaced, CodeOutcome(state="refused", files=("/p/owl.py",)), CodeOutcome(state="waits", files=())):
        chronicle.reloaded(ReloadOutcome(applied=True, changed=False, generation=1, code=code), {})
    first, second = records(audit)
    assert (first["kind"], first["files"], first["workers"]) == ("code.replaced", ["/p/owl.py"], ["worker-3"])
    assert second["kind"] == "code.refused"


async def test_operators_and_the_daemon_write_one_chain(tmp_path: Path, audit: AuditSettings) -> None:
    files = Files({"desk": definition("desk")})
    token = {"Authorization": "Bearer the-token-of-all"}
    settings = AdminSettings(addr="127.0.0.1:0", token="the-token-of-all")
    async with (
        running(tmp_path, files, audit=audit) as daemon,
        serve_admin(daemon.supervisor, settings, Metrics(), audit=log_of(audit).append) as address,
        aiohttp.ClientSession(f"http://{address}", headers=token) as client,
    ):
        session = await daemon.call("desk")
        files.put(definition("desk", "2"))
        assert (await client.post("/v1/reload")).status == 200
        assert (await client.post(f"/v1/sessions/{session}/mute", json={"what": "ears"})).status == 202
        assert (await client.post("/v1/agents/desk/rollback", json={})).status == 200
        assert (await client.post("/v1/upgrade")).status == 409
    told = records(audit)[2:]  # it had started, and served
    assert [record.get("deed", record["kind"]) for record in told[:7]] == [
        "agent.served",
        "reload",
        "session.mute",
        "definition.held",
        "agent.served",
        "agent.rollback",
        "upgrade",
    ]
    reloaded, muted, held_back, back, asked, refused = told[1:7]
    assert reloaded["generation"] == told[0]["generation"]
    assert (muted["session"], muted["what"], muted["operator"]) == (session, "ears", "admin")
    assert (back["revision"], back["previous"]) == ("desk-1", "desk-2")
    assert (held_back["reason"], held_back["refused"]) == ("rolled_back", "desk-2")
    assert (asked["agent"], asked["revision"], asked["status"], refused["status"]) == ("desk", "desk-1", 200, 409)


def test_held_and_released_definitions_are_told(audit: AuditSettings) -> None:
    hold = Hold(agent="desk", reason="quarantined", refused="r2", serving="r1", why="3 of 10 calls failed", at=1.0)
    chronicle = Chronicle(audit)
    chronicle.happened(held(hold))
    chronicle.happened(released(hold, "its file was edited"))
    kept, let_go = records(audit)
    assert (kept["kind"], kept["agent"], kept["refused"], kept["serving"]) == ("definition.held", "desk", "r2", "r1")
    assert (let_go["kind"], let_go["why"]) == ("definition.released", "its file was edited")


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    chronicle = Chronicle(AuditSettings(path=tmp_path / "file" / "audit.jsonl"))
    for _ in range(3):
        chronicle.draining(1)
    assert [record.message for record in caplog.records] == ["audit_failed"]


def test_without_an_audit_log_nothing_is_kept() -> None:
    Chronicle(None).draining(1)
