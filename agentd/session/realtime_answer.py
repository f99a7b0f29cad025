"""One answer of a realtime model, as its events bring it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agentd.aio import Channel, Closed
from agentd.audio import AudioFrame
from agentd.errors import ProviderError, ProviderTimeout
from agentd.providers.llm import LLMDelta, TextDelta, ToolChoice, Usage
from agentd.providers.realtime import CallMade, ItemBegun, ResponseEnded, SoundMade, WordsMade

PARTS = 5_000  # of an answer that nobody reads yet: minutes of sound

Part = LLMDelta | AudioFrame
"""What an answer consists of: its words, its sound, calls of tools, and what it used."""

ResponseEvent = ItemBegun | WordsMade | SoundMade | CallMade | ResponseEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`entry`: the id that the answer has in the history; `tool_round`: how the ids of its calls begin there.

    `instruction`: one more for this answer. `say`: instead, a text to be spoken as it is, outside of the conversation.
    """

    entry: str = ""
    tool_round: str = ""
    instruction: str | None = None
    tool_choice: ToolChoice = "auto"
    say: str = ""

    def holds(self, entry: str) -> bool:
        """Whether the answer is this entry of the history, or one of its calls is."""
        return entry == self.entry or entry.startswith(f"{self.tool_round}_")


class Answer:
    """Read by one task."""

    def __init__(self, name: str, question: Question, cancel: Callable[[], None]) -> None:
        self.name = name
        self.question = question
        self.ended = asyncio.Event()
        self.read = False  # a part of it was
        self.written = 0  # characters
        self.unwanted = False
        self.usage: Usage | None = None  # known at its end, unless it failed
        self._discarded = False
        self._cancel = cancel
        self._parts: Channel[Part] = Channel(PARTS)
        self._error: ProviderError | None = None

    def take(self, event: ResponseEvent) -> None:
        match event:
            case WordsMade(text=text) if text:
                self.written += len(text)
                self._parts.force(TextDelta(text))
            case SoundMade(frame=frame) if frame.data:
                self._parts.force(frame)
            case CallMade(call=call):
                self._parts.force(call)
            case ResponseEnded(usage=usage, error=error):
                if usage is not None and error is None:
                    self.usage = usage
                    self._parts.force(usage)
                self.end(error)

    def end(self, error: ProviderError | None = None) -> None:
        """Nothing more comes; idempotent."""
        if not self.ended.is_set():
            self._error = error
            self.ended.set()
            self._parts.close()

    def cancel(self) -> None:
        """Nobody wants the rest of it; what comes meanwhile is thrown away. Idempotent."""
        if not self.ended.is_set() and not self.unwanted:
            self.unwanted = True
            self._cancel()
        self._parts.close()

    def discard(self) -> None:
        """Nobody wants any of it."""
        self._discarded = True
        self.cancel()

    @property
    def failed(self) -> bool:
        return self._error is not None

    def entry_of(self, event: ItemBegun | CallMade) -> str:
        """The id in the history of what this item is: of the message, or of a call."""
        if self._discarded:
            return ""
        return f"{self.question.tool_round}_{event.call.id}" if isinstance(event, CallMade) else self.question.entry

    async def next(self, within_s: float, provider: str) -> Part | None:
        """The next part; None at the end. Raises ProviderError."""
        try:
            async with asyncio.timeout(within_s):
                part = await self._parts.receive()
        except Closed:
            if self._error is not None:
                raise self._error from None
            return None
        except TimeoutError:
            raise ProviderTimeout(provider, f"no part of the answer for {within_s:g} s") from None
        self.read = True
        return part
