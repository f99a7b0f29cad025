"""The audit log: nothing that was written can be changed unseen, and nothing that was done is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.errors import JournalError
from agentd.providers.llm import TextDelta, ToolCall
from agentd.runtime.audit_chain import Head, Verified, verify
from agentd.runtime.audit_entries import Auditor, redacted
from agentd.runtime.audit_log import AuditLog, files_of, head_of, stored_head
from agentd.tools.spec import ToolContext
from tests.fakes.call import FakeTools, calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import calls

KEY = b"k" * 32


def written(path: Path, count: int = 12, key: bytes | None = None) -> Head:
    log = AuditLog(path, key=key)
    for number in range(count):
        head = log.append({"kind": "tool.called", "tool": f"tool-{number % 3}", "call": f"c{number}"})
    return head


def checked(path: Path, key: bytes | None = None, **options: Any) -> Verified:
    stored = stored_head(path)
    files = [(each.name, each.read_bytes()) for each in files_of(path)]
    return verify(files, key, [stored] if stored else [], **options)


def test_what_was_written_is_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    head = written(path)
    found = checked(path)
    assert (found.broken, found.head, len(found.records)) == ([], head, 12)
    assert [record["seq"] for record in found.records] == list(range(1, 13))
    for each in (path, head_of(path)):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    assert json.loads(path.read_text().splitlines()[0])["prev"] == "0" * 64


@pytest.mark.parametrize("key", [None, KEY], ids=["hash", "hmac"])
def test_any_flipped_bit_is_found(tmp_path: Path, key: bytes | None) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 5, key)
    data, head = path.read_bytes(), stored_head(path)
    assert head is not None
    draw = random.Random(7)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << draw.randrange(8)
        assert verify([("audit", bytes(damaged))], key, [head]).broken, at


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_record_edited_deleted_moved_repeated_or_cut_off_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    count = data.draw(st.integers(2, 12))
    head = written(path, count)
    lines = path.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, count - 1))
    match data.draw(st.sampled_from(["delete", "swap", "repeat", "cut", "edit", "insert"])):
        case "delete":
            del lines[at]
        case "swap":
            other = data.draw(st.integers(0, count - 1).filter(lambda n: n != at))
            lines[at], lines[other] = lines[other], lines[at]
        case "repeat":
            lines.insert(data.draw(st.integers(0, count)), lines[at])
        case "cut":
            lines = lines[:at]
        case "edit":
            lines[at] = lines[at].replace(b'"tool":"tool-', b'"tool":"mine-')
        case "insert":
            lines.insert(at, lines[at].replace(b'"tool":"tool-', b'"tool":"mine-'))
    assert verify([("audit", b"".join(lines))], None, [head]).broken


def test_a_log_that_somebody_hashed_anew_is_found_by_its_head_or_by_its_key(tmp_path: Path) -> None:
    path, forged = tmp_path / "audit.jsonl", tmp_path / "forged.jsonl"
    head = written(path, 5, KEY)
    written(forged, 4)
    data = [("audit", forged.read_bytes())]
    assert verify(data, None).broken == []  # alone it looks whole
    assert verify(data, None, [head]).broken
    assert len(verify(data, KEY).broken) == 4


def test_rotation_keeps_the_chain_and_a_file_that_is_gone_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, max_bytes=1_000)
    for number in range(20):
        log.append({"kind": "tool.called", "call": f"c{number}"})
    aside = files_of(path)[:-1]
    assert len(aside) > 2
    assert (checked(path).broken, len(checked(path).records)) == ([], 20)
    aside[1].unlink()
    assert any("belongs" in str(fault) for fault in checked(path).broken)
    aside[0].unlink()
    assert any("are not here" in str(fault) for fault in checked(path).broken)
    assert checked(path, partial=True).broken == []


def test_a_file_taken_away_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 5)
    path.unlink()
    AuditLog(path).append({"kind": "tool.called"})
    assert [str(each) for each in checked(path).broken] == ["audit.jsonl: the records 1 to 5 are not here"]


def test_what_a_power_cut_tore_is_told_from_what_somebody_damaged(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 3)
    with path.open("ab") as file:
        file.write(b'{"seq":4,"prev":"12')
    assert [fault.message for fault in checked(path).broken] == ["the last record has no end"]
    AuditLog(path).append({"kind": "tool.called"})
    found = checked(path)
    assert found.broken == []
    assert [record["kind"] for record in found.records][-2:] == ["audit.torn", "tool.called"]
    damaged = path.read_bytes().replace(b'"prev":"12\n', b'"prev":"13\n')
    assert verify([("audit", damaged)]).broken


def _append(job: tuple[str, int]) -> None:
    log = AuditLog(Path(job[0]), max_bytes=20_000)
    for number in range(50):
        log.append({"kind": "tool.called", "by": job[1], "call": number})


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_append, [(str(path), number) for number in range(4)]))
    found = checked(path)
    assert (found.broken, len(found.records)) == ([], 200)
    for writer in range(4):  # and each writer's own in its order
        assert [r["call"] for r in found.records if r["by"] == writer] == list(range(50))


def test_a_killed_process_loses_nothing_that_it_had_done(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from agentd.runtime.audit_log import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1]))\n"
        "for n in range(10**9):\n"
        "    log.append({'kind': 'tool.called', 'call': n}); sys.stdout.write(f'{n}\\n'); sys.stdout.flush()\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    done = [int(writer.stdout.readline()) for _ in range(200)]
    writer.kill()
    done += [int(line) for line in writer.communicate()[0].split()]
    found = checked(path)
    assert found.broken == []
    assert {record["call"] for record in found.records} >= set(done)


def test_a_session_tells_who_called_what_with_whose_consent_and_how_it_went(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    auditor = Auditor(AuditLog(path), "redacted", "s-1", "front-desk", "a1b2")
    asked = {"id": "consent-1-1", "tool": "pay", "by": "spoken", "identity": "anna", "digest": "d", "rule": ""}
    called = {"id": "consent-1-1", "name": "pay", "arguments": '{"to": "Ann", "amount": 5, "now": true}'}
    auditor.take("turn.user", {"text": "Pay five euros to Ann."})
    auditor.take("consent", {**asked, "outcome": "granted"})
    auditor.take("tool.called", {**called, "speaker": "anna", "key": "tc_1"})
    outcome = {"outcome": "ok", "is_error": False, "duration_s": 0.2, "content": "paid to Ann"}
    auditor.take("tool.completed", {"id": "consent-1-1", "name": "pay", **outcome})
    auditor.take("decision", {"action": "RefuseTool", "rule": "caller_attribute", "value": "tools.pay.allow_callers"})
    auditor.take("decision", {"action": "CommitTurn", "rule": "silence", "value": ""})
    granted, begun, ended, refused = checked(path).records
    assert (granted["kind"], granted["by"], granted["caller"]) == ("consent.granted", "spoken", "anna")
    assert begun["arguments"] == {"to": "***", "amount": "***", "now": True}
    assert (begun["agent"], begun["revision"], begun["session"]) == ("front-desk", "a1b2", "s-1")
    assert (begun["caller"], begun["key"], begun["consent"]) == ("anna", "tc_1", "consent-1-1")
    assert (ended["outcome"], ended["duration_s"], ended["key"]) == ("ok", 0.2, "tc_1")
    assert (refused["kind"], refused["tool"], refused["rule"]) == ("tool.refused", "pay", "caller_attribute")
    assert "Ann" not in path.read_text()


def test_after_an_edit_that_the_call_has_taken_its_entries_carry_the_new_revision(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    auditor = Auditor(AuditLog(path), "hash", "s-1", "desk", "r1")
    called = {"id": "c", "name": "t", "arguments": "{}"}
    auditor.take("tool.called", called)
    auditor.take("agent.edited", {"agent": "desk", "revision": "r2"})
    auditor.take("tool.called", called)
    auditor.take("agent.edited", {"agent": "billing", "revision": "b2"})
    auditor.take("tool.called", called)
    assert [entry["revision"] for entry in checked(path).records] == ["r1", "r2", "r2"]


def test_arguments_hash_alike_whatever_their_order_and_are_written_only_where_it_is_wanted(tmp_path: Path) -> None:
    for how in ("hash", "full"):
        path = tmp_path / f"{how}.jsonl"
        auditor = Auditor(AuditLog(path), how, "s-1", "a", "r")  # type: ignore[arg-type]
        for text in ('{"a": 1, "b": 2}', '{"b":2,"a":1}'):
            auditor.take("tool.called", {"id": "c", "name": "t", "arguments": text})
        first, second = checked(path).records
        assert first["arguments_sha256"] == second["arguments_sha256"]
        assert ("arguments" in first) == (how == "full")
    assert redacted("no json") == "***"


def test_a_log_that_cannot_be_written_ends_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    log = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(JournalError):
        log.append({"kind": "tool.called"})
    auditor = Auditor(log, "hash", "s-1", "a", "r")
    for _ in range(3):
        auditor.take("tool.called", {"id": "c", "name": "t", "arguments": "{}"})
    assert [record.message for record in caplog.records] == ["audit_failed"]
    assert os.listdir(tmp_path / "audit.jsonl") == []


def test_what_a_session_does_is_in_the_log_before_and_after_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    auditor = Auditor(AuditLog(path), "hash", "S1", "test-agent", "revision-1")

    async def hold() -> None:
        before: list[int] = []

        async def book(call: ToolCall, context: ToolContext) -> str:
            before.append(len(checked(path).records))
            return "booked"

        tools = FakeTools({"book": book})
        answers = iter([[calls("book", '{"guests": 4}')], [TextDelta("Booked.")]])
        async with calling(script=lambda request: next(answers), tools=tools, audit=auditor.take) as call:
            await call.say("A table for four.")
            await asyncio.sleep(3)
        assert before == [1]

    run_virtual(hold())
    assert [(r["kind"], r["tool"], r.get("outcome")) for r in checked(path).records] == [
        ("tool.called", "book", None),
        ("tool.completed", "book", "ok"),
    ]
