"""The example servers in Python, TypeScript and Go, as they stand: they verify our requests with the official
libraries, refuse a wrong secret, and serve the shop's whole conversation."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import standardwebhooks

from tests.fakes.webhook_server import respond, webhook_server
from tests.system.test_mcp import listens
from tests.tools.test_mcp import free_port, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
SERVERS = PROJECT / "examples" / "webhooks"
CACHE = PROJECT / ".cache"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(9, 41))).decode()


def python_server() -> list[str]:
    return [sys.executable, str(SERVERS / "python" / "server.py")]


def typescript_server() -> list[str]:
    """Its packages are installed where they do not litter the examples."""
    place = CACHE / "node" / "shop-webhooks"
    place.mkdir(parents=True, exist_ok=True)
    for file in (SERVERS / "typescript").iterdir():
        if file.is_file():
            shutil.copy(file, place)
    if not (place / "node_modules" / "tsx").exists():
        if shutil.which("npm") is None:
            pytest.fail("this test needs Node.js with npm (Debian: apt-get install nodejs npm)")
        subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=place, check=True)
    return ["node", "--import", "tsx", str(place / "server.ts")]


def go_server() -> list[str]:
    if shutil.which("go") is None:
        pytest.fail("this test needs Go")
    program = CACHE / "bin" / "shop-webhooks"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=SERVERS / "go", check=True)
    return [str(program)]


@contextmanager
def running(command: list[str], port: int, **more: str) -> Iterator[None]:
    environment = {**os.environ, "PORT": str(port), "SHOP_WHSEC": SECRET, **more}
    cwd = Path(command[-1]).parent
    with subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def agentd(*words: str, secret: str = SECRET, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SHOP_WHSEC": secret}
    command = [sys.executable, "-m", "agentd", *words]
    return subprocess.run(
        command, env=environment, input=stdin, text=True, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("server", [python_server, typescript_server, go_server])
async def test_an_example_server_brings_a_refund_later_with_its_token(server: object) -> None:
    assert callable(server)
    port, hook = free_port(), standardwebhooks.Webhook(SECRET)
    data = {"tool": "refund_order", "arguments": {"order": 17}}

    async def ask(http: aiohttp.ClientSession, data: dict[str, Any]) -> tuple[int, Any]:
        body, at = json.dumps({"type": "tool.call", "data": data}), datetime.now(UTC)
        headers = {"webhook-id": "tc_1", "webhook-timestamp": str(int(at.timestamp()))}
        headers["webhook-signature"] = hook.sign("tc_1", at, body)
        async with http.post(f"http://127.0.0.1:{port}/tools", data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    with running(server(), port, BANK_S="0.1"):
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


@pytest.mark.parametrize("server", [python_server, typescript_server, go_server])
async def test_an_example_server_serves_the_shop_and_nobody_else(server: object, tmp_path: Path) -> None:
    assert callable(server)
    command, port = server(), free_port()
    shop = (SERVERS / "shop.yaml").read_text().replace(":8090/", f":{port}/")
    (tmp_path / "shop.yaml").write_text(shop)
    where = ["-d", str(tmp_path)]
    with running(command, port):
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
