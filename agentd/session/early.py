"""An answer that is made before the turn has ended: the model's words, and their sound, on their way to nowhere yet.

It has no effect: what the model writes waits in a channel, calls of tools included, until a reply takes the attempt
over and reads from it as it would from the model. An attempt that nobody takes over leaves only the record of what
it cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agentd.aio import Channel, now
from agentd.errors import ProviderError
from agentd.providers.llm import ChatRequest, LLMDelta, TextDelta, Usage
from agentd.providers.tts import SpeechChunk
from agentd.session import resilience
from agentd.session.conversation import Conversation
from agentd.session.events import THE_CALLER, Voice
from agentd.session.floor import Floor
from agentd.session.model_request import chat_request, first_choice
from agentd.session.preemption import DropEarly, Preemption, SkipEarly, StartEarly
from agentd.session.segmenter import Segmenter
from agentd.session.synthesis import Segments, voiced

SEGMENTS_CAPACITY = 64  # sentences that the model may be ahead of synthesis
DELTAS_CAPACITY = 1_000  # the model waits when it has written that much before its turn has come
SOUND_CAPACITY = 200  # so does synthesis


class EarlyAnswer:
    """One attempt. `request`: what the model was asked, to be compared with what it would be asked now."""

    def __init__(self, conversation: Conversation, attempt: int, text: str, voice: Voice = THE_CALLER) -> None:
        self.attempt = attempt
        self.request = early_request(conversation, text, voice)
        self.voice = voice
        self.began = now()
        self.voiced = conversation.definition.turn.preemptive.tts
        self.segments: Segments = Channel(SEGMENTS_CAPACITY)
        self.segmented = 0  # sentences that were handed to synthesis here
        self._conversation = conversation
        self._deltas: Channel[LLMDelta] = Channel(DELTAS_CAPACITY)
        self._sound: Channel[SpeechChunk] = Channel(SOUND_CAPACITY)
        self._segmenter = Segmenter() if self.voiced else None
        self._errors: dict[str, ProviderError] = {}
        self._usage: Usage | None = None
        self._written = self._voiced = 0  # characters
        self._taken = False
        self._task: asyncio.Task[None] | None = None

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._run())

    def stop(self) -> None:
        """Aborts the requests; idempotent."""
        if self._task is not None:
            self._task.cancel()

    def take(self, reply: int) -> None:
        """From now on the reply reads, and makes the segments itself."""
        self._taken = True
        self._record_outcome("used", reply=reply)

    def drop(self, rule: str, value: str = "") -> None:
        """Nobody wants it any more."""
        self.stop()
        self._record_outcome("dropped", rule=rule, value=value)
        used = self._usage or Usage(prompt_tokens=0, completion_tokens=0)
        if self._usage or self._voiced:
            self._conversation.record(
                "usage",
                prompt_tokens=used.prompt_tokens,
                completion_tokens=used.completion_tokens,
                cached_tokens=used.cached_tokens,
                characters=self._voiced,
                discarded=True,
            )

    def _record_outcome(self, outcome: str, **more: Any) -> None:
        self._conversation.record(
            "preemption",
            attempt=self.attempt,
            outcome=outcome,
            ran_s=round(now() - self.began, 4),
            characters=self._written,
            **more,
        )

    async def deltas(self) -> AsyncGenerator[LLMDelta, None]:
        """What the model has written and will write. Raises ProviderError, as the model's stream would."""
        async for delta in self._deltas:
            yield delta
        if error := self._errors.get("llm"):
            raise error

    async def sound(self) -> AsyncGenerator[SpeechChunk, None]:
        """The same of the sound, if `voiced`."""
        async for chunk in self._sound:
            yield chunk
        if error := self._errors.get("tts"):
            raise error

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._think())
            if self.voiced:
                group.create_task(self._speak())

    async def _think(self) -> None:
        models = self._conversation.providers.llm
        try:
            async with aclosing(resilience.chat(models, self.request, self._record_attempt)) as deltas:
                async for delta in deltas:
                    self._note(delta)
                    await self._deltas.send(delta)
            self._segment(self._segmenter.flush() if self._segmenter else [])
        except ProviderError as error:
            self._errors["llm"] = error
        finally:
            self._deltas.close()

    def _note(self, delta: LLMDelta) -> None:
        if isinstance(delta, TextDelta):
            self._written += len(delta.text)
            self._segment(self._segmenter.push(delta.text) if self._segmenter else [])
        elif isinstance(delta, Usage):
            self._usage = delta

    def _segment(self, texts: list[str]) -> None:
        """Hands sentences to synthesis, until the reply does or synthesis is far behind."""
        for text in texts:
            if self._taken or self._segmenter is None or not self.segments.send_nowait(text):
                self._segmenter = None
                return
            self.segmented += 1
            self._voiced += len(text)

    async def _speak(self) -> None:
        try:
            async with aclosing(voiced(self._conversation, self.segments, self._record_attempt)) as chunks:
                async for chunk in chunks:
                    await self._sound.send(chunk)
        except ProviderError as error:
            self._errors["tts"] = error
        finally:
            self._sound.close()

    def _record_attempt(self, kind: str, /, **data: Any) -> None:
        self._conversation.record(kind, **data, preemptive=self.attempt)


def usable(early: EarlyAnswer | None, conversation: Conversation) -> EarlyAnswer | None:
    """The attempt, if the model would be asked the same now; else it is dropped."""
    if early is None:
        return None
    same = early.request == chat_request(conversation, tool_choice=early.request.tool_choice, voice=early.voice)
    if same and not early.failed:
        return early
    early.drop("failed" if early.failed else "context_changed")
    return None


def early_request(conversation: Conversation, text: str, voice: Voice = THE_CALLER) -> ChatRequest:
    """What the model would be asked if the turn of this voice ended now with this text."""
    return chat_request(conversation, tool_choice=first_choice(conversation, voice), next_turn=text, voice=voice)


class EarlyAnswers:
    """The session's attempts: at most one is under way."""

    def __init__(self, conversation: Conversation, tasks: asyncio.TaskGroup) -> None:
        self._conversation = conversation
        self._tasks = tasks
        self._preemption = Preemption(conversation.definition.turn.preemptive)
        self._current: EarlyAnswer | None = None

    def follow(self, machine: Floor) -> None:
        """To be called after each step of the floor."""
        self._preemption.allowed = self._conversation.busy.early
        for decision in self._preemption.step(machine.state, machine.ending):
            self._conversation.record(
                "decision", rule=decision.rule, action=type(decision).__name__, value=decision.value
            )
            match decision:
                case StartEarly(text=text, attempt=attempt):
                    self._current = EarlyAnswer(self._conversation, attempt, text, machine.voice)
                    self._current.start(self._tasks)
                case DropEarly(rule=rule) if self._current is not None:
                    self._current.drop(rule)
                    self._current = None
                case SkipEarly():
                    pass

    def committed(self, text: str) -> EarlyAnswer | None:
        """The attempt for the turn that ends with this text, if there is one."""
        early, self._current = self._current, None
        dropped = self._preemption.commit(text)
        if early is not None and dropped is not None:
            early.drop(dropped.rule)
            return None
        return early

    def follow_agent(self, rule: str = "handoff") -> None:
        """Another agent has the call, or another revision of it, and begins early as its file says."""
        self.end(rule)
        self._preemption = Preemption(self._conversation.definition.turn.preemptive)

    def end(self, rule: str = "session_ended") -> None:
        """The call is over, or is another agent's."""
        if self._current is not None:
            self._current.drop(rule)
            self._current = None
