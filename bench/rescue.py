"""A killed worker's calls: python -m bench.rescue [--calls 10] [--kills 3] [--daemon]

Ten calls on a real LiveKit server, in two workers; the keyless dialogue knows how many people each caller named
(callers differ). One worker gets SIGKILL. Prints the silence that the callers of that worker heard, from the kill to
the agent's next audible sample, and how many still have their number of people in the conversation afterwards.

With `--daemon` the daemon gets the SIGKILL, and another is started at once over its state: the silence of all callers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from dataclasses import dataclass

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.figures import ms
from bench.daemon import Daemon, running_daemon
from bench.figures import livekit, run

AGENT = """\
version: 1
name: rescue
greeting: {say: "How many people?"}
stt: {provider: scripted}
tts: {provider: scripted, character: 30ms}
llm:
  provider: scripted
  dialogue:
    start: people
    states:
      people:
        say: "How many people?"
        expect: [{match: ["{people:number} people"], goto: check}]
      check:
        say: "You said {people} people, is that right?"
        expect: [{match: ["what did I say"], repeat: true}, {match: ["yes"], goto: people}]
"""


@dataclass
class Outcome:
    silence_s: float | None
    remembered: bool


async def talk_and_survive(
    server: Server, people: int, told: asyncio.Barrier, killed: asyncio.Future[float], hit: set[str]
) -> Outcome | None:
    """One caller: says a number, lives through the kill, asks what they said. None when their worker was not hit."""
    async with Caller.join(server, agent="rescue", ear_frame_ms=50) as caller:
        await caller.agent_state("listening", 15)
        await caller.chat(f"{people} people")
        expected = f"You said {people} people"
        await caller.until(lambda: _said(caller, expected), 15)
        await caller.until(lambda: caller.heard.silent_from(caller.captions[-1].at, 1.0) is not None, 15)
        await told.wait()
        at = await killed
        if caller.room not in hit:
            return None
        try:
            silence = await caller.hears_after(at + 0.02, 15) - at
        except TimeoutError:
            return Outcome(None, False)
        await caller.until(
            lambda: [seen.state for seen in caller.states if seen.at > at][-2:] == ["speaking", "listening"], 15
        )
        before = len(caller.captions)
        await caller.chat("what did I say")
        try:
            await caller.until(lambda: _said(caller, expected, before), 10)
        except TimeoutError:
            return Outcome(silence, False)
        return Outcome(silence, True)


def _said(caller: Caller, text: str, since: int = 0) -> bool:
    return any(text in caption.text for caption in caller.captions[since:])


async def kill_once(daemon: Daemon, calls: int) -> list[Outcome]:
    told, killed, hit = asyncio.Barrier(calls + 1), asyncio.get_running_loop().create_future(), set[str]()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(talk_and_survive(daemon.server, 2 + number, told, killed, hit)) for number in range(calls)
        ]
        await told.wait()
        worker = max(await daemon.workers(), key=lambda w: int(w["sessions"]))
        hit |= {s["room"] for s in await daemon.sessions() if s["worker"] == worker["id"]}
        at = time.monotonic()
        os.kill(int(worker["pid"]), signal.SIGKILL)
        killed.set_result(at)
    return [outcome for task in tasks if (outcome := task.result()) is not None]


async def kill_daemon_once(server: Server, calls: int) -> list[Outcome]:
    """The whole daemon, and from the same instant another over its state."""
    told, killed, hit = asyncio.Barrier(calls + 1), asyncio.get_running_loop().create_future(), set[str]()
    with tempfile.TemporaryDirectory(prefix="agentd-rescue-") as state:
        options = {"workers": 2, "environment": {"AGENTD_STORE": state, "AGENTD_ALONE_TIMEOUT": "0"}}
        async with running_daemon(server, {"rescue.yaml": AGENT}, **options) as daemon, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(talk_and_survive(server, 2 + number, told, killed, hit)) for number in range(calls)
            ]
            await told.wait()
            hit |= {session["room"] for session in await daemon.sessions()}
            killed.set_result(time.monotonic())
            await daemon.kill()
            async with running_daemon(server, {"rescue.yaml": AGENT}, **options):
                await asyncio.wait(tasks)
    return [outcome for task in tasks if (outcome := task.result()) is not None]


async def main(arguments: argparse.Namespace) -> None:
    await (kill_daemons if arguments.daemon else kill_workers)(arguments)


async def kill_daemons(arguments: argparse.Namespace) -> None:
    outcomes: list[Outcome] = []
    async with livekit() as server:
        for _ in range(arguments.kills):
            outcomes += await kill_daemon_once(server, arguments.calls)
    print(f"{arguments.kills} kills of the daemon under {arguments.calls} calls; {len(outcomes)} calls were hit")
    show(outcomes)


async def kill_workers(arguments: argparse.Namespace) -> None:
    outcomes: list[Outcome] = []
    async with livekit() as server, running_daemon(server, {"rescue.yaml": AGENT}, workers=2) as daemon:
        for _ in range(arguments.kills):
            outcomes += await kill_once(daemon, arguments.calls)

            async def whole() -> bool:
                return not await daemon.sessions() and [w["state"] for w in await daemon.workers()] == [
                    "ready",
                    "ready",
                ]

            await daemon.until(whole, 30)
    print(
        f"{arguments.kills} kills of one of two workers under {arguments.calls} calls; {len(outcomes)} calls were hit"
    )
    show(outcomes)


def show(outcomes: list[Outcome]) -> None:
    silences = [outcome.silence_s for outcome in outcomes if outcome.silence_s is not None]
    print(f"  silence until the agent is heard again  {ms(silences)}")
    print(f"  calls that went on                      {len(silences)} of {len(outcomes)}")
    print(f"  calls that knew what was said before    {sum(o.remembered for o in outcomes)} of {len(outcomes)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--daemon", action="store_true", help="kill the whole daemon")
    run(main, parser)
