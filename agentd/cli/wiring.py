"""How `agentd serve` puts the supervisor together with LiveKit, the files and the admin server."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp
from livekit.api import ListRoomsRequest, LiveKitAPI, TwirpError

from agentd.admin.deeds import Audit
from agentd.admin.settings import AdminSettings, TokenEndpointSettings
from agentd.cli.outside import daemon_changes
from agentd.cli.setting import Setting
from agentd.config.agent_files import AgentFiles
from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.config.telemetry import AuditSection, ErrorHookSection, OtelSection
from agentd.runtime.audit_log import log_of
from agentd.runtime.calls import Calls
from agentd.runtime.code import CodeOnDisk
from agentd.runtime.door import DIRECTORY, door_key
from agentd.runtime.error_hook import ErrorHookSettings
from agentd.runtime.launch import launch_inside, launch_process
from agentd.runtime.messages import AuditSettings, DoorSettings, OtelSettings, WorkerSettings
from agentd.runtime.recycling import RecycleLimits
from agentd.runtime.registrations import RegistrationLink
from agentd.runtime.rejoin import rejoin_token
from agentd.runtime.status import MeasureSink
from agentd.runtime.supervisor import Supervisor
from agentd.runtime.supervisor_settings import SupervisorSettings
from agentd.runtime.surroundings import Surroundings
from agentd.runtime.systemd import notify
from agentd.runtime.upgrade import Successor
from agentd.transport.probe_rooms import LiveKitProbeRooms
from agentd.transport.protocol import Accept, Decline, JobOffer, LoadReport
from agentd.transport.registration import Registration
from agentd.transport.tokens import LiveKitCredentials, as_websocket

logger = logging.getLogger(__name__)

REQUIRE_LIVEKIT_S = 15.0
ROOM_QUERY_TIMEOUT_S = 5.0
ROOM_QUERY_RETRY_S = 2.0


def supervisor_of(
    setting: Setting,
    state_dir: Path,
    measures: MeasureSink,
    changes: AsyncIterable[object] | None,
    successor: Successor | None = None,
    children: Sequence[int] = (),
) -> Supervisor:
    credentials = credentials_of(setting)
    settings = supervisor_settings(setting, state_dir)
    around = Surroundings(
        load=lambda serving: load(
            setting.directory, setting.config, setting.registry, setting.environment, serving=serving
        ),
        launch=launch_process if settings.workers else launch_inside,
        register=registrar(credentials, setting.config.livekit.deployment, setting.config.livekit.namespace),
        mint=lambda room, identity, agent: rejoin_token(credentials, room, identity, agent),
        measures=measures,
        changes=changes,
        room_exists=room_query(credentials),
        rebuild=lambda copy, file: load(
            copy, setting.config, setting.registry, setting.environment, only=[file], home=setting.directory
        ),
        outside=lambda: daemon_changes(setting),
        code=CodeOnDisk(setting.registry),
        probe_rooms=LiveKitProbeRooms(credentials),
        notify=notify,
        successor=successor if config_allows_upgrade(setting.config) else None,
        children=children,
    )
    return Supervisor(settings, around)


def credentials_of(setting: Setting) -> LiveKitCredentials:
    assert setting.credentials is not None, "a server of our own was to be started first"
    return setting.credentials


def supervisor_settings(setting: Setting, state_dir: Path) -> SupervisorSettings:
    config, credentials = setting.config, credentials_of(setting)
    cores = usable_cores()
    fewest, most = config.workers.bounds(cores)
    return SupervisorSettings(
        state_dir=state_dir.absolute(),
        worker=WorkerSettings(
            worker="",
            agents_dir=setting.directory.absolute(),
            memory_dir=state_dir.absolute() / "memory",
            tools_allow=config.tools_allow,
            tool_process=config.tool_process,
            http_allow=config.http.allow,
            public_url=config.http.public_url,
            livekit_url=credentials.websocket_url,
            api_key=credentials.api_key,
            api_secret=credentials.api_secret,
            log_style=setting.log_style,
            log_level=config.log.level,
            log_content=config.log.content,
            log_redact=config.log.redact,
            otel=_otel_settings(config.otel),
            error_hook=error_hook_settings(config.error_hook),
            audit=_audit_settings(config.audit, state_dir.absolute()),
            door=_door_settings(config, state_dir.absolute()),
        ),
        workers=fewest,
        workers_most=most,
        quiet_s=config.workers.quiet,
        cores=cores,
        sessions_per_worker=config.sessions_per_worker,
        load_threshold=config.load_threshold,
        memory_threshold=config.memory_threshold,
        lag_threshold_s=config.lag_threshold,
        recycle=_recycle_limits(config),
        drain_timeout_s=config.drain_timeout,
        livekit_url=credentials.websocket_url,
        prices=config.prices,
        probe_s=config.livekit.probe,
        events=config.events,
        keep_journals_s=config.journals.keep,
        agents_shown=str(setting.directory),
        require_livekit_s=REQUIRE_LIVEKIT_S if setting.require_livekit else None,
    )


def _otel_settings(section: OtelSection) -> OtelSettings | None:
    """Raises SecretMissing."""
    if not section.endpoint:
        return None
    headers = {name: value.reveal() for name, value in section.headers.items()}
    return OtelSettings(endpoint=section.endpoint, headers=headers, service=section.service, content=section.content)


def error_hook_settings(section: ErrorHookSection) -> ErrorHookSettings | None:
    """Raises SecretMissing."""
    if not section.url and not section.command:
        return None
    secret = section.secret.reveal() if section.secret else ""
    return ErrorHookSettings(url=section.url, secret=secret, command=section.command)


def _audit_settings(section: AuditSection, state_dir: Path) -> AuditSettings | None:
    """Raises SecretMissing."""
    if not section.enabled:
        return None
    return AuditSettings(
        path=state_dir / section.path,
        arguments=section.arguments,
        key=section.key.reveal() if section.key else "",
        max_bytes=section.max_mib * 2**20,
    )


def config_allows_upgrade(config: DaemonConfig) -> bool:
    """Calls can only be left to workers that are processes, and that wait for the next supervisor."""
    return config.workers.max != 0 and config.alone_timeout > 0


def _recycle_limits(config: DaemonConfig) -> RecycleLimits:
    """A worker inside the daemon's process has nothing of its own to give back."""
    if config.workers.max == 0:
        return RecycleLimits()
    recycle = config.recycle
    return RecycleLimits(
        after_s=recycle.after, memory_bytes=recycle.memory_mib << 20, growth_bytes=recycle.growth_mib << 20
    )


def _door_settings(config: DaemonConfig, state_dir: Path) -> DoorSettings | None:
    """Raises OSError."""
    if not config_allows_upgrade(config):
        return None
    return DoorSettings(directory=state_dir / DIRECTORY, key=door_key(state_dir), alone_s=config.alone_timeout)


def operators_audit(settings: SupervisorSettings) -> Audit | None:
    """Keeps what operators do in the log of tool calls, in one chain with them."""
    wanted = settings.worker.audit
    if wanted is None:
        return None
    return log_of(wanted).append


def agent_files(setting: Setting) -> AgentFiles:
    """The agents' directory, for programs that write there."""

    def read(drafts: Mapping[str, str]) -> Loaded:
        return load(setting.directory, setting.config, setting.registry, setting.environment, drafts=drafts)

    return AgentFiles(setting.directory, read)


def usable_cores() -> int:
    """Processors that this process may use, which in a container may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def registrar(
    credentials: LiveKitCredentials, deployment: str = "", namespace: str = ""
) -> Callable[..., RegistrationLink]:
    def register(
        name: str, calls: Calls, changed: Callable[[bool], None], failed: Callable[[Exception], None]
    ) -> RegistrationLink:
        def load_report() -> LoadReport:
            load = calls.way_in(name).told
            return LoadReport(load=load.load, full=load.full, job_count=calls.table.jobs_of_agent(name))

        async def offered(offer: JobOffer) -> Accept | Decline:
            job = offer.job
            # A server that knows no lanes offers us everybody's calls: those belong to the daemons without one. One
            # that knows no namespaces says none.
            if job.deployment == deployment and (not namespace or job.namespace in ("", namespace)):
                return await calls.offered(name, offer)
            theirs = {"deployment": job.deployment, "namespace": job.namespace}
            extra = {"agent": name, "job": job.id, **theirs, "ours": f"{deployment} {namespace}".strip()}
            logger.warning("job of another deployment declined", extra=extra)
            return Decline()

        return Registration(
            name,
            credentials,
            offered=offered,
            assigned=lambda assignment: calls.assigned(name, assignment),
            terminated=calls.terminated,
            load=load_report,
            changed=changed,
            failed=failed,
            deployment=deployment,
            namespace=namespace,
        )

    return register


def room_query(credentials: LiveKitCredentials) -> Callable[[str], Awaitable[bool]]:
    """Asks LiveKit whether a room stands; asks again while LiveKit does not answer."""

    async def room_exists(room: str) -> bool:
        while True:
            try:
                async with (
                    asyncio.timeout(ROOM_QUERY_TIMEOUT_S),
                    LiveKitAPI(credentials.http_url, credentials.api_key, credentials.api_secret) as api,
                ):
                    answer = await api.room.list_rooms(ListRoomsRequest(names=[room]))
                    return bool(answer.rooms)
            except (TwirpError, aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(ROOM_QUERY_RETRY_S)

    return room_exists


def admin_settings(setting: Setting) -> AdminSettings:
    config = setting.config
    talk = setting.dev if config.admin.talk is None else config.admin.talk
    return AdminSettings(
        addr=config.admin.addr,
        token=setting.admin_token,
        hosts=config.admin.hosts,
        talk_page=talk,
        operators=setting.operators,
        rate_limit=config.admin.rate_limit,
        write_agents=config.admin.write_agents,
    )


def token_endpoint_settings(setting: Setting) -> TokenEndpointSettings | None:
    config = setting.config.token_endpoint
    enabled = setting.dev if config.enabled is None else config.enabled
    if not enabled and not (setting.admin_token or setting.operators):
        return None
    return TokenEndpointSettings(
        credentials=credentials_of(setting),
        public_url=as_websocket(setting.config.livekit.public_url),
        origins=config.origins,
        agents=config.agents,
        ttl_s=config.ttl,
        public=bool(enabled),
    )
