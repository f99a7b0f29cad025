"""The ears of a session: one for the linked participant, or one for each person in the room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentd.audio import AudioFrame
from agentd.session.conversation import Conversation
from agentd.session.echo import EchoWatch
from agentd.session.events import THE_CALLER, TurnEvent, Voice
from agentd.session.inbox import FromVoice, InboxEvent
from agentd.session.listening import Listening
from agentd.session.realtime_listening import ModelListening
from agentd.session.room import Room

Ear = Listening | ModelListening


class Maker(Protocol):
    """Whose ears they are."""

    def listening(self, conversation: Conversation, emit: Callable[[TurnEvent], None], **more: Any) -> Ear:
        """One of the kind that the session has now, as `Listening(conversation, emit, **more)`."""
        ...

    def suits(self, ear: Ear) -> bool:
        """Whether it is of that kind."""
        ...


@dataclass(frozen=True, slots=True)
class _Ear:
    voice: Voice
    listening: Ear
    task: asyncio.Task[None]
    echo: EchoWatch | None


class Ears:
    """`post` takes what is heard, in order, and must not block. `tasks` run the ears. Each has its own voice activity
    detection, its own recogniser stream, and its own watch for the agent's echo."""

    def __init__(
        self,
        conversation: Conversation,
        room: Room,
        tasks: asyncio.TaskGroup,
        post: Callable[[InboxEvent], None],
        maker: Maker,
    ) -> None:
        self._maker = maker
        self._conversation = conversation
        self._room = room
        self._tasks = tasks
        self._post = post
        self._open: dict[str, _Ear] = {}
        if not conversation.people.several:
            self._listen("", THE_CALLER, conversation.echo)

    @property
    def streaming(self) -> bool:
        for ear in self._open.values():
            return ear.listening.streaming
        return self._conversation.providers.stt[0].provider.capabilities.streaming

    def open(self, identity: str) -> None:
        """Begins to hear this participant; nothing when they are heard already."""
        if identity not in self._open:
            self._listen(identity, Voice(identity), self._conversation.voice.watched())

    def close(self, identity: str) -> None:
        """Hears them no more. What was not recognised yet will not be."""
        ear = self._open.pop(identity, None)
        if ear is not None:
            ear.task.cancel()
            if ear.echo is not None:
                self._conversation.voice.unwatch(ear.echo)

    def follow_agent(self) -> None:
        """The conversation goes on as another agent: it is listened to as that one's file says."""
        for identity, ear in list(self._open.items()):
            if self._maker.suits(ear.listening):
                ear.listening.follow_agent()
            else:
                self._replace(identity, ear)

    def _replace(self, identity: str, ear: _Ear) -> None:
        """Another one hears the same sound, and what this one had heard before speech that nobody noticed yet."""
        ear.task.cancel()
        echo = ear.echo if ear.echo is not None else self._conversation.echo
        self._listen(identity, ear.voice, echo, ear.listening.recent())

    def follow_language(self) -> None:
        for ear in self._open.values():
            ear.listening.follow_language()

    def end_utterance(self, voice: Voice) -> None:
        if ear := self._open.get(voice.identity):
            ear.listening.end_utterance()

    def overhear(self, voices: frozenset[Voice]) -> None:
        """Over whose speech and the agent's an opinion decides something."""
        for ear in self._open.values():
            ear.listening.overhear(wanted=ear.voice in voices)

    def turn_ended(self, voice: Voice) -> None:
        if ear := self._open.get(voice.identity):
            ear.listening.turn_ended()

    def _listen(self, identity: str, voice: Voice, echo: EchoWatch, before: Sequence[AudioFrame] = ()) -> None:
        other = Voice(identity, other=True)
        listening = self._maker.listening(
            self._conversation,
            self._post if voice == THE_CALLER else self._posting(voice),
            voice=voice,
            echo=echo,
            emit_other=self._posting(other),
        )
        sound = _after(before, self._conversation.muting.heard(self._room.audio_in(identity)))
        task = self._tasks.create_task(listening.run(sound))
        self._open[identity] = _Ear(voice, listening, task, None if voice == THE_CALLER else echo)

    def _posting(self, voice: Voice) -> Callable[[TurnEvent], None]:
        return lambda event: self._post(FromVoice(voice, event))


async def _after(before: Sequence[AudioFrame], frames: AsyncIterator[AudioFrame]) -> AsyncIterator[AudioFrame]:
    for frame in before:
        yield frame
    async for frame in frames:
        yield frame
