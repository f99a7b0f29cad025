"""How a worker's process is: the lag of its loop, its memory, its use of the processors."""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agentd.runtime.messages import Pong

TICK_S = 0.05
_TICKS_KEPT = 2000  # 100 s: more than any interval between two heartbeats


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Vitals:
    """`watch` runs beside the calls; `read` answers for the time since the last reading."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    async def watch(self) -> None:
        """Measures how late a timer of the loop fires."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            if len(self._lags) < _TICKS_KEPT:
                self._lags.append(max(0.0, loop.time() - due))

    def read(self) -> Pong:
        lags, self._lags = self._lags, []
        wall, cpu = time.monotonic(), time.process_time()
        used = (cpu - self._cpu) / max(1e-6, wall - self._wall)
        self._wall, self._cpu = wall, cpu
        return Pong(
            number=0,
            lag_p99_s=percentile(lags, 0.99),
            lag_max_s=max(lags, default=0.0),
            memory_bytes=resident_bytes(),
            cpu=used,
        )


def resident_bytes() -> int:
    """Resident memory of this process; the peak where the system does not tell the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
