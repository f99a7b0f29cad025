"""What Python tools see and may use, as agentd.yaml says it."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.providers.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProcessSection:
    """What a process that runs Python tools sees and may use. The limits are the kernel's, for each process."""

    env: tuple[str, ...] = setting(
        "Variables of the daemon's environment that Python tools see, beside PATH, LANG, TZ and certificates' paths. "
        "Name no key here that a tool does not need.",
        default=(),
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        examples=("CRM_URL", "CRM_KEY"),
        reload="restart",
    )
    memory_mib: int = setting(
        "Address space; more is a MemoryError in the tool. 0: no limit.",
        default=2048,
        minimum=0,
        maximum=1048576,
        reload="restart",
    )
    cpu_s: int = setting(
        "Processor time of one call, of all its threads; then SIGXCPU ends the process. 0: no limit.",
        default=120,
        minimum=0,
        maximum=86400,
        reload="restart",
    )
    open_files: int = setting(
        "Open files and sockets. 0: no limit.", default=1024, minimum=0, maximum=1048576, reload="restart"
    )
    processes: int = setting(
        "Processes and threads, on top of what the daemon's user has when the tool's process starts; the kernel does "
        "not count those of root. 0: no limit.",
        default=256,
        minimum=0,
        maximum=65536,
        reload="restart",
    )
    file_mib: int = setting(
        "Size of each file that is written. 0: no limit.", default=256, minimum=0, maximum=1048576, reload="restart"
    )
