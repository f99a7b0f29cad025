"""`agentd serve`: the daemon in the foreground. Wires the parts together and turns their failures into exit codes."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentd import logs
from agentd.aio import cancel_and_wait
from agentd.cli.files import DEFAULT_DIRECTORY, EXIT_INVALID, config_options, environment_with, this_program
from agentd.cli.setting import Setting, fail, resolve
from agentd.cli.successor import ACTED_ON, Handed, SameCommand, handed, without_handed
from agentd.config.daemon import state_directory
from agentd.config.watch import watch
from agentd.transport.tokens import LiveKitCredentials

if TYPE_CHECKING:
    from agentd.admin.metrics import Metrics
    from agentd.runtime.supervisor import Supervisor

EXIT_CALLS_CUT = 4
EXIT_UNREACHABLE = 69
EXIT_BUSY = 73
EXIT_ADMIN_TAKEN = 98

NO_SERVER = (
    "no LiveKit server: set LIVEKIT_URL, or install livekit-server or Go; without one, try: {agentd} console {agent}"
)

logger = logging.getLogger(__name__)


@click.command()
@config_options
@click.option("--watch/--no-watch", default=True, help="Apply edits by themselves.  [default: watch]")
@click.option("--workers", type=int, help="Session workers; 0 holds the calls in this process.  [default: one a core]")
@click.option("--admin-addr", help="Host and port of the admin server.  [default: 127.0.0.1:8081]")
@click.option("--drain-timeout", help="How long calls may go on after a SIGTERM, such as 15m.  [default: 3600s]")
@click.option(
    "--load-threshold", help="Share of the processors from which calls are refused; 1: never.  [default: 0.7]"
)
@click.option("--log-format", type=click.Choice(["json", "text"]), help="[default: json; text with --dev]")
@click.option("--require-livekit", is_flag=True, help="Exit 69 when LiveKit cannot be reached at the start.")
@click.option("--check", is_flag=True, help="Only tell whether it would serve: exit 0, or 78 with every problem.")
@click.option(
    "--dev", is_flag=True, help="Text logs, talk page, and a LiveKit server of our own if LIVEKIT_URL is unset."
)
def serve(
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    watch: bool,
    workers: int | None,
    admin_addr: str | None,
    drain_timeout: str | None,
    load_threshold: str | None,
    log_format: str | None,
    require_livekit: bool,
    check: bool,
    dev: bool,
) -> None:
    """Run the daemon in the foreground.

    SIGHUP reads the agents' files again; SIGTERM and SIGINT let calls end, and cut them when sent twice; SIGUSR1
    writes tasks and sessions to the log.
    """
    flags = {
        "AGENTD_WORKERS": workers,
        "AGENTD_ADMIN_ADDR": admin_addr,
        "AGENTD_DRAIN_TIMEOUT": drain_timeout,
        "AGENTD_LOAD_THRESHOLD": load_threshold,
        "AGENTD_LOG_FORMAT": log_format,
    }
    started_with = without_handed(os.environ)
    left = handed(os.environ)
    for name in os.environ.keys() - started_with.keys():
        del os.environ[name]
    if left.lock is None and not check:
        _end_by_signal()
    given = environment_with(env_file)
    os.environ.update(given)  # the workers resolve secrets from theirs, which is ours
    environment = {**given, **{name: str(value) for name, value in flags.items() if value is not None}}
    setting = resolve(directory or DEFAULT_DIRECTORY, config, environment, watch, dev, require_livekit)
    if check:
        _same_state(setting, left)
        return
    log = setting.config.log
    logs.configure(setting.log_style, log.level, redact=log.redact)
    faulthandler.enable()  # a watchdog ends a stuck daemon with SIGABRT: where it hung is then in the log
    sys.exit(asyncio.run(run(setting, left, started_with)))


async def run(setting: Setting, left: Handed, started_with: Mapping[str, str]) -> int:
    """The exit code. `left`: by this process before its upgrade; `started_with`: the environment, for the next one."""
    from agentd.admin.metrics import Metrics
    from agentd.admin.settings import UnsafeBind
    from agentd.cli.wiring import error_hook_settings, supervisor_of
    from agentd.providers.fields import SecretMissing
    from agentd.runtime.error_hook import tell_errors
    from agentd.runtime.journals import StateDirectoryBusy, locked
    from agentd.runtime.registrations import LiveKitUnreachable
    from agentd.runtime.supervisor import NoValidAgent
    from agentd.tools.signing import SecretMalformed

    state_dir = state_directory(setting.config, setting.environment)
    async with AsyncExitStack() as stack:
        try:
            lock = stack.enter_context(locked(state_dir, left.lock))
        except StateDirectoryBusy as error:
            return _told(EXIT_BUSY, str(error))
        except OSError as error:
            return _told(EXIT_BUSY, f"the state directory {state_dir} cannot be used: {error.strerror}")
        listening = list(left.listening)
        successor = SameCommand(started_with, state_dir, lock, listening) if setting.credentials is not None else None
        if setting.credentials is None:
            credentials = await _own_livekit(stack)
            if credentials is None:
                return _told(EXIT_UNREACHABLE, NO_SERVER.format(agentd=this_program(), agent=setting.an_agent))
            setting = replace(setting, credentials=credentials)
        metrics = Metrics()
        changes = watch(setting.directory) if setting.watch else None
        try:
            tell_errors(error_hook_settings(setting.config.error_hook))
            supervisor = supervisor_of(setting, state_dir, metrics, changes, successor, left.children)
        except (SecretMissing, SecretMalformed) as error:
            return _told(EXIT_INVALID, f"agentd.yaml: {error}")
        _on_signals(supervisor, left.signals)
        try:
            address = await stack.enter_async_context(_admin(setting, supervisor, metrics, listening))
        except UnsafeBind as error:
            return _told(EXIT_INVALID, str(error))
        except (socket.gaierror, UnicodeError) as error:  # the latter: it cannot be a name
            said = f"the host of the admin address {setting.config.admin.addr} is not found ({error})"
            return _told(EXIT_ADMIN_TAKEN, f"{said}: choose another with --admin-addr")
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            addr = setting.config.admin.addr
            return _told(EXIT_ADMIN_TAKEN, f"the admin address {addr} cannot be had: choose another with --admin-addr")
        logger.info("admin server started", extra={"address": address})
        telling = asyncio.create_task(_tell_where_to_talk(supervisor, address)) if setting.dev else None
        try:
            whole = await supervisor.run()
        except NoValidAgent as error:
            return _told(EXIT_INVALID, str(error))
        except LiveKitUnreachable as error:
            return _told(EXIT_UNREACHABLE, f"LiveKit cannot be reached: {error}")
        finally:
            await cancel_and_wait(telling)
    return 0 if whole else EXIT_CALLS_CUT


def _admin(
    setting: Setting, supervisor: Supervisor, metrics: Metrics, listening: list[socket.socket]
) -> AbstractAsyncContextManager[str]:
    """Gives its address. Raises UnsafeBind and OSError, once it is entered."""
    from agentd.admin.server import serve_admin
    from agentd.cli.wiring import (
        admin_settings,
        agent_files,
        credentials_of,
        operators_audit,
        token_endpoint_settings,
    )
    from agentd.transport.dispatches import create_dispatch

    return serve_admin(
        supervisor,
        admin_settings(setting),
        metrics,
        token_endpoint_settings(setting),
        operators_audit(supervisor.settings),
        agent_files(setting),
        partial(create_dispatch, credentials_of(setting)),
        listening,
    )


def _same_state(setting: Setting, left: Handed) -> None:
    """A successor that looks elsewhere would not find the calls."""
    ours = state_directory(setting.config, setting.environment).absolute()
    if left.state_dir is not None and left.state_dir != ours:
        fail(
            EXIT_INVALID, f"its state directory would be {ours}, and the calls are in {left.state_dir}: drain it first"
        )


async def _tell_where_to_talk(supervisor: Supervisor, address: str) -> None:
    """As soon as somebody answers there."""
    while not supervisor.readiness().ready:  # noqa: ASYNC110 (what it is made of has no one event)
        await asyncio.sleep(0.1)
    click.echo(f"Talk to your agents: http://{address}/talk", err=True)


async def _own_livekit(stack: AsyncExitStack) -> LiveKitCredentials | None:
    """Starts a LiveKit server on loopback that ends with us; None when none can be had here."""
    from agentd.cli.devserver import (
        DEV_PORT,
        DevServerFailed,
        ensure_livekit_server,
        free_ports,
        running_livekit_server,
    )

    def say(line: str) -> None:
        click.echo(line, err=True)

    binary = await asyncio.to_thread(ensure_livekit_server, say)
    if binary is None:
        return None
    try:
        server = await stack.enter_async_context(running_livekit_server(binary, ports=free_ports(prefer_http=DEV_PORT)))
    except DevServerFailed as error:
        say(str(error))
        return None
    say(f"LiveKit server at {server.url} (this machine only)")
    return LiveKitCredentials(url=server.url, api_key=server.api_key, api_secret=server.api_secret)


def _told(code: int, line: str) -> int:
    click.echo(f"agentd: {line}", err=True)
    return code


def _end_by_signal() -> None:
    """Until there is a supervisor nothing has been begun that needs a drain, but for the first process of a container a
    signal without a handler is none. A successor needs this not: its signals are held back until it can act on them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


def _on_signals(supervisor: Supervisor, came: Sequence[int]) -> None:
    """`came`: in the last moments of the process before an upgrade."""
    acts = {
        signal.SIGTERM: supervisor.stop_signal,
        signal.SIGINT: supervisor.stop_signal,
        signal.SIGHUP: supervisor.reload_signal,
        signal.SIGUSR1: supervisor.dump,
    }
    loop = asyncio.get_running_loop()
    for number, act in acts.items():
        loop.add_signal_handler(number, act)
    for each in came:
        acts[signal.Signals(each)]()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ACTED_ON)
