"""Calls under `reload: live` while their file is edited again and again: is each turn of one revision?

The file's model says its number, the pitch of its voice tells it too, and the call's journal names the revision by
which the turn was. A turn is whole when the three agree.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from agentd.config.daemon import load_daemon
from agentd.config.load import load
from agentd.loadtest.caller import Caller
from agentd.loadtest.heard import AUDIBLE_DBFS
from agentd.loadtest.microphone import EAR_HZ
from agentd.registry import installed
from agentd.session.journal import read_journal
from bench.daemon import zero_cost_agent

PITCHES = 24
LOWEST_HZ, STEP_HZ = 300, 40
NEAR_HZ = 18.0
PIECE_S = 0.1
SETTLE_S = 0.4  # what the agent has played is heard by then
NUMBER = re.compile(r"revision (\d+)")


def live_agent(number: int) -> str:
    """The file's `number`th version."""
    answer = f"By revision {number}: {{text}}. That was by revision {number}."
    text = zero_cost_agent("edited", [answer], character="20ms", extra="reload: live")
    return text.replace("sound: tone", f"sound: tone, frequency_hz: {pitch_hz(number)}")


def pitch_hz(number: int) -> int:
    """Of the voice of the file's `number`th version; those near each other differ."""
    return LOWEST_HZ + STEP_HZ * (number % PITCHES)


@cache
def revision(number: int) -> str:
    """The digest that agentd gives the file's `number`th version."""
    file = "edited.yaml"
    found = load(Path(), load_daemon(None, {}).config, installed(), {}, only=(file,), drafts={file: live_agent(number)})
    return found.agents["edited"].revision


def pitches_hz(samples: np.ndarray) -> list[int]:
    """Of each piece of PIECE_S that is audible: its strongest frequency. `samples`: int16 at EAR_HZ. Pure."""
    length = round(PIECE_S * EAR_HZ)
    pieces = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    audible = pieces[(pieces**2).mean(axis=1) > 32768**2 * 10 ** (AUDIBLE_DBFS / 10)]
    strongest = np.abs(np.fft.rfft(audible * np.hanning(length))).argmax(axis=1)
    return [round(each / PIECE_S) for each in strongest]


@dataclass(frozen=True, slots=True)
class Turn:
    """An answer: the versions that its text names, and the pitches of its sound, piece by piece."""

    numbers: frozenset[int]
    heard_hz: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Of one version, the sound too. A piece that is off by itself is what the codec makes of a tone's end."""
        if len(self.numbers) != 1 or not self.heard_hz:
            return False
        off = [abs(heard - pitch_hz(min(self.numbers))) > NEAR_HZ for heard in self.heard_hz]
        return not any(first and second for first, second in pairwise(off))


async def talk(caller: Caller, turns: list[Turn], until: asyncio.Event) -> None:
    """Adds each answer to `turns`, one question after the other. Raises TimeoutError where none comes."""
    number = 0
    while not until.is_set():
        number += 1
        words = f"question {number} of {caller.identity}"
        await caller.agent_state("listening", 20)
        await asyncio.sleep(SETTLE_S)
        began = time.monotonic()
        await caller.chat(words)
        await caller.until(lambda since=began: any(s.state == "speaking" and s.at > since for s in caller.states), 20)
        await caller.agent_state("listening", 20)
        await asyncio.sleep(SETTLE_S)
        said = " ".join(each.text for each in caller.agent_captions() if each.ended and each.at > began)
        numbers = frozenset(int(each) for each in NUMBER.findall(said))
        turns.append(Turn(numbers, tuple(pitches_hz(caller.heard.samples(began)))))


def recorded_otherwise(state: Path, rooms: Sequence[str]) -> tuple[int, int]:
    """Of the rooms' calls: how many answers their journals have, and how many of these do not name the one version by
    whose revision they were, as the record has it."""
    answers = wrong = 0
    for path in state.rglob("*.journal"):
        records = read_journal(path)
        if not records or records[0].data.get("room") not in rooms:
            continue
        for record in records:
            if record.kind == "turn.agent" and (named := {int(each) for each in NUMBER.findall(record.data["text"])}):
                answers += 1
                wrong += {revision(number) for number in named} != {record.data["revision"]}
    return answers, wrong
