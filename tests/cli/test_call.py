"""`agentd call`, as far as no LiveKit server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentd.cli import call as calls
from agentd.cli.main import main
from agentd.transport.outbound import NotConnected, OutboundCall
from agentd.transport.sip import Outcome, Refusal
from agentd.transport.tokens import LiveKitCredentials


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[OutboundCall]:
    """What LiveKit would be asked for, in a directory with an agentd.yaml and an environment with a key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agentd.yaml").write_text("livekit: {url: 'ws://127.0.0.1:1', outbound_trunk: ST_file}\n")
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.setenv(name, "a" * 40)
    wanted: list[OutboundCall] = []

    async def answered(credentials: LiveKitCredentials, call: OutboundCall, ringing: object) -> None:
        wanted.append(call)

    monkeypatch.setattr(calls, "call_out", answered)
    return wanted


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["call", "+15550100", "--agent", "desk", *arguments])


def test_the_trunk_is_the_flags_the_environments_or_the_files(
    asked: list[OutboundCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run().exit_code == 0
    monkeypatch.setenv("LIVEKIT_OUTBOUND_TRUNK", "ST_environment")
    assert run("--var", "name=Zoë", "--from", "+15550111", "--timeout", "12").exit_code == 0
    assert run("--trunk", "ST_flag", "--metadata", "words").exit_code == 0
    assert [call.number.trunk for call in asked] == ["ST_file", "ST_environment", "ST_flag"]
    assert [call.metadata for call in asked] == ["", '{"variables": {"name": "Zoë"}}', "words"]
    assert (asked[1].number.to, asked[1].number.ringing_s, asked[1].from_number) == ("+15550100", 12, "+15550111")
    assert len({call.room for call in asked}) == 3


def test_without_a_trunk_nothing_is_asked(asked: list[OutboundCall]) -> None:
    Path("agentd.yaml").write_text("livekit: {url: 'ws://127.0.0.1:1'}\n")
    result = run()
    assert (result.exit_code, asked) == (2, [])
    assert "LIVEKIT_OUTBOUND_TRUNK" in result.stderr


@pytest.mark.parametrize(("outcome", "code"), [("busy", 5), ("no_answer", 6), ("rejected", 7), ("unavailable", 69)])
def test_each_outcome_has_its_exit_code(
    asked: list[OutboundCall], monkeypatch: pytest.MonkeyPatch, outcome: Outcome, code: int
) -> None:
    async def refused(credentials: LiveKitCredentials, call: OutboundCall, ringing: object) -> None:
        raise NotConnected(Refusal(outcome=outcome, words="it did not come about", detail="4xx So"))

    monkeypatch.setattr(calls, "call_out", refused)
    result = run()
    assert (result.exit_code, result.stderr) == (code, "+15550100: it did not come about (4xx So)\n")
    assert f'"outcome": "{outcome}"' in run("-o", "json").stdout
