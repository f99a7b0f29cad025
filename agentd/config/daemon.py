"""agentd.yaml: the daemon's own settings. Everything has a default; the environment goes before the file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentd.config.admin import AdminSection, TokenEndpoint
from agentd.config.budget import Price
from agentd.config.check import Checker
from agentd.config.environment import environment_record
from agentd.config.events import EventSink
from agentd.config.folder import FileRefused, Folder
from agentd.config.leaves import INVALID
from agentd.config.merge import overlay
from agentd.config.places import places_of
from agentd.config.source import MappingNode, Mark, Scalar, parse
from agentd.config.telemetry import AuditSection, ErrorHookSection, LogSection, OtelSection
from agentd.config.tool_process import ToolProcessSection
from agentd.config.workers import RecycleSection, WorkersSection
from agentd.errors import Problem
from agentd.providers.fields import Duration, JsonObject, Secret, env_secret, setting
from agentd.registry import Registry

MODULE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(\.\*)?$"
_FILE_NAMES = ("agentd.yaml", "agentd.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveKitSettings:
    """The server that the agents are registered with."""

    url: str = setting(
        "Address of the LiveKit server; LIVEKIT_URL goes before it.",
        default="",
        pattern=r"^(wss?|https?)://[^/\s]+",
        examples=("wss://example.livekit.cloud",),
        reload="restart",
    )
    public_url: str = setting(
        "Address of the LiveKit server as callers reach it, where that is another: what the token endpoint, the talk "
        "page and `agentd token --json` tell them.",
        default="",
        pattern=r"^((wss?|https?)://[^/\s]+)?$",
        examples=("wss://livekit.example.com",),
        reload="restart",
    )
    api_key: Secret = setting("API key.", default=env_secret("LIVEKIT_API_KEY"), reload="restart")
    deployment: str = setting(
        "The deployment lane that this daemon serves: it gets the calls that are dispatched with this name, and no "
        "others. Without it, those that name none.",
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,63}$",
        examples=("staging",),
        reload="restart",
    )
    namespace: str = setting(
        "The namespace that the agents register in. The open-source server gives every namespace that has an agent of "
        "the name a job of its own.",
        default="",
        pattern=r"^[A-Za-z0-9_-]{0,63}$",
        examples=("clinic",),
        reload="restart",
    )
    api_secret: Secret = setting("API secret.", default=env_secret("LIVEKIT_API_SECRET"), reload="restart")
    outbound_trunk: str = setting(
        "LiveKit's name of the trunk over which `agentd call` rings; LIVEKIT_OUTBOUND_TRUNK goes before it.",
        default="",
        examples=("ST_abc123",),
        reload="restart",
    )
    probe: Duration | None = setting(
        "How often to see whether the agents' registrations receive offers, by dispatching each into a room of its own "
        "for a moment; one that receives none registers anew. Never by default: the rooms show in LiveKit's webhooks "
        "and lists.",
        default=None,
        minimum=10,
        examples=("5m",),
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSection:
    """Which hosts agentd calls for tools and events, and how they call back."""

    allow: tuple[str, ...] = setting(
        "Host names, *.domains and networks; nothing else is called. Empty: every public host.",
        default=(),
        min_length=0,
        examples=("*.example.com", "10.1.0.0/16"),
        reload="restart",
    )
    public_url: str = setting(
        "How tools reach /v1/callbacks/ of the admin address, through whatever stands before it: https, or loopback. "
        "Without it no tool is offered a callback.",
        default="",
        pattern=r"^(https://[^/?#\s]+|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?)(/[^?#\s]*)?$",
        examples=("https://voice.example.com",),
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalsSection:
    """What is kept of calls that are over."""

    keep: Duration = setting(
        "How long after its end a call's journal is deleted, with what was said in it; 720h are 30 days. 0: never.",
        default=Duration(0.0),
        minimum=0,
        examples=("720h",),
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """What agentd.yaml says. `defaults_node` is `defaults` with its places, as the agents are read from it."""

    livekit: LiveKitSettings = setting("The LiveKit server.", default_factory=LiveKitSettings, reload="restart")
    workers: WorkersSection = setting(
        "Session workers: so many, or as many as the calls need, between `min` and `max`. One a core by default; 0 "
        "runs the sessions in the daemon's own process.",
        default_factory=WorkersSection,
        short="max",
        reload="restart",
    )
    sessions_per_worker: int = setting(
        "Calls that one worker takes.", default=10, minimum=1, maximum=1000, reload="restart"
    )
    recycle: RecycleSection = setting(
        "When workers are replaced, one at a time: the next one is made ready first, then calls end in the old one.",
        default_factory=RecycleSection,
        reload="restart",
    )
    load_threshold: float = setting(
        "Share of the processors from which no more calls are taken; 1: never.",
        default=0.7,
        minimum=0.01,
        maximum=1.0,
        reload="restart",
    )
    memory_threshold: float = setting(
        "Share of the memory, of the control group or the machine, from which no more calls are taken; 1: never.",
        default=0.9,
        minimum=0.01,
        maximum=1.0,
        reload="restart",
    )
    lag_threshold: Duration = setting(
        "How late a worker's timers may be before it takes no more calls.",
        default=Duration(0.25),
        minimum=0.02,
        maximum=10,
        reload="restart",
    )
    drain_timeout: Duration = setting(
        "How long calls may go on after the daemon was asked to end.", default=Duration(3600.0), minimum=0,
        reload="restart",
    )  # fmt: skip
    alone_timeout: Duration = setting(
        "How long workers hold their calls without a daemon, for the next one to take them over; 0: they end with it.",
        default=Duration(60.0),
        minimum=0,
        maximum=3600,
        reload="restart",
    )
    admin: AdminSection = setting("HTTP for operators.", default_factory=AdminSection, reload="restart")
    store: str = setting(
        "State directory (journals); by default $STATE_DIRECTORY, else agentd under the user's state directory.",
        default="",
        reload="restart",
    )
    journals: JournalsSection = setting("Journals of calls.", default_factory=JournalsSection, reload="restart")
    log: LogSection = setting("Logs.", default_factory=LogSection, reload="restart")
    audit: AuditSection = setting(
        "The log of calls of tools and of what operators did.", default_factory=AuditSection, reload="restart"
    )
    tools_allow: tuple[str, ...] = setting(
        "Python modules that agents may name as tools; the first name may not be a wildcard.",
        default=("tools.*",),
        pattern=MODULE_PATTERN,
        examples=("tools.*", "acme.voice.*"),
        reload="restart",
    )
    tool_process: ToolProcessSection = setting(
        "Processes of Python tools.", default_factory=ToolProcessSection, reload="restart"
    )
    events: tuple[EventSink, ...] = setting(
        "Who is told of what happens to the daemon and in every agent's calls, by webhook.",
        default=(),
        reload="restart",
    )
    prices: Mapping[str, Price] = setting(
        "What providers charge, by PROVIDER or PROVIDER/MODEL: for budgets of money in the agents' `limits.budget`.",
        default_factory=dict,
        examples=({"openai/gpt-4o-mini": {"per_million_input": 0.15, "per_million_output": 0.6}},),
        reload="restart",
    )
    http: HttpSection = setting("Outgoing HTTP.", default_factory=HttpSection, reload="restart")
    defaults: JsonObject = setting(
        "Keys of the agent file that hold for every agent which says nothing else.",
        default_factory=dict,
        interpolate=False,
        reload="restart",
    )
    plugins: tuple[str, ...] = setting(
        "Provider plugins to use; all that are installed by default.", default=(), reload="restart"
    )
    error_hook: ErrorHookSection = setting("Unexpected exceptions.", default_factory=ErrorHookSection, reload="restart")
    otel: OtelSection = setting("Traces.", default_factory=OtelSection, reload="restart")
    token_endpoint: TokenEndpoint = setting("Tokens for front ends.", default_factory=TokenEndpoint, reload="restart")

    source: str = field(default="", compare=False)
    defaults_node: MappingNode | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDaemon:
    """`config` is usable only when no problem is an error."""

    config: DaemonConfig
    problems: tuple[Problem, ...]
    places: Mapping[str, str] = field(default_factory=dict)  # file:line by setting

    @property
    def valid(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems)


def find_daemon_file(directory: Path | None = None) -> Path | None:
    """agentd.yaml in `directory` (the working directory), if it is there."""
    return next((p for name in _FILE_NAMES if (p := (directory or Path()) / name).is_file()), None)


def load_daemon(path: Path | None, environment: Mapping[str, str]) -> LoadedDaemon:
    """Reads agentd.yaml, or nothing when `path` is None, under the environment's AGENTD_* and LIVEKIT_*."""
    root: MappingNode | None = None
    problems: list[Problem] = []
    checker = Checker(environment=environment, folder=Folder(path.parent) if path else None)
    if path is not None:
        root, problems = _read(path)
    base = root or MappingNode(Mark(str(path or "agentd.yaml"), 1, 1), ())
    overridden = overlay(base, from_environment(environment))
    config = checker.record(overridden, DaemonConfig)
    problems += checker.problems
    if config is INVALID:
        config = DaemonConfig()
    defaults = overridden.get("defaults")
    defaults = defaults if isinstance(defaults, MappingNode) else None
    problems += _check_defaults(defaults)
    config = dataclasses.replace(config, source=str(path or ""), defaults_node=defaults)
    places = places_of(overridden, deciding=False)
    return LoadedDaemon(config=config, problems=tuple(dict.fromkeys(problems)), places=places)


def from_environment(environment: Mapping[str, str]) -> MappingNode:
    """AGENTD_WORKERS, AGENTD_ADMIN_ADDR and so on, and LIVEKIT_URL, as if they were written in agentd.yaml.

    A secret's variable, or its _FILE, becomes a reference. Lists are not taken from the environment.
    """
    return environment_record(DaemonConfig, "AGENTD", environment)


def state_directory(config: DaemonConfig, environment: Mapping[str, str]) -> Path:
    """Where journals are kept."""
    if config.store:
        return Path(config.store)
    if systemd := environment.get("STATE_DIRECTORY"):
        return Path(systemd.partition(":")[0])
    home = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or ".", ".local", "state")
    return Path(home) / "agentd"


def audit_path(config: DaemonConfig, environment: Mapping[str, str]) -> Path:
    """Where the audit log is."""
    return state_directory(config, environment) / config.audit.path


def select_plugins(registry: Registry, config: DaemonConfig) -> tuple[Registry, tuple[Problem, ...]]:
    """The registry that `plugins:` leaves, and a problem for each name that is not installed."""
    if not config.plugins:
        return registry, ()
    names = {plugin.name for plugin in registry.plugins}
    mark = Mark(config.source or "agentd.yaml", 1, 1)
    hint = f"installed: {', '.join(sorted(names)) or 'none'}"
    missing = [n for n in config.plugins if n not in names]
    problems = [mark.problem("/plugins", "unknown-plugin", f'no plugin "{name}"', hint) for name in missing]
    chosen = [plugin for plugin in registry.plugins if plugin.name in config.plugins]
    return Registry(chosen, registry.broken), tuple(problems)


def _read(path: Path) -> tuple[MappingNode | None, list[Problem]]:
    folder = Folder(path.parent)
    try:
        parsed = parse(folder.read(path.name), str(path))
    except FileRefused as refused:
        return None, [Mark(str(path), 1, 1).problem("", refused.code, refused.message, refused.hint)]
    problems = list(parsed.problems)
    for extra in parsed.documents[1:]:
        problems.append(extra.root.mark.problem("", "several-documents", "agentd.yaml is one document"))
    root = parsed.documents[0].root if parsed.documents else None
    if isinstance(root, Scalar) and root.is_null:
        root = None
    if root is not None and not isinstance(root, MappingNode):
        problems.append(root.mark.problem("", "wrong-type", "agentd.yaml is a mapping of settings"))
        root = None
    return root, problems


def _check_defaults(defaults: MappingNode | None) -> list[Problem]:
    entries = defaults.entries if defaults else ()
    return [
        entry.mark.problem(f"/defaults/{entry.key}", "not-allowed", f'"{entry.key}" cannot be a default of all agents')
        for entry in entries
        if entry.key in ("name", "extends", "rollout")
    ]
