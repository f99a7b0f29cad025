"""The supervisor goes under its calls: python -m bench.upgrade [--calls 10] [--times 3] [--kill] [--drain]

Calls on a real LiveKit server, in two workers, whose agents talk without a pause. `agentd upgrade` puts another
supervisor in the place of the one that runs, some times in a row; with `--kill` it gets SIGKILL, and another is started
at once over its state. Prints the longest silence in each caller's recording, how many had one above 60 ms, how many
calls were adopted each time, and how long that took.

With `--drain` the daemon gets SIGTERM, and each caller hears the agent to its end. Prints the same silences, how much
of the sound came after the signal, and with what the daemon ended; exits with 1 if a call was cut or had a gap.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.figures import ms
from agentd.loadtest.heard import AUDIBLE_DBFS, EAR_PIECE, Heard
from agentd.loadtest.microphone import EAR_HZ
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, run

CHARACTER_S = 0.03
EACH_TIME_S = 40.0  # more than a change takes on a busy machine: the agent must still talk at the end
GAP_S = 0.06
DRAIN_S = 30.0  # how long each agent talks
END_S = 1.0  # of silence: more than a gap


def longest_gap_s(heard: Heard, since: float, until: float) -> float:
    """Silence inside the recording of a voice that is one tone without a pause."""
    longest = quiet = 0
    for at, level in zip(heard.at, heard.dbfs, strict=True):
        if since <= at <= until:
            quiet = 0 if level > AUDIBLE_DBFS else quiet + 1
            longest = max(longest, quiet)
    return longest * EAR_PIECE / EAR_HZ


@dataclass
class Outcome:
    gaps_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    adopted: list[int] = field(default_factory=list)


async def upgraded(daemon: Daemon) -> None:
    command = (sys.executable, "-m", "agentd", "upgrade", "--admin-addr", daemon.admin_url)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    if await process.wait():
        raise RuntimeError("the upgrade was refused, or the new daemon did not get ready")


async def change(
    running: AsyncExitStack, daemon: Daemon, options: dict[str, Any], outcome: Outcome, kill: bool
) -> Daemon:
    """The daemon after it."""
    began = time.monotonic()
    if kill:
        await daemon.kill()
        daemon = await running.enter_async_context(running_daemon(daemon.server, daemon.agents_dir, **options))
    else:
        await upgraded(daemon)
    outcome.took_s.append(time.monotonic() - began)
    outcome.adopted.append(len(await daemon.sessions()))
    return daemon


def talker(seconds: float) -> str:
    """An agent that talks for so long."""
    words = "On and on it goes without a stop and "
    text = words * math.ceil(seconds / CHARACTER_S / len(words))
    return zero_cost_agent("talker", character="30ms", extra=f'greeting: {{say: "{text.strip()}."}}')


async def called(running: AsyncExitStack, server: Server, calls: int) -> tuple[list[Caller], list[float]]:
    """The callers, and when each heard its agent first."""
    callers = [
        await running.enter_async_context(Caller.join(server, agent="talker", microphone=False, ear_frame_ms=50))
        for _ in range(calls)
    ]
    return callers, [await caller.hears_after(0, 20) for caller in callers]


@dataclass
class Drained:
    gaps_s: list[float] = field(default_factory=list)
    after_s: list[float] = field(default_factory=list)  # of sound after the signal
    exit_code: int = -1

    @property
    def whole(self) -> bool:
        return self.exit_code == 0 and all(gap <= GAP_S for gap in self.gaps_s) and all(self.after_s)


async def drain(server: Server, calls: int) -> Drained:
    """SIGTERM under calls, each of which goes on until its agent has nothing more to say and its caller leaves."""
    drained = Drained()
    async with AsyncExitStack() as running:
        agent = {"talker.yaml": talker(DRAIN_S + 2.0 * calls)}
        daemon = await running.enter_async_context(running_daemon(server, agent, workers=2))
        callers, begun = await called(running, server, calls)
        signalled = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)

        async def to_its_end(caller: Caller, since: float) -> None:
            await caller.agent_state("listening", 4 * DRAIN_S + 4.0 * calls)
            await caller.until(lambda: caller.heard.silent_from(signalled, END_S))
            until = caller.heard.silent_from(signalled, END_S) or signalled
            drained.gaps_s.append(longest_gap_s(caller.heard, since, until))
            drained.after_s.append(caller.heard.audible_s(signalled, until))
            await caller.leave()

        await asyncio.gather(*map(to_its_end, callers, begun))
        drained.exit_code = await daemon.process.wait()
    return drained


async def measure(server: Server, calls: int, times: int, kill: bool) -> Outcome:
    outcome = Outcome()
    async with AsyncExitStack() as running:
        state = running.enter_context(tempfile.TemporaryDirectory(prefix="agentd-upgrade-"))
        options: dict[str, Any] = {"workers": 2, "environment": {"AGENTD_STORE": state}}
        agent = {"talker.yaml": talker(times * EACH_TIME_S)}
        daemon = await running.enter_async_context(running_daemon(server, agent, **options))
        callers, begun = await called(running, server, calls)
        for _ in range(times):
            daemon = await change(running, daemon, options, outcome, kill)
        until = time.monotonic()
        if any(caller.states[-1].state != "speaking" for caller in callers):
            raise RuntimeError("an agent had nothing more to say: the machine is too slow for this measurement")
        await asyncio.sleep(1)
        outcome.gaps_s = [
            longest_gap_s(caller.heard, since, until) for caller, since in zip(callers, begun, strict=True)
        ]
    return outcome


async def main(arguments: argparse.Namespace) -> None:
    if arguments.drain:
        await main_of_drain(arguments.calls)
        return
    async with livekit() as server:
        outcome = await measure(server, arguments.calls, arguments.times, arguments.kill)
    way = "kill -9 and a start" if arguments.kill else "agentd upgrade"
    print(f"{arguments.calls} calls, {way} {arguments.times} times")
    print(f"  longest silence of each call   {ms(outcome.gaps_s)}")
    print(f"  calls with one above 60 ms     {sum(gap > GAP_S for gap in outcome.gaps_s)}")
    print(f"  calls adopted each time        {', '.join(map(str, outcome.adopted))}")
    print(f"  until the next one was ready   {ms(outcome.took_s)}", flush=True)


async def main_of_drain(calls: int) -> None:
    async with livekit() as server:
        drained = await drain(server, calls)
    print(f"{calls} calls, SIGTERM")
    print(f"  longest silence of each call   {ms(drained.gaps_s)}")
    print(f"  calls with one above 60 ms     {sum(gap > GAP_S for gap in drained.gaps_s)}")
    print(f"  sound after the signal         {ms(drained.after_s)}")
    print(f"  the daemon ended with          {drained.exit_code}", flush=True)
    if not drained.whole:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="SIGKILL and a start instead of agentd upgrade")
    parser.add_argument("--drain", action="store_true", help="SIGTERM, and the calls go on to their end")
    run(main, parser)
