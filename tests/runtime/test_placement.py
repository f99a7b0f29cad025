"""When no more calls are taken, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.runtime.memory import used_share
from agentd.runtime.placement import Place, Thresholds, choose, load_of

THRESHOLDS = Thresholds(cpu=0.7, memory=0.9, lag_s=0.25)


def place(**values: object) -> Place:
    return Place(**{"worker": "w1", "sessions": 1, "capacity": 4, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("places", "memory", "reason"),
    [
        ([place()], 0.5, ""),
        ([], 0.5, "no_worker"),
        ([place(sessions=4)], 0.5, "capacity"),
        ([place(cpu=1.4)], 0.5, "cpu"),
        ([place(cpu=1.39)], 0.5, ""),
        ([place(lag_s=0.25)], 0.5, "lag"),
        ([place(lag_s=0.25), place(worker="w2")], 0.5, ""),
        ([place(lag_s=0.25, sessions=0)], 0.5, ""),
        ([place()], 0.9, "memory"),
        ([place(sessions=0)], 0.9, ""),
    ],
)
def test_each_threshold_refuses_by_itself(places: list[Place], memory: float, reason: str) -> None:
    load = load_of(places, cores=2, thresholds=THRESHOLDS, memory=memory)
    assert (load.reason, load.full, bool(load.why)) == (reason, bool(reason), bool(reason))
    assert (load.load == 1.0) == load.full


def test_thresholds_of_1_never_refuse() -> None:
    never = Thresholds(cpu=1.0, memory=1.0)
    assert not load_of([place(cpu=9.0)], cores=2, thresholds=never, memory=1.0).full


def test_a_late_worker_is_passed_over_by_the_daemons_own_limit() -> None:
    late = place(lag_s=0.1, lag_limit_s=0.05, sessions=1)
    assert choose([late, place(worker="w2", sessions=3)]) == "w2"


def files(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("--", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\nHugePages_Total: 0\n"


def test_the_memory_is_the_machines_where_no_group_has_a_limit(tmp_path: Path) -> None:
    root = files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/a/b\n")
    files(root / "sys/fs/cgroup/a/b", **{"memory--max": "max\n", "memory--current": "1\n", "memory--stat": ""})
    assert used_share(root) == pytest.approx(0.6)


def test_the_memory_is_that_of_the_nearest_group_with_a_limit_without_its_cache(tmp_path: Path) -> None:
    root = files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/a/b\n")
    files(root / "sys/fs/cgroup/a/b", **{"memory--max": "max\n"})
    figures = {"memory--max": "1000\n", "memory--current": "900\n", "memory--stat": "anon 5\ninactive_file 100\n"}
    files(root / "sys/fs/cgroup/a", **figures)
    assert used_share(root) == pytest.approx(0.8)


def test_a_system_that_tells_nothing_refuses_nothing(tmp_path: Path) -> None:
    assert used_share(tmp_path) == 0.0
