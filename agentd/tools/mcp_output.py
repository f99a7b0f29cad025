"""What an MCP server writes to its standard error, in our log: in lines, bounded, and without its secrets."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from agentd.ipc import OutputLines
from agentd.tools.secrets import Secrets

log = logging.getLogger(__name__)


@asynccontextmanager
async def standard_error(server: str, secrets: Secrets) -> AsyncIterator[TextIO]:
    """A file for the server's process to write to; what it writes is read until the end of the block."""
    reads, writes = os.pipe()
    with open(reads, "rb", buffering=0) as source, open(writes, "w") as sink:  # noqa: ASYNC230 -- a pipe, not the disk
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Output(server, secrets), source)
        try:
            yield sink
        finally:
            transport.close()


class _Output(asyncio.Protocol):
    def __init__(self, server: str, secrets: Secrets) -> None:
        self._fields = {"server": server}
        self._secrets = secrets
        self._lines = OutputLines(self._log)

    def data_received(self, data: bytes) -> None:
        self._lines.take(2, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.end(2)
        if self._lines.dropped:
            log.warning("mcp_server_output_cut", extra={**self._fields, "lines": self._lines.dropped})

    def _log(self, text: str) -> None:
        log.info("%s", self._secrets.masked(text), extra=self._fields)
