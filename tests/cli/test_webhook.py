"""`agentd webhook`: what it signs others verify, what it sends is received, and what it receives is shown."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from click.testing import CliRunner, Result

from agentd.cli.main import main
from agentd.config.events import DAEMON_EVENTS

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(50, 90))).decode()
BODY = '{"type":"tool.call","note":"Zoë"}'.encode()
AGENT = """\
name: front-desk
stt: {provider: scripted}
tts: {provider: scripted}
llm: {provider: scripted, dialogue: {start: a, states: {a: {say: Hello.}}}}
variables: {clinic: Hill Street}
tools:
  - type: webhook
    name: find_slot
    description: Find a slot.
    url: https://app.example.com/voice
    secret: "${TOOLS_WHSEC}"
    timeout: 5s
    parameters: {type: object, properties: {day: {type: string}}, required: [day]}
    assign: {slot: "slots[0]"}
  - {type: builtin, name: end_call}
events:
  - {url: "https://app.example.com/events", secret: "${TOOLS_WHSEC}", types: ["session.*", "tool.*"], transcript: true}
on_request: {url: "https://app.example.com/calls", secret: "${TOOLS_WHSEC}"}
"""


def agentd(*words: str, stdin: bytes = b"", secret: str = SECRET) -> Result:
    environment = {"AGENTD_WEBHOOK_SECRET": secret, "TOOLS_WHSEC": SECRET}
    return CliRunner().invoke(main, ["webhook", *words], input=stdin, env=environment)


def signed(body: bytes, *options: str, secret: str = SECRET) -> list[str]:
    result = agentd("sign", *options, stdin=body, secret=secret)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def verified(headers: list[str], body: bytes, *options: str, secret: str = SECRET) -> tuple[int, str]:
    given = [word for header in headers for word in ("-H", header)]
    result = agentd("verify", *given, *options, stdin=body, secret=secret)
    return result.exit_code, result.output.strip()


def test_the_reference_library_verifies_what_is_signed() -> None:
    headers = dict(line.split(": ", 1) for line in signed(BODY))
    standardwebhooks.Webhook(SECRET).verify(BODY, headers)


def test_what_the_reference_library_signed_is_valid_and_nothing_else() -> None:
    now = datetime.now(UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("msg_1", now, BODY.decode())
    stamp = f"Webhook-Timestamp: {int(now.timestamp())}"
    headers = ["webhook-id: msg_1", stamp, f"webhook-signature: {signature}"]
    assert verified(headers, BODY) == (0, "valid")
    assert verified(headers, BODY, secret=f"{OTHER} {SECRET}") == (0, "valid")
    assert verified([*headers[:2], f"webhook-signature: v1,bm8= {signature}"], BODY) == (0, "valid")
    wrong = "not valid: no signature fits: another secret, or other bytes than were signed"
    assert verified(headers, BODY + b" ") == (1, wrong)
    assert verified(headers, BODY, secret=OTHER) == (1, wrong)
    assert verified(["webhook-id: msg_2", *headers[1:]], BODY) == (1, wrong)
    assert verified(headers[:1], BODY) == (1, "not valid: webhook-timestamp, webhook-signature missing")


def test_a_message_is_valid_for_five_minutes_unless_told_otherwise() -> None:
    old = signed(BODY, "--timestamp", "1600000000")
    code, words = verified(old, BODY)
    assert code == 1
    assert words.startswith("not valid: too old: ")
    assert verified(old, BODY, "--tolerance", "1e12") == (0, "valid")
    assert verified(signed(BODY, "--timestamp", "4600000000"), BODY)[1].startswith("not valid: too far in the future")


def test_without_a_secret_or_with_a_bad_one_it_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["webhook", "sign"], input=b"")
    assert (result.exit_code, "give --secret-file" in result.output) == (2, True)
    assert "begins with whsec_" in agentd("sign", secret="sesame").output
    (tmp_path / "secret").write_text(SECRET + "\n")
    result = CliRunner().invoke(main, ["webhook", "sign", "--secret-file", str(tmp_path / "secret")], input=BODY)
    headers = dict(line.split(": ", 1) for line in result.output.splitlines())
    standardwebhooks.Webhook(SECRET).verify(BODY, headers)


@contextmanager
def listening(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "agentd", "webhook", "listen", "--port", "0", "--count", "1", *options]
    environment = {**os.environ, "AGENTD_WEBHOOK_SECRET": SECRET}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[-1], process
        finally:
            process.kill()


@pytest.fixture
def agents_dir(tmp_path: Path) -> Path:
    (tmp_path / "front-desk.yaml").write_text(AGENT)
    return tmp_path


def test_a_tool_is_called_as_in_a_call_and_its_answer_shown(agents_dir: Path) -> None:
    answer = {"slots": ["9:00"], "agentd": {"say": "Look.", "reply": "none"}}
    with listening("--answer", json.dumps(answer)) as (url, process):
        words = ["front-desk", "find_slot", "--arguments", '{"day": "Friday"}', "--url", url, "-d", str(agents_dir)]
        result = agentd("send", *words, "--variables", '{"caller": "Ann"}')
        received, _ = process.communicate(timeout=15)
    assert result.exit_code == 0, result.output
    assert 'the model reads: {"slots": ["9:00"]}' in result.output
    assert "SetVariables(values={'slot': '9:00'})" in result.output
    assert "Say(text='Look.', interruptible=True)" in result.output
    assert "no words about it" in result.output
    assert received.startswith("POST /\n")
    assert "  signature: valid\n" in received
    assert '"arguments": {\n      "day": "Friday"' in received
    assert '"clinic": "Hill Street",\n        "caller": "Ann"' in received


def test_a_tool_that_fails_is_told_by_the_exit_code(agents_dir: Path) -> None:
    with listening("--status", "422", "--answer", '{"detail": "Fridays are full."}') as (url, _):
        words = ["front-desk", "find_slot", "--arguments", '{"day": "Friday"}', "--url", url, "-d", str(agents_dir)]
        result = agentd("send", *words)
    assert (result.exit_code, result.output) == (1, "the model reads: Fridays are full.\n")


def test_what_cannot_be_sent_is_said(agents_dir: Path) -> None:
    where = ["-d", str(agents_dir)]
    assert 'did you mean "front-desk"?' in agentd("send", "font-desk", "find_slot", *where).output
    assert "there are: find_slot" in agentd("send", "front-desk", "end_call", *where).output
    assert "day is missing" in agentd("send", "front-desk", "find_slot", *where).output
    assert "--variables must be" in agentd("send", "front-desk", "find_slot", "--variables", "[]", *where).output


def test_an_event_goes_to_the_sinks_that_want_it(agents_dir: Path) -> None:
    with listening() as (url, process):
        result = agentd("send", "front-desk", "session.ended", "--url", url, "-d", str(agents_dir))
        received, _ = process.communicate(timeout=15)
    assert (result.exit_code, result.output) == (0, f"{url} answered 200\n")
    assert "  signature: valid\n" in received
    body = json.loads(received[received.index("{") :])
    assert (body["type"], body["data"]["reason"]) == ("session.ended", "caller_left")
    assert body["data"]["variables"]["clinic"] == "Hill Street"
    assert body["data"]["transcript"][0]["role"] == "assistant"


def test_a_sink_that_fails_is_told_by_the_exit_code(agents_dir: Path) -> None:
    with listening("--status", "410") as (url, _):
        result = agentd("send", "front-desk", "tool.failed", "--url", url, "-d", str(agents_dir))
    assert (result.exit_code, result.output) == (1, f"{url} answered 410\n")
    gone = agentd("send", "front-desk", "tool.failed", "--url", "http://127.0.0.1:9/", "-d", str(agents_dir))
    assert (gone.exit_code, "was not reached" in gone.output) == (1, True)


def test_the_question_before_a_call_is_asked_and_what_follows_is_shown(agents_dir: Path) -> None:
    where = ["-d", str(agents_dir)]
    answer = {"variables": {"name": "Ann"}, "instructions_append": "Be brief.", "agent": "billing"}
    with listening("--answer", json.dumps(answer)) as (url, process):
        result = agentd("send", "front-desk", "session.request", "--url", url, *where)
        received, _ = process.communicate(timeout=15)
    assert result.exit_code == 0
    assert result.output.splitlines()[1:] == [
        "the call is taken", "by: billing", "variables: {'name': 'Ann'}", "added to the instructions: Be brief.",
    ]  # fmt: skip
    assert "  signature: valid\n" in received
    with listening("--answer", '{"accept": false}') as (url, _):
        result = agentd("send", "front-desk", "session.request", "--url", url, *where)
    assert (result.exit_code, result.output.splitlines()[1]) == (0, "the call is refused")
    with listening("--status", "500") as (url, _):
        result = agentd("send", "front-desk", "session.request", "--url", url, *where)
    assert (result.exit_code, "it answered 500" in result.output) == (1, True)


def test_an_event_that_there_is_not_or_that_nobody_wants_is_said(agents_dir: Path) -> None:
    where = ["-d", str(agents_dir)]
    assert "did you mean session.ended?" in agentd("send", "front-desk", "session.end", *where).output
    assert "no sink of front-desk or of agentd.yaml wants agent.loaded" in (
        agentd("send", "front-desk", "agent.loaded", *where).output
    )
    (agents_dir / "agentd.yaml").write_text("events: [{url: 'http://127.0.0.1:9/', types: ['agent.*', 'worker.*']}]\n")
    config = ["-c", str(agents_dir / "agentd.yaml")]
    for kind in DAEMON_EVENTS:
        with listening() as (url, process):
            assert agentd("send", "front-desk", kind, "--url", url, *where, *config).exit_code == 0
            received, _ = process.communicate(timeout=15)
        assert f'"type": "{kind}"' in received
