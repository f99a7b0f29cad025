"""How long journals are kept: those of calls that are over go when they are old enough, a few at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import JournalError
from agentd.runtime.journals import JournalFile, journal_files, session_of, unfinished

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
AT_ONCE = 100
PAUSE_S = 0.2
"""Between so many files: a daemon that is first told to keep less removes 500 a second beside its calls."""


class Retention:
    """Owned by the supervisor.

    A journal is as old as its last record. One that leaves its call open stays, whatever its age, and so does one that
    cannot be read: a daemon of another version may know what it is.
    """

    def __init__(
        self,
        state_dir: Path,
        keep_s: float,
        in_use: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`in_use`: whether the session is under way, or still to be told of. `clock`: unix time."""
        self._state_dir = state_dir
        self._keep_s = keep_s
        self._in_use = in_use
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        """Looks at all that are old enough, the oldest first. What the disk refuses is tried again the next time."""
        before, gone = self._clock() - self._keep_s, _Gone()
        files = await asyncio.to_thread(journal_files, self._state_dir)
        old = [each for each in reversed(files) if each.written_at < before]
        try:
            for first in range(0, len(old), AT_ONCE):
                unused = [each for each in old[first : first + AT_ONCE] if not self._in_use(session_of(each.path))]
                await asyncio.to_thread(_delete, unused, gone)
                await asyncio.sleep(PAUSE_S)
        except OSError as error:
            logger.error("journals not deleted", extra={"error": str(error)})  # noqa: TRY400 -- expected, one line
        if gone.journals:
            logger.info("journals deleted", extra={"journals": gone.journals, "bytes": gone.size, "kept": gone.kept})


@dataclass(slots=True)
class _Gone:
    """`size`: in bytes; `kept`: old enough, but left open or not to be read."""

    journals: int = 0
    size: int = 0
    kept: int = 0


def _delete(files: Sequence[JournalFile], gone: _Gone) -> None:
    """Raises OSError."""
    for each in files:
        try:
            over = unfinished(each.path) is None
        except JournalError:
            over = False
        if over:
            each.path.unlink(missing_ok=True)
            gone.journals, gone.size = gone.journals + 1, gone.size + each.size
        else:
            gone.kept += 1
