"""What agentd adds to a turn: python -m bench.turns [--turns 100] [--calls 2] [--peer livekit-agents]

Real LiveKit server, real VAD, synthesised speech; recogniser, model and synthesiser cost nothing. Prints, for the
default settings and for the fastest: from the caller's last sample to the agent's first audible one at the caller
(v2v), the same less the endpointing delay (what agentd and the transport add), from the caller's first sample
over the agent's speech to silence (barge-in), and from a dispatch to the first sound of the greeting.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.figures import ms
from agentd.loadtest.steps import settled
from bench.figures import livekit, ratio, run, speech
from bench.peers import add_peer_option, subjects
from bench.subject import AGENT_NAME, ENDPOINTING_S, Agent, Agentd, Settings, Subject

QUESTION = "When do you open?"
INTERRUPTION = "No, stop, I wanted to ask something else."
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
UNMEASURED = 2  # barge-ins: a peer takes none in the first three seconds of its speech


@dataclass
class Measured:
    v2v_s: list[float] = field(default_factory=list)
    barge_in_s: list[float] = field(default_factory=list)
    first_sound_s: list[float] = field(default_factory=list)
    missed: int = 0
    cut_ins: int = 0  # answered before the caller had ended


ROWS: dict[str, Callable[[Measured], list[float]]] = {
    "v2v": lambda measured: measured.v2v_s,
    "barge-in to silence": lambda measured: measured.barge_in_s,
    "dispatch to first audio": lambda measured: measured.first_sound_s,
}


async def measure_dispatch(server: Server, measured: Measured) -> None:
    async with Caller.join(server) as caller:
        await asyncio.sleep(0.5)  # the caller's own joining is not measured
        began = time.monotonic()
        await caller.dispatch(AGENT_NAME)
        measured.first_sound_s.append(await caller.hears_after(began) - began)
        await asyncio.sleep(0.5)


async def measure_turns(server: Server, turns: int, measured: Measured) -> None:
    path, _ = speech(QUESTION)
    async with Caller.join(server, agent=AGENT_NAME) as caller:
        await caller.hears_after(0)
        for _ in range(turns):
            await caller.agent_state("listening")
            await asyncio.sleep(0.6)
            began, ended = await caller.say(path)
            if caller.heard.audible_s(began, ended) > 0.05:
                measured.cut_ins += 1
                continue
            try:
                measured.v2v_s.append(await caller.hears_after(ended, 5) - ended)
            except TimeoutError:
                measured.missed += 1


async def measure_barge_ins(server: Server, times: int, measured: Measured) -> None:
    """Every answer is interrupted; the answer to one interruption is what the next one interrupts."""
    question, _ = speech(QUESTION)
    interruption, _ = speech(INTERRUPTION, seed=1)
    async with Caller.join(server, agent=AGENT_NAME) as caller:
        await caller.agent_state("listening")
        await asyncio.sleep(0.6)
        _, ended = await caller.say(question)
        for number in range(UNMEASURED + times):
            try:
                at = await caller.hears_after(ended, 5)
            except TimeoutError:
                measured.missed += 1
                _, ended = await caller.say(question)
                continue
            await asyncio.sleep(max(0.0, at + 0.8 - time.monotonic()))
            began, ended = await caller.say(interruption)
            silent = caller.heard.silent_from(began + 0.02, 0.25)
            if number < UNMEASURED:
                continue
            if silent is None:
                measured.missed += 1
            else:
                measured.barge_in_s.append(silent - began)


async def measure(subject: Subject, server: Server, settings: Settings, turns: int, calls: int, to: Measured) -> None:
    async with subject.serving(server, Agent(reply="Yes, we do.", greeting="Hello.", settings=settings)) as serving:
        await settled(serving)
        for _ in range(max(3, turns // 8)):
            await measure_dispatch(server, to)
        await settled(serving)
        share = [turns // calls + (number < turns % calls) for number in range(calls)]
        await asyncio.gather(*(measure_turns(server, count, to) for count in share))
    async with subject.serving(server, Agent(reply=LONG, settings=settings)) as serving:
        await settled(serving)
        await measure_barge_ins(server, max(5, turns // 5), to)


def report(name: str, measured: Measured, endpointing_s: float) -> None:
    print(f"  {name}")
    print(f"    v2v                     {ms(measured.v2v_s)}")
    print(f"    v2v less endpointing    {ms([v - endpointing_s for v in measured.v2v_s])}")
    print(f"    barge-in to silence     {ms(measured.barge_in_s)}")
    print(f"    dispatch to first audio {ms(measured.first_sound_s)}")
    print(f"    unanswered              {measured.missed}, answered too early {measured.cut_ins}")


async def main(arguments: argparse.Namespace) -> None:
    compared = subjects(Agentd(workers=1), arguments.peer)
    async with livekit() as server:
        for settings, endpointing_s in ENDPOINTING_S.items():
            found = [Measured() for _ in compared]
            rounds = len(compared)  # each subject once first and once last, so that a drift of the machine hits both
            for number in range(rounds):
                turns = arguments.turns // rounds + (number < arguments.turns % rounds)
                for subject, measured in list(zip(compared, found, strict=True))[:: -1 if number % 2 else 1]:
                    await measure(subject, server, settings, turns, arguments.calls, measured)
            print(f"{settings} settings (endpointing {endpointing_s} s), {arguments.calls} calls at once")
            for subject, measured in zip(compared, found, strict=True):
                report(subject.name, measured, endpointing_s)
            for peer, measured in zip(compared[1:], found[1:], strict=True):
                ratios = [f"{row} {ratio(of(found[0]), of(measured))}" for row, of in ROWS.items()]
                print(f"  medians, {compared[0].name} / {peer.name}: {', '.join(ratios)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--calls", type=int, default=2)
    add_peer_option(parser)
    run(main, parser)
