"""How much of the memory that this daemon may use is in use: of its control group's, where that has a limit, else the
machine's. What the kernel would give back at once does not count."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def used_share(root: Path = ROOT) -> float:
    """0 to 1; 0 where the system does not tell. The fuller of the two, as either kills."""
    return max(_of_group(root), _of_machine(root))


def _of_machine(root: Path) -> float:
    with suppress(OSError, ValueError, KeyError, ZeroDivisionError):
        lines = (line.partition(":") for line in _text(root / "proc/meminfo").splitlines())
        figures = {name: int(rest.split()[0]) for name, _, rest in lines}
        return 1 - figures["MemAvailable"] / figures["MemTotal"]
    return 0.0


def _of_group(root: Path) -> float:
    """Of control groups version 2, the nearest limit above this process."""
    with suppress(OSError, ValueError, StopIteration):
        path = next(line[3:] for line in _text(root / "proc/self/cgroup").splitlines() if line.startswith("0::"))
        group, top = root / "sys/fs/cgroup" / path.strip("/"), root / "sys/fs/cgroup"
        while True:
            with suppress(OSError, ValueError, ZeroDivisionError):
                limit = int(_text(group / "memory.max"))  # "max", where there is none
                return (int(_text(group / "memory.current")) - _cache(group)) / limit
            if group == top:
                break
            group = group.parent
    return 0.0


def _cache(group: Path) -> int:
    lines = (line.split() for line in _text(group / "memory.stat").splitlines())
    return next((int(value) for name, value in lines if name == "inactive_file"), 0)


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii")
