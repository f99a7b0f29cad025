"""`agentd bench NAME`: how many calls of an agent this machine bears, measured with callers who speak and listen."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from agentd.aio import end_with_sigterm
from agentd.audio import read_wav
from agentd.cli.files import DEFAULT_DIRECTORY, agent_named, config_options, environment_with
from agentd.cli.remote import EXIT_UNAVAILABLE
from agentd.cli.token import credentials_in
from agentd.cli.wiring import usable_cores
from agentd.config.budget import choices
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice

if TYPE_CHECKING:
    from agentd.loadtest.caller import Server
    from agentd.loadtest.steps import Step, Talk

QUESTION = Path(__file__).parent.parent / "loadtest" / "question.wav"  # "When do you open?", synthesised
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _numbers(context: click.Context, parameter: click.Parameter, written: str) -> tuple[int, ...]:
    try:
        numbers = sorted({int(each) for each in written.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise click.BadParameter("write numbers of calls with commas: 1,2,5,10")
    return tuple(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`environment` and `flags`: the daemon's, beside its directory."""

    directory: Path
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    workers: int
    calls: tuple[int, ...]
    talk: Talk
    output: str


@click.command()
@click.argument("name")
@config_options
@click.option(
    "--calls", default="1,2,5,10", show_default=True, callback=_numbers, help="Numbers of calls, one step each."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1, max=3600),
    default=20.0,
    show_default=True,
    help="How long the callers of a step talk.",
)
@click.option(
    "--speech",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='A 16-bit WAV that callers say.  [default: "When do you open?"]',
)
@click.option("--workers", type=click.IntRange(min=1), help="As of serve.  [default: as agentd.yaml says]")
@click.option("--yes", is_flag=True, help="Though it costs money, or the LiveKit server is others' too.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_context
def bench(
    ctx: click.Context,
    name: str,
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
    calls: tuple[int, ...],
    seconds: float,
    speech: Path | None,
    workers: int | None,
    yes: bool,
    output: str,
) -> None:
    """Measure how many calls of agent NAME this machine bears.

    Starts a daemon of its own over the agents' directory, for each number of calls anew, and a LiveKit server where
    LIVEKIT_URL names none; brings callers who ask and listen; and tells what a call takes and what callers notice.
    """
    definition, daemon = agent_named(ctx, name, directory, config, env_file)
    server = credentials_in(daemon.livekit) if daemon.livekit.url else None
    _check(definition, calls, speech)
    if (reasons := _reasons(definition, daemon.livekit.url)) and not yes:
        raise click.UsageError(f"{'; '.join(reasons)}: give --yes if that is meant")
    from agentd.loadtest.caller import Server
    from agentd.loadtest.steps import Talk

    most = workers or max(1, daemon.workers.bounds(usable_cores())[1])
    places = max(daemon.sessions_per_worker, math.ceil(calls[-1] / most))
    planned = Bench(
        directory=directory or DEFAULT_DIRECTORY,
        flags=("--no-watch", *(("--config", str(config)) if config else ())),
        environment={**environment_with(env_file), "AGENTD_SESSIONS_PER_WORKER": str(places)},
        workers=most,
        calls=calls,
        talk=Talk(agent=name, question=speech or QUESTION, seconds=seconds),
        output=output,
    )
    click.echo(
        f"Callers, agentd and a LiveKit server on this machine share its {usable_cores()} processors: on one of its "
        "own agentd does better.",
        err=True,
    )
    given = Server(server.websocket_url, server.api_key, server.api_secret) if server else None
    try:
        sys.exit(asyncio.run(_run(planned, given)))
    except asyncio.CancelledError:
        raise click.Abort from None


def _check(definition: AgentDefinition, calls: tuple[int, ...], speech: Path | None) -> None:
    """Raises click.UsageError."""
    most = definition.limits.concurrency
    if most is not None and calls[-1] > most:
        raise click.UsageError(f"limits.concurrency of {definition.name} is {most}: give --calls up to that")
    if speech is not None:
        try:
            read_wav(speech)
        except (OSError, ValueError, EOFError) as error:
            raise click.UsageError(f"--speech {speech}: {error}") from error


def _reasons(definition: AgentDefinition, livekit_url: str) -> list[str]:
    """Why somebody should be asked first."""
    remote = sorted({f"{each.kind} {each.provider}" for each in choices(definition) if is_remote(each)})
    found = [f"the calls are real, and cost what they cost at {', '.join(remote)}"] if remote else []
    if livekit_url and urlsplit(livekit_url).hostname not in LOOPBACK:
        found.append(
            f"{livekit_url} may be others' too, whose calls of these agents would come here (without LIVEKIT_URL a "
            "server is started)"
        )
    return found


def is_remote(choice: ProviderChoice) -> bool:
    """Whether it is asked over the network, as far as its settings tell."""
    host = urlsplit(str(getattr(choice.settings, "base_url", "") or "")).hostname
    return host not in LOOPBACK if host else hasattr(choice.settings, "api_key")


async def _run(planned: Bench, given: Server | None) -> int:
    """The exit code."""
    from agentd.loadtest.steps import NotTaken

    end_with_sigterm()
    steps: list[Step] = []
    async with _livekit(given) as server:
        for calls in planned.calls:
            try:
                step = await _step(planned, server, calls)
            except (NotTaken, RuntimeError) as error:
                click.echo(f"{calls} calls: {error}", err=True)
                break
            steps.append(step)
            _tell_step(planned, step)
    if steps:
        _tell(planned, steps)
    return 0 if len(steps) == len(planned.calls) else 1


async def _step(planned: Bench, server: Server, calls: int) -> Step:
    """With a daemon of its own, so that no step has what another has left in memory."""
    from agentd.loadtest.daemon import running_daemon
    from agentd.loadtest.steps import ServingDaemon, measure, settled

    token = secrets.token_hex(16)
    environment = {
        **planned.environment,
        "AGENTD_ADMIN_TOKEN": token,
        "AGENTD_ADMIN_TOKEN_FILE": "",
        "AGENTD_AUDIT_PATH": "audit.jsonl",
    }
    async with running_daemon(
        server,
        planned.directory.absolute(),
        workers=planned.workers,
        flags=planned.flags,
        environment=environment,
        program=(sys.executable, "-P", "-m", "agentd"),
        token=token,
    ) as daemon:
        serving = ServingDaemon(daemon)
        await settled(serving)
        return await measure(serving, server, calls, planned.talk)


@asynccontextmanager
async def _livekit(given: Server | None) -> AsyncIterator[Server]:
    from agentd.cli.devserver import ensure_livekit_server, running_livekit_server
    from agentd.loadtest.caller import Server

    if given is not None:
        yield given
        return
    binary = ensure_livekit_server(lambda line: click.echo(line, err=True))
    if binary is None:
        click.echo("agentd bench needs a LiveKit server: set LIVEKIT_URL, or install livekit-server or Go", err=True)
        raise SystemExit(EXIT_UNAVAILABLE)
    async with running_livekit_server(binary) as own:
        yield Server(own.url, own.api_key, own.api_secret)


def _tell_step(planned: Bench, step: Step) -> None:
    from agentd.loadtest.verdict import told

    click.echo(told(step), err=planned.output == "json")


def _tell(planned: Bench, steps: list[Step]) -> None:
    from agentd.loadtest.verdict import as_json, conclude, told_conclusion

    conclusion = conclude(steps)
    if planned.output == "text":
        click.echo(told_conclusion(conclusion))
        return
    found: dict[str, Any] = {
        "agent": planned.talk.agent,
        "processors": usable_cores(),
        "workers": planned.workers,
        "steps": [as_json(step, steps[0]) for step in steps],
        "conclusion": asdict(conclusion),
    }
    click.echo(json.dumps(found, indent=2))
