"""Processes as the kernel counts them: who descends from whom, their CPU time, and their memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """The process and all that descend from it, alive now."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of a process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid: int) -> float:
    """Resident memory, in which a page that n processes share counts as 1/n of a page; 0 when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def total_cpu_s(pids: Iterable[int]) -> float:
    return sum(cpu_s(pid) for pid in pids)


def total_pss_mib(pids: Iterable[int]) -> float:
    return sum(pss_mib(pid) for pid in pids)
