"""Whether the journals of calls can be written. Only a write tells: so one is made, now and then.

A daemon that cannot write them would be the emptiest of all, as each call fails at once, and LiveKit would give it the
next one. While it cannot it takes no calls, and says why; it takes them again as soon as it can.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentd.runtime.status import Measure, MeasureSink

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
TRIED_BYTES = 64 * 1024
"""What some minutes of a call write. It is deleted before the kernel has any reason to bring it to the disk."""

PROBE = ".probe"


class Durability:
    """Owned by the supervisor. `changed` is called with why journals cannot be written, "" when they can be again."""

    def __init__(self, directory: Path, *, measures: MeasureSink, changed: Callable[[str], None]) -> None:
        """`directory`: of the journals."""
        self.why = ""
        self._directory = directory
        self._measures = measures
        self._changed = changed
        self._doubted = asyncio.Event()

    def doubt(self) -> None:
        """A call has failed at its journal."""
        self._doubted.set()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._doubted.wait()
            self._doubted.clear()
            await self.look()

    async def look(self) -> None:
        before, self.why = self.why, await asyncio.to_thread(why_not, self._directory)
        self._measures.apply(Measure(name="journal_ok", value=float(not self.why)))
        if bool(before) == bool(self.why):
            return
        if self.why:
            logger.error("journals not written", extra={"directory": str(self._directory), "reason": self.why})
        else:
            logger.warning("journals written again", extra={"directory": str(self._directory)})
        self._changed(self.why)


def why_not(directory: Path) -> str:
    """Why no journal can be written here; "": it can. Blocks."""
    path = directory / PROBE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, bytes(TRIED_BYTES)) != TRIED_BYTES:
                return "No space left on device"
        finally:
            os.close(fd)
            path.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
