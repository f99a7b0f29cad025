"""How much of the memory that this daemon may use is in use: of its control group's, where that has a limit, else the
machine's. What the kernel would give back at once does not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def used_share(root: Path = ROOT) -> float:
    """0 to 1; 0 where the system does not tell. The fuller of the two, as either kills."""
    return max(_of_group(root), _of_machine(root))


def total_bytes(root: Path = ROOT) -> int:
    """How much that is; 0 where the system does not tell."""
    machine = 0
    with suppress(OSError, ValueError, KeyError):
        machine = _meminfo(root)["MemTotal"] << 10
    limits = [limit for _, limit in _limits(root)][:1]
    return min([machine, *limits]) if machine else next(iter(limits), 0)


def _of_machine(root: Path) -> float:
    with suppress(OSError, ValueError, KeyError, ZeroDivisionError):
        figures = _meminfo(root)
        return 1 - figures["MemAvailable"] / figures["MemTotal"]
    return 0.0


def _meminfo(root: Path) -> Mapping[str, int]:
    """In KiB. Raises OSError, ValueError."""
    lines = (line.partition(":") for line in _text(root / "proc/meminfo").splitlines())
    return {name: int(rest.split()[0]) for name, _, rest in lines}


def _of_group(root: Path) -> float:
    """Of control groups version 2, the nearest limit above this process."""
    for group, limit in _limits(root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            return (int(_text(group / "memory.current")) - _cache(group)) / limit
    return 0.0


def _limits(root: Path) -> Iterator[tuple[Path, int]]:
    """The groups of this process that have a limit, from the inside outwards, and the limits in bytes."""
    with suppress(OSError, StopIteration):
        path = next(line[3:] for line in _text(root / "proc/self/cgroup").splitlines() if line.startswith("0::"))
        group, top = root / "sys/fs/cgroup" / path.strip("/"), root / "sys/fs/cgroup"
        while True:
            with suppress(OSError, ValueError):
                yield group, int(_text(group / "memory.max"))  # "max", where there is none
            if group == top:
                return
            group = group.parent


def _cache(group: Path) -> int:
    lines = (line.split() for line in _text(group / "memory.stat").splitlines())
    return next((int(value) for name, value in lines if name == "inactive_file"), 0)


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii")
