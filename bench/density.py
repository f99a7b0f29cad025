"""Calls on this machine: python -m bench.density [--calls 1 5 10 16 20] [--seconds 20] [--peer livekit-agents]

Every caller hears the agent 40 % of the time (answers of 2 s in rounds of 5) and asks in between; recogniser, model and
synthesiser cost nothing, the VAD is real. LiveKit server, callers and agents share the machine, so the figures are
worse than on a machine of the agent's own. For each number of calls: CPU of its processes a call, memory (PSS) a
call, the event-loop lag of the workers, v2v, and how much of the agent's sound arrived.
"""

from __future__ import annotations

import argparse

from agentd.loadtest.caller import Server
from agentd.loadtest.steps import Step, Talk, measure, settled
from agentd.loadtest.verdict import told
from bench.figures import livekit, ratio, run, speech
from bench.peers import add_peer_option, subjects
from bench.subject import AGENT_NAME, Agent, Agentd, Subject

ANSWER = "This is an answer of just about two seconds ok."
CHARACTER_S = 0.04


async def measured(subject: Subject, server: Server, calls: int, seconds: float) -> Step:
    question, _ = speech("When do you open?")
    talk = Talk(
        agent=AGENT_NAME, question=question, seconds=seconds, patience_s=2.5, answer_s=CHARACTER_S * len(ANSWER)
    )
    async with subject.serving(server, Agent(reply=ANSWER)) as serving:
        await settled(serving)
        return await measure(serving, server, calls, talk)


async def main(arguments: argparse.Namespace) -> None:
    compared = subjects(Agentd(workers=2), arguments.peer)
    async with livekit() as server:
        for calls in arguments.calls:
            points = [await measured(subject, server, calls, arguments.seconds) for subject in compared]
            for subject, point in zip(compared, points, strict=True):
                print(f"{subject.name}: {told(point)}")
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
