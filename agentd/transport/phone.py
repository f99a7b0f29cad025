"""Telephones in a LiveKit room: its SIP service, and who hears whom while a guest is told what the call is about.

The open LiveKit server cannot move a participant from one room to another, so somebody who is to take the call is rung
into the caller's own room, apart: the agent lets them subscribe to a track of their own only, and the server is asked
to keep their sound and the others' from each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable

from livekit import rtc
from livekit.api import (
    LiveKitAPI,
    RoomParticipantIdentity,
    TransferSIPParticipantRequest,
    UpdateSubscriptionsRequest,
)
from livekit.rtc.participant import PublishTrackError

from agentd import aio
from agentd.errors import TransferFailed
from agentd.session.room import Number
from agentd.transport import sip
from agentd.transport.audio_out import RtcAudioOut
from agentd.transport.caller import Start
from agentd.transport.linking import GUEST_PREFIX
from agentd.transport.tokens import LiveKitCredentials, phone_token

log = logging.getLogger(__name__)


class LiveKitPhone:
    """Implements agentd.session.room.Phone. `connection`: the room's present one; None while there is none."""

    def __init__(
        self, connection: Callable[[], rtc.Room | None], credentials: LiveKitCredentials | None, start: Start
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._start = start
        self._asides: dict[str, tuple[RtcAudioOut, str]] = {}  # by guest: the voice, and its track
        self._apart: set[str] = set()  # guests who do not hear the others yet
        self._keys: dict[str, aio.Channel[str]] = {}

    # -- agentd.session.room.Phone ------------------------------------------------------------

    async def refer(self, identity: str, number: Number) -> None:
        room = self._room()
        who = room.remote_participants.get(identity)
        if who is None or who.kind != rtc.ParticipantKind.PARTICIPANT_KIND_SIP:
            raise TransferFailed("the caller is not on a telephone")
        request = TransferSIPParticipantRequest(
            participant_identity=identity,
            room_name=room.name,
            transfer_to=number.to,
            play_dialtone=True,
            ringing_timeout=sip.duration(number.ringing_s),
        )
        wait_s = number.ringing_s + sip.ANSWER_TIMEOUT_S
        async with self._asking() as api:
            await api.sip.transfer_sip_participant(request, timeout=wait_s)

    async def ring(self, number: Number, name: str) -> str:
        room = self._room()
        guest = GUEST_PREFIX + secrets.token_hex(6)
        self._apart.add(guest)
        self._keys[guest] = aio.Channel(32)
        self._set_permissions(room)
        try:
            async with self._asking() as api:
                await sip.ring(api, number, room=room.name, identity=guest, name=name)
        except BaseException:  # cancelled as well: it may be ringing
            await self.hang_up(guest)
            raise
        return guest

    async def aside(self, guest: str) -> RtcAudioOut:
        room, voice = self._room(), RtcAudioOut()
        track = rtc.LocalAudioTrack.create_audio_track(f"aside-{guest}", voice.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_UNKNOWN)
        try:
            async with asyncio.timeout(sip.ANSWER_TIMEOUT_S):
                publication = await room.local_participant.publish_track(track, options)
                self._asides[guest] = voice, publication.sid
                self._set_permissions(room)
                await publication.wait_for_subscription()
        except (PublishTrackError, TimeoutError) as error:
            raise TransferFailed("who answered cannot hear the agent") from error
        voice.open_gate()
        return voice

    async def pressed(self, guest: str) -> str:
        try:
            return await self._keys[guest].receive()
        except aio.Closed:
            raise TransferFailed("who answered has hung up") from None

    async def introduce(self, guest: str) -> None:
        if guest not in self._room().remote_participants:
            raise TransferFailed("who answered has hung up")
        await self._end_aside(guest)
        await self._keep_apart(guest, apart=False)

    async def hang_up(self, guest: str) -> None:
        await self._end_aside(guest)
        room = self._connection()
        if room is None or self._credentials is None:
            return
        with contextlib.suppress(*sip.FAULTS):
            async with self._api() as api, asyncio.timeout(sip.ANSWER_TIMEOUT_S):
                await api.room.remove_participant(RoomParticipantIdentity(room=room.name, identity=guest))

    # -- what the room's connection tells ------------------------------------------------------

    def key_pressed(self, event: rtc.SipDTMF) -> None:
        if event.participant is not None and event.participant.identity in self._keys:
            self._keys[event.participant.identity].force(event.digit)

    def track_published(self, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant) -> None:
        """A guest begins to be heard, or somebody else while there is one: at once, before they say anything."""
        if who.identity in self._apart:
            self._start(self._separate(who.identity))
        elif not who.identity.startswith(GUEST_PREFIX):
            for guest in self._apart:
                self._start(self._separate(guest))

    def participant_went(self, who: rtc.RemoteParticipant) -> None:
        if who.identity in self._keys:
            self._keys[who.identity].close()

    # ------------------------------------------------------------------------------------------

    def _room(self) -> rtc.Room:
        room = self._connection()
        if room is None or not room.isconnected():
            raise TransferFailed("the connection with the room is broken")
        return room

    async def _end_aside(self, guest: str) -> None:
        """The guest hears what all hear."""
        self._apart.discard(guest)
        voice, track = self._asides.pop(guest, (None, ""))
        room = self._connection()
        if room is not None:
            self._set_permissions(room)
            if track:
                with contextlib.suppress(Exception):  # the SDK raises nothing narrower; it goes with the room
                    await room.local_participant.unpublish_track(track)
        if voice is not None:
            await voice.close()

    def _set_permissions(self, room: rtc.Room) -> None:
        """Who may subscribe to which of the agent's tracks."""
        asides = {guest: track for guest, (_, track) in self._asides.items()}
        voices = [sid for sid in room.local_participant.track_publications if sid not in asides.values()]
        allowed = dict.fromkeys(room.remote_participants, voices)
        allowed |= {guest: [asides[guest]] if guest in asides else [] for guest in self._apart}
        room.local_participant.set_track_subscription_permissions(
            allow_all_participants=not self._apart,
            participant_permissions=[
                rtc.ParticipantTrackPermission(participant_identity=who, allow_all=False, allowed_track_sids=tracks)
                for who, tracks in allowed.items()
            ],
        )

    async def _separate(self, guest: str) -> None:
        try:
            await self._keep_apart(guest, apart=True)
        except TransferFailed as error:
            log.warning("guest_not_apart", extra={"guest": guest, "reason": str(error)})

    async def _keep_apart(self, guest: str, *, apart: bool) -> None:
        """Has the server keep the guest's sound and the others' from each other, or end that."""
        room = self._room()
        people = {each.identity: each for each in room.remote_participants.values()}
        others = [identity for identity in people if identity != guest and not identity.startswith(GUEST_PREFIX)]
        if guest not in people:
            return
        async with self._asking() as api:
            for identity in others:
                wanted = ((identity, guest), (guest, identity))
                for listener, speaker in wanted:
                    tracks = list(people[speaker].track_publications)
                    await api.room.update_subscriptions(
                        UpdateSubscriptionsRequest(
                            room=room.name, identity=listener, track_sids=tracks, subscribe=not apart
                        )
                    )

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[LiveKitAPI]:
        """An API whose errors are TransferFailed."""
        if self._credentials is None:
            raise TransferFailed("no LiveKit API key is set")
        try:
            async with self._api() as api:
                yield api
        except sip.FAULTS as error:
            reason = sip.refusal_of(error).words
            log.warning("transfer_refused", extra={"reason": reason, "error": str(error)})
            raise TransferFailed(reason) from error

    def _api(self) -> LiveKitAPI:
        assert self._credentials is not None
        room = self._connection()
        token = phone_token(self._credentials, room.name if room is not None else "")
        return LiveKitAPI.with_token(token, self._credentials.http_url)
