"""The schemas in an editor: the real yaml-language-server (Red Hat's, behind VS Code, Neovim and others) over LSP."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PROJECT = Path(__file__).parents[2]
VERSION = "1.19.2"  # the last that runs on Node.js 20
HEADER = "# yaml-language-server: $schema=./schemas/agent.schema.json\n"


def language_server() -> Path:
    """The server's entry point, installed from npm when it is not there."""
    place = PROJECT / ".cache" / "node" / f"yaml-language-server-{VERSION}"
    entry = place / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if not entry.exists():
        if shutil.which("npm") is None:
            pytest.fail("this test needs Node.js with npm (Debian: apt-get install nodejs npm)")
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"yaml-language-server@{VERSION}"]
        subprocess.run([*command, "--prefix", str(place)], cwd=place, check=True)
    return entry


class Editor:
    """As much of an LSP client as an open file needs."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._folder = folder
        self._ids = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}

    async def start(self) -> None:
        root = self._folder.as_uri()
        await self.request("initialize", {"processId": None, "rootUri": root, "capabilities": {}})
        await self._send({"method": "initialized", "params": {}})
        settings = {"yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}}
        await self._send({"method": "workspace/didChangeConfiguration", "params": {"settings": settings}})

    async def open(self, name: str, text: str) -> str:
        (self._folder / name).write_text(text)
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        await self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    async def completions(self, name: str, text: str) -> dict[str, dict[str, Any]]:
        """What is offered where the text has a "|", by label."""
        before, _, after = text.partition("|")
        uri = await self.open(name, before + after)
        position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        answer = await self.request("textDocument/completion", {"textDocument": {"uri": uri}, "position": position})
        return {item["label"]: item for item in answer["items"]}

    async def hover(self, name: str, text: str) -> str:
        before, _, after = text.partition("|")
        uri = await self.open(name, before + after)
        position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
        answer = await self.request("textDocument/hover", {"textDocument": {"uri": uri}, "position": position})
        return str(answer["contents"]["value"])

    async def diagnostics(self, name: str, text: str) -> list[tuple[int, str]]:
        """Line (from 1) and message of each."""
        uri = await self.open(name, text)
        while uri not in self._diagnostics:
            await self._receive()
        return [(found["range"]["start"]["line"] + 1, found["message"]) for found in self._diagnostics[uri]]

    async def request(self, method: str, parameters: dict[str, Any]) -> Any:
        self._ids += 1
        await self._send({"id": self._ids, "method": method, "params": parameters})
        wanted = self._ids
        while True:
            message = await self._receive()
            if message.get("id") == wanted and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    async def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._in.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await self._in.drain()

    async def _receive(self) -> dict[str, Any]:
        """The next message; requests of the server are answered with nothing."""
        async with asyncio.timeout(60):
            header = await self._out.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in header.split(b"\r\n") if line.startswith(b"Content-Length")
            )
            message: dict[str, Any] = json.loads(await self._out.readexactly(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "method" in message and "id" in message:
            empty: Any = [None] if message["method"] == "workspace/configuration" else None
            await self._send({"id": message["id"], "result": empty})
        return message


@asynccontextmanager
async def editor(folder: Path) -> AsyncIterator[Editor]:
    shutil.copytree(PROJECT / "schemas", folder / "schemas")
    process = await asyncio.create_subprocess_exec(
        "node", str(language_server()), "--stdio",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    try:
        opened = Editor(process, folder)
        await opened.start()
        yield opened
    finally:
        process.kill()
        await process.wait()


async def test_keys_are_completed_with_their_meaning(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        top = await at.completions("a.yaml", HEADER + "gre|")
        assert "greeting" in top
        inner = await at.completions("b.yaml", HEADER + "turn:\n  endpointing:\n    m|")
        assert {"mode", "min_delay", "max_delay"} <= set(inner)
        assert "Silence that ends a turn" in json.dumps(inner["min_delay"])


async def test_words_are_completed(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        assert {"auto", "vad", "stt"} <= set(await at.completions("a.yaml", HEADER + "turn:\n  detection: |"))
        assert {"whisper", "openai"} <= set(await at.completions("b.yaml", HEADER + "stt:\n  provider: |"))
        assert {"python", "webhook", "builtin"} <= set(await at.completions("c.yaml", HEADER + "tools:\n  - type: |"))


async def test_settings_of_the_named_provider_and_tool_are_completed(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        settings = await at.completions("a.yaml", HEADER + "llm:\n  provider: openai\n  |")
        assert {"model", "temperature", "base_url"} <= set(settings)
        vad = await at.completions("b.yaml", HEADER + "vad:\n  activ|")
        assert "activation" in vad
        tool = await at.completions("c.yaml", HEADER + "tools:\n  - type: webhook\n    |")
        assert {"url", "secret", "while_waiting"} <= set(tool)


async def test_mistakes_are_marked_at_their_line(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        text = HEADER + "name: desk\ngreting: {say: hi}\nturn:\n  detection: vda\nstt:\n  provider: deepgrm\n"
        found = await at.diagnostics("a.yaml", text)
        assert {line for line, _ in found} == {3, 5, 7}, found
        assert any("greting" in message for _, message in found)
        text = HEADER + "vad:\n  provider: silero\n  activaton: 0.5\n"
        found = await at.diagnostics("b.yaml", text)
        assert [line for line, _ in found] == [4], found


async def test_a_good_file_has_no_mark(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        for path in sorted((PROJECT / "agents.d").glob("[!_]*.yaml")):
            text = HEADER + path.read_text().partition("\n")[2]
            assert await at.diagnostics(path.name, text) == []


async def test_hovering_tells_what_a_key_means(tmp_path: Path) -> None:
    async with editor(tmp_path) as at:
        shown = await at.hover("a.yaml", HEADER + "turn:\n  endpointing:\n    min_de|lay: 1s\n")
        assert "Silence that ends a turn" in shown
