"""A stock front end for tests: livekit-client and components-core in Chromium, which report what they read.

Knows nothing of who answers: give it a URL and a token. As a command it prints the report of a running agent:
`python -m tests.system.front_end URL TOKEN [--seconds 15] [--chat TEXT] [--wav FILE]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.system.web import Browser, Page, node_packages, running_browser

PAGE = '<!doctype html><meta charset="utf-8"><title>front end</title><script src="/bundle.js"></script><body>'


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """A caller's page in a room."""

    page: Page

    async def chat(self, text: str) -> None:
        await self.page.evaluate("(text) => frontEnd.chat(text)", text)

    async def microphone(self, on: bool) -> None:
        await self.page.evaluate("(on) => frontEnd.microphone(on)", on)

    async def leave(self) -> None:
        await self.page.evaluate("() => frontEnd.leave()")

    async def report(self) -> dict[str, Any]:
        """Everything observed so far; see the top of web/contract.js for its parts."""
        return dict(await self.page.evaluate("() => frontEnd.report()"))

    async def until(self, condition: str, timeout_s: float = 15.0) -> None:
        """Waits for a JavaScript expression over `seen`, the report."""
        await self.page.until(f"((seen) => {condition})(frontEnd.report())", timeout_s)


def bundle() -> Path:
    """The page's script, built from web/contract.js."""
    packages = node_packages()
    built = packages / "contract.bundle.js"
    command = [str(packages / "node_modules" / ".bin" / "esbuild"), "contract.js", "--bundle", f"--outfile={built}"]
    subprocess.run([*command, "--log-level=error"], cwd=packages, check=True)
    return built


@asynccontextmanager
async def serving_page() -> AsyncIterator[str]:
    """The address of the page: on localhost, because browsers give no microphone elsewhere."""
    script = bundle()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def javascript(_: web.Request) -> web.FileResponse:
        return web.FileResponse(script)

    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/bundle.js", javascript)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def front_end(browser: Browser, url: str, token: str, *, microphone: bool = True) -> AsyncIterator[FrontEnd]:
    """Joined inside the block."""
    async with serving_page() as address:
        page = await browser.open(address, microphone=microphone)
        arguments = {"url": url, "token": token, "microphone": microphone}
        await page.evaluate("(it) => frontEnd.join(it)", arguments)
        yield FrontEnd(page=page)
        await page.close()


async def _observe(arguments: argparse.Namespace) -> None:
    async with (
        running_browser(arguments.wav) as browser,
        front_end(browser, arguments.url, arguments.token, microphone=arguments.wav is not None) as caller,
    ):
        if arguments.chat:
            await caller.until("seen.states.some(({ state }) => state === 'listening')", 30)
            await caller.chat(arguments.chat)
        await asyncio.sleep(arguments.seconds)
        print(json.dumps(await caller.report(), indent=2))  # noqa: T201 -- what the command is for


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Join a room as a stock front end does and print what it reads.")
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--chat", default="")
    parser.add_argument("--wav", type=lambda text: Path(text).absolute())
    asyncio.run(_observe(parser.parse_args()))
