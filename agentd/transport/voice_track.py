"""The agent's voice as a track in the room, and whether somebody hears it. Speech waits while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from livekit import rtc

from agentd import aio
from agentd.session.room import RoomEvent, VoiceUnheard
from agentd.transport.audio_out import RtcAudioOut

PUBLISH_TIMEOUT_S = 10.0
VOICE_BITRATE = 64_000  # from 64k on Opus is CELT only: a tenth less CPU than at 24k


class VoiceTrack:
    """One for all connections of a room. `connection`: the one that serves now; another's track is not heard.
    `departing`: whether the caller has gone, and may come back. `subscription_wait_s`: how long the first sound waits
    for somebody to hear it."""

    def __init__(
        self,
        connection: Callable[[], rtc.Room | None],
        departing: Callable[[], bool],
        events: aio.Channel[RoomEvent],
        subscription_wait_s: float,
    ) -> None:
        self.out = RtcAudioOut()
        self._connection = connection
        self._departing = departing
        self._events = events
        self._subscription_wait_s = subscription_wait_s
        self._audible = False  # the voice is published, and somebody has subscribed to it
        self._subscribed = asyncio.Event()  # to the voice as it was published anew
        self._broke_at = 0.0  # when the connection broke that the engine mends, on the loop's clock

    async def publish(self, connection: rtc.Room) -> rtc.LocalTrackPublication:
        """One track for the whole connection. Raises PublishTrackError, TimeoutError."""
        track = rtc.LocalAudioTrack.create_audio_track("agent", self.out.source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        options.audio_encoding.max_bitrate = VOICE_BITRATE
        async with asyncio.timeout(PUBLISH_TIMEOUT_S):
            return await connection.local_participant.publish_track(track, options)

    async def open(self, connection: rtc.Room, publication: rtc.LocalTrackPublication) -> None:
        """Opens the gate once somebody hears the new track."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._subscription_wait_s):
                await publication.wait_for_subscription()
        self._is_audible(connection)

    def lost(self) -> None:
        """The connection has ended."""
        self._audible = False
        self.set_gate()

    def breaks(self) -> None:
        """The connection has broken, and the engine mends it."""
        self._broke_at = aio.now()

    def republished(self) -> None:
        """The engine made the connection anew, media and all: nothing was heard since the old one broke. `open_again`
        comes next."""
        self._audible = False
        self.out.close_gate()
        self._events.force(VoiceUnheard(seconds=aio.now() - self._broke_at))
        self._subscribed.clear()

    def subscribed(self) -> None:
        self._subscribed.set()

    async def open_again(self, connection: rtc.Room) -> None:
        """Opens the gate once somebody hears the track that was published anew."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._subscription_wait_s):
                await self._subscribed.wait()
        self._is_audible(connection)

    def _is_audible(self, connection: rtc.Room) -> None:
        if connection is self._connection():
            self._audible = True
            self.set_gate()

    def set_gate(self) -> None:
        """Speech waits while nobody hears it. A resumed connection keeps its media, so it is no reason to wait."""
        if self._audible and not self._departing():
            self.out.open_gate()
        elif self.out.close_gate():
            self._events.force(VoiceUnheard())
