"""Turns that people begin, end and take back by hand: with a button of their front end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentd.session.conversation import Conversation
from agentd.session.ears import Ears
from agentd.session.events import THE_CALLER, CommitRequested, TurnBegun, TurnDropped, TurnEvent
from agentd.session.inbox import FromVoice, InboxEvent
from agentd.session.room import HandAction, TurnByHand

_BY_HAND: Mapping[HandAction, TurnEvent] = {"begin": TurnBegun(), "end": CommitRequested(), "cancel": TurnDropped()}


class Hands:
    """One session's. `post` puts an event before its task, behind what the ears have said."""

    def __init__(self, conversation: Conversation, ears: Ears, post: Callable[[InboxEvent], None]) -> None:
        self._conversation = conversation
        self._ears = ears
        self._post = post

    def take(self, event: TurnByHand) -> None:
        voice = self._conversation.people.voice(event.identity)
        presses = self._conversation.definition.room.participants == "push_to_talk"
        if presses and event.action == "begin":
            self._ears.open(event.identity)
        self._ears.end_utterance(voice)
        told = _BY_HAND[event.action]
        self._post(told if voice == THE_CALLER else FromVoice(voice, told))
