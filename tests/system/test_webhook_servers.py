"""The example servers in Python, TypeScript and Go, as they stand: they verify our requests with the official
libraries, refuse a wrong secret, and serve the shop's whole conversation as text. By voice: test_examples.py."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import standardwebhooks

from tests.fakes.webhook_server import respond, webhook_server
from tests.system.example_servers import CLINIC, LANGUAGES, SECRET, SHOP, command, running
from tests.system.test_mcp import listens
from tests.tools.test_mcp import free_port, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

OTHER = "whsec_" + base64.b64encode(bytes(range(9, 41))).decode()


def agentd(*words: str, secret: str = SECRET, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, SHOP.secret: secret, CLINIC.secret: secret}
    program = [sys.executable, "-m", "agentd", *words]
    return subprocess.run(
        program, env=environment, input=stdin, text=True, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_example_server_brings_a_refund_later_with_its_token(language: str) -> None:
    port, hook = free_port(), standardwebhooks.Webhook(SECRET)
    data = {"tool": "refund_order", "arguments": {"order": 17}}

    async def ask(http: aiohttp.ClientSession, data: dict[str, Any]) -> tuple[int, Any]:
        body, at = json.dumps({"type": "tool.call", "data": data}), datetime.now(UTC)
        headers = {"webhook-id": "tc_1", "webhook-timestamp": str(int(at.timestamp()))}
        headers["webhook-signature"] = hook.sign("tc_1", at, body)
        async with http.post(f"http://127.0.0.1:{port}/tools", data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    with running(command(SHOP, language), port, BANK_S="0.1"):
        await until(lambda: listens(port), 60)
        async with webhook_server() as daemon, aiohttp.ClientSession() as http:
            daemon.then(respond(status=503), respond(status=204, text=""))
            assert await ask(http, data) == (200, {"text": "A refund takes a day. You will get an e-mail."})
            status, pending = await ask(http, {**data, "callback": {"url": daemon.url, "token": "t0k"}})
            assert (status, pending["agentd"]["pending"]["timeout"]) == (202, "5m")
            await until(lambda: len(daemon.received) == 2, 20)
    for brought in daemon.received:
        assert brought.headers["authorization"] == "Bearer t0k"
        assert brought.json == {"text": "The refund of order 17 is on its way."}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_example_server_serves_the_shop_and_nobody_else(language: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "shop.yaml").write_text(SHOP.agents(port)["shop.yaml"])
    where = ["-d", str(tmp_path)]
    with running(command(SHOP, language), port):
        await until(lambda: listens(port), 60)
        found = agentd("webhook", "send", "shop", "find_order", "--arguments", '{"order": 17}', *where)
        assert found.stdout.splitlines() == [
            "the model reads: Your order 17 is packed and leaves tomorrow.",
            "agentd does: SetVariables(values={'order_state': 'packed'})",
        ]
        refused = agentd("webhook", "send", "shop", "cancel_order", "--arguments", '{"order": 18}', *where)
        assert (refused.returncode, refused.stdout) == (
            1,
            "the model reads: This order cannot be cancelled any more.\n",
        )
        stranger = agentd(
            "webhook", "send", "shop", "cancel_order", "--arguments", '{"order": 17}', *where, secret=OTHER
        )
        assert (stranger.returncode, stranger.stdout) == (1, "the model reads: The tool failed.\n")
        asked = agentd("webhook", "send", "shop", "session.request", *where)
        assert asked.stdout.splitlines()[1:4] == ["the call is taken", "by: shop", "variables: {'customer': ''}"]
        told = agentd("webhook", "send", "shop", "session.ended", *where)
        assert told.returncode == 0, told.stdout
        unknown = agentd("webhook", "send", "shop", "session.ended", *where, secret=OTHER)
        assert (unknown.returncode, unknown.stdout.strip()[-12:]) == (1, "answered 401")
        call = agentd("console", "shop", "--text", *where, stdin="order seventeen\nyes please\nno thanks\n")
        said = [line.strip() for line in call.stdout.splitlines() if "agent:" in line]
        assert any("Order 17 is cancelled." in line for line in said), call.stdout  # typed ahead: answers are cut short
        assert said[-1] == "agent: Goodbye."


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_clinics_server_serves_the_clinic_and_nobody_else(language: str, tmp_path: Path) -> None:
    port = free_port()
    for name, text in CLINIC.agents(port).items():
        (tmp_path / name).write_text(text)
    where = ["-d", str(tmp_path)]
    ask = ["webhook", "send", "billing", "find_bill", "--arguments", '{"bill": 44}', *where]
    with running(command(CLINIC, language), port):
        await until(lambda: listens(port), 60)
        assert agentd(*ask).stdout == "the model reads: There is no bill 44.\n"
        assert agentd(*ask, secret=OTHER).stdout == "the model reads: The tool failed.\n"
