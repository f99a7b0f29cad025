"""What a session with a realtime model has instead of a recogniser, a language model and a synthesiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentd.providers.stt import STT
from agentd.session.conversation import Conversation
from agentd.session.events import CommitTurn, TurnEvent
from agentd.session.floor import Floor
from agentd.session.listening import Listening
from agentd.session.realtime import RealtimeLink
from agentd.session.realtime_early import RealtimeEarly
from agentd.session.realtime_listening import ModelListening, RealtimeSTT
from agentd.session.realtime_reply import SpokenReply, WrittenReply
from agentd.session.realtime_utterances import Utterances
from agentd.session.reply import Reply
from agentd.session.setup import Candidate, Providers


class RealtimeSide:
    """One session's. The model stands in the recogniser's place among the conversation's providers."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._link = RealtimeLink(conversation)
        self._utterances = Utterances(conversation, self._link)
        self._early = self._link.early = RealtimeEarly(conversation, self._link)
        self._link.ears = recogniser = RealtimeSTT(self._link, self._utterances)
        providers = _hearing(conversation.setup.providers, self._link.name, recogniser)
        conversation.setup = replace(conversation.setup, providers=providers)

    async def run(self) -> None:
        """Keeps the model connected, until cancelled."""
        await self._link.run()

    def listening(
        self, conversation: Conversation, emit: Callable[[TurnEvent], None], **more: Any
    ) -> Listening | ModelListening:
        """As `Listening(conversation, emit, **more)`: an ear that takes the model's word for where turns end, or only
        its words."""
        if conversation.definition.turn.detection != "realtime":
            return Listening(conversation, emit, **more)
        self._link.ears = ear = ModelListening(conversation, self._link, self._utterances, emit)
        return ear

    def reply(self, *arguments: Any) -> Reply:
        """As `Reply(*arguments)`."""
        kind = SpokenReply if self._conversation.definition.tts is None else WrittenReply
        return kind(self._link, *arguments)

    def ended(self, turn: CommitTurn) -> None:
        """The caller's turn is over; hooks may still look at it."""
        if turn.source == "speech":
            self._utterances.ended(turn)
            self._early.committed()

    def added(self, turn: CommitTurn, number: int, text: str | None) -> None:
        """What became of it: it stands in the conversation under this number with this text, or (None) nowhere."""
        if turn.source == "speech":
            self._utterances.added(turn, number, text)
            if text is None:
                self._early.drop("hook")

    def follow(self, machine: Floor) -> None:
        """To be called after each step of the machine."""
        self._early.follow(machine)


def _hearing(providers: Providers, name: str, recogniser: STT) -> Providers:
    """The same with this recogniser, in every language."""
    stt = (Candidate(name, recogniser),)
    languages = {tag: replace(each, stt=stt) for tag, each in providers.languages.items()}
    return replace(providers, stt=stt, languages=languages)
