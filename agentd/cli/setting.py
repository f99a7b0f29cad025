"""What `agentd serve` is started with: flags, environment and files, resolved; what is wrong is told and ends it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NoReturn

import click

from agentd.admin.roles import Operator, operator
from agentd.cli.files import EXIT_INVALID, daemon_of
from agentd.config.daemon import DaemonConfig, find_daemon_file
from agentd.config.load import load
from agentd.errors import Problem
from agentd.providers.fields import SecretMissing
from agentd.registry import Registry
from agentd.transport.tokens import LiveKitCredentials

SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that a daemon is started with, resolved."""

    directory: Path
    config: DaemonConfig
    config_file: Path | None
    registry: Registry
    environment: Mapping[str, str]
    credentials: LiveKitCredentials | None  # None: a server of our own is to be started
    admin_token: str | None
    watch: bool
    dev: bool
    require_livekit: bool
    an_agent: str  # one that can run, for advice
    operators: tuple[Operator, ...] = ()

    @property
    def log_style(self) -> Literal["json", "text"]:
        return self.config.log.format or ("text" if self.dev else "json")


def resolve(
    directory: Path,
    config: Path | None,
    environment: Mapping[str, str],
    watch: bool,
    dev: bool,
    require_livekit: bool,
) -> Setting:
    """Exits 78 with every problem, or with the one line that says what to set."""
    daemon, registry = daemon_of(config, environment)
    if not daemon.valid:
        refuse(daemon.problems, "agentd.yaml or the environment is invalid")
    agents = load(directory, daemon.config, registry, environment)
    if not agents.agents:
        refuse(agents.problems, f"{directory} holds no agent that can run")
    if daemon.config.otel.endpoint and not _has_otel():
        fail(EXIT_INVALID, 'otel.endpoint is set and the SDK is not installed: pip install "agentd[otel]"')
    return Setting(
        directory=directory,
        config=daemon.config,
        config_file=config or find_daemon_file(),
        registry=registry,
        environment=environment,
        credentials=credentials_of(daemon.config, environment, dev=dev),
        admin_token=_admin_token(daemon.config, environment),
        watch=watch,
        dev=dev,
        require_livekit=require_livekit,
        an_agent=next(iter(agents.agents)),
        operators=_operators(daemon.config, environment),
    )


def credentials_of(config: DaemonConfig, environment: Mapping[str, str], *, dev: bool) -> LiveKitCredentials | None:
    """None when a server of our own is to be started. Exits 78 when there are none."""
    settings = config.livekit
    if not settings.url and dev:
        return None
    if not settings.url:
        fail(EXIT_INVALID, "no LiveKit server: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or use --dev")
    try:
        key, secret = settings.api_key.reveal(environment), settings.api_secret.reveal(environment)
    except SecretMissing as error:
        fail(EXIT_INVALID, f"{error}: LiveKit at {settings.url} needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
    return LiveKitCredentials(url=settings.url, api_key=key, api_secret=secret)


def _has_otel() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def _admin_token(config: DaemonConfig, environment: Mapping[str, str]) -> str | None:
    try:
        return config.admin.token.reveal(environment) if config.admin.token else None
    except SecretMissing as error:
        fail(EXIT_INVALID, f"admin.token: {error}")


def _operators(config: DaemonConfig, environment: Mapping[str, str]) -> tuple[Operator, ...]:
    """Exits 78 for a token that is not there, or that two have: nobody would know who came."""
    found: list[Operator] = []
    for each in config.admin.tokens:
        try:
            token = each.token.reveal(environment)
        except SecretMissing as error:
            fail(EXIT_INVALID, f"admin.tokens: the token of {each.name}: {error}")
        if len(token) < SHORTEST_TOKEN:
            fail(EXIT_INVALID, f"admin.tokens: the token of {each.name} is shorter than {SHORTEST_TOKEN} characters")
        if token in {other.token for other in found}:
            fail(EXIT_INVALID, f"admin.tokens: {each.name} has the token of another")
        found.append(operator(each.name, each.role, token))
    return tuple(found)


def refuse(problems: tuple[Problem, ...], otherwise: str) -> NoReturn:
    for problem in problems:
        click.echo(str(problem), err=True)
    fail(EXIT_INVALID, otherwise)


def fail(code: int, line: str) -> NoReturn:
    """One line that says what to do."""
    click.echo(f"agentd: {line}", err=True)
    sys.exit(code)
