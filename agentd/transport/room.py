"""A LiveKit room as a session sees it (agentd.session.room.Room): joined, kept joined, and left.

The rtc engine mends short breaks by itself. When it gives up, the room is joined again here, with a fresh
token and full jitter, until that works or the room is known to be gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from agentd import aio
from agentd.audio import AudioFrame
from agentd.errors import RoomLost
from agentd.session.room import AgentState, CallerChanged, KeyPressed, RoomClosed, RoomEvent, TextReceived
from agentd.transport import chat, dtmf, linking, preconnect
from agentd.transport.audio_in import RtcAudioIn
from agentd.transport.audio_out import RtcAudioOut
from agentd.transport.caller import LinkedCaller, caller_of, in_order_of_joining
from agentd.transport.front_end_calls import FrontEndCalls
from agentd.transport.frontend import AgentCaption, FrontEnd, Link
from agentd.transport.linking import CallerKind, Wanted
from agentd.transport.people import People
from agentd.transport.phone import LiveKitPhone
from agentd.transport.protocol import backoff_s
from agentd.transport.push_to_talk import PushToTalk
from agentd.transport.room_control import LiveKitRoomControl
from agentd.transport.room_deletion import delete_room
from agentd.transport.talk_floor import TalkFloor
from agentd.transport.tokens import LiveKitCredentials, agent_token
from agentd.transport.voice_track import VoiceTrack

CONNECT_TIMEOUT_S = 10.0
FIRST_JOIN_ATTEMPTS = 3
LEAVE_TIMEOUT_S = 3.0
TEXT_STREAM_PROTOCOL = 3  # clients below it read captions from transcription packets only
_EVENTS_KEPT = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomJoin:
    """How to be in a room.

    `participant_identity`: talk with nobody else. `participants`: with one at a time, or with all who are there.
    `credentials`: for deleting the room and for new tokens.
    `fresh_token`: where new tokens come from instead. `subscription_wait_s`: how long the first sound waits
    for somebody to hear it.
    """

    participant_kinds: tuple[CallerKind, ...] = ("standard", "sip", "connector")
    participant_identity: str = ""
    participants: Literal["linked", "everyone", "push_to_talk"] = "linked"
    text_input: bool = True
    credentials: LiveKitCredentials | None = None
    fresh_token: Callable[[], str] | None = None
    subscription_wait_s: float = 5.0


class LiveKitRoom:
    """Implements agentd.session.room.Room. Get one with `async with LiveKitRoom.join(...)`."""

    def __init__(self, url: str, token: str, options: RoomJoin, group: asyncio.TaskGroup) -> None:
        self._url, self._token, self._options = url, token, options
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()  # all of the group's: cancelled when the room is left
        self._front_end = FrontEnd()
        self._early = preconnect.PreconnectBuffers()
        self._events: aio.Channel[RoomEvent] = aio.Channel(_EVENTS_KEPT)
        self._lost: aio.Channel[str] = aio.Channel(1)
        self._over = asyncio.Event()
        self._rtc: rtc.Room | None = None
        self._connected = asyncio.Event()  # and not being mended
        self._ending = False
        self._chat = chat.ChatIn(lambda who, text: self._events.force(TextReceived(text=text, identity=who)))
        self._push_to_talk = PushToTalk(lambda who, action: self._caller.press(who, action))
        self._voice = VoiceTrack(
            lambda: self._rtc, lambda: self._caller.departing, self._events, options.subscription_wait_s
        )
        self._caller = self._callers(options)
        self.phone = LiveKitPhone(lambda: self._rtc, options.credentials, self._start)
        self._calls = FrontEndCalls(lambda: self._rtc.local_participant if self._rtc else None)
        self.control = LiveKitRoomControl(lambda: self._rtc, options.credentials, self._caller.admits)

    @classmethod
    @asynccontextmanager
    async def join(cls, url: str, token: str, options: RoomJoin | None = None) -> AsyncIterator[LiveKitRoom]:
        """Connected inside the block; left at its end. Raises RoomLost when the room cannot be joined."""
        try:
            async with asyncio.TaskGroup() as group:
                room = cls(url, token, options or RoomJoin(), group)
                room._start(room._front_end.run())
                room._start(room._keep_joined())
                try:
                    await room._join_first()
                    yield room
                finally:
                    await room._leave()
                    for task in list(room._tasks):
                        task.cancel()
        except BaseExceptionGroup as failures:
            if len(failures.exceptions) == 1:
                raise failures.exceptions[0] from None  # the block's own error, as it was raised
            raise

    # -- agentd.session.room.Room --------------------------------------------------------------

    @property
    def audio_out(self) -> RtcAudioOut:
        return self._voice.out

    def audio_in(self, identity: str = "") -> AsyncIterator[AudioFrame]:
        sound = self._caller.sound_of(identity)
        return sound.frames() if sound is not None else _nothing()

    def events(self) -> AsyncIterator[RoomEvent]:
        return self._events.__aiter__()

    def offer(self, methods: Sequence[str], answer: Callable[[str, str, str], str]) -> None:
        self._calls.offer(methods, answer)

    @property
    def front_end(self) -> FrontEndCalls:
        return self._calls

    async def set_state(self, state: AgentState) -> None:
        self._front_end.set_state(state)

    async def open_caption(self, segment_id: str) -> AgentCaption:
        return self._front_end.open_caption(segment_id)

    async def user_caption(self, segment_id: str, text: str, *, final: bool, identity: str = "") -> None:
        self._front_end.user_caption(segment_id, text, final=final, identity=identity)

    async def send_keys(self, keys: str) -> None:
        if self._rtc is not None:
            await dtmf.send_keys(self._rtc.local_participant, keys)

    async def end(self, *, delete: bool) -> None:
        self._ending = True
        await self._front_end.settle()
        if delete:
            await delete_room(self._options.credentials, self.name)
        await self._disconnect()
        await self._close("room_deleted" if delete else "left")

    # -- facts for logs and metrics ------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._rtc.name if self._rtc is not None else ""

    @property
    def dropped_frames(self) -> int:
        """Frames of callers' sound that nobody took in time."""
        return self._caller.dropped_frames

    def _callers(self, options: RoomJoin) -> LinkedCaller | People:
        """Whom the agent talks with."""
        wanted = Wanted(kinds=options.participant_kinds, identity=options.participant_identity)
        early, start, connected = self._early, self._start, self._connected
        if options.participants == "linked":
            return LinkedCaller(wanted, self._events, RtcAudioIn(), early, start, connected, self._voice.set_gate)
        floor = TalkFloor() if options.participants == "push_to_talk" else None
        return People(wanted, self._events, early, start, connected, self._voice.set_gate, floor)

    # -- joining and leaving -------------------------------------------------------------------

    async def _join_first(self) -> None:
        for attempt in range(FIRST_JOIN_ATTEMPTS):
            try:
                return await self._connect(self._token)
            except RoomLost as error:
                if attempt + 1 == FIRST_JOIN_ATTEMPTS or linking.room_is_gone(str(error)):
                    raise
                log.info("join failed, trying again", extra={"reason": str(error)})
            await asyncio.sleep(backoff_s(attempt, base_s=0.5))

    async def _connect(self, token: str) -> None:
        connection = rtc.Room()
        self._listen(connection)
        options = rtc.RoomOptions(auto_subscribe=False, dynacast=False, connect_timeout=CONNECT_TIMEOUT_S / 2)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await connection.connect(self._url, token, options)
        except (rtc.ConnectError, TimeoutError) as error:
            reason = error.message if isinstance(error, rtc.ConnectError) else "no answer"
            raise RoomLost(f"{self._url}: the room cannot be joined: {reason}") from error
        self._rtc = connection
        self._push_to_talk.listen(connection)
        self._calls.listen(connection.local_participant)
        self._connected.set()
        self._start(self._publish(connection))
        self._start(self.control.learn_sid(connection))
        self._caller.look_around(in_order_of_joining(connection.remote_participants))

    async def _publish(self, connection: rtc.Room) -> None:
        """One track for the whole connection; then the gate opens, once somebody hears it."""
        try:
            publication = await self._voice.publish(connection)
        except (PublishTrackError, TimeoutError) as error:
            log.warning("voice track not published, joining again", extra={"reason": str(error)})
            self._lose(connection, "MEDIA_FAILURE")
            return
        if connection is not self._rtc:
            return
        self._front_end.attach(
            Link(
                participant=connection.local_participant,
                track=lambda: publication.sid,  # changes when the engine publishes anew
                caller=self._caller.whose,
                legacy=lambda: _reads_packets(connection),
            )
        )
        await self._voice.open(connection, publication)

    async def _keep_joined(self) -> None:
        """Joins again whenever the rtc engine has given up."""
        async for reason in self._lost:
            closing = linking.closing_reason(reason)
            if closing is None:
                closing = await self._rejoin(reason)
            if closing is not None:
                await self._close(closing)
                return

    async def _rejoin(self, reason: str) -> str | None:
        """Tries until it is in the room again (None), or the room is gone (why)."""
        attempt = 0
        while True:
            delay_s = backoff_s(attempt, base_s=0.5)
            log.warning("room lost, joining again", extra={"reason": reason, "attempt": attempt, "delay_s": delay_s})
            await asyncio.sleep(delay_s)
            try:
                await self._connect(self._new_token())
            except RoomLost as error:
                if linking.room_is_gone(str(error)):
                    return "room_deleted"
                reason, attempt = str(error), attempt + 1
                continue
            log.info("room joined again", extra={"attempt": attempt})
            return None

    def _new_token(self) -> str:
        if self._options.fresh_token is not None:
            return self._options.fresh_token()
        old = self._rtc
        if self._options.credentials is None or old is None:
            return self._token
        me = old.local_participant
        return agent_token(
            self._options.credentials,
            room=old.name,
            identity=me.identity,
            name=me.name,
            metadata=me.metadata,
            attributes={key: value for key, value in me.attributes.items() if key != "lk.agent_name"},
        )

    def _lose(self, connection: rtc.Room, reason: str) -> None:
        """Our connection has ended, and the engine will not mend it."""
        if connection is not self._rtc or self._ending:
            return
        self._connected.clear()
        self._voice.lost()
        self._front_end.detach()
        self._caller.connection_lost()
        self._lost.force(reason)

    async def _leave(self) -> None:
        if not self._ending:
            self._ending = True
            await self._front_end.settle()
        await self._disconnect()
        await self._close("left")

    async def _disconnect(self) -> None:
        self.control.view()  # which is kept
        connection, self._rtc = self._rtc, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await connection.disconnect()
        except TimeoutError:
            log.warning("room not left in time")

    async def _close(self, reason: str) -> None:
        """The last event, and the end of the sound. Idempotent."""
        if self._over.is_set():
            return
        self._over.set()
        self._events.force(RoomClosed(reason=reason))
        self._events.close()
        self._lost.close()
        self._caller.close()
        self._front_end.detach()
        await self._voice.out.close()

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- what the SDK tells us -----------------------------------------------------------------

    def _listen(self, connection: rtc.Room) -> None:
        """Handlers for one connection; what an older one still says is not heard."""

        def heard(handler: Callable[..., None]) -> Callable[..., None]:
            def handle(*arguments: object) -> None:
                if connection is self._rtc and not self._over.is_set():
                    handler(*arguments)

            return handle

        caller = self._caller
        connection.on("participant_connected", heard(caller.participant_came))
        connection.on("participant_disconnected", heard(caller.participant_went))
        connection.on("track_published", heard(caller.track_published))
        connection.on("track_subscribed", heard(caller.track_subscribed))
        connection.on("track_unsubscribed", heard(lambda track, publication, who: caller.track_gone(publication)))
        connection.on("track_muted", heard(lambda who, publication: caller.mute_changed(publication, True)))
        connection.on("track_unmuted", heard(lambda who, publication: caller.mute_changed(publication, False)))
        connection.on("participant_attributes_changed", heard(lambda changed, who: self._changed(who)))
        connection.on("participant_metadata_changed", heard(lambda who, old, new: self._changed(who)))
        connection.on("participant_name_changed", heard(lambda who, old, new: self._changed(who)))
        connection.on("sip_dtmf_received", heard(self.phone.key_pressed))
        connection.on("participant_disconnected", heard(self.phone.participant_went))
        connection.on("track_published", heard(self.phone.track_published))
        connection.on("data_received", heard(self._push_to_talk.packet))
        connection.on("sip_dtmf_received", heard(self._key_pressed))
        connection.on("reconnecting", heard(self._breaks))
        connection.on("local_track_republished", heard(lambda publication, sid: self._republished(connection)))
        connection.on("local_track_subscribed", heard(lambda track: self._voice.subscribed()))
        connection.on("reconnected", heard(lambda: self._reconnected(connection)))
        connection.on("disconnected", lambda reason: self._lose(connection, rtc.DisconnectReason.Name(reason)))
        connection.register_text_stream_handler(chat.TOPIC, self._chat_opened)
        connection.register_byte_stream_handler(preconnect.TOPIC, self._early_sound_opened)

    def _key_pressed(self, pressed: rtc.SipDTMF) -> None:
        """Of anybody else than the linked caller, or those whom the agent listens to, it is not heard."""
        identity = pressed.participant.identity if pressed.participant is not None else ""
        key = dtmf.key_of(pressed)
        if key and self._caller.admits(identity):
            self._events.force(KeyPressed(key=key, identity=identity))

    def _changed(self, who: rtc.Participant) -> None:
        if self._caller.admits(who.identity) and isinstance(who, rtc.RemoteParticipant):
            self._events.force(CallerChanged(caller=caller_of(who)))
        elif isinstance(who, rtc.RemoteParticipant):
            self._caller.answered(who)

    def _breaks(self) -> None:
        self._connected.clear()
        self._voice.breaks()

    def _republished(self, connection: rtc.Room) -> None:
        self._voice.republished()
        self._start(self._voice.open_again(connection))

    def _reconnected(self, connection: rtc.Room) -> None:
        self._connected.set()
        self._caller.look_around(in_order_of_joining(connection.remote_participants))

    def _chat_opened(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if not self._caller.admits(identity) or not self._options.text_input:
            reader.close()
        elif not self._over.is_set() and (reading := self._chat.taken(reader, identity)) is not None:
            self._start(reading)

    def _early_sound_opened(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        if not self._over.is_set():
            self._start(self._early.read(reader))


async def _nothing() -> AsyncIterator[AudioFrame]:
    """The sound of somebody who has gone."""
    return
    yield


def _reads_packets(connection: rtc.Room) -> bool:
    """Whether a person here has a client that reads captions from transcription packets only."""
    return any(
        who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
        and who._info.client_protocol < TEXT_STREAM_PROTOCOL  # the SDK has no public name for it
        for who in connection.remote_participants.values()
    )
