"""What operators asked running calls to say, and what became of it: the supervisor's own little table.

A worker tells of every speech that was asked for, whoever asked; the table knows those that came through it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from agentd.runtime.messages import SpeechChanged
from agentd.runtime.status import SpeechStatus
from agentd.session.records import Record

KEPT = 1_000  # of all calls; the oldest go first

Key = tuple[str, str]


class SpeechTable:
    """Owned by the supervisor; on its loop."""

    def __init__(self) -> None:
        self._speeches: OrderedDict[Key, SpeechStatus] = OrderedDict()
        self._ends: dict[Key, asyncio.Event] = {}

    def open(self, session: str) -> str:
        """A name for one more speech of this call, which is now on its way to it."""
        speech = f"speech-{secrets.token_hex(6)}"
        self._speeches[session, speech] = SpeechStatus(id=speech, session=session)
        self._ends[session, speech] = asyncio.Event()
        while len(self._speeches) > KEPT:
            oldest, _ = self._speeches.popitem(last=False)
            self._ended(oldest)
        return speech

    def get(self, session: str, speech: str) -> SpeechStatus | None:
        return self._speeches.get((session, speech))

    def of_session(self, session: str) -> tuple[SpeechStatus, ...]:
        """In the order in which they were asked for."""
        return tuple(status for (of, _), status in self._speeches.items() if of == session)

    def changed(self, message: SpeechChanged) -> None:
        key = (message.session, message.speech)
        if key not in self._speeches:
            return
        state, interrupted = message.state, message.interrupted
        self._speeches[key] = replace(self._speeches[key], state=state, interrupted=interrupted, taken=True)
        if message.state == "done":
            self._ended(key)

    def lost(self, sessions: Iterable[str], *, taken: bool) -> None:
        """These calls lost their worker, and with it what they had not taken yet; or, with `taken`, they ended."""
        gone = set(sessions)
        for key, status in list(self._speeches.items()):
            if key[0] in gone and status.state != "done" and (taken or not status.taken):
                self._speeches[key] = replace(status, state="done", interrupted=True)
                self._ended(key)

    async def wait(self, session: str, speech: str, limit_s: float) -> None:
        """Until it is done, or for this long."""
        end = self._ends.get((session, speech))
        if end is None:
            return
        try:
            async with asyncio.timeout(limit_s):
                await end.wait()
        except TimeoutError:
            return

    def _ended(self, key: Key) -> None:
        end = self._ends.pop(key, None)
        if end is not None:
            end.set()


def speech_change(record: Record, session: str) -> SpeechChanged | None:
    """What this record says of a speech that was asked for. Pure."""
    data = record.data
    match record.kind:
        case "speech.created" if data["requested"]:
            return SpeechChanged(session=session, speech=data["speech"], state="queued")
        case "reply.started" if data.get("purpose") in ("say", "reply"):
            return SpeechChanged(session=session, speech=data["speech"], state="speaking")
        case "speech.finished" if data["requested"]:
            return SpeechChanged(
                session=session, speech=data["speech"], state="done", interrupted=bool(data["interrupted"])
            )
    return None
