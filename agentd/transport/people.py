"""Everybody in the room whom the agent talks with: each found, heard, gone for a moment, back, or gone for good.

Implements what the room asks of the linked caller (`agentd.transport.caller.LinkedCaller`), by one of these for each
person, up to a number of people: every one has a decoder, a voice activity detector and a recogniser of their own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from livekit import rtc

from agentd import aio
from agentd.session.room import CallerUnheard, HandAction, RoomEvent, TurnByHand
from agentd.transport import preconnect
from agentd.transport.audio_in import RtcAudioIn
from agentd.transport.caller import LinkedCaller, Start, person_of
from agentd.transport.linking import Wanted
from agentd.transport.talk_floor import LONGEST_S, TalkFloor

MOST_PEOPLE = 8
KNOWN = 200  # identities that were here before

log = logging.getLogger(__name__)


class People:
    """`floor`: only who has it is heard; None: everybody is. The other arguments are LinkedCaller's."""

    def __init__(
        self,
        wanted: Wanted,
        events: aio.Channel[RoomEvent],
        early: preconnect.PreconnectBuffers,
        start: Start,
        connected: asyncio.Event,
        presence_changed: Callable[[], None],
        floor: TalkFloor | None = None,
    ) -> None:
        self._wanted = wanted
        self._events = events
        self._early = early
        self._start = start
        self._connected = connected
        self._presence_changed = presence_changed
        self._floor = floor
        self._heard: dict[str, LinkedCaller] = {}
        self._unheard: dict[str, rtc.RemoteParticipant] = {}  # in the order of their coming
        self._known: dict[str, None] = {}  # identities that were linked before
        self._timer: asyncio.Task[None] | None = None  # of whoever has the floor

    # What the room asks.

    @property
    def departing(self) -> bool:
        """Nobody is here, though somebody may be back in a moment."""
        return bool(self._heard) and all(person.departing for person in self._heard.values())

    def admits(self, identity: str) -> bool:
        return identity in self._heard

    def whose(self, identity: str) -> tuple[str, str]:
        """The identity and the microphone under which somebody's words are shown."""
        person = self._heard.get(identity)
        return identity, person.microphone if person else ""

    def sound_of(self, identity: str) -> RtcAudioIn | None:
        person = self._heard.get(identity)
        return person.sound if person else None

    @property
    def dropped_frames(self) -> int:
        return sum(person.sound.dropped_frames for person in self._heard.values())

    def close(self) -> None:
        for person in self._heard.values():
            person.sound.close()

    def press(self, identity: str, action: HandAction) -> str:
        """Somebody's button; why that cannot be, or ""."""
        if identity not in self._heard:
            return "only who the agent talks with may take a turn"
        if self._floor is not None:
            if refusal := self._floor.press(identity, action, aio.now()):
                return refusal
            self._floor_changed()
        self._events.force(TurnByHand(action=action, identity=identity))
        return ""

    # What the SDK tells.

    def look_around(self, people: Mapping[str, rtc.RemoteParticipant]) -> None:
        """After a (new) connection: link who is here, find out who has gone."""
        for person in list(self._heard.values()):
            person.look_around(people)
        self._unheard = {each: people[each] for each in self._unheard if each in people}
        for who in people.values():
            if who.identity not in self._heard:
                self.participant_came(who)

    def connection_lost(self) -> None:
        for identity, person in self._heard.items():
            person.connection_lost()
            self._free(identity)

    def participant_came(self, who: rtc.RemoteParticipant) -> None:
        if who.identity in self._heard:
            self._heard[who.identity].participant_came(who)
        elif not self._wanted.admits(person_of(who)):
            return
        elif len(self._heard) < MOST_PEOPLE:
            self._hear(who)
        elif who.identity not in self._unheard:
            self._unheard[who.identity] = who
            log.warning("too many people: one is not heard", extra={"identity": who.identity, "limit": MOST_PEOPLE})
            self._events.force(CallerUnheard(identity=who.identity, name=who.name, limit=MOST_PEOPLE))

    def answered(self, who: rtc.RemoteParticipant) -> None:
        """Somebody's attributes have changed: it may be a telephone that rang and is answered."""
        if who.identity not in self._heard:
            self.participant_came(who)

    def participant_went(self, who: rtc.RemoteParticipant) -> None:
        self._unheard.pop(who.identity, None)
        if who.identity in self._heard:
            self._free(who.identity)
            self._heard[who.identity].participant_went(who)

    def track_published(self, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant) -> None:
        if who.identity in self._heard:
            self._heard[who.identity].track_published(publication, who)

    def track_subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant
    ) -> None:
        if who.identity in self._heard:
            self._heard[who.identity].track_subscribed(track, publication, who)

    def track_gone(self, publication: rtc.RemoteTrackPublication) -> None:
        for person in self._heard.values():
            person.track_gone(publication)

    def mute_changed(self, publication: rtc.TrackPublication, muted: bool) -> None:
        for person in self._heard.values():
            person.mute_changed(publication, muted)

    # Coming and going.

    def _hear(self, who: rtc.RemoteParticipant) -> None:
        identity = who.identity
        self._unheard.pop(identity, None)
        person = LinkedCaller(
            Wanted(kinds=self._wanted.kinds, identity=identity),
            self._events,
            RtcAudioIn(heard=self._floor is None),
            self._early,
            self._start,
            self._connected,
            self._presence_changed,
            gone=lambda: self._gone(identity),
            known=identity if identity in self._known else "",
        )
        self._heard[identity] = person
        self._known[identity] = None
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        person.participant_came(who)

    def _gone(self, identity: str) -> None:
        """Their place is free: for whoever has waited longest."""
        person = self._heard.pop(identity)
        person.sound.close()
        if self._unheard:
            self._hear(next(iter(self._unheard.values())))

    # The floor.

    def _free(self, identity: str) -> None:
        """Who has gone has it no more, and what they had said is no turn."""
        if self._floor is not None and self._floor.free(identity):
            self._floor_changed()
            self._events.force(TurnByHand(action="cancel", identity=identity))

    def _floor_changed(self) -> None:
        assert self._floor is not None
        holder = self._floor.holder
        for identity, person in self._heard.items():
            person.sound.heard = identity == holder
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._start(self._take_back(holder)) if holder else None

    async def _take_back(self, holder: str) -> None:
        assert self._floor is not None
        await asyncio.sleep(self._floor.overdue_s(aio.now()))
        self._timer = None
        if self._floor.free(holder):
            log.info("the floor was taken back", extra={"identity": holder, "after_s": LONGEST_S})
            self._floor_changed()
            self._events.force(TurnByHand(action="end", identity=holder))
