"""Half an hour of calls, edits and killed workers: python -m bench.soak [--minutes 30] [--calls 6]

Round after round on a real LiveKit server: calls come, talk and go; the agent's file is edited, broken and mended;
every third round a worker is killed under its calls, which must go on. Between rounds, when nobody calls, the daemon's
memory, file descriptors, threads, processes and asyncio tasks are counted. Prints a table, and exits 1 when a call went
without an answer, or when the counts do not return to where they were after the first rounds.
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

from bench.caller import Caller, Server
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, run
from bench.processes import total_pss_mib
from bench.reload import revision_of

WARM_ROUNDS = 3  # one of each kind: what is loaded once is loaded
SETTLE_S = 3.0
KILL_EVERY = 3
ANSWER_S = 15.0
COMPARED = 3  # rounds at each end, of which the median counts


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
    """`unanswered`: of `calls`, those that did not get every answer. `killed`: a worker was."""

    number: int
    calls: int
    unanswered: int
    killed: bool
    counts: Counts


ALLOWED = Counts(memory_mib=25.0, fds=4, threads=4, processes=0, tasks=2)
"""How much more there may be at the end. Memory: allocators give back late; the rest: a connection that is kept open,
or a thread of a pool that is still waiting for work."""

MEMORY_SHARE = 0.10

SDK_MIB_A_CALL = 0.5
"""What the native part of livekit 1.2.1 keeps of each subscribed track for the life of its process. Its Room alone,
which only joins, subscribes and leaves, loses 0.27 MiB after 0.4 s of sound and 0.35 MiB after 1.6 s."""


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
            allowed = max(allowed, MEMORY_SHARE * first) + SDK_MIB_A_CALL * sum(each.calls for each in warm[COMPARED:])
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
    return [*found, *([f"{unanswered} calls went without an answer"] if unanswered else [])]


def table(rounds: Sequence[Round]) -> str:
    lines = ["round   calls   unanswered   killed   MiB    fds   threads   processes   tasks"]
    lines += [
        f"{each.number:5}   {each.calls:5}   {each.unanswered:10}   {'yes' if each.killed else '':6}   "
        f"{each.counts.memory_mib:5.0f}   {each.counts.fds:3}   {each.counts.threads:7}   "
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


async def one_round(daemon: Daemon, number: int, calls: int, rng: random.Random) -> Round:
    killed = number % KILL_EVERY == 1
    async with asyncio.TaskGroup() as group:
        turns = rng.randint(2, 4)
        talks = [group.create_task(call(daemon.server, turns, rng.uniform(0.5, 2.0), rng)) for _ in range(calls)]
        await asyncio.sleep(2.0)
        await change(daemon, number + 1)
        if killed:
            await kill_a_worker(daemon)
    workers = len(await daemon.workers())

    async def idle() -> bool:
        ready = [worker for worker in await daemon.workers() if worker["state"] == "ready"]
        return not await daemon.sessions() and len(ready) == workers

    await daemon.until(idle, 60)
    await asyncio.sleep(SETTLE_S)
    unanswered = sum(not talk.result() for talk in talks)
    return Round(number=number, calls=calls, unanswered=unanswered, killed=killed, counts=await counts(daemon))


async def soak(minutes: float, calls: int, seed: int) -> list[Round]:
    rng = random.Random(seed)
    until = time.monotonic() + 60 * minutes
    rounds: list[Round] = []
    async with livekit() as server, running_daemon(server, {"desk.yaml": agent(0)}, workers=2) as daemon:
        while time.monotonic() < until or len(rounds) < WARM_ROUNDS + 2 * COMPARED:
            rounds.append(await one_round(daemon, len(rounds), calls, rng))
            print(table(rounds).splitlines()[-1], file=sys.stderr, flush=True)
    return rounds


async def main(arguments: argparse.Namespace) -> None:
    rounds = await soak(arguments.minutes, arguments.calls, arguments.seed)
    print(table(rounds))
    for name, (first, last, most) in growth(rounds).items():
        print(f"  {name:12} {first:8.1f} at first   {last:8.1f} at last   allowed {most:8.1f}")
    if found := faults(rounds):
        raise SystemExit("\n".join(found))
    print(f"{sum(each.calls for each in rounds)} calls, and everything is as it was")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    run(main, parser)
