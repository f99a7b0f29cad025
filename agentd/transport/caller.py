"""The person whom the agent talks with: found, heard, gone for a moment, back, or gone for good."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping

from livekit import rtc
from livekit.protocol.models import AudioTrackFeature

from agentd import aio
from agentd.session.room import CallerLeft, CallerLinked, CallerMuted, HandAction, RoomEvent, TurnByHand
from agentd.tools.spec import Caller
from agentd.transport import linking, preconnect
from agentd.transport.audio_in import RtcAudioIn
from agentd.transport.linking import Person, Wanted

RETURN_GRACE_S = 2.5  # a client that makes its connection anew leaves with CLIENT_INITIATED, and is back in a moment

_UNANSWERED = ("dialing", "ringing")
_KIND_NAMES = {value: name.removeprefix("PARTICIPANT_KIND_").lower() for name, value in rtc.ParticipantKind.items()}

Start = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]


class LinkedCaller:
    """Links one participant, takes their microphone, and tells the session what becomes of them.

    `connected`: our own connection stands. `presence_changed`: whether somebody can hear us may have changed. `gone`:
    they have left, as far as is known. `known`: the identity of somebody who was here before.
    """

    def __init__(
        self,
        wanted: Wanted,
        events: aio.Channel[RoomEvent],
        sound: RtcAudioIn,
        early: preconnect.PreconnectBuffers,
        start: Start,
        connected: asyncio.Event,
        presence_changed: Callable[[], None],
        *,
        gone: Callable[[], None] = lambda: None,
        known: str = "",
    ) -> None:
        self._wanted = wanted
        self._events = events
        self.sound = sound
        self._early = early
        self._start = start
        self._connected = connected
        self._presence_changed = presence_changed
        self._gone = gone
        self._departure: asyncio.Task[None] | None = None  # gone, and may be back at once
        self._present = False
        self._muted = False
        self.identity = known  # of the linked one, also while they are away
        self.microphone = ""  # the sid of their track

    @property
    def departing(self) -> bool:
        """They have gone a moment ago, and may be back in the next."""
        return self._departure is not None

    def admits(self, identity: str) -> bool:
        """Whether what they type counts."""
        return bool(identity) and identity == self.identity

    def whose(self, identity: str) -> tuple[str, str]:
        """The identity and the microphone under which words are shown."""
        return self.identity, self.microphone

    def sound_of(self, identity: str) -> RtcAudioIn | None:
        return self.sound

    @property
    def dropped_frames(self) -> int:
        return self.sound.dropped_frames

    def close(self) -> None:
        self.sound.close()

    def press(self, identity: str, action: HandAction) -> str:
        """Somebody's button; why that cannot be, or ""."""
        if not self.admits(identity):
            return "only the linked caller may take a turn"
        self._events.force(TurnByHand(action=action, identity=identity))
        return ""

    def look_around(self, people: Mapping[str, rtc.RemoteParticipant]) -> None:
        """After a (new) connection: link the caller, or find out that they have gone. `people`: in order of joining."""
        if not self.identity:
            found = linking.first_caller(map(person_of, people.values()), self._wanted)
            if found is not None:
                self._link(people[found])
        elif self.identity not in people:
            self._went("CONNECTION_LOST")
        else:
            self._is_here(people[self.identity])

    def connection_lost(self) -> None:
        """Ours: their sound has ended, and they may still be there."""
        self.sound.drop()
        self.microphone = ""

    # -- what the SDK tells --------------------------------------------------------------------

    def participant_came(self, who: rtc.RemoteParticipant) -> None:
        if self.identity == who.identity:
            self._is_here(who)
        elif not self.identity and self._wanted.admits(person_of(who)):
            self._link(who)

    def answered(self, who: rtc.RemoteParticipant) -> None:
        """Somebody's attributes have changed: it may be a telephone that rang and is answered."""
        if not self.identity and self._wanted.admits(person_of(who)):
            self._link(who)

    def participant_went(self, who: rtc.RemoteParticipant) -> None:
        if who.identity == self.identity:
            self._went(rtc.DisconnectReason.Name(who.disconnect_reason or rtc.DisconnectReason.UNKNOWN_REASON))

    def track_published(self, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant) -> None:
        if who.identity == self.identity and _is_microphone(publication):
            publication.set_subscribed(True)

    def track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant
    ) -> None:
        if who.identity != self.identity or not isinstance(track, rtc.RemoteAudioTrack):
            return
        self.microphone = sid = publication.sid
        announced = int(AudioTrackFeature.TF_PRECONNECT_BUFFER) in map(int, publication.audio_features)
        self.sound.take(track, self._start, (lambda: self._early.frames(sid)) if announced else None)
        self.mute_changed(publication, publication.muted)

    def track_gone(self, publication: rtc.RemoteTrackPublication) -> None:
        if publication.sid == self.microphone:
            self.mute_changed(publication, True)
            self.sound.drop()
            self.microphone = ""

    def mute_changed(self, publication: rtc.TrackPublication, muted: bool) -> None:
        if publication.sid == self.microphone and muted != self._muted:
            self._muted = muted
            self._events.force(CallerMuted(muted=muted, identity=self.identity))

    # -- coming and going ----------------------------------------------------------------------

    def _is_here(self, who: rtc.RemoteParticipant) -> None:
        self._stay()
        if self._present:
            self._take_microphone(who)
        else:
            self._link(who)

    def _link(self, who: rtc.RemoteParticipant) -> None:
        returned, self.identity, self._present = bool(self.identity), who.identity, True
        self._events.force(CallerLinked(caller=caller_of(who), returned=returned, outbound=_was_called(who)))
        self._take_microphone(who)

    def _went(self, reason: str) -> None:
        """Tells the session, unless the caller is back within the grace: then they were never away."""
        if self._present:
            self.connection_lost()
            grace_s = 0.0 if reason in linking.NO_WAY_BACK else RETURN_GRACE_S
            self._stay()
            self._departure = self._start(self._announce_departure(reason, grace_s))
            self._presence_changed()

    async def _announce_departure(self, reason: str, grace_s: float) -> None:
        await asyncio.sleep(grace_s)
        while not self._connected.is_set():  # it was we who went: see who is there when we are back
            await self._connected.wait()
            await asyncio.sleep(grace_s)
        self._departure, self._present = None, False
        final = linking.leaves_for_good(reason)
        self._events.force(CallerLeft(identity=self.identity, reason=reason.lower(), final=final))
        self._gone()
        self._presence_changed()

    def _stay(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
            self._presence_changed()

    def _take_microphone(self, who: rtc.RemoteParticipant) -> None:
        """Subscribes to what the caller speaks into; takes it at once where the SDK has it already."""
        for publication in who.track_publications.values():
            if not _is_microphone(publication):
                continue
            if publication.track is None:
                publication.set_subscribed(True)
            elif publication.sid != self.microphone and isinstance(publication.track, rtc.RemoteAudioTrack):
                self.track_subscribed(publication.track, publication, who)


def in_order_of_joining(people: Mapping[str, rtc.RemoteParticipant]) -> dict[str, rtc.RemoteParticipant]:
    """The SDK has them in none, where they were there first."""

    def joined(who: rtc.RemoteParticipant) -> float:
        return who.joined_at.timestamp() if who.joined_at is not None else math.inf

    return {who.identity: who for who in sorted(people.values(), key=joined)}


def kind_of(who: rtc.Participant) -> str:
    """In a word: standard, sip, agent ..."""
    return _KIND_NAMES.get(who.kind, "")


def person_of(who: rtc.RemoteParticipant) -> Person:
    rings = kind_of(who) == "sip" and who.attributes.get("sip.callStatus") in _UNANSWERED
    return Person(identity=who.identity, kind=kind_of(who), rings=rings)


def caller_of(who: rtc.RemoteParticipant) -> Caller:
    return Caller(
        identity=who.identity,
        name=who.name,
        kind=kind_of(who),
        attributes=who.attributes,
        metadata=who.metadata,
    )


def _was_called(who: rtc.RemoteParticipant) -> bool:
    """A telephone that rang for the agent: only one that called came in by a dispatch rule."""
    return kind_of(who) == "sip" and not who.attributes.get("sip.ruleID")


def _is_microphone(publication: rtc.RemoteTrackPublication) -> bool:
    """The caller's voice; telephone bridges may not name the source."""
    return publication.kind == rtc.TrackKind.KIND_AUDIO and publication.source in (
        rtc.TrackSource.SOURCE_MICROPHONE,
        rtc.TrackSource.SOURCE_UNKNOWN,
    )
