"""A real agents' directory under a daemon of stand-ins, for the stories of a reload."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.config.watch import watch
from agentd.runtime.status import AgentStatus
from tests.runtime.daemon import Daemon, running, until
from tests.runtime.parts import FakeSession, registry

AGENT = "stt: {provider: fake}\nllm: {provider: fake}\ntts: {provider: fake}\nvad: {provider: fake}\n"


@dataclass
class Directory:
    """An agents' directory, read as `agentd serve` reads it; `readings` are the problems of each reading."""

    path: Path
    readings: list[list[str]] = field(default_factory=list)

    def write(self, name: str, text: str = AGENT) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def load(self, serving: Mapping[str, str]) -> Loaded:
        loaded = load(self.path, DaemonConfig(), registry(), {}, serving=serving)
        self.readings.append([problem.code for problem in loaded.problems])
        return loaded

    def rebuild(self, copy: Path, file: str) -> Loaded:
        return load(copy, DaemonConfig(), registry(), {}, only=[file], home=self.path)

    async def read_again(self, times: int = 1) -> None:
        """Waits for as many readings more."""
        wanted = len(self.readings) + times
        await until(lambda: len(self.readings) >= wanted)


@asynccontextmanager
async def watching(tmp_path: Path, **files: str) -> AsyncIterator[tuple[Daemon, Directory]]:
    directory = Directory(tmp_path / "agents.d")
    for name, text in files.items():
        directory.write(f"{name}.yaml", text)
    async with running(tmp_path, directory, changes=watch(directory.path)) as daemon:  # type: ignore[arg-type]
        yield daemon, directory


@asynccontextmanager
async def serving(tmp_path: Path, directory: Directory, **settings: Any) -> AsyncIterator[Daemon]:
    """A daemon over files that are read when a test asks for it."""
    async with running(tmp_path, directory, **settings) as daemon:  # type: ignore[arg-type]
        yield daemon


def instructions(daemon: Daemon, call: str) -> str:
    """Which definition a call goes by."""
    return FakeSession.running[call].setup.definition.instructions


def status(daemon: Daemon, agent: str) -> AgentStatus:
    return next(each for each in daemon.supervisor.agents() if each.name == agent)


def problems(daemon: Daemon, agent: str) -> list[str]:
    return [problem.code for problem in status(daemon, agent).problems]


def states(daemon: Daemon) -> dict[str, str]:
    return {each.name: each.state for each in daemon.supervisor.agents()}
