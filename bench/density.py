"""Calls on this machine: python -m bench.density [--calls 1 5 10 16 20] [--seconds 20]

Every caller hears the agent 40 % of the time (answers of 2 s in rounds of 5) and asks in between; recogniser, model and
synthesiser cost nothing, the VAD is real. LiveKit server, callers and agents share the machine, so the figures are
worse than on a machine of the agent's own. For each number of calls: CPU of agentd's processes a call, memory (PSS) a
call, the event-loop lag of the workers, v2v, and how much of the agent's sound arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.caller import Caller, Server
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, ms, quantile, run, speech

ANSWER = "This is an answer of just about two seconds ok."  # at 40 ms a character: 1.9 s
ROUND_S = 5.0


@dataclass
class Point:
    calls: int
    v2v_s: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)  # share of each answer's sound
    missed: int = 0
    lag_s: list[float] = field(default_factory=list)
    cpu_per_call: float = 0.0
    memory_mib: float = 0.0


async def converse(caller: Caller, seconds: float, point: Point, offset_s: float) -> None:
    question, _ = speech("When do you open?")
    await asyncio.sleep(offset_s)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        due = time.monotonic() + ROUND_S
        _, ended = await caller.say(question)
        try:
            first = await caller.hears_after(ended, 2.5)
        except TimeoutError:
            point.missed += 1
        else:
            point.v2v_s.append(first - ended)
            await asyncio.sleep(max(0.0, first + 2.4 - time.monotonic()))
            point.arrived.append(min(1.0, caller.heard.audible_s(first - 0.02, first + 2.3) / (0.04 * len(ANSWER))))
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def measure(daemon: Daemon, calls: int, seconds: float, idle_mib: float) -> Point:
    point = Point(calls)
    async with AsyncExitStack() as stack:
        callers = []
        for _ in range(calls):
            caller = await stack.enter_async_context(Caller.join(daemon.server, agent="density"))
            await caller.agent_state("listening", 20)
            callers.append(caller)
        began, cpu = time.monotonic(), daemon.cpu_s()
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_watch_lag(daemon, point))
            talks = [
                group.create_task(converse(caller, seconds, point, ROUND_S * number / calls))
                for number, caller in enumerate(callers)
            ]
            await asyncio.wait(talks)
            watcher.cancel()
        taken = time.monotonic() - began
        point.cpu_per_call = 100 * (daemon.cpu_s() - cpu) / taken / calls
        point.memory_mib = (daemon.memory_mib() - idle_mib) / calls
    return point


async def _watch_lag(daemon: Daemon, point: Point) -> None:
    while True:
        await asyncio.sleep(1)
        point.lag_s += [float(worker["loop_lag_s"]) for worker in await daemon.workers()]


async def main(arguments: argparse.Namespace) -> None:
    agents = {"density.yaml": zero_cost_agent("density", [ANSWER])}
    async with livekit() as server:
        for calls in arguments.calls:
            await one_point(server, agents, calls, arguments.seconds)


async def one_point(server: Server, agents: dict[str, str], calls: int, seconds: float) -> None:
    async with running_daemon(server, agents, workers=2) as daemon:
        idle = daemon.memory_mib()
        point = await measure(daemon, calls, seconds, idle)
        print(
            f"{calls:3} calls  CPU a call {point.cpu_per_call:5.1f} %  memory a call {point.memory_mib:5.1f} MiB"
            f" (+{idle:.0f} idle)  worst loop lag in a second: median {1000 * quantile(point.lag_s, 0.5):.0f} ms,"
            f" p99 {1000 * quantile(point.lag_s, 0.99):.0f} ms"
        )
        share = 100 * sum(point.arrived) / max(1, len(point.arrived))
        print(f"           v2v {ms(point.v2v_s)}  sound that arrived {share:.1f} %  unanswered {point.missed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 5, 10, 16, 20])
    parser.add_argument("--seconds", type=float, default=20)
    run(main, parser)
