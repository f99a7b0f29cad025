"""Where the silence goes: python -m bench.latency [--turns 8] [--model-delay 0.4]

One caller on a real LiveKit server, real VAD, synthesised speech, and a model of known delay whose answer is begun
after the turn has ended, early, or early with its sound. Prints what the caller heard (from the last sample of speech
to the first audible one of the answer), what agentd's stages add up to for the same turns, and the difference:
transport and jitter buffer on both ways, which agentd cannot see.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.figures import ms, quantile
from agentd.runtime.journals import SUFFIX
from agentd.session.journal import read_journal
from agentd.session.timing import STAGES, TOTAL
from bench.daemon import Daemon, running_daemon
from bench.figures import livekit, run, speech

QUESTION = "When do you open?"
AGENT = """\
version: 1
name: bench
greeting: {{say: "Hello."}}
vad: {{provider: silero}}
stt: {{provider: scripted, texts: ["utterance {{number}}"]}}
llm: {{provider: scripted, replies: ["Yes, we do."], first_delay: {delay}s}}
tts: {{provider: scripted, character: 40ms, delay: {voice_delay}s}}
turn: {{preemptive: {{llm: {llm}, tts: {tts}}}}}
"""
MODES: Mapping[str, tuple[str, str]] = {
    "after the turn": ("false", "false"),
    "early": ("true", "false"),
    "early, with sound": ("true", "true"),
}


@dataclass
class Measured:
    """Of the same turns, in the same order: seconds that the caller heard, and agentd's stages."""

    heard_s: list[float] = field(default_factory=list)
    stages: list[Mapping[str, float]] = field(default_factory=list)

    def of(self, stage: str) -> list[float]:
        return [turn.get(stage, 0.0) for turn in self.stages]

    @property
    def unseen_s(self) -> list[float]:
        return [heard - turn[TOTAL] for heard, turn in zip(self.heard_s, self.stages, strict=True)]


async def talk(server: Server, daemon: Daemon, turns: int) -> Measured:
    """One call of so many turns."""
    path, _ = speech(QUESTION)
    measured = Measured()
    async with Caller.join(server, agent="bench") as caller:
        await caller.hears_after(0)
        for _ in range(turns):
            await caller.agent_state("listening")
            await asyncio.sleep(0.6)
            _, ended = await caller.say(path)
            measured.heard_s.append(await caller.hears_after(ended, 8) - ended)
        await caller.agent_state("listening")
    measured.stages = answers(daemon)[:turns]
    return measured


def answers(daemon: Daemon) -> list[Mapping[str, float]]:
    """The latencies of every answer in the daemon's one journal."""
    (path,) = (daemon.agents_dir.parent / "state" / "sessions").glob(f"*{SUFFIX}")
    return [
        record.data["latencies"]
        for record in read_journal(path)
        if record.kind == "turn.agent" and TOTAL in record.data["latencies"]
    ]


def report(mode: str, measured: Measured) -> None:
    print(f"answered {mode}")
    print(f"  heard by the caller      {ms(measured.heard_s)}")
    print(f"  e2e, as agentd tells     {ms(measured.of(TOTAL))}")
    print(f"  transport, not in e2e    {ms(measured.unseen_s)}")
    medians = {stage: 1000 * quantile(measured.of(stage), 0.5) for stage in STAGES}
    shown = [f"{stage} {value:.0f} ms" for stage, value in medians.items() if value]
    print(f"  medians of the stages    {', '.join(shown)}")
    wrong = [turn for turn in measured.stages if abs(sum(turn.get(s, 0.0) for s in STAGES) - turn[TOTAL]) > 1e-6]
    print(f"  turns whose stages do not add up: {len(wrong)} of {len(measured.stages)}", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    print(f"a model of {arguments.model_delay} s and a voice of {arguments.voice_delay} s, endpointing 0.5 s")
    async with livekit() as server:
        for mode, (llm, tts) in MODES.items():
            agent = AGENT.format(llm=llm, tts=tts, delay=arguments.model_delay, voice_delay=arguments.voice_delay)
            async with running_daemon(server, {"bench.yaml": agent}, workers=1) as daemon:
                report(mode, await talk(server, daemon, arguments.turns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--model-delay", type=float, default=0.4, help="seconds to the model's first word")
    parser.add_argument("--voice-delay", type=float, default=0.1, help="seconds to the first sound of a sentence")
    run(main, parser)
