"""Files change under calls: python -m bench.reload [--calls 10] [--edits 20] [--reloads 1000] [--mass 1000]

Ten calls hear a steady tone on a real LiveKit server while agent files are edited, broken, mended, added, deleted and
replaced by the hundred. Prints the time from an edit to its serving (new calls get it), median and worst; of
`--reloads` edits that are asked for one after the other, how long each takes, what of the processors it takes and what
it leaves in memory; the time for the mass replacement (one generation); and what the calls noticed: gaps in the tone,
and calls that ended.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.caller import Caller
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, ms, quantile, run

GAP_S = 0.06  # silence within the tone that a caller would hear
RESTING_S = 5.0  # of calls alone, to know what they take
RELOAD_S = 0.5  # what one may take, for the length of the tone


def steady_agent(seconds: float = 230.0) -> str:
    """Speaks one long tone."""
    text = " ".join(["steady"] * max(1, round(seconds / len("steady "))))
    return zero_cost_agent("steady", [text], character="1s")


def edited(revision: int) -> str:
    return zero_cost_agent("edited", [f"This is revision {revision}."])


async def revision_of(daemon: Daemon, name: str) -> str:
    return next((str(agent["revision"]) for agent in await daemon.agents() if agent["name"] == name), "")


async def measure_edits(daemon: Daemon, edits: int) -> list[float]:
    """Seconds from each write to the moment at which the daemon serves the new revision."""
    taken = []
    for number in range(edits):
        before = await revision_of(daemon, "edited")
        began = time.monotonic()
        (daemon.agents_dir / "edited.yaml").write_text(edited(number + 1))

        async def serves(before: str = before) -> bool:
            return await revision_of(daemon, "edited") != before

        taken.append(await daemon.until(serves, 10, 0.01) - began)
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """`taken_s`: of each, from the request to its answer. `cpu_s`: of one, of all processes, beyond what the calls took
    before. `memory_mib`: what all of them have left behind."""

    taken_s: list[float]
    cpu_s: float
    memory_mib: float


async def reload_often(daemon: Daemon, count: int) -> Reloads:
    """Each with an edit of its own, one after the other."""
    resting_cpu, resting_from = daemon.cpu_s(), time.monotonic()
    await asyncio.sleep(RESTING_S)
    began, cpu, memory = time.monotonic(), daemon.cpu_s(), daemon.memory_mib()
    resting = (cpu - resting_cpu) / (began - resting_from)
    taken: list[float] = []
    for number in range(count):
        (daemon.agents_dir / "edited.yaml").write_text(edited(100_000 + number))
        asked = time.monotonic()
        status, outcome = await daemon.post("/v1/reload")
        assert status == 200, outcome
        assert outcome["changed"], "the edit was not seen"
        taken.append(time.monotonic() - asked)
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
    path.write_text(edited(edits + 1))

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


def gaps_s(caller: Caller, since: float, until: float) -> list[float]:
    """Stretches of silence over GAP_S within the span."""
    found, at = [], since
    while (silent := caller.heard.silent_from(at, GAP_S)) is not None and silent < until:
        again = caller.heard.sound_after(silent)
        at = until if again is None else again
        found.append(min(at, until) - silent)
    return found


def _p99_ms(taken_s: list[float]) -> str:
    return f"{1000 * quantile(taken_s, 0.99):.0f} ms"


async def main(arguments: argparse.Namespace) -> None:
    tone_s = 230.0 + RELOAD_S * arguments.reloads
    agents = {"steady.yaml": steady_agent(tone_s), "edited.yaml": edited(0)}
    async with livekit() as server, running_daemon(server, agents, workers=2) as daemon:
        async with steady_calls(daemon, arguments.calls) as callers:
            since = time.monotonic()
            taken = await measure_edits(daemon, arguments.edits)
            await break_and_mend(daemon, arguments.edits)
            await add_and_delete(daemon)
            reloads = await reload_often(daemon, arguments.reloads)
            until = time.monotonic()
            mass_s, generations = await replace_many(daemon, arguments.mass)
            mass_until = time.monotonic()
            alive = sum(session["agent"] == "steady" for session in await daemon.sessions())
        quiet = [gap for caller in callers for gap in gaps_s(caller, since, until)]
        during_mass = [gap for caller in callers for gap in gaps_s(caller, until, mass_until)]
        print(f"{arguments.edits} edits, one broken and mended, an agent added and deleted, {arguments.calls} calls")
        print(f"  edit to serving                 {ms(taken)}")
        print(f"  {arguments.reloads} reloads, each           {ms(reloads.taken_s)}   p99 {_p99_ms(reloads.taken_s)}")
        print(f"  processor time of a reload      {1000 * reloads.cpu_s:.1f} ms, of all processes")
        print(f"  memory that they left           {reloads.memory_mib:+.1f} MiB, of all processes")
        print(f"  {arguments.mass} files at once            {1000 * mass_s:.0f} ms in {generations} generation(s)")
        print(f"  calls still running             {alive} of {arguments.calls}")
        print(f"  gaps over {1000 * GAP_S:.0f} ms, edits         {ms(quiet) if quiet else 'none'}")
        print(f"  gaps over {1000 * GAP_S:.0f} ms, mass          {ms(during_mass) if during_mass else 'none'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--mass", type=int, default=200)
    run(main, parser)
