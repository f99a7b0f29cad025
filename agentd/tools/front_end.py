"""The caller's front end as tools reach it: methods that it offers, and data that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentd.errors import ToolError

LARGEST_PAYLOAD_BYTES = 15 * 1024
"""LiveKit's limit of one side of an RPC."""


class FrontEnd(Protocol):
    """The participants' programs in the room of one call."""

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        """Raises ToolError with what to tell the model, ToolTimeout where there is no answer in time."""
        ...

    async def send(self, data: bytes, topic: str, identities: Sequence[str]) -> None:
        """A reliable packet to these participants. Raises ToolError."""
        ...


class NoFrontEnd:
    """Where there is nobody's program: the console."""

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        raise ToolError("there is no front end here that could answer")

    async def send(self, data: bytes, topic: str, identities: Sequence[str]) -> None:
        raise ToolError("there is no front end here that could take it")
