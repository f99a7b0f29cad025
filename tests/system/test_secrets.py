"""A value is given wherever a secret can be given, and then searched for in everything that agentd says.

Each holds a marker. Providers and endpoints fail, and say again all that they were sent; a tool raises its secret.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from agentd.admin.openapi import OPENAPI
from agentd.loadtest.caller import Caller
from agentd.runtime.audit_chain import verify
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon
from tests.fakes.webhook_server import Received, WebhookServer, webhook_server
from tests.system.caller import ended_journal, server_of
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

MARK = "CNRY7f3a"
SIGNING = ("HOOK", "SINK", "AGENT_SINK", "REQUEST", "TOOL", "HTTP_HOOK")
OTHERS = (
    *("ADMIN", "READER", "AUDIT", "SINK_HEADER", "AGENT_SINK_HEADER", "REQUEST_HEADER", "TOOL_HEADER", "TOOL_BEARER"),
    *("LLM", "STT", "TTS", "PYTHON", "MCP_ENV", "MCP_HEADER", "OTEL", "HOOK_HEADER", "FROM_FILE"),
)
TOOLS = """\
from agentd.tools import RunContext

def fails(ctx: RunContext) -> str:
    \"\"\"Fail.\"\"\"
    print("the key is", ctx.secrets["KEY"])
    raise ValueError(f"no such account: {ctx.secrets['KEY']}")
"""
MCP = """\
import os, sys
print("token", os.environ["TOKEN"], file=sys.stderr)
sys.exit(f"cannot start with {os.environ['TOKEN']}")
"""
DAEMON = """\
admin:
  token: "${{ADMIN}}"
  rate_limit: 0
  tokens: [{{name: grafana, role: read, token: "${{READER}}"}}]
audit: {{key: "${{AUDIT}}", arguments: full}}
error_hook: {{url: "{hooks}/errors", secret: "${{HOOK}}"}}
events: [{{url: "{hooks}/daemon", secret: "${{SINK}}", headers: {{X-Key: "${{SINK_HEADER}}"}}}}]
log: {{level: DEBUG, content: true}}
"""
AGENT = """\
version: 1
name: desk
on_request: {{url: "{hooks}/request", secret: "${{REQUEST}}", headers: {{X-Key: "${{REQUEST_HEADER}}"}}}}
events: [{{url: "{hooks}/agent", secret: "${{AGENT_SINK}}", headers: {{X-Key: "Bearer ${{AGENT_SINK_HEADER}}"}}}}]
stt: {{provider: openai, api_key: "${{STT}}", base_url: "{hooks}/v1", fallback: [{{provider: scripted}}]}}
tts:
  provider: openai
  api_key: "${{TTS}}"
  base_url: "{hooks}/v1"
  fallback: [{{provider: scripted, character: 1ms}}]
llm:
  provider: openai
  api_key: "${{LLM}}"
  base_url: "{hooks}/v1"
  fallback:
    - provider: openai
      api_key: "${{FROM_FILE}}"
      base_url: "{hooks}/v1"
    - provider: scripted
      dialogue:
        start: ready
        states:
          ready: {{expect: [{{match: ["ask"], goto: ask}}, {{match: ["fail"], goto: fail}}]}}
          ask: {{tool: {{name: look, error_say: "Asked.", error_goto: ready}}}}
          fail: {{tool: {{name: fails, error_say: "Failed.", error_goto: ready}}}}
hooks:
  - on: user_input_transcribed
    do: {{webhook: {{url: "{hooks}/hook", secret: "${{HTTP_HOOK}}", headers: {{X-Key: "${{HOOK_HEADER}}"}}}}}}
tools:
  - type: webhook
    name: look
    description: Look something up.
    url: "{hooks}/tool"
    secret: "${{TOOL}}"
    headers: {{X-Key: "${{TOOL_HEADER}}", Authorization: "Bearer ${{TOOL_BEARER}}"}}
    on_error: passthrough
  - {{type: python, ref: "tools.account:fails", secrets: {{KEY: "${{PYTHON}}"}}}}
  - {{type: mcp, name: local, command: [{python}, {mcp}], env: {{TOKEN: "${{MCP_ENV}}"}}, required: false}}
  - {{type: mcp, name: far, url: "{hooks}/mcp", headers: {{Authorization: "Bearer ${{MCP_HEADER}}"}}, required: false}}
"""


def secrets() -> dict[str, str]:
    """Each is another one, so that what is found says where it came from."""
    signing = {name: "whsec_" + f"{MARK}{name.replace('_', '')}".ljust(40, "A") for name in SIGNING}
    return signing | {name: f"{MARK}-{name.lower()}-0123456789" for name in OTHERS}


async def repeats(received: Received, _: web.Request) -> web.StreamResponse:
    """The failure of a service that says again what it was sent."""
    told = json.dumps(dict(received.headers))
    if received.path.startswith("/hook/v1"):
        error = {"message": f"Incorrect API key provided: {told}", "type": "x", "code": "x"}
        return web.json_response({"error": error}, status=401)
    if received.path.endswith(("/daemon", "/agent", "/errors")):
        return web.Response(status=500, text=told)
    return web.json_response({"detail": f"not with {told}"}, status=500)


async def test_no_secret_is_in_anything_that_is_said(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    values = secrets()
    said: dict[str, str] = {}
    async with webhook_server() as hooks:
        hooks.default = repeats
        config, agents, environment = laid_out(tmp_path, hooks, values)
        async with running_daemon(
            server_of(credentials), agents, workers=1, flags=("--config", str(config)), environment=environment
        ) as daemon:
            daemon.http.headers["Authorization"] = f"Bearer {values['ADMIN']}"
            async with Caller.join(server_of(credentials), agent="desk", microphone=False) as caller:
                answers = [await asked(caller, words) for words in ("ask", "fail")]
                (session,) = await daemon.sessions()
                (tmp_path / "agents" / "broken.yaml").write_text(BROKEN)
                said |= await answered(daemon, session["id"])
                said |= await printed(daemon, config, agents, environment, session["id"])
                await caller.leave()
            await ended_journal(tmp_path / "state", caller.room)
            said["metrics at the end"] = await daemon.metrics()
            said["log"] = daemon.log.read_text()
        said["what was sent"] = "\n".join(received.body.decode(errors="replace") for received in hooks.received)
        sent = "\n".join(json.dumps(dict(received.headers)) for received in hooks.received)
    said |= {str(path.relative_to(tmp_path)): path.read_bytes().decode(errors="replace") for path in kept(tmp_path)}
    said["answers"] = " ".join(answers)
    assert answers == ["Asked.", "Failed."]
    assert {name: found for name, text in said.items() if (found := marks(text, credentials))} == {}
    used = [name for name in OTHERS if values[name] in sent]
    assert {"LLM", "FROM_FILE", "TOOL_HEADER", "TOOL_BEARER", "REQUEST_HEADER", "MCP_HEADER"} <= {*used}
    assert "no such account" in said["log"]
    lines = (tmp_path / "state" / "audit.jsonl").read_bytes()
    assert not verify([("audit.jsonl", lines)], values["AUDIT"].encode()).broken


BROKEN = f"""\
version: 1
name: broken
stt: {{provider: scripted, api_kee: {MARK}-unknown-key}}
llm: {{provider: openai, api_key: {MARK}-literal}}
tts: {{provider: openai, api_key: [{MARK}-list]}}
events: [{{url: "https://example.com", secret: {MARK}-malformed, headers: {{X-Key: {MARK}-header}}}}]
"""


def laid_out(place: Path, hooks: WebhookServer, values: Mapping[str, str]) -> tuple[Path, Path, dict[str, str]]:
    """agentd.yaml, the agents' directory, and the environment that the secrets are in."""
    agents, config, mcp = place / "agents", place / "agentd.yaml", place / "mcp_server.py"
    (agents / "tools").mkdir(parents=True)
    (agents / "tools" / "account.py").write_text(TOOLS)
    mcp.write_text(MCP)
    told = {"hooks": hooks.url, "python": sys.executable, "mcp": mcp}
    (agents / "desk.yaml").write_text(AGENT.format_map(told))
    config.write_text(DAEMON.format_map(told))
    (place / "secret").write_text(values["FROM_FILE"])
    environment = {name: value for name, value in values.items() if name != "FROM_FILE"}
    return (
        config,
        agents,
        {**environment, "FROM_FILE_FILE": str(place / "secret"), "AGENTD_STORE": str(place / "state")},
    )


async def answered(daemon: Daemon, session: str) -> dict[str, str]:
    """Every GET of the API."""
    said = {}
    for path, item in OPENAPI["paths"].items():
        if "get" not in item:
            continue
        address = path.replace("{id}", session).replace("{name}", "desk").replace("{speech}", "s1")
        async with daemon.http.get(f"{daemon.admin_url}{address}?follow=false") as answer:
            said[f"GET {path}"] = await answer.text()
    status, reloaded = await daemon.post("/v1/reload")
    assert status == 422
    said["POST /v1/reload"] = json.dumps(reloaded)
    async with daemon.http.post(
        daemon.admin_url + "/v1/agents/validate", data=BROKEN, headers={"Content-Type": "application/yaml"}
    ) as answer:
        said["POST /v1/agents/validate"] = await answer.text()
    return said


async def printed(
    daemon: Daemon, config: Path, agents: Path, environment: Mapping[str, str], session: str
) -> dict[str, str]:
    """What commands print."""
    files = ("--config", str(config), "--directory", str(agents))
    asks = ("--admin-addr", daemon.admin_url.removeprefix("http://"))
    commands: list[tuple[str, ...]] = [
        ("validate", str(agents), "--config", str(config), "--format", "json"),
        ("validate", str(agents), "--config", str(config)),
        ("render", "desk", *files),
        ("plan", *asks),
        ("get", "agents", *asks, "-o", "yaml"),
        ("get", "sessions", *asks, "-o", "json"),
        ("describe", "agent", "desk", *asks),
        ("describe", "session", session, *asks),
        ("history", "desk", *asks),
        ("explain", session, *asks),
        ("explain", session, *asks, "-o", "json"),
        ("audit", "show", "--config", str(config)),
        ("mcp", "desk", *files),
        ("serve", "--check", *files),
    ]
    env = {**os.environ, **environment, "AGENTD_ADMIN_TOKEN": environment["ADMIN"]}
    said: dict[str, str] = {}
    turns = asyncio.Semaphore(3)  # at once: each takes a second of a processor to begin

    async def run(command: tuple[str, ...]) -> None:
        program = [sys.executable, "-m", "agentd", *command]
        async with turns:
            done = await asyncio.to_thread(subprocess.run, program, env=env, capture_output=True, text=True, timeout=90)
        assert done.returncode != 2 or command[0] == "plan", (command, done.stderr)
        said[" ".join(command)] = done.stdout + done.stderr

    await asyncio.gather(*map(run, commands))
    return said


def kept(place: Path) -> list[Path]:
    """All files of the state directory: journals, audit, outbox, revisions."""
    return [path for path in (place / "state").rglob("*") if path.is_file()]


def marks(text: str, credentials: LiveKitCredentials) -> list[str]:
    """Where secrets are, with what is around them."""
    found: list[str] = []
    for secret in (MARK, credentials.api_secret):
        place = text.find(secret)
        if place >= 0:
            found.append(text[max(0, place - 300) : place + 60])
    return found
