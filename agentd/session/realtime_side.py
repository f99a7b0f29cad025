"""What a session with a realtime model has instead of a recogniser, a language model and a synthesiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentd.providers.stt import STT
from agentd.session.conversation import Conversation
from agentd.session.events import CommitTurn, Ignore, TurnEvent
from agentd.session.floor import Floor
from agentd.session.listening import Listening
from agentd.session.realtime import Opened, RealtimeLink
from agentd.session.realtime_early import RealtimeEarly
from agentd.session.realtime_listening import ModelListening, RealtimeSTT
from agentd.session.realtime_reply import SpokenReply, WrittenReply
from agentd.session.realtime_utterances import Utterances
from agentd.session.reply import Reply
from agentd.session.setup import Candidate, Providers


class RealtimeSide:
    """One model's in one session. It stands in the recogniser's place among the conversation's providers."""

    def __init__(self, conversation: Conversation, opened: Opened | None = None) -> None:
        """`opened`: the connection to begin with, if there is one already."""
        self._conversation = conversation
        self._link = RealtimeLink(conversation, opened)
        self._utterances = Utterances(conversation, self._link)
        self._early = self._link.early = RealtimeEarly(conversation, self._link)
        self._recogniser = self._link.ears = RealtimeSTT(self._link, self._utterances)
        self._take_place()

    def _take_place(self) -> None:
        """The recogniser's; the agent's providers have none."""
        providers = _hearing(self._conversation.setup.providers, self._link.name, self._recogniser)
        self._conversation.setup = replace(self._conversation.setup, providers=providers)

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

    def suits(self, ear: Listening | ModelListening) -> bool:
        """Whether `listening` would make one of its kind. Of two agents with one connection the ears may differ."""
        if self._conversation.definition.turn.detection != "realtime":
            return isinstance(ear, Listening)
        return isinstance(ear, ModelListening) and ear.is_of(self._link)

    def is_of(self, providers: Providers) -> bool:
        """Whether this is the connection that an agent with these providers wants."""
        return bool(providers.realtime) and self._link.is_to(providers.realtime[0].provider)

    def follow_agent(self) -> None:
        """The conversation goes on as another agent, with this connection."""
        self._early.follow_agent()
        if self._conversation.definition.turn.detection != "realtime":
            self._link.ears = self._recogniser
        self._take_place()
        self._link.follow_agent()

    def leave(self) -> None:
        """The conversation goes on without this model."""
        self._early.drop("handoff")

    def reply(self, *arguments: Any) -> Reply:
        """As `Reply(*arguments)`."""
        kind = SpokenReply if self._conversation.definition.tts is None else WrittenReply
        return kind(self._link, *arguments)

    def ignored(self, decision: Ignore) -> None:
        """Words that are no turn. An acknowledgement may still become the beginning of one."""
        if decision.rule != "acknowledgement":
            self._utterances.ignored(decision.text)

    def ended(self, turn: CommitTurn, heard: str) -> None:
        """The caller's turn is over; hooks may still look at it. `heard`: what was said, where not all may be kept."""
        if turn.source == "speech":
            self._utterances.ended(turn, heard)
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
