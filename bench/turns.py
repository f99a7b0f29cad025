"""What agentd adds to a turn: python -m bench.turns [--turns 100] [--calls 2]

Real LiveKit server, real VAD, synthesised speech; recogniser, model and synthesiser cost nothing. Prints, for the
default settings and for the fastest: from the caller's last sample to the agent's first audible one at the caller
(v2v), the same less the endpointing delay (what agentd and the transport add), and from the caller's first sample
over the agent's speech to silence (barge-in).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field

from bench.caller import Caller, Server
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, ms, run, speech

FAST = "vad: {provider: silero, min_silence: 100ms}\nturn: {endpointing: {min_delay: 0.1s}}"
SETTINGS = {"default": ("", 0.5), "fastest": (FAST, 0.1)}
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


@dataclass
class Measured:
    v2v_s: list[float] = field(default_factory=list)
    barge_in_s: list[float] = field(default_factory=list)
    first_sound_s: list[float] = field(default_factory=list)
    missed: int = 0


async def measure_turns(server: Server, agent: str, turns: int, measured: Measured) -> None:
    path, _ = speech("When do you open?")
    async with Caller.join(server) as caller:
        await asyncio.sleep(0.5)  # the caller's own joining is not measured
        began = time.monotonic()
        await caller.dispatch(agent)
        measured.first_sound_s.append(await caller.hears_after(began) - began)
        for _ in range(turns):
            await caller.agent_state("listening")
            await asyncio.sleep(0.6)
            _, ended = await caller.say(path)
            try:
                measured.v2v_s.append(await caller.hears_after(ended, 5) - ended)
            except TimeoutError:
                measured.missed += 1


async def measure_barge_ins(server: Server, agent: str, times: int, measured: Measured) -> None:
    question, _ = speech("When do you open?")
    interruption, _ = speech("No, stop, I wanted to ask something else.", seed=1)
    async with Caller.join(server, agent=agent) as caller:
        await caller.agent_state("listening")
        for _ in range(times):
            await asyncio.sleep(0.6)
            _, ended = await caller.say(question)
            try:
                at = await caller.hears_after(ended, 5)
                await asyncio.sleep(max(0.0, at + 0.8 - time.monotonic()))
                began, _ = await caller.say(interruption)
                silent = caller.heard.silent_from(began + 0.02, 0.25)
            except TimeoutError:
                silent = None
            if silent is None:
                measured.missed += 1
            else:
                measured.barge_in_s.append(silent - began)
            await caller.hears_after(time.monotonic(), 5)
            await asyncio.sleep(0.5)
            await caller.chat("stop")
            await asyncio.sleep(1.2)


async def measure(daemon: Daemon, name: str, turns: int, calls: int) -> Measured:
    measured = Measured()
    share = [turns // calls + (number < turns % calls) for number in range(calls)]
    await asyncio.gather(*(measure_turns(daemon.server, f"turns-{name}", count, measured) for count in share))
    await measure_barge_ins(daemon.server, f"barge-{name}", max(5, turns // 5), measured)
    return measured


async def main(arguments: argparse.Namespace) -> None:
    agents = {}
    for name, (extra, _) in SETTINGS.items():
        greeting = f'greeting: {{say: "Hello."}}\n{extra}'
        agents[f"turns-{name}.yaml"] = zero_cost_agent(f"turns-{name}", ["Yes, we do."], extra=greeting)
        agents[f"barge-{name}.yaml"] = zero_cost_agent(f"barge-{name}", [LONG], extra=extra)
    async with livekit() as server, running_daemon(server, agents, workers=1) as daemon:
        for name, (_, delay_s) in SETTINGS.items():
            measured = await measure(daemon, name, arguments.turns, arguments.calls)
            print(f"{name} settings (endpointing {delay_s} s), {arguments.calls} calls at once in one worker")
            print(f"  v2v                     {ms(measured.v2v_s)}")
            print(f"  v2v less endpointing    {ms([v - delay_s for v in measured.v2v_s])}")
            print(f"  barge-in to silence     {ms(measured.barge_in_s)}")
            print(f"  dispatch to first audio {ms(measured.first_sound_s)}")
            print(f"  unanswered              {measured.missed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--calls", type=int, default=2)
    run(main, parser)
