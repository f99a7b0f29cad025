"""The ears of a session: one for the linked participant, or one for each person in the room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agentd.session.conversation import Conversation
from agentd.session.echo import EchoWatch
from agentd.session.events import THE_CALLER, TurnEvent, Voice
from agentd.session.inbox import FromVoice, InboxEvent
from agentd.session.listening import Listening
from agentd.session.realtime_listening import ModelListening
from agentd.session.room import Room


@dataclass(frozen=True, slots=True)
class _Ear:
    voice: Voice
    listening: Listening | ModelListening
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
        make: Callable[..., Listening | ModelListening] = Listening,
    ) -> None:
        """`make`: an ear of the kind that the session has, from what a Listening is made of."""
        self._make = make
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
        for ear in self._open.values():
            ear.listening.follow_agent()

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

    def _listen(self, identity: str, voice: Voice, echo: EchoWatch) -> None:
        other = Voice(identity, other=True)
        listening = self._make(
            self._conversation,
            self._post if voice == THE_CALLER else self._posting(voice),
            voice=voice,
            echo=echo,
            emit_other=self._posting(other),
        )
        task = self._tasks.create_task(listening.run(self._conversation.muting.heard(self._room.audio_in(identity))))
        self._open[identity] = _Ear(voice, listening, task, None if voice == THE_CALLER else echo)

    def _posting(self, voice: Voice) -> Callable[[TurnEvent], None]:
        return lambda event: self._post(FromVoice(voice, event))
