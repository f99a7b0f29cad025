"""Nothing that is sent to the admin API of a running daemon, which holds a call, makes it answer with a 5xx, or with
what its description does not say.

Schemathesis makes requests from the description: such as it asks for, and such as break it in one place; of each
operation, with names that there are and with any. Beside them come bodies that no description has, by every method
and under several content types.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agentd.loadtest.caller import Caller
from agentd.session.journal import read_journal
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.admin.conformance import STREAM, Description
from tests.system.caller import server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

EXAMPLES = 8  # of each operation, each way
ANSWERED_WITHIN_S = 20.0
TOKEN = "operator-token-0123456789"
CONFIG = f"admin: {{rate_limit: 0, write_agents: true, token: {TOKEN}}}\nlog: {{level: WARNING}}\n"
AGENT = zero_cost_agent("desk", character="1ms", extra="limits: {concurrency: 2}")
SPARE = {
    "version": 1,
    "name": "spare",
    "stt": {"provider": "scripted"},
    "llm": {"provider": "scripted", "replies": ["Yes."]},
    "tts": {"provider": "scripted"},
}
END = "/v1/sessions/{id}/end"
LAST = ("/v1/drain", "/v1/upgrade", END)
"""What ends the call, or the daemon: one that drains is not upgraded, and is gone when its call has ended."""
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
NOT_READY = {"/", "/readyz"}  # 503 is what they are there to say


def narrowed(own: Description) -> dict[str, Any]:
    """The daemon's description, in which some values are narrowed: nobody waits for what takes long by design, and what
    is rarely hit by chance is offered."""
    document = copy.deepcopy(own.document)
    paths = document["paths"]
    for item in paths.values():
        for owner in (item, *(item[method] for method in item if method != "parameters")):
            for parameter in owner.get("parameters", ()):
                if parameter["name"] in ("wait", "follow"):
                    parameter["schema"] = {"enum": [False]}
    paths["/v1/agents/{name}"]["put"]["requestBody"]["content"]["application/json"]["schema"] = {
        "anyOf": [{"enum": [SPARE, {**SPARE, "name": "desk"}]}, {"type": "object"}]
    }
    paths["/v1/dispatches"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["agent"] = {
        "anyOf": [{"enum": ["desk", "spare"]}, {"type": "string", "maxLength": 300}]
    }
    return document


@asynccontextmanager
async def daemon_with_a_call(credentials: LiveKitCredentials, directory: Path) -> AsyncIterator[tuple[Daemon, str]]:
    """And the call's id."""
    config = directory / "agentd.yaml"
    config.write_text(CONFIG)
    server = server_of(credentials)
    async with (
        running_daemon(
            server,
            {"desk.yaml": AGENT, "spare.yaml": json.dumps(SPARE)},
            workers=1,
            flags=("--config", str(config)),
            environment={"AGENTD_STORE": str(directory / "state")},
        ) as daemon,
        Caller.join(server, agent="desk", microphone=False) as caller,
    ):
        await caller.agent_state("listening", 30)
        daemon.http.headers["Authorization"] = f"Bearer {TOKEN}"
        (session,) = await daemon.sessions()
        yield daemon, session["id"]


def named(path: str, session: str) -> dict[str, str]:
    """Of things that there are; the agent that may be written and deleted is not the one that has the call."""
    agent = "spare" if path == "/v1/agents/{name}" else "desk"
    names = {"id": session, "session": session, "name": agent, "approval": "consent-1", "speech": "s1", "key": "k"}
    return {name: value for name, value in names.items() if f"{{{name}}}" in path}


def strategies(operation: Any, session: str) -> Iterator[Any]:
    given_path = named(operation.path, session)
    headers = {"If-Match": "*"} if operation.method in ("put", "delete") else None
    for mode in schemathesis.GenerationMode:
        yield operation.as_strategy(mode)
        if given_path or headers:
            yield operation.as_strategy(mode, path_parameters=given_path or None, headers=headers)


def fuzz(own: Description, address: str, session: str) -> tuple[int, list[str]]:
    """How many requests there were, and what was wrong with answers."""
    schema = schemathesis.openapi.from_dict(narrowed(own))
    found: list[str] = []
    asked = 0
    client = requests.Session()

    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        sent = case.as_transport_kwargs(base_url=address)
        sent["headers"] = {**(sent.get("headers") or {}), "Authorization": f"Bearer {TOKEN}"}
        try:
            answer = client.request(**sent, stream=True, timeout=ANSWERED_WITHIN_S)
        except requests.ConnectionError:
            if case.path != END:
                raise
            return
        with answer:
            found.extend(fault(case.method, case.path, answer.status_code, answer.headers))
            if answer.headers.get("Content-Type", "").startswith(STREAM):  # which may have no end
                found.extend(own.faults(case.method, case.path, answer.status_code, answer.headers, b""))
                return
            if is_unread(answer.status_code, answer.headers):
                return
            try:
                case.validate_response(answer, checks=CHECKS)
            except FailureGroup as failed:
                found.extend(f"{case.method} {case.path}: {each}"[:1_000] for each in failed.exceptions)

    operations = [result.ok() for result in schema.get_all_operations()]
    operations.sort(key=lambda each: LAST.index(each.path) + 1 if each.path in LAST else 0)
    for operation in operations:
        for strategy in strategies(operation, session):
            run = given(strategy)(ask)
            run = settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(run)
            with suppress(Unsatisfiable):  # there is nothing in the operation that could be broken
                run()
    return asked, found


def is_unread(status: int, headers: Mapping[str, str]) -> bool:
    """It was no HTTP, with a line too long or a header that may not be: no handler has seen it."""
    return status == 400 and headers.get("Content-Type", "").startswith("text/plain")


def fault(method: str, path: str, status: int, headers: Mapping[str, str]) -> list[str]:
    """A 503 that says when to come back is for a daemon that is full."""
    if is_unread(status, headers):
        return []
    kind = headers.get("Content-Type", "")
    if status >= 500 and not (status == 503 and (path in NOT_READY or "Retry-After" in headers)):
        return [f"{method} {path}: {status}"]
    if status >= 400 and not kind.startswith("application/problem+json") and path not in NOT_READY:
        return [f"{method} {path}: {status} as {kind}"]
    return []


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
BODIES: tuple[tuple[str | None, bytes], ...] = (
    (None, b""),
    ("application/json", b"{}"),
    ("application/json", b"[[[[" * 5_000),
    ("application/json", b'{"text": "\\ud800"}'),
    ("application/json", b'{"set": {"a": 1e999}, "keep": 1e999, "to": NaN}'),
    ("application/json", b"\xff\xfe{"),
    ("application/json; charset=nothing", b'{"text": "a"}'),
    ("application/yaml", b"a: &a [*a, *a]\n\x00"),
    ("application/yaml", b"\xff"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
    ("text/plain", b"x" * 300_000),
)


async def send_what_is_not_described(own: Description, daemon: Daemon, session: str) -> tuple[int, list[str]]:
    asked, found = 0, []
    for path, method in product(own.document["paths"], METHODS):
        if path in LAST and method == "POST":
            continue
        address = path.format_map(named(path, session))
        for content_type, body in BODIES if method not in ("GET", "HEAD") else BODIES[:2]:
            asked += 1
            headers = {"Content-Type": content_type} if content_type else {}
            url = f"{daemon.admin_url}{address}?{'follow=false' if 'events' in path else 'wait=false&x=%ff%00'}"
            try:
                async with daemon.http.request(method, url, data=body or None, headers=headers) as answer:
                    found += fault(method, path, answer.status, answer.headers)
                    found += own.faults(method, address, answer.status, answer.headers, await answer.read())
            except aiohttp.ClientConnectionError:  # a body of which nobody wants to hear the end
                assert len(body) > 200_000, (method, path)
    return asked, found


async def test_nothing_that_is_sent_is_answered_with_a_5xx_or_with_what_is_not_described(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    async with daemon_with_a_call(credentials, tmp_path) as (daemon, session):
        own = Description(await daemon.get("/openapi.json"))
        assert own.document["paths"]["/v1/sessions"]["get"]["security"] == [{"bearer": ["read"]}]
        raw, wrong = await send_what_is_not_described(own, daemon, session)
        assert [each["id"] for each in await daemon.sessions()][:1] == [session], "the call is gone"
        made, found = await asyncio.to_thread(fuzz, own, daemon.admin_url, session)
        assert daemon.process.returncode in (None, 0)
        log = daemon.log.read_text(errors="replace")
    assert sorted(set(wrong + found)) == []
    assert raw > 2_000
    assert made > 500
    assert '"exception"' not in log, log[log.index('"exception"') - 500 :][:2_000]
    records = read_journal(next((tmp_path / "state").rglob(f"{session}.journal")))
    ended = [(record.kind, record.data.get("reason")) for record in records if record.kind.startswith("session.")]
    assert ended == [("session.started", None), ("session.ended", "ended_by_operator")], "its worker died, or it did"
