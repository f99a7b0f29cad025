"""The examples' webhook servers in Python, TypeScript and Go, run as they stand, and what they are asked."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.documents import ROOT
from tests.system.test_mcp import listens
from tests.tools.test_mcp import until

LANGUAGES = ("python", "typescript", "go")
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CACHE = ROOT / ".cache"

Asked = list[tuple[str, dict[str, Any]]]
"""The path and the body of each request that a server took, with its webhook-id as `key`, in order."""


@dataclass(frozen=True, slots=True)
class Example:
    """A directory of examples/. `port`: where its agents look for its servers. `secret`: the variable of it."""

    name: str
    place: Path
    port: int
    secret: str

    def agents(self, port: int) -> dict[str, str]:
        """Its agent files by name, their servers on another port."""
        found = sorted(self.place.glob("*.yaml"))
        return {path.name: path.read_text().replace(f":{self.port}/", f":{port}/") for path in found}


SHOP = Example("shop", ROOT / "examples" / "webhooks", 8090, "SHOP_WHSEC")
CLINIC = Example("clinic", ROOT / "examples" / "clinic", 8091, "CLINIC_WHSEC")


def command(example: Example, language: str) -> list[str]:
    """What starts its server; built and installed where that does not litter the examples."""
    place = example.place / language
    if language == "python":
        return [sys.executable, str(place / "server.py")]
    if language == "typescript":
        return ["node", "--import", "tsx", str(_installed(place, example.name) / "server.ts")]
    if shutil.which("go") is None:
        pytest.fail("this test needs Go")
    program = CACHE / "bin" / f"{example.name}-webhooks"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=place, check=True)
    return [str(program)]


def _installed(source: Path, name: str) -> Path:
    place = CACHE / "node" / f"{name}-webhooks"
    place.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, place)
    if not (place / "node_modules" / "tsx").exists():
        if shutil.which("npm") is None:
            pytest.fail("this test needs Node.js with npm (Debian: apt-get install nodejs npm)")
        subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=place, check=True)
    return place


@contextmanager
def running(program: list[str], port: int, **more: str) -> Iterator[None]:
    """`more`: its environment beside the secrets."""
    secrets = {example.secret: SECRET for example in (SHOP, CLINIC)}
    environment = {**os.environ, "PORT": str(port), **secrets, **more}
    with subprocess.Popen(program, env=environment, cwd=Path(program[-1]).parent, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@asynccontextmanager
async def overheard(program: list[str], port: int, behind: int, **more: str) -> AsyncIterator[Asked]:
    """The server on the port `behind`, asked through another that keeps what it took."""
    asked: Asked = []

    async def pass_on(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with http.post(f"http://127.0.0.1:{behind}{request.rel_url}", data=body, headers=headers) as answer:
            if answer.status < 300:  # its signature was right
                asked.append((request.path, {**await request.json(), "key": request.headers["webhook-id"]}))
            kept = {"content-type": answer.headers.get("content-type", "text/plain")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    app = web.Application()
    app.add_routes([web.post("/{path:.*}", pass_on)])
    with running(program, behind, **more):
        await until(lambda: listens(behind), 60)
        async with aiohttp.ClientSession() as http:
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
            try:
                yield asked
            finally:
                await runner.cleanup()
