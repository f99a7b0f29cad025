"""`agentd console NAME`: talk to an agent here, with no LiveKit server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from agentd import logs
from agentd.aio import cancel_and_wait
from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, read_wav, resample, write_wav
from agentd.cli.console_devices import Devices, NoDevice, find_devices, open_devices
from agentd.cli.console_room import ConsoleRoom, Sink
from agentd.cli.files import DEFAULT_DIRECTORY, config_options, environment_with
from agentd.config.daemon import DaemonConfig, find_daemon_file, load_daemon, select_plugins, state_directory
from agentd.config.definition import AgentDefinition
from agentd.config.load import load
from agentd.errors import AgentdError, ConfigError
from agentd.providers.tts import TTS, SpeechChunk
from agentd.registry import installed
from agentd.session.journal import Journal
from agentd.session.session import Session
from agentd.session.setup import Agents, Candidate, Equipment, NoAgents, SessionSetup

if TYPE_CHECKING:
    from agentd.runtime.prepared import PreparedAgents

ANSWER_S = 1.5  # the agent has listened for this long: it has nothing more to say


@click.command()
@click.argument("name")
@config_options
@click.option("--text", is_flag=True, help="Type and read; no sound.")
@click.option(
    "--input", "input_file", type=click.Path(path_type=Path, exists=True), help="A 16-bit WAV that the caller says."
)
@click.option("--record", "record_file", type=click.Path(path_type=Path), help="Write what the agent says to this WAV.")
@click.option("--verbose", is_flag=True, help="Show the log.")
def console(
    name: str,
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    text: bool,
    input_file: Path | None,
    record_file: Path | None,
    verbose: bool,
) -> None:
    """Talk to agent NAME in the terminal: by microphone where there is one, by a WAV file, or by text."""
    logs.configure("text", "INFO" if verbose else "ERROR")
    os.environ.update(environment_with(env_file))  # providers look for their own keys there
    agents_dir = directory or DEFAULT_DIRECTORY
    with _problems_told():
        daemon, known = _find(name, agents_dir, config)
        devices = None if input_file or text else _devices_or_why_not()
        mode: Literal["file", "text", "microphone"] = "file" if input_file else "microphone" if devices else "text"
        talk = _Talk(daemon, known[name], known, agents_dir, mode, input_file, record_file, devices)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(talk.run())


@contextlib.contextmanager
def _problems_told() -> Any:
    try:
        yield
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(78)
    except AgentdError as error:
        click.echo(f"agentd: {error}", err=True)
        sys.exit(1)


def _find(name: str, agents_dir: Path, config: Path | None) -> tuple[DaemonConfig, Mapping[str, AgentDefinition]]:
    """The daemon's settings and all agents, this one among them. Raises ConfigError."""
    loaded_daemon = load_daemon(config or find_daemon_file(), os.environ)
    if not loaded_daemon.valid:
        raise ConfigError(loaded_daemon.problems)
    registry, _ = select_plugins(installed(), loaded_daemon.config)
    loaded = load(agents_dir, loaded_daemon.config, registry, os.environ)
    if name in loaded.agents:
        return loaded_daemon.config, loaded.agents
    if loaded.errors:
        raise ConfigError(loaded.errors)
    known = ", ".join(sorted(loaded.agents)) or "none"
    raise AgentdError(f'no agent "{name}" in {agents_dir}; there are: {known}')


def _devices_or_why_not() -> Devices | None:
    try:
        return find_devices()
    except NoDevice as reason:
        click.echo(f"No talking aloud here: {reason}. Type instead.", err=True)
        return None


class _Recording:
    """The agent's sound, from the first moment, silence included."""

    def __init__(self) -> None:
        self.data = bytearray()

    def play(self, frame: AudioFrame) -> None:
        self.data += frame.data


class _Silent:
    """Synthesis for the text mode: every segment has passed as soon as it is known."""

    sample_rate_hz = OUTPUT_HZ
    aligned = False

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        index = 0
        async for _ in segments:
            yield SpeechChunk(segment=index, frame=AudioFrame(b"", OUTPUT_HZ), last=True)
            index += 1

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class _Agents(NoAgents):
    """Those of the directory, made when the call comes to them. `silent`: without a voice."""

    agents: PreparedAgents
    known: Mapping[str, AgentDefinition]
    silent: bool

    async def equip(self, name: str) -> Equipment:
        """Raises AgentdError."""
        definition = self.known.get(name)
        if definition is None:
            raise AgentdError(f"there is no agent {name}")
        agent = await self.agents.lease(name, definition.digest, definition, 1)
        providers = agent.providers
        if self.silent:
            tts: tuple[Candidate[TTS], ...] = (Candidate("silent", _Silent()),)
            languages = {tag: replace(each, tts=tts) for tag, each in providers.languages.items()}
            providers = replace(providers, tts=tts, languages=languages)
        return Equipment(definition=definition, providers=providers, tools=agent.tools)


@dataclass
class _Talk:
    daemon: DaemonConfig
    definition: AgentDefinition
    known: Mapping[str, AgentDefinition]
    agents_dir: Path
    mode: Literal["file", "text", "microphone"]
    input_file: Path | None
    record_file: Path | None
    devices: Devices | None

    async def run(self) -> None:
        from agentd.runtime.live import live_parts
        from agentd.runtime.messages import WorkerSettings

        click.echo(f"Starting {self.definition.name} ({self.definition.source}) ...", err=True)
        settings = WorkerSettings(
            worker="console",
            agents_dir=self.agents_dir,
            memory_dir=state_directory(self.daemon, os.environ) / "memory",
            tools_allow=self.daemon.tools_allow,
            tool_process=self.daemon.tool_process,
            http_allow=self.daemon.http.allow,
        )
        agents = live_parts(settings).agents
        try:
            others = _Agents(agents, self.known, silent=self.mode == "text" and self.record_file is None)
            await self._talk(await others.equip(self.definition.name), others)
        finally:
            await agents.aclose()

    async def _talk(self, equipment: Equipment, others: Agents) -> None:
        recording = _Recording()
        sinks: list[Sink] = [recording] if self.record_file else []
        room = ConsoleRoom(sinks, lambda who, text: click.echo(f"{who:>6}: {text}"))
        with tempfile.TemporaryDirectory() as folder, self._devices(room, sinks):
            journal = Journal.create(Path(folder) / "console.journal")
            setup = SessionSetup(
                id="console",
                definition=equipment.definition,
                providers=equipment.providers,
                tools=equipment.tools,
                agents=others,
                room=room,
                journal=journal,
                room_name="console",
            )
            try:
                await self._hold(Session(setup), room)
            finally:
                journal.close()
                if self.record_file:
                    write_wav(self.record_file, AudioFrame(bytes(recording.data), OUTPUT_HZ))
                    click.echo(f"Wrote {self.record_file}.", err=True)

    async def _hold(self, session: Session, room: ConsoleRoom) -> None:
        async with asyncio.TaskGroup() as group:
            clock = group.create_task(room.audio_out.run())
            caller = group.create_task(self._caller(room))
            _hang_up_on_ctrl_c(room)
            reason = await session.run()
            await cancel_and_wait(caller)
            clock.cancel()
        click.echo(f"The call ended: {reason}.", err=True)

    async def _caller(self, room: ConsoleRoom) -> None:
        if self.mode == "file":
            assert self.input_file is not None
            await room.silent_until_listening(ANSWER_S)
            await room.play_in(resample(read_wav(self.input_file), INPUT_HZ))
            await room.silent_until_listening(ANSWER_S)
            room.leave()
        elif self.mode == "text":
            await _type_lines(room)
            await room.silent_until_listening(ANSWER_S)
            room.leave()
        else:
            click.echo("Speak; Ctrl-C ends.", err=True)
            await asyncio.Event().wait()

    def _devices(self, room: ConsoleRoom, sinks: list[Sink]) -> contextlib.AbstractContextManager[None]:
        if self.devices is None:
            return contextlib.nullcontext()

        def lost(what: str) -> None:
            click.echo(f"agentd: {what}", err=True)
            room.leave()

        return open_devices(self.devices, room, sinks, lost)


def _hang_up_on_ctrl_c(room: ConsoleRoom) -> None:
    """The first is the caller's going; the next one ends the program as it would anyway."""
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        room.leave()

    loop.add_signal_handler(signal.SIGINT, hang_up)


async def _type_lines(room: ConsoleRoom) -> None:
    """Lines of standard input, each said once the agent has finished; until its end."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)

    def read() -> None:
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()

    # A daemon thread: a read of the terminal cannot be cancelled, and must not keep the program.
    threading.Thread(target=read, daemon=True).start()
    while True:
        await room.silent_until_listening(0.3)
        line = await lines.get()
        if line is None:
            return
        if line.strip():
            room.type(line.strip())
            await asyncio.sleep(0.1)
