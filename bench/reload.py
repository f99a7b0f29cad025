"""Files change under calls: python -m bench.reload [--calls 10] [--talkers 2] [--reloads 1000] [--mass 1000]

On a real LiveKit server most of the calls hear a steady tone, and `--talkers` of them talk under `reload: live` to the
agent that is edited, while agent files are edited, broken, mended, added, deleted and replaced by the hundred. Prints
the time from an edit to its serving (new calls get it), median and worst; of `--reloads` edits that are asked for one
after the other, how long each takes, what of the processors it takes and what it leaves in memory; the time for the
mass replacement (one generation); and what the calls noticed: gaps in the tone, calls that ended, turns that were of
two revisions.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agentd.loadtest.caller import Caller
from agentd.loadtest.figures import ms, quantile
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, run
from bench.live_turns import Turn, live_agent, recorded_otherwise, revision, talk

GAP_S = 0.06  # silence within the tone that a caller would hear
RESTING_S = 5.0  # of calls alone, to know what they take
RELOAD_S = 0.5  # what one may take, for the length of the tone


def steady_agent(seconds: float = 230.0) -> str:
    """Speaks one long tone."""
    text = " ".join(["steady"] * max(1, round(seconds / len("steady "))))
    return zero_cost_agent("steady", [text], character="1s")


async def revision_of(daemon: Daemon, name: str) -> str:
    return next((str(agent["revision"]) for agent in await daemon.agents() if agent["name"] == name), "")


async def measure_edits(daemon: Daemon, edits: int) -> list[float]:
    """Seconds from each write to the moment at which the daemon serves the new revision."""
    taken = []
    for number in range(edits):
        before = await revision_of(daemon, "edited")
        began = time.monotonic()
        (daemon.agents_dir / "edited.yaml").write_text(live_agent(number + 1))

        async def serves(before: str = before) -> bool:
            return await revision_of(daemon, "edited") != before

        taken.append(await daemon.until(serves, 10, 0.01) - began)
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """`taken_s`: of each, from the request to its answer. `cpu_s`: of one, and of asking what serves then, of all
    processes, beyond what the calls took before. `memory_mib`: what all of them have left behind."""

    taken_s: list[float]
    cpu_s: float
    memory_mib: float


async def reload_often(daemon: Daemon, count: int) -> Reloads:
    """Each with an edit of its own, one after the other. After each the edit serves, whether what was asked for took
    it or the watch of the files that came before."""
    resting_cpu, resting_from = daemon.cpu_s(), time.monotonic()
    await asyncio.sleep(RESTING_S)
    began, cpu, memory = time.monotonic(), daemon.cpu_s(), daemon.memory_mib()
    resting = (cpu - resting_cpu) / (began - resting_from)
    taken: list[float] = []
    for number in range(count):
        (daemon.agents_dir / "edited.yaml").write_text(live_agent(100_000 + number))
        asked = time.monotonic()
        status, outcome = await daemon.post("/v1/reload")
        assert status == 200, outcome
        taken.append(time.monotonic() - asked)
        assert await revision_of(daemon, "edited") == revision(100_000 + number), "the edit does not serve"
    used = daemon.cpu_s() - cpu - resting * (time.monotonic() - began)
    return Reloads(taken_s=taken, cpu_s=used / max(1, count), memory_mib=daemon.memory_mib() - memory)


async def break_and_mend(daemon: Daemon, edits: int) -> None:
    """A broken file leaves the last good version serving, and says so."""
    path = daemon.agents_dir / "edited.yaml"
    before = await revision_of(daemon, "edited")
    path.write_text("version: 1\nname: edited\nnonsense: [\n")

    async def stale() -> bool:
        return any(agent["state"] == "stale" for agent in await daemon.agents())

    await daemon.until(stale)
    assert await revision_of(daemon, "edited") == before, "a broken file changed what serves"
    path.write_text(live_agent(edits + 1))

    async def mended() -> bool:
        return not await stale()

    await daemon.until(mended)


async def add_and_delete(daemon: Daemon) -> None:
    path = daemon.agents_dir / "added.yaml"
    path.write_text(zero_cost_agent("added"))

    async def registered() -> bool:
        return any(agent["name"] == "added" and agent["registered"] for agent in await daemon.agents())

    await daemon.until(registered)
    path.unlink()

    async def gone() -> bool:
        return not any(agent["name"] == "added" for agent in await daemon.agents())

    await daemon.until(gone)


async def replace_many(daemon: Daemon, count: int) -> tuple[float, int]:
    """Writes `count` agents at once; answers the seconds until all are there, and the generations that it took."""
    before = (await daemon.get("/v1/agents"))["generation"]
    began = time.monotonic()
    for number in range(count):
        (daemon.agents_dir / f"mass-{number}.yaml").write_text(zero_cost_agent(f"mass-{number}"))

    async def all_there() -> bool:
        return sum(agent["name"].startswith("mass-") for agent in await daemon.agents()) == count

    taken = await daemon.until(all_there, 180) - began
    return taken, (await daemon.get("/v1/agents"))["generation"] - before


@asynccontextmanager
async def steady_calls(daemon: Daemon, count: int) -> AsyncIterator[list[Caller]]:
    """Callers to whom the agent plays its tone."""
    async with AsyncExitStack() as stack:
        callers = []
        for _ in range(count):
            caller = await stack.enter_async_context(
                Caller.join(daemon.server, agent="steady", microphone=False, ear_frame_ms=50)
            )
            callers.append(caller)
            await caller.agent_state("listening", 15)
            await caller.chat("go")
        for caller in callers:
            await caller.agent_state("speaking", 15)
        await asyncio.sleep(1)
        yield callers


def _p99_ms(taken_s: list[float]) -> str:
    return f"{1000 * quantile(taken_s, 0.99):.0f} ms"


@asynccontextmanager
async def talking_calls(daemon: Daemon, count: int, turns: list[Turn]) -> AsyncIterator[list[Caller]]:
    """Callers who talk to the agent that is edited, until the end of the block; each answer is added to `turns`."""
    enough = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        callers = [
            await stack.enter_async_context(
                Caller.join(daemon.server, agent="edited", microphone=False, ear_frame_ms=50)
            )
            for _ in range(count)
        ]
        for caller in callers:
            group.create_task(talk(caller, turns, enough))
        yield callers
        enough.set()


@dataclass(slots=True, kw_only=True)
class Noticed:
    """By the calls. `recorded`: answers in the journals of those that talked; `otherwise`: of these, the ones that are
    not by the revision that the record has."""

    turns: list[Turn] = field(default_factory=list)
    alive: int = 0
    gaps_s: list[float] = field(default_factory=list)
    gaps_of_mass_s: list[float] = field(default_factory=list)
    recorded: int = 0
    otherwise: int = 0

    def lines(self, calls: int) -> Iterator[str]:
        over = f"gaps over {1000 * GAP_S:.0f} ms"
        yield f"calls still running             {self.alive} of {calls}"
        yield f"{over}, edits         {ms(self.gaps_s) if self.gaps_s else 'none'}"
        yield f"{over}, mass          {ms(self.gaps_of_mass_s) if self.gaps_of_mass_s else 'none'}"
        versions = {number for turn in self.turns for number in turn.numbers}
        yield f"turns under reload: live        {len(self.turns)}, by {len(versions)} versions of the file"
        torn = [str(turn) for turn in self.turns if not turn.whole]
        yield f"  of two versions               {len(torn)} {', '.join(torn)}"
        yield f"  recorded by another           {self.otherwise} of {self.recorded}"


async def main(arguments: argparse.Namespace) -> None:
    tone_s = 230.0 + RELOAD_S * arguments.reloads
    agents = {"steady.yaml": steady_agent(tone_s), "edited.yaml": live_agent(0)}
    noticed = Noticed()
    with tempfile.TemporaryDirectory(prefix="agentd-reload-") as state:
        environment = {"AGENTD_STORE": state}
        async with livekit() as server, running_daemon(server, agents, workers=2, environment=environment) as daemon:
            await measure(daemon, arguments, noticed, Path(state))
    for line in noticed.lines(arguments.calls):
        print(f"  {line}")


async def measure(daemon: Daemon, arguments: argparse.Namespace, noticed: Noticed, state: Path) -> None:
    """Prints what the reloads took, and notes what the calls noticed."""
    steady = steady_calls(daemon, arguments.calls - arguments.talkers)
    talking = talking_calls(daemon, arguments.talkers, noticed.turns)
    async with steady as callers, talking as talkers:
        since = time.monotonic()
        taken = await measure_edits(daemon, arguments.edits)
        await break_and_mend(daemon, arguments.edits)
        await add_and_delete(daemon)
        reloads = await reload_often(daemon, arguments.reloads)
        until = time.monotonic()
        mass_s, generations = await replace_many(daemon, arguments.mass)
        mass_until = time.monotonic()
        noticed.alive = len(await daemon.sessions())
    noticed.gaps_s = [gap for caller in callers for gap in caller.heard.gaps_s(since, until)]
    noticed.gaps_of_mass_s = [gap for caller in callers for gap in caller.heard.gaps_s(until, mass_until)]
    noticed.recorded, noticed.otherwise = recorded_otherwise(state, [caller.room for caller in talkers])
    print(f"{arguments.edits} edits, one broken and mended, an agent added and deleted, {arguments.calls} calls")
    print(f"  edit to serving                 {ms(taken)}")
    print(f"  {arguments.reloads} reloads, each           {ms(reloads.taken_s)}   p99 {_p99_ms(reloads.taken_s)}")
    print(f"  processor time of a reload      {1000 * reloads.cpu_s:.1f} ms, of all processes")
    print(f"  memory that they left           {reloads.memory_mib:+.1f} MiB, of all processes")
    print(f"  {arguments.mass} files at once            {1000 * mass_s:.0f} ms in {generations} generation(s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--talkers", type=int, default=2, help="of the calls, those under reload: live")
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--mass", type=int, default=200)
    run(main, parser)
