"""What the daemon knows beyond its end, in one small file that is written soon after it has changed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentd.runtime.revisions import write_atomically

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0


class StateFile:
    """`saying` tells what is to be kept, as JSON."""

    def __init__(self, path: Path, saying: Callable[[], Mapping[str, Any]]) -> None:
        self._path = path
        self._saying = saying
        self._changed = asyncio.Event()

    def read(self, take: Callable[[Mapping[str, Any]], None]) -> None:
        """Gives `take` what an earlier daemon has kept; what cannot be understood is left, and told. Blocks."""
        try:
            take(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("what was kept could not be read", extra={"path": str(self._path), "reason": str(error)})

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled; then what has changed last is written too."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(SAVE_EVERY_S)
                self._changed.clear()
                await asyncio.to_thread(self._write, self._saying())
        finally:
            if self._changed.is_set():
                self._write(self._saying())

    def _write(self, saying: Mapping[str, Any]) -> None:
        try:
            write_atomically(self._path, saying)
        except OSError as error:
            extra = {"path": str(self._path), "reason": str(error)}
            logger.error("what was to be kept could not be written", extra=extra)  # noqa: TRY400 -- no fault of ours
