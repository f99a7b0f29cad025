"""`agentd audit` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentd.cli.main import main
from agentd.runtime.audit_log import AuditLog


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two calls of two tools, in the log of a daemon whose agentd.yaml is here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentd.yaml").write_text("store: state\naudit: {key: '${AUDIT_KEY}'}\n")
    monkeypatch.setenv("AUDIT_KEY", "secret")
    path = tmp_path / "state" / "audit.jsonl"
    writer = AuditLog(path, key=b"secret")
    for number, tool in enumerate(("pay", "book")):
        told = {"session": f"s-{number}", "agent": "front-desk", "tool": tool, "caller": "anna"}
        writer.append({"at": f"2026-01-0{number + 1}T00:00:00.000+00:00", "kind": "tool.called", **told})
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def test_an_untouched_log_is_verified_and_its_head_printed(log: Path) -> None:
    verified = run("verify")
    assert (verified.exit_code, verified.stdout.partition(";")[0]) == (0, "2 records are as they were written")
    head = run("head").stdout.strip()
    assert head in verified.stdout
    assert run("verify", "--head", head).exit_code == 0


def test_what_was_changed_is_told_with_its_place(log: Path) -> None:
    head = run("head").stdout.strip()
    log.write_bytes(log.read_bytes().replace(b'"tool":"pay"', b'"tool":"pat"'))
    verified = run("verify", str(log))
    assert verified.exit_code == 1
    assert verified.stderr.startswith(f"{log}:1: record 1 is not as it was written")
    log.write_bytes(b"")
    log.with_name("audit.jsonl.head").unlink()
    cut = run("verify", "--head", head)
    assert (cut.exit_code, "the log was cut" in cut.stderr) == (1, True)


def test_another_key_and_a_missing_log_and_a_wrong_head_are_told_apart(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_KEY", "another")
    assert run("verify").exit_code == 1
    monkeypatch.delenv("AUDIT_KEY")
    assert "AUDIT_KEY" in run("verify").output
    monkeypatch.setenv("AUDIT_KEY", "secret")
    assert run("verify", "nowhere.jsonl").exit_code == 66
    assert run("verify", "--head", "12").exit_code == 2


def test_records_are_shown_by_filters(log: Path) -> None:
    assert len(run("show").stdout.splitlines()) == 2
    (line,) = run("show", "--tool", "book").stdout.splitlines()
    assert "s-1" in line
    assert "caller=anna" in line
    (record,) = map(json.loads, run("show", "--since", "2026-01-02", "-o", "json").stdout.splitlines())
    assert record["tool"] == "book"
    assert len(run("show", "--kind", "tool.*", "--agent", "front-desk").stdout.splitlines()) == 2
    assert run("show", "--caller", "ben").stdout == ""


def test_what_an_operator_did_is_found_and_shown(log: Path) -> None:
    writer = AuditLog(log, key=b"secret")
    for operator, deed in (("desk", "session.say"), ("desk", "token"), ("night", "session.end")):
        writer.append({"at": "2026-01-03", "kind": "operator", "operator": operator, "deed": deed, "status": 202})
    said = run("show", "--operator", "desk", "--deed", "session.*").stdout.splitlines()
    assert [line.split("  ")[-3:] for line in said] == [["operator=desk", "deed=session.say", "status=202"]]
