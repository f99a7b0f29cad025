"""Others' ways to run voice agents on LiveKit, as subjects of the same benchmarks. None is imported into agentd's
environment: each runs in one of its own, made by `python -m bench.peers.setup`."""

from __future__ import annotations

from argparse import ArgumentParser

from bench.peers.livekit_agents import LiveKitAgents
from bench.subject import Subject

PEERS: dict[str, type[LiveKitAgents]] = {"livekit-agents": LiveKitAgents}


def add_peer_option(parser: ArgumentParser) -> None:
    parser.add_argument("--peer", choices=sorted(PEERS), help="measure it in the same run, in turns, and print ratios")


def subjects(ours: Subject, peer: str | None) -> list[Subject]:
    return [ours, PEERS[peer]()] if peer else [ours]
