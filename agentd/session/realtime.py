"""A session's link to its realtime model: one connection at a time, opened at the beginning and again when it is lost.

A new connection knows nothing: the mirror is empty then, and the next answer brings the whole conversation over. What
is asked while there is none waits for one, like any request for another attempt (`agentd.session.resilience`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from agentd.aio import Channel, now
from agentd.audio import AudioFrame
from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agentd.providers.llm import Usage
from agentd.providers.realtime import (
    AddItem,
    CallMade,
    CancelResponse,
    Command,
    CommandRefused,
    CommitSound,
    Configuration,
    Configure,
    ItemBegun,
    Realtime,
    RealtimeConnection,
    RealtimeEvent,
    RemoveItem,
    Respond,
    ResponseEnded,
    SoundMade,
    SpeechBegan,
    SpeechStopped,
    UtteranceKept,
    UtteranceWords,
)
from agentd.session import attempts, resilience
from agentd.session.boundary import closed, plugin_code, stream_of
from agentd.session.context import fitted
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER
from agentd.session.model_request import offered, system_prompt
from agentd.session.realtime_answer import Answer, Part, Question, ResponseEvent
from agentd.session.realtime_mirror import Mirror

OUTBOX = 2_000  # sound and commands on their way: two minutes of frames
SEND_STALL_S = 3.0  # as for a recogniser (fault table, F17)
SHORT_LIVED_S = 2.0  # a connection that was lost sooner is not replaced at once
REFUSED_S = 30.0  # a model that refuses is asked again then
FREE_S = 2.0  # an answer that was cancelled may take so long to end before the next is asked for

SAY = (
    "Say the text between the marks aloud, word for word, in its language. Add nothing, leave nothing out, answer "
    "nothing in it. <say>{text}</say>"
)

Heard = SpeechBegan | SpeechStopped | UtteranceKept | UtteranceWords


class Ears(Protocol):
    """Who is told of the caller's speech."""

    def heard(self, event: Heard) -> None: ...

    def refused(self, error: ProviderError) -> None:
        """The sound since the last utterance is none."""

    def lost(self, error: ProviderError) -> None:
        """What was heard and has no words yet will get none, unless it is heard again: by the next connection, for
        which nothing waits yet."""


class Early(Protocol):
    """Who may have had an answer begun already."""

    def take(self, question: Question) -> Answer | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection to this model, and what it was told so far."""

    model: Realtime
    connection: RealtimeConnection
    configuration: Configuration


class RealtimeLink:
    """`ears` and `early` are set before `run`."""

    ears: Ears
    early: Early

    def __init__(self, conversation: Conversation, opened: Opened | None = None) -> None:
        """`opened`: the first connection, which knows of nothing but its configuration."""
        self._conversation = conversation
        self._candidates = conversation.setup.providers.realtime
        self._opened = opened
        self._mirror = Mirror()
        self._outbox: Channel[AudioFrame | Command] = Channel(OUTBOX)
        self._connected = asyncio.Event()
        self._configured = Configuration()
        self._unusable: ProviderError | None = None  # why there is no connection, and will be none soon
        self._answers: dict[str, Answer] = {}
        self._last: Answer | None = None  # in the conversation
        self._asked = 0
        self.sound_s = 0.0  # that the present connection was given

    @property
    def name(self) -> str:
        return self._candidates[0].name

    @property
    def sample_rate_hz(self) -> int:
        return self._candidates[0].provider.sample_rate_hz

    def is_to(self, model: Realtime) -> bool:
        return self._candidates[0].provider is model

    def follow_agent(self) -> None:
        """The conversation goes on as another agent of the same model: what it hears next it hears as that one's file
        says."""
        self._configure()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began: float | None = None
            try:
                connection = await self._connect()
                began = now()
                await self._use(connection)
            except ProviderError as error:
                await self._lost(error)
                self._conversation.record("error", where=f"realtime {error.provider}", message=error.message)
                if began is None or now() - began < SHORT_LIVED_S:
                    await asyncio.sleep(attempts.RETRY_AFTER_S if error.retryable else REFUSED_S)

    # What the session does with it.

    def hear(self, frame: AudioFrame) -> None:
        self.sound_s += frame.duration_s
        self._outbox.force(frame)

    def send(self, *commands: Command) -> None:
        for command in commands:
            self._outbox.force(command)

    async def until_connected(self, within_s: float) -> None:
        """Raises ProviderError."""
        if self._unusable is not None:
            raise self._unusable
        try:
            async with asyncio.timeout(within_s):
                await self._connected.wait()
        except TimeoutError:
            raise ProviderUnavailable(self.name, f"no connection within {within_s:g} s") from None

    async def answer(self, question: Question) -> AsyncGenerator[Part, None]:
        """The parts of the answer. Until the first has come it is asked for again; what fails later is raised as it
        is. Closing the generator cancels the answer. Raises ProviderError."""
        tries = attempts.Attempts("realtime", self._candidates, self._conversation.record)
        begun = None if question.say else self.early.take(question)
        async for candidate in tries:
            began = now()
            answer, begun = begun, None
            try:
                answer = answer or await self._ask(question, tries.timeout_s())
                part = await answer.next(tries.timeout_s(), candidate.name)
                tries.done(candidate, began)
                while part is not None:
                    yield part
                    began = now()
                    part = await answer.next(attempts.ATTEMPT_S, candidate.name)
            except ProviderError as error:
                tries.failed(candidate, error, began)
                if answer is not None and answer.read:
                    raise
                if answer is not None:
                    self.discard(answer)
                continue
            finally:
                if answer is not None:
                    answer.cancel()
            return

    def ask_now(self, question: Question) -> Answer | None:
        """The same at once, for somebody who reads it later; None where the model is not free."""
        free = self._last is None or self._last.ended.is_set()
        return self._put(question) if free and self._connected.is_set() else None

    def knows_all_but(self, question: Question) -> bool:
        """Whether the model would be told nothing before another answer, were it not for that to this question."""
        entries = self._conversation.history.context().entries
        return self._wanted() == self._configured and self._mirror.in_step(entries, but=question.holds)

    def discard(self, answer: Answer) -> None:
        """It is no part of the conversation."""
        answer.discard()
        self._record_unread(answer.usage)
        self._mirror.disown(answer.question.entry)

    def cut(self, entry: str, heard_s: float) -> None:
        """Of the answer that is this entry no more was heard."""
        self.send(*self._mirror.cut(entry, heard_s))

    def reword(self, entry: str) -> None:
        """What the history says of this entry is true, and not what the model wrote."""
        self._mirror.replace(entry)

    def adopt(self, entry: str, item: str) -> None:
        """This item of the model's is this entry."""
        self._mirror.adopt(entry, item)

    def forget(self, item: str) -> None:
        """This item of the model's is no part of the conversation."""
        self.send(RemoveItem(item))

    # Asking.

    async def _ask(self, question: Question, within_s: float) -> Answer:
        await self.until_connected(within_s)
        if not question.say and self._last is not None:
            await self._ended(self._last)
        return self._put(question)

    def _put(self, question: Question) -> Answer:
        self._asked += 1
        name = f"r{self._asked}"
        answer = self._answers[name] = Answer(name, question, lambda: self.send(CancelResponse(name)))
        if question.say:
            instructions = SAY.format(text=question.say)
            self.send(Respond(response=name, instructions=instructions, tool_choice="none", apart=True))
        else:
            self._last = answer
            self._bring_up_to_date()
            self.send(self._respond(name, question))
        return answer

    def _respond(self, name: str, question: Question) -> Respond:
        instructions = None
        if question.instruction:
            parts = (self._configured.instructions, self._conversation.render(question.instruction))
            instructions = "\n\n".join(part for part in parts if part)
        return Respond(response=name, instructions=instructions, tool_choice=question.tool_choice)

    async def _ended(self, answer: Answer) -> None:
        """A model makes one answer at a time."""
        try:
            async with asyncio.timeout(FREE_S):
                await answer.ended.wait()
        except TimeoutError:
            answer.end(ProviderTimeout(self.name, "the answer before did not end"))

    def _bring_up_to_date(self) -> None:
        """What the model is to know before it answers."""
        conversation = self._conversation
        self._configure()
        fitted(conversation.history, (), conversation.definition.limits.history_tokens, conversation.record)
        self.send(*self._mirror.sync(conversation.history.context().entries))

    def _configure(self) -> None:
        wanted = self._wanted()
        if wanted != self._configured:
            self._configured = wanted
            self.send(Configure(wanted))

    def _wanted(self) -> Configuration:
        conversation = self._conversation
        return Configuration(
            instructions=system_prompt(conversation),
            tools=conversation.collecting.offered(offered(conversation, THE_CALLER)),
            language=conversation.language,
            detects_turns=conversation.definition.turn.detection == "realtime",
            speaks=conversation.definition.tts is None,
        )

    # The connection.

    async def _connect(self) -> RealtimeConnection:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._configured = opened.configuration
            self._configure()
            return opened.connection
        wanted = self._wanted()
        record = self._conversation.record
        connection = await resilience.request("realtime", self._candidates, lambda m: m.connect(wanted), record)
        self._configured, self._unusable = wanted, None
        return connection

    async def _use(self, connection: RealtimeConnection) -> None:
        """Raises ProviderError when it is lost."""
        lost: ProviderError = ProviderUnavailable(self.name, "the connection ended by itself")
        self._connected.set()
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send_all(connection))
                async with aclosing(stream_of(self.name, lambda: connection)) as events:
                    async for event in events:
                        self._take(event)
                sender.cancel()
        except* ProviderError as group_error:
            lost = attempts.first(group_error)
        finally:
            self._connected.clear()
            await closed(self.name, connection)
        raise lost

    async def _send_all(self, connection: RealtimeConnection) -> None:
        """Raises ProviderTimeout when the model takes no more: the connection is half open."""
        async for item in self._outbox:
            try:
                async with asyncio.timeout(SEND_STALL_S):
                    with plugin_code(self.name):
                        await (connection.hear(item) if isinstance(item, AudioFrame) else connection.send(item))
            except TimeoutError:
                raise ProviderTimeout(self.name, f"took nothing for {SEND_STALL_S:g} s") from None

    async def _lost(self, error: ProviderError) -> None:
        self._unusable = None if error.retryable else error
        self._mirror = Mirror(made=self._mirror.made)
        for answer in self._answers.values():
            answer.end(error)
        self._answers.clear()
        self._last = None
        while len(self._outbox):
            await self._outbox.receive()
        self.sound_s = 0.0
        self.ears.lost(error)

    # What comes over it.

    def _take(self, event: RealtimeEvent) -> None:
        match event:
            case SpeechBegan() | SpeechStopped() | UtteranceKept() | UtteranceWords():
                self.ears.heard(event)
            case CommandRefused():
                self._refused(event)
            case _:
                self._of_answer(event)

    def _of_answer(self, event: ResponseEvent) -> None:
        answer = self._answers.get(event.response)
        if answer is None:
            return
        if isinstance(event, ItemBegun | CallMade) and not answer.question.say:
            self._mirror.adopt(answer.entry_of(event), event.item)
        if isinstance(event, SoundMade):
            self._mirror.sounded(event.item, event.frame.duration_s)
        if isinstance(event, ResponseEnded):
            del self._answers[event.response]
            if answer.unwanted or event.error is not None:
                self._record_unread(event.usage)
        answer.take(event)

    def _record_unread(self, used: Usage | None) -> None:
        """What an answer has used that nobody reads to its end."""
        if used is not None:
            self._conversation.record(
                "usage",
                prompt_tokens=used.prompt_tokens,
                completion_tokens=used.completion_tokens,
                cached_tokens=used.cached_tokens,
                characters=0,
                discarded=True,
            )

    def _refused(self, event: CommandRefused) -> None:
        match event.command:
            case Respond(response=name) if name in self._answers:
                self._answers.pop(name).end(event.error)
                return
            case AddItem(id=item):
                self._mirror.refused(item)
            case CommitSound():
                self.ears.refused(event.error)
        what = type(event.command).__name__ if event.command else "a command"
        message = f"{what} was refused: {event.error.message}"
        self._conversation.record("error", where=f"realtime {self.name}", message=message)
