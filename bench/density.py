"""Calls on this machine: python -m bench.density [--calls 1 5 10 16 20] [--seconds 20] [--peer livekit-agents]

Every caller hears the agent 40 % of the time (answers of 2 s in rounds of 5) and asks in between; recogniser, model and
synthesiser cost nothing, the VAD is real. LiveKit server, callers and agents share the machine, so the figures are
worse than on a machine of the agent's own. For each number of calls: CPU of its processes a call, memory (PSS) a
call, the event-loop lag of the workers, v2v, and how much of the agent's sound arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from bench.caller import Caller, Server
from bench.figures import livekit, ms, quantile, ratio, run, speech
from bench.peers import add_peer_option, subjects
from bench.processes import total_cpu_s, total_pss_mib
from bench.subject import AGENT_NAME, Agent, Agentd, Serving, Subject, settled

ANSWER = "This is an answer of just about two seconds ok."  # at 40 ms a character: 1.9 s
ROUND_S = 5.0
REST_S = 3.0  # after the last call has begun: processes that are started in reserve are not measured


@dataclass
class Point:
    calls: int
    v2v_s: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)  # share of each answer's sound
    missed: int = 0
    lag_s: list[float] = field(default_factory=list)
    cpu_per_call: float = 0.0
    memory_mib: float = 0.0
    idle_mib: float = 0.0


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


async def measure(subject: Subject, server: Server, calls: int, seconds: float) -> Point:
    point = Point(calls)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(subject.serving(server, Agent(reply=ANSWER)))
        await settled(serving)
        point.idle_mib = total_pss_mib(serving.pids())
        callers = []
        for _ in range(calls):
            caller = await stack.enter_async_context(Caller.join(server, agent=AGENT_NAME, ear_frame_ms=50))
            await caller.agent_state("listening", 20)
            callers.append(caller)
        await asyncio.sleep(REST_S)
        began, cpu = time.monotonic(), total_cpu_s(serving.pids())
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_watch_lag(serving, point))
            talks = [
                group.create_task(converse(caller, seconds, point, ROUND_S * number / calls))
                for number, caller in enumerate(callers)
            ]
            await asyncio.wait(talks)
            watcher.cancel()
        taken = time.monotonic() - began
        point.cpu_per_call = 100 * (total_cpu_s(serving.pids()) - cpu) / taken / calls
        point.memory_mib = (total_pss_mib(serving.pids()) - point.idle_mib) / calls
    return point


async def _watch_lag(serving: Serving, point: Point) -> None:
    while True:
        await asyncio.sleep(1)
        point.lag_s += await serving.lags_s()


def report(name: str, point: Point) -> None:
    lag = "not told"
    if point.lag_s:
        lag = f"median {1000 * quantile(point.lag_s, 0.5):.0f} ms, p99 {1000 * quantile(point.lag_s, 0.99):.0f} ms"
    print(
        f"{point.calls:3} calls, {name}: CPU a call {point.cpu_per_call:5.1f} %  memory a call {point.memory_mib:5.1f}"
        f" MiB (+{point.idle_mib:.0f} idle)  worst loop lag in a second: {lag}"
    )
    share = 100 * sum(point.arrived) / max(1, len(point.arrived))
    print(f"           v2v {ms(point.v2v_s)}  sound that arrived {share:.1f} %  unanswered {point.missed}")


async def main(arguments: argparse.Namespace) -> None:
    compared = subjects(Agentd(workers=2), arguments.peer)
    async with livekit() as server:
        for calls in arguments.calls:
            points = [await measure(subject, server, calls, arguments.seconds) for subject in compared]
            for subject, point in zip(compared, points, strict=True):
                report(subject.name, point)
            for peer, point in zip(compared[1:], points[1:], strict=True):
                cpu = ratio([points[0].cpu_per_call], [point.cpu_per_call])
                memory = ratio([points[0].memory_mib], [point.memory_mib])
                v2v = ratio(points[0].v2v_s, point.v2v_s)
                print(f"           {compared[0].name} / {peer.name}: CPU {cpu}, memory {memory}, v2v {v2v}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 5, 10, 16, 20])
    parser.add_argument("--seconds", type=float, default=20)
    add_peer_option(parser)
    run(main, parser)
