"""The benchmarks' caller, for tests: it speaks recorded and synthesised sound, and its call's journal is read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from agentd.audio import AudioFrame
from agentd.loadtest.caller import Caller, Caption, Server
from agentd.loadtest.heard import Heard
from agentd.loadtest.microphone import tone
from agentd.session.journal import read_journal
from agentd.session.records import Record
from agentd.transport.tokens import LiveKitCredentials

__all__ = ["Caller", "Caption", "Heard", "Server", "tone", "server_of", "speak", "spoken", "ended_journal"]

AUDIBLE = 1_000  # of int16; the recordings' own noise stays below it


def server_of(credentials: LiveKitCredentials) -> Server:
    return Server(credentials.url, credentials.api_key, credentials.api_secret)


async def speak(caller: Caller, sound: AudioFrame) -> tuple[float, float]:
    """Says it; returns when it began and when its last audible sound was said.

    Recordings end in up to a second of silence, and an agent that is fast answers within it.
    """
    samples = np.array(sound.array())
    began, ended = await caller.say(samples, sound.sample_rate_hz)
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE)
    silent = len(samples) - 1 - int(audible[-1]) if len(audible) else 0
    return began, max(began, ended - silent / sound.sample_rate_hz)


async def spoken(caller: Caller, since: float, timeout_s: float = 25.0) -> None:
    """Waits until the agent has begun to speak after `since`, and has finished."""
    await caller.until(lambda: any(s.state == "speaking" and s.at > since for s in caller.states), timeout_s)
    await caller.agent_state("listening", timeout_s)


async def ended_journal(state: Path, room: str) -> list[Record]:
    """The journal of the room's session, once the session has ended."""
    async with asyncio.timeout(15):
        while True:
            for path in state.rglob("*.journal"):
                records = read_journal(path)
                if records and records[0].data.get("room") == room and any(r.kind == "session.ended" for r in records):
                    return records
            await asyncio.sleep(0.1)
