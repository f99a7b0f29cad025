"""One step of a load test: so many callers at once, who ask and listen, and what they and the machine noticed of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.daemon import Daemon
from agentd.loadtest.processes import total_cpu_s, total_pss_mib

ROUND_S = 5.0  # from one question to the next, unless the answer takes longer
REST_S = 3.0  # after the last call has begun: processes that are started in reserve are not measured
AFTER_S = 0.5  # from the end of an answer to the next question
OVER_S = 1.0  # silence after which an answer is over, when the agent listens
LONGEST_ANSWER_S = 30.0
LOST_AFTER_S = 30.0  # beyond what the last round may take: a caller whose line has died waits for nothing any more
ANSWER_SLACK_S = 0.34  # an answer of known length that is later by more than this has not arrived


class Serving(Protocol):
    """Whoever is measured: it serves an agent, and takes dispatches."""

    def pids(self) -> list[int]:
        """All of its processes."""

    async def lags_s(self) -> list[float]:
        """The worst delay of each worker's event loop in the last second; nothing when it does not tell."""


class ServingDaemon:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.pids = daemon.pids

    async def lags_s(self) -> list[float]:
        return [float(worker["loop_lag_s"]) for worker in await self._daemon.workers()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What every caller does. `patience_s`: an answer that has not begun by then is none. `answer_s`: how much sound
    each answer has, where it is known and without a pause; what arrived is counted by it then."""

    agent: str
    question: Path
    seconds: float
    patience_s: float = 10.0
    answer_s: float | None = None
    join_s: float = 30.0


@dataclass
class Step:
    """What was measured. Shares are of 1. `arrived`: of the sound of each answer or call; where its length is not
    known, the part that the SDK had not to make up because it came late or never."""

    calls: int
    v2v_s: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    spoken_s: float = 0.0
    cpu_per_call: float = 0.0  # percent of one processor, of the daemon's processes
    memory_mib: float = 0.0  # a call, proportional set size
    idle_mib: float = 0.0  # before the first call


class NotTaken(Exception):
    """The agent has not come to a caller."""


async def measure(serving: Serving, server: Server, calls: int, talk: Talk) -> Step:
    """`serving` is at rest. Raises NotTaken."""
    step = Step(calls, idle_mib=total_pss_mib(serving.pids()))
    async with AsyncExitStack() as stack:
        callers = [await _joined(stack, server, talk, number) for number in range(calls)]
        await asyncio.sleep(REST_S)
        began, cpu_s = time.monotonic(), total_cpu_s(serving.pids())
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(_watch_lag(serving, step))
            talks = [
                group.create_task(_bounded(caller, talk, step, ROUND_S * number / calls))
                for number, caller in enumerate(callers)
            ]
            await asyncio.wait(talks)
            watcher.cancel()
        took_s = time.monotonic() - began
        step.cpu_per_call = 100 * (total_cpu_s(serving.pids()) - cpu_s) / took_s / calls
        step.memory_mib = (total_pss_mib(serving.pids()) - step.idle_mib) / calls
    return step


async def _joined(stack: AsyncExitStack, server: Server, talk: Talk, number: int) -> Caller:
    caller = await stack.enter_async_context(Caller.join(server, agent=talk.agent, ear_frame_ms=50))
    try:
        await caller.agent_state("listening", talk.join_s)
    except TimeoutError as error:
        raise NotTaken(f"the agent does not listen to caller {number + 1} within {talk.join_s:g} s") from error
    return caller


async def _bounded(caller: Caller, talk: Talk, step: Step, offset_s: float) -> None:
    longest_s = offset_s + talk.seconds + ROUND_S + talk.patience_s + LONGEST_ANSWER_S + LOST_AFTER_S
    try:
        async with asyncio.timeout(longest_s):
            await _converse(caller, talk, step, offset_s)
    except TimeoutError:
        step.unanswered += 1


async def _converse(caller: Caller, talk: Talk, step: Step, offset_s: float) -> None:
    await asyncio.sleep(offset_s)
    began, before, spoken_s = time.monotonic(), await caller.made_up(), 0.0
    while time.monotonic() < began + talk.seconds:
        due = time.monotonic() + ROUND_S
        _, ended = await caller.say(talk.question)
        try:
            first = await caller.hears_after(ended, talk.patience_s)
        except TimeoutError:
            step.unanswered += 1
        else:
            step.v2v_s.append(first - ended)
            over = await _over(caller, first)
            step.gaps_s += caller.heard.gaps_s(first, over)
            spoken_s += caller.heard.audible_s(first, over)
            if talk.answer_s is not None:
                heard_s = caller.heard.audible_s(first - 0.02, first + talk.answer_s + ANSWER_SLACK_S)
                step.arrived.append(min(1.0, heard_s / talk.answer_s))
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    step.spoken_s += spoken_s
    if talk.answer_s is None and spoken_s > 0:
        made_up, played = (now - then for now, then in zip(await caller.made_up(), before, strict=True))
        lost_s = made_up / max(1, played) * (time.monotonic() - began)
        step.arrived.append(max(0.0, 1 - lost_s / spoken_s))


async def _over(caller: Caller, first: float) -> float:
    """Waits until the answer is over, and a moment; returns when its last sound had arrived."""
    silent = None
    while silent is None and time.monotonic() < first + LONGEST_ANSWER_S:
        await asyncio.sleep(0.25)
        if not caller.states or caller.states[-1].state == "listening":
            silent = _end(caller, first)
    await asyncio.sleep(AFTER_S)
    return time.monotonic() if silent is None else silent


def _end(caller: Caller, first: float) -> float | None:
    """When the last silence began, if it lasts for OVER_S."""
    silent = caller.heard.silent_from(first, OVER_S)
    while silent is not None and (again := caller.heard.sound_after(silent)) is not None:
        silent = caller.heard.silent_from(again, OVER_S)
    return silent


async def _watch_lag(serving: Serving, step: Step) -> None:
    while True:
        await asyncio.sleep(1)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # a daemon that dies shows in what callers hear
            step.lag_s += await serving.lags_s()


async def settled(serving: Serving, *, quiet: float = 0.1, timeout_s: float = 30.0) -> None:
    """Waits until the subject has used less than `quiet` of a core for a second: starting up is not measured."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        before, at = total_cpu_s(serving.pids()), time.monotonic()
        await asyncio.sleep(1)
        if total_cpu_s(serving.pids()) - before < quiet * (time.monotonic() - at):
            return
    raise RuntimeError("the subject does not come to rest")
