"""Who is measured: agentd with a detector, livekit-agents with one. All hear with the same recogniser, speak with the
same voice, and give the same answers."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from agentd.loadtest.caller import Server
from agentd.loadtest.steps import Serving, ServingDaemon
from bench.daemon import running_daemon
from bench.peers.livekit_agents import LiveKitAgents, running_worker
from bench.subject import AGENT_NAME
from bench.turn_taking.phrases import GREETING, STORIES

ROOT = Path(__file__).parents[2]
PEER_WORKER = ROOT / "bench" / "peers" / "livekit_agents_speech.py"
DEFAULT_SUBJECTS = ("agentd:vad", "livekit-agents:default", "livekit-agents:vad")

AGENTD_DETECTORS = {
    "vad": "turn: {detection: vad}",
    "model": "turn_detector: {provider: smart-turn}\nturn: {detection: model}",
    "auto": "turn: {detection: auto}",
    "dynamic": "turn: {detection: auto, endpointing: {mode: dynamic}}",
}
PEER_DETECTORS = ("default", "vad")

AGENT = """\
version: 1
name: {name}
language: en
greeting: {{say: {greeting}}}
vad: {{provider: silero}}
stt: {{provider: whisper}}
tts: {{provider: hibari}}
llm: {{provider: scripted, replies: {replies}}}
{extra}
"""


class TurnTaker(Protocol):
    name: str

    def serving(self, server: Server) -> AbstractAsyncContextManager[Serving]: ...


class Agentd:
    def __init__(self, detector: str) -> None:
        """`detector`: a key of AGENTD_DETECTORS, or NAME=YAML with the agent file's further lines."""
        name, _, text = detector.partition("=")
        if not text and name not in AGENTD_DETECTORS:
            raise ValueError(f'no detector "{name}"; known: {", ".join(AGENTD_DETECTORS)}, or NAME=YAML')
        self.name = f"agentd {name}"
        self.file = AGENT.format(
            name=AGENT_NAME,
            greeting=json.dumps(GREETING),
            replies=json.dumps(STORIES),
            extra=text or AGENTD_DETECTORS[name],
        )

    @asynccontextmanager
    async def serving(self, server: Server) -> AsyncIterator[Serving]:
        async with running_daemon(server, {f"{AGENT_NAME}.yaml": self.file}, workers=1) as daemon:
            yield ServingDaemon(daemon)


class Peer:
    def __init__(self, detector: str) -> None:
        if detector not in PEER_DETECTORS:
            raise ValueError(f'no detector "{detector}"; known: {", ".join(PEER_DETECTORS)}')
        self.name = f"{LiveKitAgents.name} {detector}"
        self._detector = detector

    @asynccontextmanager
    async def serving(self, server: Server) -> AsyncIterator[Serving]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        told = {
            "BENCH_GREETING": GREETING,
            "BENCH_REPLIES": json.dumps(STORIES),
            "BENCH_DETECTOR": self._detector,
            "PYTHONPATH": path,
        }
        async with running_worker(server, PEER_WORKER, told) as serving:
            yield serving


_MAKERS: dict[str, Callable[[str], TurnTaker]] = {"agentd": Agentd, "livekit-agents": Peer}


def subject(text: str) -> TurnTaker:
    """From SUBJECT:DETECTOR. Raises ValueError for what is not known."""
    who, _, detector = text.partition(":")
    if who not in _MAKERS or not detector:
        raise ValueError(f'"{text}" is no SUBJECT:DETECTOR; subjects: {", ".join(_MAKERS)}')
    return _MAKERS[who](detector)
