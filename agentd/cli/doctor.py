"""`agentd doctor`: whether a daemon would do well here, one line a check, and what to do where not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from agentd import logs
from agentd.cli import checks_install, checks_machine, checks_network, checks_state
from agentd.cli.checks import Finding, fail, ok, warn
from agentd.cli.files import DEFAULT_DIRECTORY, config_options, daemon_of, environment_with
from agentd.cli.wiring import usable_cores
from agentd.config.daemon import LoadedDaemon, state_directory
from agentd.config.load import Loaded, load
from agentd.registry import Registry
from agentd.runtime.provider_probes import choices_of

EXIT_FAILED = 1
WIDTH = 12


@click.command()
@config_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def doctor(directory: Path | None, config: Path | None, env_file: Path | None, output: str) -> None:
    """Tell whether a daemon would do well here, and what to do where it would not.

    Looks at the installation, the files, LiveKit, the admin address, the state directory and what the machine allows;
    changes nothing, and asks no provider: that is agentd validate --probe. Exits with 0 when nothing failed, warnings
    or not, and else with 1.
    """
    logs.configure("text", "CRITICAL")  # what goes wrong is told as a finding
    environment = environment_with(env_file)
    daemon, registry = daemon_of(config, environment)
    found = asyncio.run(findings(directory or DEFAULT_DIRECTORY, daemon, registry, environment))
    click.echo(_as_json(found) if output == "json" else _as_text(found), nl=False)
    numbers = {state: sum(each.state == state for each in found) for state in ("ok", "warn", "fail")}
    if output == "text":
        click.echo(f"{numbers['ok']} ok, {numbers['warn']} to look at, {numbers['fail']} failed", err=True)
    if numbers["fail"]:
        sys.exit(EXIT_FAILED)


async def findings(
    directory: Path, daemon: LoadedDaemon, registry: Registry, environment: Mapping[str, str]
) -> list[Finding]:
    """Everything, in the order in which one would mend it."""
    config, cores = daemon.config, usable_cores()
    loaded = await asyncio.to_thread(load, directory, config, registry, environment)
    used = [choice for each in loaded.agents.values() for _, choice in choices_of(each)]
    state = state_directory(config, environment)
    livekit, admin = await asyncio.gather(
        checks_network.livekit(config, environment), checks_network.admin(config, environment)
    )
    return [
        checks_install.python(),
        checks_install.packages(),
        *checks_install.plugins(registry, used),
        *_configuration(daemon),
        *_agents(directory, loaded),
        *checks_install.models(registry, used),
        *livekit,
        admin.finding,
        checks_state.state_directory(state, answers=admin.answers),
        checks_state.journals(state),
        checks_machine.scratch(environment),
        checks_machine.descriptors(config, len(loaded.agents), cores),
        checks_machine.room_for_workers(config, cores),
        checks_machine.notices(directory),
    ]


def _configuration(daemon: LoadedDaemon) -> Iterator[Finding]:
    """Only what is wrong: agentd.yaml need not be there."""
    for problem in daemon.problems:
        finding = warn if problem.severity == "warning" else fail
        yield finding("agentd.yaml", str(problem), "agentd validate tells them all")


def _agents(directory: Path, loaded: Loaded) -> Iterator[Finding]:
    if not loaded.agents and not loaded.errors:
        yield fail("agents", f"{directory} holds none", "agentd init NAME writes one")
        return
    names = ", ".join(loaded.agents)
    valid = f"{len(loaded.agents)} valid: {names}" if names else "none is valid"
    if loaded.errors:
        first = f"{len(loaded.errors)} error{'s' if len(loaded.errors) != 1 else ''}, the first: {loaded.errors[0]}"
        yield fail("agents", f"{valid}; {first}", "agentd validate tells them all")
    elif loaded.warnings:
        yield warn("agents", f"{valid}; the first warning: {loaded.warnings[0]}", "agentd validate tells them all")
    else:
        yield ok("agents", valid)


def _as_text(found: Sequence[Finding]) -> str:
    lines = []
    for each in found:
        lines.append(f"{each.state:<5} {each.check:<{WIDTH}} {each.found}\n")
        if each.todo:
            lines.append(f"{'':<6}{'':<{WIDTH}} -> {each.todo}\n")
    return "".join(lines)


def _as_json(found: Sequence[Finding]) -> str:
    healthy = all(each.state != "fail" for each in found)
    told = {"healthy": healthy, "checks": [dataclasses.asdict(each) for each in found]}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
