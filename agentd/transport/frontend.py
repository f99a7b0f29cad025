"""What front ends read: the agent's state and the captions of both sides (items 4 and 8 to 10 of the wire notes).

Nothing here makes the conversation wait: states and captions are noted, and two tasks send them. A caption
that could not be sent, because the connection is being mended, is sent whole afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from livekit import rtc
from livekit.rtc.participant import PublishTranscriptionError

from agentd import aio
from agentd.session.room import AgentState

STATE_ATTRIBUTE = "lk.agent.state"
TRANSCRIPTION_TOPIC = "lk.transcription"
SEND_TIMEOUT_S = 5.0
RETRY_S = 0.5
SETTLE_S = 0.5
_STATES_KEPT = 16
_CAPTIONS_KEPT = 64
_ATTEMPTS = 5

log = logging.getLogger(__name__)

_SendFailed = (rtc.StreamError, PublishTranscriptionError, RuntimeError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection to show things on. `legacy` says whether someone needs transcription packets."""

    participant: rtc.LocalParticipant
    track: Callable[[], str]  # the sid of the agent's track
    caller: Callable[[str], tuple[str, str]]  # of whom ("": the linked one): identity and microphone's track, or ""
    legacy: Callable[[], bool]


class _Shown(Protocol):
    attempts: int

    async def send(self, link: Link) -> None:
        """Brings what is shown up to date; whatever changes meanwhile is noted again."""
        ...

    def forget(self) -> None:
        """The last sending failed, or the connection is new: what was sent may be lost."""
        ...


class FrontEnd:
    """Sends states and captions over whichever link is attached."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._attached = asyncio.Event()
        self._states: aio.Channel[AgentState] = aio.Channel(_STATES_KEPT)
        self._state: AgentState | None = None
        self._dirty: dict[str, _Shown] = {}
        self._touched = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def attach(self, link: Link) -> None:
        """Shows things here from now on; the present state at once."""
        self._link = link
        self._attached.set()
        if self._state is not None and not len(self._states):
            self._states.force(self._state)

    def detach(self) -> None:
        """There is no connection: keep what is to be shown."""
        self._link = None
        self._attached.clear()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_states())
            group.create_task(self._send_captions())

    def set_state(self, state: AgentState) -> None:
        if state != self._state:
            self._state = state
            self._states.force(state)

    def open_caption(self, segment_id: str) -> AgentCaption:
        return AgentCaption(segment_id, self._touch)

    def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        self._touch(f"user:{segment_id}", _UserCaption(segment_id, text, final, identity))

    async def settle(self) -> None:
        """Waits, but not long, until the last caption has been sent."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._idle.wait()
        except TimeoutError:
            log.debug("captions were cut by the end of the call")

    def _touch(self, key: str, shown: _Shown) -> None:
        self._dirty.pop(key, None)
        self._dirty[key] = shown
        while len(self._dirty) > _CAPTIONS_KEPT:
            del self._dirty[next(iter(self._dirty))]
        self._idle.clear()
        self._touched.set()

    async def _linked(self) -> Link:
        while self._link is None:
            await self._attached.wait()
        return self._link

    async def _send_states(self) -> None:
        shown: tuple[Link, AgentState] | None = None
        async for state in self._states:
            link = await self._linked()
            if shown == (link, state):
                continue
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await link.participant.set_attributes({STATE_ATTRIBUTE: state})
                shown = (link, state)
            except _SendFailed as error:
                log.info("agent state not shown", extra={"state": state, "reason": str(error)})
                await asyncio.sleep(RETRY_S)
                if not len(self._states):
                    self._states.force(state)

    async def _send_captions(self) -> None:
        while True:
            while not self._dirty:
                self._idle.set()
                self._touched.clear()
                await self._touched.wait()
            link = await self._linked()
            key = next(iter(self._dirty))
            shown = self._dirty.pop(key)
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await shown.send(link)
            except _SendFailed as error:
                await self._failed(key, shown, error)

    async def _failed(self, key: str, shown: _Shown, error: Exception) -> None:
        log.info("caption not shown", extra={"caption": key, "reason": str(error), "attempt": shown.attempts})
        shown.forget()
        shown.attempts += 1
        await asyncio.sleep(RETRY_S)
        if shown.attempts < _ATTEMPTS:
            self._dirty.setdefault(key, shown)


class AgentCaption:
    """Implements agentd.session.room.Caption: one stream of deltas a segment, closed by a final trailer."""

    def __init__(self, segment_id: str, touch: Callable[[str, _Shown], None]) -> None:
        self.attempts = 0
        self._segment_id, self._touch = segment_id, touch
        self._text, self._closed = "", False
        self._link: Link | None = None
        self._writer: rtc.TextStreamWriter | None = None
        self._sent = 0  # characters of the text
        self._trailer_sent = False

    async def write(self, delta: str) -> None:
        if delta and not self._closed:
            self._text += delta
            self._touch(f"agent:{self._segment_id}", self)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._text:
                self._touch(f"agent:{self._segment_id}", self)

    def forget(self) -> None:
        self._writer, self._sent = None, 0

    async def send(self, link: Link) -> None:
        if self._trailer_sent:
            return
        if link is not self._link:
            self.forget()
            self._link = link
        text, closed = self._text, self._closed
        if self._writer is None:
            self._writer = await _open(link, link.track(), self._segment_id, final=False)
        if len(text) > self._sent:
            delta, self._sent = text[self._sent :], len(text)
            await self._writer.write(delta)
        if closed:
            await self._writer.aclose(attributes={"lk.transcription_final": "true"})
            self._trailer_sent = True
        if link.legacy():
            await _legacy(link, link.participant.identity, link.track(), self._segment_id, text, final=closed)


class _UserCaption:
    """One interim or the final text of somebody's utterance: a complete stream of its own."""

    def __init__(self, segment_id: str, text: str, final: bool, identity: str) -> None:
        self.attempts = 0
        self._segment_id, self._text, self._final = segment_id, text, final
        self._identity = identity

    def forget(self) -> None:
        pass  # each sending is whole

    async def send(self, link: Link) -> None:
        identity, track_sid = link.caller(self._identity)
        writer = await _open(link, track_sid, self._segment_id, final=self._final, sender=identity)
        if self._text:
            await writer.write(self._text)
        await writer.aclose()
        if identity and link.legacy():
            await _legacy(link, identity, track_sid, self._segment_id, self._text, final=self._final)


async def _open(
    link: Link, track_sid: str, segment_id: str, *, final: bool, sender: str | None = None
) -> rtc.TextStreamWriter:
    attributes = {"lk.segment_id": segment_id, "lk.transcription_final": "true" if final else "false"}
    if track_sid:
        attributes["lk.transcribed_track_id"] = track_sid
    return await link.participant.stream_text(
        topic=TRANSCRIPTION_TOPIC, attributes=attributes, sender_identity=sender or None
    )


async def _legacy(link: Link, identity: str, track_sid: str, segment_id: str, text: str, *, final: bool) -> None:
    segment = rtc.TranscriptionSegment(id=segment_id, text=text, start_time=0, end_time=0, language="", final=final)
    await link.participant.publish_transcription(
        rtc.Transcription(participant_identity=identity, track_sid=track_sid, segments=[segment])
    )
