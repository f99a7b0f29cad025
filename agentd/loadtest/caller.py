"""A caller for load tests, benchmarks and system tests: joins a room, dispatches an agent, talks, listens, takes notes.

It knows nothing of agentd: it needs a LiveKit URL, a key and an agent name, so peers run under it too.
All times are `time.monotonic()` seconds of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
from livekit import api, rtc
from livekit.rtc import SimulateScenarioKind

from agentd.loadtest.heard import Heard, made_up
from agentd.loadtest.microphone import EAR_HZ, MIC_HZ, Echo, Microphone, at_mic_rate, read_sound
from agentd.transport import sdk

sdk.quiet()  # what a caller costs is taken from the machine that the agent is measured on

_KINDS = {value: name.removeprefix("PARTICIPANT_KIND_").lower() for name, value in rtc.ParticipantKind.items()}


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    api_key: str
    api_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caption:
    """One update of a caption as a front end reads it: `text` is the stream's text so far."""

    at: float
    sender: str
    text: str
    segment_id: str
    stream_id: str
    chunk: str  # what this update added; empty at the stream's end
    ended: bool
    attributes: Mapping[str, str]  # of the header; after the end, with the trailer's

    @property
    def final(self) -> bool:
        return self.attributes.get("lk.transcription_final") == "true"


@dataclass(frozen=True, slots=True)
class LegacyCaption:
    at: float
    sender: str
    track_id: str
    segment_id: str
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class StateSeen:
    at: float
    identity: str
    state: str


@dataclass(frozen=True, slots=True)
class Happened:
    at: float
    what: str  # joined, left, track, track_gone, muted, unmuted, reconnecting, reconnected, disconnected
    identity: str = ""
    detail: str = ""


class Caller:
    """One person in a room. Get one with `Caller.join`; everything seen is in the public lists."""

    def __init__(
        self,
        server: Server,
        room: str,
        identity: str,
        *,
        kind: str,
        attributes: Mapping[str, str],
        microphone: bool,
        ear_frame_ms: int,
    ) -> None:
        self.server, self.room, self.identity = server, room, identity
        self._kind, self._attributes, self._with_microphone = kind, dict(attributes), microphone
        self.heard = Heard()  # of agents, all in one
        self.captions: list[Caption] = []
        self.legacy: list[LegacyCaption] = []
        self.states: list[StateSeen] = []
        self.happened: list[Happened] = []
        self.chats: list[tuple[float, str, str]] = []
        self.rtc: rtc.Room | None = None
        self._ear_frame_ms = ear_frame_ms
        self._microphone = Microphone()
        self._tasks: set[asyncio.Task[None]] = set()  # readers of streams and tracks: they end with the room
        self._ears: dict[str, tuple[str, asyncio.Task[None]]] = {}  # by agent: its track, and who listens to it
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def join(
        cls,
        server: Server,
        *,
        room: str = "",
        identity: str = "",
        agent: str = "",
        agent_metadata: str = "",
        dispatch: str = "service",  # or "token": with the room's configuration
        kind: str = "standard",
        attributes: Mapping[str, str] | None = None,
        microphone: bool = True,
        ear_frame_ms: int = 10,
    ) -> AsyncIterator[Caller]:
        """Connects, with a microphone that sends silence until it is told to speak, and asks for `agent`.

        `ear_frame_ms`: a multiple of 10. A crowd of callers listens in longer frames, or it is itself what is slow.
        """
        unique = uuid.uuid4().hex[:8]
        caller = cls(
            server,
            room or f"room-{unique}",
            identity or f"caller-{unique}",
            kind=kind,
            attributes=attributes or {},
            microphone=microphone,
            ear_frame_ms=ear_frame_ms,
        )
        in_token = agent if dispatch == "token" else ""
        await caller.connect(agent=in_token, agent_metadata=agent_metadata)
        try:
            if agent and not in_token:
                await caller.dispatch(agent, agent_metadata)
            yield caller
        finally:
            await caller.leave()

    # -- being there ---------------------------------------------------------------------------

    async def connect(self, *, agent: str = "", agent_metadata: str = "") -> None:
        self.rtc = room = rtc.Room()
        self._listen(room)
        await room.connect(self.server.url, self._token(agent, agent_metadata), rtc.RoomOptions(connect_timeout=10))
        for participant in room.remote_participants.values():
            self._joined(participant)
        if self._with_microphone:
            await self._microphone.publish(room)

    async def leave(self) -> None:
        """Leaves on purpose (CLIENT_INITIATED)."""
        room, self.rtc = self.rtc, None
        await self._microphone.stop()
        if room is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await room.disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def rejoin(self) -> None:
        """Leaves, and comes back with the same identity."""
        await self.leave()
        await self.connect()

    async def reconnect(self, *, full: bool) -> None:
        """Has the SDK lose its connection and mend it: as a new session (`full`), or by resuming."""
        assert self.rtc is not None
        kinds = (SimulateScenarioKind.SIMULATE_FULL_RECONNECT, SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
        await self.rtc.simulate_scenario(kinds[0] if full else kinds[1])

    async def dispatch(self, agent: str, metadata: str = "") -> str:
        request = api.CreateAgentDispatchRequest(agent_name=agent, room=self.room, metadata=metadata)
        async with self.api() as service:
            return (await service.agent_dispatch.create_dispatch(request)).id

    async def delete_room(self) -> None:
        async with self.api() as service:
            await service.room.delete_room(api.DeleteRoomRequest(room=self.room))

    async def room_exists(self) -> bool:
        async with self.api() as service:
            return bool((await service.room.list_rooms(api.ListRoomsRequest(names=[self.room]))).rooms)

    def api(self) -> api.LiveKitAPI:
        return api.LiveKitAPI(self.server.url, self.server.api_key, self.server.api_secret)

    # -- talking -------------------------------------------------------------------------------

    async def say(self, sound: Path | np.ndarray, hz: int = MIC_HZ) -> tuple[float, float]:
        """Plays a WAV file, or int16 mono samples at `hz`, into the microphone; returns when it began and ended."""
        samples = read_sound(sound) if isinstance(sound, Path) else at_mic_rate(sound, hz)
        return await self._microphone.play(samples)

    def hush(self) -> None:
        """Stops saying what is being said."""
        self._microphone.hush()

    def mute(self) -> None:
        self._microphone.mute(True)

    def unmute(self) -> None:
        self._microphone.mute(False)

    def echo(self, echo: Echo | None) -> None:
        """Has the microphone hear what the agents say, as beside a loudspeaker; None ends it."""
        self._microphone.echo(echo)

    async def chat(self, text: str) -> None:
        assert self.rtc is not None
        await self.rtc.local_participant.send_text(text, topic="lk.chat")

    # -- waiting -------------------------------------------------------------------------------

    async def until(self, ready: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Waits until `ready()` is true; it is asked whenever something happens, and every 20 ms."""
        async with asyncio.timeout(timeout_s):
            while not ready():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self._changed.wait()

    async def agent(self, timeout_s: float = 10.0) -> rtc.RemoteParticipant:
        """The first agent in the room, as front ends find it."""
        await self.until(lambda: self._agents(), timeout_s)
        return self._agents()[0]

    async def agent_state(self, state: str, timeout_s: float = 10.0) -> float:
        """Waits for the agent to be in `state`; returns when it was first seen in the present stretch."""
        await self.until(lambda: self.states and self.states[-1].state == state, timeout_s)
        return self.states[-1].at

    async def hears_after(self, at: float, timeout_s: float = 10.0) -> float:
        """When the first sound of the agent after `at` arrived."""
        await self.until(lambda: self.heard.sound_after(at) is not None, timeout_s)
        found = self.heard.sound_after(at)
        assert found is not None
        return found

    async def made_up(self) -> tuple[int, int]:
        """Samples of the agents' voices that the SDK made up, audibly, where sound had not come in time, and all that
        it has played, silence included; of the tracks that are here now."""
        return await made_up(self._agents())

    def agent_captions(self) -> list[Caption]:
        """The finished ones of others than us, in order."""
        return [caption for caption in self.captions if caption.ended and caption.sender != self.identity]

    def _agents(self) -> list[rtc.RemoteParticipant]:
        people = self.rtc.remote_participants.values() if self.rtc else ()
        return [person for person in people if person.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT]

    # -- taking notes --------------------------------------------------------------------------

    def _token(self, agent: str, agent_metadata: str) -> str:
        token = (
            api.AccessToken(self.server.api_key, self.server.api_secret)
            .with_identity(self.identity)
            .with_kind(self._kind)  # type: ignore[arg-type]
            .with_ttl(timedelta(hours=1))
            .with_grants(api.VideoGrants(room_join=True, room=self.room, can_update_own_metadata=True))
            .with_attributes(self._attributes)
        )
        if agent:
            wanted = api.RoomAgentDispatch(agent_name=agent, metadata=agent_metadata)
            token = token.with_room_config(api.RoomConfiguration(agents=[wanted]))
        return token.to_jwt()

    def _note(self, what: str, identity: str = "", detail: str = "") -> None:
        self.happened.append(Happened(time.monotonic(), what, identity, detail))
        self._changed.set()

    def _listen(self, room: rtc.Room) -> None:
        room.on("participant_connected", self._joined)
        room.on("participant_disconnected", lambda who: self._note("left", who.identity, _reason(who)))
        room.on("participant_attributes_changed", lambda changed, who: self._state(who))
        room.on("track_subscribed", self._track)
        room.on("track_unsubscribed", self._track_gone)
        room.on("track_muted", lambda who, publication: self._note("muted", who.identity))
        room.on("track_unmuted", lambda who, publication: self._note("unmuted", who.identity))
        room.on("transcription_received", self._legacy_caption)
        for event in ("reconnecting", "reconnected"):
            room.on(event, lambda event=event: self._note(event))
        room.on("disconnected", lambda reason: self._note("disconnected", self.identity, _reason_name(reason)))
        room.register_text_stream_handler("lk.transcription", self._caption_stream)
        room.register_text_stream_handler("lk.chat", self._chat_stream)

    def _joined(self, who: rtc.RemoteParticipant) -> None:
        self._note("joined", who.identity, _KINDS.get(who.kind, ""))
        self._state(who)

    def _state(self, who: rtc.Participant) -> None:
        state = who.attributes.get("lk.agent.state")
        last = next((seen.state for seen in reversed(self.states) if seen.identity == who.identity), None)
        if state and (state != last or (self.happened and self.happened[-1].what == "joined")):
            self.states.append(StateSeen(time.monotonic(), who.identity, state))
        self._changed.set()

    def _track(self, track: rtc.Track, publication: rtc.TrackPublication, who: rtc.RemoteParticipant) -> None:
        self._note("track", who.identity, publication.sid)
        if who.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and isinstance(track, rtc.RemoteAudioTrack):
            self._deafen(who.identity)
            self._ears[who.identity] = (publication.sid, self._start(self._hear(track)))

    def _track_gone(self, track: rtc.Track, publication: rtc.TrackPublication, who: rtc.RemoteParticipant) -> None:
        """An agent that came back may have its new track before the old one is said to be gone."""
        self._note("track_gone", who.identity, publication.sid)
        if who.identity in self._ears and self._ears[who.identity][0] == publication.sid:
            self._deafen(who.identity)

    def _deafen(self, identity: str) -> None:
        """The SDK goes on filling the stream of a track that has gone: it must be closed."""
        if identity in self._ears:
            self._ears.pop(identity)[1].cancel()

    async def _hear(self, track: rtc.RemoteAudioTrack) -> None:
        stream = rtc.AudioStream(
            track, capacity=200, sample_rate=EAR_HZ, num_channels=1, frame_size_ms=self._ear_frame_ms
        )
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16)
                self.heard.add(time.monotonic(), samples)
                self._microphone.hear(samples)
        finally:
            await stream.aclose()

    def _legacy_caption(
        self,
        segments: list[rtc.TranscriptionSegment],
        who: rtc.Participant | None,
        publication: rtc.TrackPublication | None,
    ) -> None:
        sender, track = who.identity if who else "", publication.sid if publication else ""
        for segment in segments:
            self.legacy.append(LegacyCaption(time.monotonic(), sender, track, segment.id, segment.text, segment.final))
        self._changed.set()

    def _caption_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        self._start(self._read_caption(reader, sender))

    async def _read_caption(self, reader: rtc.TextStreamReader, sender: str) -> None:
        text = ""
        with contextlib.suppress(rtc.StreamError):
            async for chunk in reader:
                text += chunk
                self._add_caption(reader, sender, text, chunk, ended=False)
        self._add_caption(reader, sender, text, "", ended=True)

    def _add_caption(self, reader: rtc.TextStreamReader, sender: str, text: str, chunk: str, *, ended: bool) -> None:
        attributes = dict(reader.info.attributes or {})
        segment = attributes.get("lk.segment_id", "")
        self.captions.append(
            Caption(time.monotonic(), sender, text, segment, reader.info.stream_id, chunk, ended, attributes)
        )
        self._changed.set()

    def _chat_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        async def read() -> None:
            self.chats.append((time.monotonic(), sender, await reader.read_all()))
            self._changed.set()

        self._start(read())

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _reason(who: rtc.RemoteParticipant) -> str:
    return _reason_name(who.disconnect_reason or 0)


def _reason_name(reason: int) -> str:
    return rtc.DisconnectReason.Name(reason)  # type: ignore[arg-type]
