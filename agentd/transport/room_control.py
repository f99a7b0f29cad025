"""A LiveKit room as hooks see it and act on it (agentd.tools.job.RoomControl)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence

import aiohttp
from livekit import rtc
from livekit.api import LiveKitAPI, TwirpError, UpdateParticipantRequest

from agentd.errors import ToolError
from agentd.tools.spec import RoomMember, RoomView
from agentd.transport.caller import in_order_of_joining, kind_of
from agentd.transport.tokens import LiveKitCredentials, room_admin_token

MOST_SHOWN = 200
"""Participants of one room that hooks are told of: those who were there first, and whom the agent talks with."""

ANSWER_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.05


class LiveKitRoomControl:
    """Over whichever connection there is. `talks_with`: whether the agent does, with a participant by identity."""

    def __init__(
        self,
        connection: Callable[[], rtc.Room | None],
        credentials: LiveKitCredentials | None,
        talks_with: Callable[[str], bool],
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._talks_with = talks_with
        self._last = RoomView()
        self._sid = ""

    def view(self) -> RoomView:
        room = self._connection()
        if room is not None and room.isconnected():
            self._last = self._seen(room)
        return self._last

    async def learn_sid(self, room: rtc.Room) -> None:
        """The server tells it a moment after the connection stands."""
        try:
            self._sid = await room.sid
        except RuntimeError:  # it was lost before
            return

    async def set_attributes(self, attributes: Mapping[str, str], identity: str) -> None:
        room = self._room()
        own, wanted = room.local_participant, dict(attributes)
        if identity in ("", own.identity):
            await _done(
                own.set_attributes(wanted),
                lambda: all(own.attributes.get(name, "") == value for name, value in wanted.items()),
            )
        else:
            await self._update(UpdateParticipantRequest(room=room.name, identity=identity, attributes=dict(attributes)))

    async def set_metadata(self, metadata: str, identity: str) -> None:
        room = self._room()
        own = room.local_participant
        if identity in ("", own.identity):
            await _done(own.set_metadata(metadata), lambda: own.metadata == metadata)
        else:
            await self._update(UpdateParticipantRequest(room=room.name, identity=identity, metadata=metadata))

    async def send_text(self, text: str, topic: str, identities: Sequence[str]) -> None:
        sending = self._room().local_participant.send_text(
            text, topic=topic, destination_identities=list(identities) or None
        )
        await _done(sending, lambda: False)

    def _room(self) -> rtc.Room:
        """Raises ToolError."""
        room = self._connection()
        if room is None:
            raise ToolError("the room was left, or is being joined again")
        return room

    async def _update(self, request: UpdateParticipantRequest) -> None:
        """Raises ToolError."""
        if request.identity not in self._room().remote_participants:
            raise ToolError(f"there is nobody {request.identity} in the room")
        if self._credentials is None:
            raise ToolError("another participant is changed with the LiveKit API key, and none is set")
        token = room_admin_token(self._credentials, request.room)
        try:
            async with (
                asyncio.timeout(ANSWER_TIMEOUT_S),
                LiveKitAPI.with_token(token, self._credentials.http_url) as api,
            ):
                await api.room.update_participant(request)
        except TwirpError as error:
            raise ToolError(f"LiveKit refused it: {error.message}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ToolError("LiveKit cannot be reached") from error

    def _seen(self, room: rtc.Room) -> RoomView:
        everybody = [self._member(each) for each in in_order_of_joining(room.remote_participants).values()]
        shown = everybody[:MOST_SHOWN] + [each for each in everybody[MOST_SHOWN:] if each.linked]
        return RoomView(
            name=room.name,
            sid=self._sid,
            metadata=room.metadata,
            local=self._member(room.local_participant),
            remote=tuple(shown),
        )

    def _member(self, who: rtc.Participant) -> RoomMember:
        return RoomMember(
            identity=who.identity,
            name=who.name,
            kind=kind_of(who),
            attributes=who.attributes,
            metadata=who.metadata,
            linked=self._talks_with(who.identity),
        )


async def _done(work: Coroutine[object, object, object], is_seen: Callable[[], bool]) -> None:
    """The SDK waits in vain for an answer of the server's that comes before it waits; that the room shows what was to
    be done (`is_seen`) is an answer as well. Raises ToolError."""
    sending = asyncio.create_task(work)  # ended below, whichever answer comes first
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                await asyncio.wait([sending], timeout=LOOK_EVERY_S)
                if sending.done():
                    sending.result()
                if sending.done() or is_seen():
                    return
    except (rtc.StreamError, RuntimeError) as error:
        raise ToolError(f"it could not be sent: {error}") from error
    except TimeoutError as error:
        raise ToolError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from error
    finally:
        sending.cancel()
