"""The supervisor goes under its calls: python -m bench.upgrade [--calls 10] [--times 3] [--kill]

Calls on a real LiveKit server, in two workers, whose agents talk without a pause. `agentd upgrade` puts another
supervisor in the place of the one that runs, some times in a row; with `--kill` it gets SIGKILL, and another is started
at once over its state. Prints the longest silence in each caller's recording, how many had one above 60 ms, how many
calls were adopted each time, and how long that took.
"""

from __future__ import annotations

import argparse
import asyncio
import math
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


async def measure(server: Server, calls: int, times: int, kill: bool) -> Outcome:
    words = "On and on it goes without a stop and "
    text = words * math.ceil(times * EACH_TIME_S / CHARACTER_S / len(words))
    agent = zero_cost_agent("talker", character="30ms", extra=f'greeting: {{say: "{text.strip()}."}}')
    outcome = Outcome()
    async with AsyncExitStack() as running:
        state = running.enter_context(tempfile.TemporaryDirectory(prefix="agentd-upgrade-"))
        options: dict[str, Any] = {"workers": 2, "environment": {"AGENTD_STORE": state}}
        daemon = await running.enter_async_context(running_daemon(server, {"talker.yaml": agent}, **options))
        callers = [
            await running.enter_async_context(Caller.join(server, agent="talker", microphone=False, ear_frame_ms=50))
            for _ in range(calls)
        ]
        begun = [await caller.hears_after(0, 20) for caller in callers]
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
    async with livekit() as server:
        outcome = await measure(server, arguments.calls, arguments.times, arguments.kill)
    way = "kill -9 and a start" if arguments.kill else "agentd upgrade"
    print(f"{arguments.calls} calls, {way} {arguments.times} times")
    print(f"  longest silence of each call   {ms(outcome.gaps_s)}")
    print(f"  calls with one above 60 ms     {sum(gap > GAP_S for gap in outcome.gaps_s)}")
    print(f"  calls adopted each time        {', '.join(map(str, outcome.adopted))}")
    print(f"  until the next one was ready   {ms(outcome.took_s)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--kill", action="store_true", help="SIGKILL and a start instead of agentd upgrade")
    run(main, parser)
