"""What stands around a supervisor: LiveKit, the files, the workers' processes, the service manager, its successor."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from agentd.config.diff import Change
from agentd.config.load import Loaded
from agentd.runtime.calls import Mint
from agentd.runtime.launch import Launch
from agentd.runtime.probe import ProbeRooms
from agentd.runtime.registrations import Register
from agentd.runtime.replacement import Code
from agentd.runtime.revisions import Rebuild
from agentd.runtime.status import MeasureSink
from agentd.runtime.systemd import Phase
from agentd.runtime.upgrade import Successor


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """`load`: reads the files, told the source of each agent that serves, by name. `changes`: yields whenever the
    agents' directory has changed. `room_exists`: asks LiveKit; None: no cold recovery of calls that an earlier daemon
    left. `rebuild`: makes a kept revision again. `outside`: what of agentd.yaml differs from what is on disk; `code`:
    that of agentd and its plugins. `notify`: tells the service manager. `successor`: what takes its place at an
    upgrade. `children`: processes that it has from before one."""

    load: Callable[[Mapping[str, str]], Loaded]
    launch: Launch
    register: Register
    mint: Mint
    measures: MeasureSink
    changes: AsyncIterable[object] | None = None
    room_exists: Callable[[str], Awaitable[bool]] | None = None
    rebuild: Rebuild | None = None
    outside: Callable[[], tuple[Change, ...]] = lambda: ()
    code: Code | None = None
    probe_rooms: ProbeRooms | None = None
    notify: Callable[[Phase], None] = lambda phase: None
    successor: Successor | None = None
    children: Sequence[int] = ()
