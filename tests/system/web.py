"""A real browser for tests: headless Chromium, driven by playwright-core, with a WAV file as its microphone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import shutil
import struct
import subprocess
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
WEB = Path(__file__).parent / "web"
NODE = PROJECT / ".cache" / "node"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=user-gesture-required",
    "--allow-loopback-in-peer-connection",  # all media stays on this machine
    "--use-fake-device-for-media-stream",
)
LONGEST_LINE = 32 * 1024 * 1024


def require_browser() -> str:
    """The browser's path; the test fails where there is none, because nothing else can stand in for it."""
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    pytest.fail("browser tests need Chromium (Debian: apt-get install chromium)")


def node_packages() -> Path:
    """The folder with the npm packages of `web/package.json`, installed when they changed, and with our scripts."""
    wanted = (WEB / "package.json").read_bytes()
    place = NODE / hashlib.sha256(wanted).hexdigest()[:12]
    if not (place / "node_modules").is_dir():
        if shutil.which("npm") is None:
            pytest.fail("browser tests need Node.js with npm (Debian: apt-get install nodejs npm)")
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_bytes(wanted)
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=place, check=True)
    for script in WEB.glob("*.*"):
        shutil.copy(script, place)
    return place


def write_beeps(path: Path, *, silence_s: float = 1.5, beep_s: float = 0.8, hz: int = 48_000) -> Path:
    """A microphone's sound: silence, a beep, silence; Chromium plays it again and again."""
    beep = [int(12_000 * math.sin(2 * math.pi * 440 * n / hz)) for n in range(int(beep_s * hz))]
    quiet = [0] * int(silence_s * hz)
    samples = quiet + beep + quiet
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hz)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


class BrowserFailed(AssertionError):
    """A command to the browser failed; the message is the driver's."""


class Browser:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, command: str, **parameters: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"command": command, **parameters}).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline() or b'{"error": "the browser driver ended"}')
        if "error" in answer:
            raise BrowserFailed(f"{command}: {answer['error']}")
        return answer["result"]

    async def open(self, url: str, *, microphone: bool = True, **options: Any) -> Page:
        permissions = ["microphone"] if microphone else []
        return Page(browser=self, id=await self.do("open", url=url, permissions=permissions, **options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    browser: Browser
    id: int

    async def click(self, selector: str) -> None:
        await self.browser.do("click", id=self.id, selector=selector)

    async def fill(self, selector: str, text: str) -> None:
        await self.browser.do("fill", id=self.id, selector=selector, text=text)

    async def press(self, key: str) -> None:
        await self.browser.do("press", id=self.id, key=key)

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Runs a JavaScript function of one argument in the page."""
        return await self.browser.do("evaluate", id=self.id, script=script, argument=argument)

    async def until(self, script: str, timeout_s: float = 10.0) -> None:
        """Waits until the JavaScript expression is true."""
        await self.browser.do("wait", id=self.id, script=script, timeout_ms=timeout_s * 1_000)

    async def text(self, selector: str) -> str:
        return str(await self.evaluate("(s) => document.querySelector(s).textContent", selector))

    async def screenshot(self, path: Path) -> None:
        await self.browser.do("screenshot", id=self.id, path=str(path))

    async def errors(self) -> list[str]:
        """What the page wrote to its console as errors."""
        return list(await self.browser.do("errors", id=self.id))

    async def close(self) -> None:
        await self.browser.do("close", id=self.id)


@asynccontextmanager
async def running_browser(microphone: Path | None = None, *, allow_microphone: bool = True) -> AsyncIterator[Browser]:
    """`microphone`: the WAV that it says. `allow_microphone` False: the person refuses it."""
    chromium, packages = require_browser(), node_packages()
    flags = [*FLAGS, "--use-fake-ui-for-media-stream" + ("" if allow_microphone else "=deny")]
    if microphone:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}")
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(packages / "driver.mjs"),
            chromium,
            *flags,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LONGEST_LINE,
        )
        try:
            yield Browser(process)
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin
    process.stdin.close()  # the driver closes the browser and ends
    with contextlib.suppress(ConnectionError):
        await process.stdin.wait_closed()
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
