"""Half an hour of calls, edits and killed workers: python -m bench.soak [--minutes 30] [--calls 6] [--recycle 180]

Round after round on a real LiveKit server: calls come, talk and go; the agent's file is edited, broken and mended;
every third round a worker is killed under its calls, which must go on; workers that are `--recycle` seconds old are
replaced. Between rounds, when nobody calls, the daemon's memory, file descriptors, threads, processes and asyncio tasks
are counted. Prints a table, and exits 1 when a call went without an answer, when no worker was replaced, or when the
counts do not return to where they were after the first rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median

from livekit import rtc

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.processes import total_pss_mib
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, run
from bench.reload import revision_of

WARM_ROUNDS = 3  # one of each kind: what is loaded once is loaded
SETTLE_S = 3.0
KILL_EVERY = 3
ANSWER_S = 15.0
COMPARED = 6  # rounds at each end, of which the median counts: as many as a worker lives, so that its age does not
WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of the daemon and all its processes, while nobody calls."""

    memory_mib: float
    fds: int
    threads: int
    processes: int
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """`unanswered`: of `calls`, those that did not get every answer. `killed`: a worker was. `recycled`: workers that
    were replaced in it."""

    number: int
    calls: int
    unanswered: int
    killed: bool
    recycled: int
    counts: Counts


ALLOWED = Counts(memory_mib=25.0, fds=4, threads=4, processes=0, tasks=2)
"""How much more there may be at the end. Memory: allocators give back late; the rest: a connection that is kept open,
or a thread of a pool that is still waiting for work."""

MEMORY_SHARE = 0.10


def growth(rounds: Sequence[Round]) -> dict[str, tuple[float, float, float]]:
    """By name: the median of the first rounds after warming up, that of the last, and the most that is allowed. Pure.
    Raises ValueError for too few rounds."""
    warm = rounds[WARM_ROUNDS:]
    if len(warm) < 2 * COMPARED:
        raise ValueError(f"{len(rounds)} rounds are too few: {WARM_ROUNDS + 2 * COMPARED} are needed")
    found = {}
    for field in fields(Counts):
        first, last = (
            median(getattr(each.counts, field.name) for each in part) for part in (warm[:COMPARED], warm[-COMPARED:])
        )
        allowed = getattr(ALLOWED, field.name)
        if field.name == "memory_mib":
            allowed = max(allowed, MEMORY_SHARE * first)
        found[field.name] = (first, last, first + allowed)
    return found


def faults(rounds: Sequence[Round]) -> list[str]:
    """Each as a sentence; none: it passed. Pure."""
    found = [
        f"{name} grew from {first:g} to {last:g}, beyond {most:g}"
        for name, (first, last, most) in growth(rounds).items()
        if last > most
    ]
    unanswered = sum(each.unanswered for each in rounds)
    if unanswered:
        found.append(f"{unanswered} calls went without an answer")
    if not sum(each.recycled for each in rounds):
        found.append("no worker was replaced")
    return found


def table(rounds: Sequence[Round]) -> str:
    lines = ["round   calls   unanswered   killed   recycled   MiB    fds   threads   processes   tasks"]
    lines += [
        f"{each.number:5}   {each.calls:5}   {each.unanswered:10}   {'yes' if each.killed else '':6}   "
        f"{each.recycled:8}   {each.counts.memory_mib:3.0f}   {each.counts.fds:3}   {each.counts.threads:7}   "
        f"{each.counts.processes:9}   {each.counts.tasks:5}"
        for each in rounds
    ]
    return "\n".join(lines)


def agent(revision: int) -> str:
    extra = f'greeting: {{say: "Revision {revision}."}}'
    return zero_cost_agent("desk", ["You said: {text}."], character="10ms", extra=extra)


async def counts(daemon: Daemon) -> Counts:
    pids = daemon.pids()
    return Counts(
        memory_mib=total_pss_mib(pids),
        fds=sum(_entries(pid, "fd") for pid in pids),
        threads=sum(_entries(pid, "task") for pid in pids),
        processes=len(pids),
        tasks=await _tasks(daemon),
    )


def _entries(pid: int, name: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/{name}"))
    except OSError:
        return 0


async def _tasks(daemon: Daemon) -> int:
    """SIGUSR1 has the daemon and its workers write each of theirs to the log."""
    before = daemon.log.stat().st_size
    daemon.process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(1.0)
    with daemon.log.open("rb") as log:
        log.seek(before)
        lines = log.read().splitlines()
    return sum(_message(line) == "task" for line in lines)


def _message(line: bytes) -> str:
    try:
        return str(json.loads(line).get("message", ""))
    except ValueError:
        return ""


async def call(server: Server, turns: int, pause_s: float, rng: random.Random) -> bool:
    """One that talks by chat; whether every turn was answered. It hears what is spoken meanwhile."""
    try:
        async with Caller.join(server, agent="desk", microphone=False, ear_frame_ms=100) as caller:
            await caller.agent_state("listening", 20)
            for number in range(turns):
                await answered(caller, f"turn {number} {rng.random():.6f}")
                await asyncio.sleep(pause_s)
            await caller.leave()
    except (TimeoutError, rtc.ConnectError):
        return False
    return True


async def answered(caller: Caller, words: str) -> None:
    """Asks again once, as one does whose words fell into the silence after a kill. Raises TimeoutError."""
    for last in (False, True):
        await caller.chat(words)
        try:
            await caller.until(lambda: any(words in caption.text for caption in caller.agent_captions()), ANSWER_S)
        except TimeoutError:
            if last:
                raise
        else:
            return


async def change(daemon: Daemon, revision: int) -> None:
    """Edits the agent's file, breaks it and mends it."""
    path = daemon.agents_dir / "desk.yaml"
    path.write_text("version: 1\nname: desk\nnonsense: [\n")
    await asyncio.sleep(0.5)
    before = await revision_of(daemon, "desk")
    path.write_text(agent(revision))

    async def serves() -> bool:
        return await revision_of(daemon, "desk") not in ("", before)

    await daemon.until(serves, 20)


async def kill_a_worker(daemon: Daemon) -> None:
    busy = max(await daemon.workers(), key=lambda worker: int(worker["sessions"]))
    os.kill(int(busy["pid"]), signal.SIGKILL)


async def one_round(daemon: Daemon, number: int, calls: int, known: set[str], rng: random.Random) -> Round:
    """`known`: the workers' names so far; the new ones are added."""
    killed = number % KILL_EVERY == 1
    async with asyncio.TaskGroup() as group:
        turns = rng.randint(2, 4)
        talks = [group.create_task(call(daemon.server, turns, rng.uniform(0.5, 2.0), rng)) for _ in range(calls)]
        await asyncio.sleep(2.0)
        await change(daemon, number + 1)
        if killed:
            await kill_a_worker(daemon)

    async def idle() -> bool:
        states = [worker["state"] for worker in await daemon.workers()]
        return not await daemon.sessions() and states == ["ready"] * WORKERS

    await daemon.until(idle, 60)
    await asyncio.sleep(SETTLE_S)
    came = await names(daemon) - known
    known |= came
    return Round(
        number=number,
        calls=calls,
        unanswered=sum(not talk.result() for talk in talks),
        killed=killed,
        recycled=len(came),
        counts=await counts(daemon),
    )


async def names(daemon: Daemon) -> set[str]:
    """Of its workers: one that is started in the place of one that died has its name, the successor of an old one has
    a name of its own."""
    return {str(worker["id"]) for worker in await daemon.workers()}


async def soak(minutes: float, calls: int, recycle_s: int, seed: int) -> list[Round]:
    rng = random.Random(seed)
    until = time.monotonic() + 60 * minutes
    rounds: list[Round] = []
    environment = {"AGENTD_RECYCLE_AFTER": f"{recycle_s}s"}
    agents = {"desk.yaml": agent(0)}
    async with livekit() as server, running_daemon(server, agents, workers=WORKERS, environment=environment) as daemon:
        known = await names(daemon)
        while time.monotonic() < until or len(rounds) < WARM_ROUNDS + 2 * COMPARED:
            rounds.append(await one_round(daemon, len(rounds), calls, known, rng))
            print(table(rounds).splitlines()[-1], file=sys.stderr, flush=True)
    return rounds


async def main(arguments: argparse.Namespace) -> None:
    rounds = await soak(arguments.minutes, arguments.calls, arguments.recycle, arguments.seed)
    print(table(rounds))
    for name, (first, last, most) in growth(rounds).items():
        print(f"  {name:12} {first:8.1f} at first   {last:8.1f} at last   allowed {most:8.1f}")
    if found := faults(rounds):
        raise SystemExit("\n".join(found))
    recycled = sum(each.recycled for each in rounds)
    print(f"{sum(each.calls for each in rounds)} calls, {recycled} workers replaced, and everything is as it was")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--recycle", type=int, default=180, help="seconds after which a worker is replaced")
    parser.add_argument("--seed", type=int, default=0)
    run(main, parser)
