"""The conversation as the model sees it: only what was said by the caller, done by tools, and heard of the agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult


class Draft:
    """A message of the agent in the making: all of its text while the reply runs, afterwards what was heard.

    It keeps its place in the history, so that tool calls made meanwhile stand after it.
    """

    __slots__ = ("heard", "interrupted", "settled", "text")

    def __init__(self) -> None:
        self.text = ""
        self.heard = ""
        self.settled = False
        self.interrupted = False

    def hear(self, text: str) -> None:
        """Adds a sentence, or the part of one, that was played."""
        self.heard = f"{self.heard} {text}".strip()

    def settle(self, *, interrupted: bool) -> None:
        self.settled = True
        self.interrupted = interrupted

    def message(self) -> Message | None:
        text = self.heard if self.settled else self.text.strip()
        return Message(role="assistant", text=text, interrupted=self.interrupted) if text else None


class ToolRound:
    """Calls made side by side, and their results as they come: one that is awaited is told as such."""

    __slots__ = ("_results", "calls")

    def __init__(self, calls: Iterable[ToolCall]) -> None:
        self.calls = tuple(calls)
        self._results: dict[str, ToolResult] = {}

    def add(self, call: ToolCall) -> None:
        self.calls = (*self.calls, call)

    def has_result(self, call_id: str) -> bool:
        return call_id in self._results

    def complete(self, result: ToolResult) -> None:
        self._results[result.call_id] = result

    def items(self) -> Iterator[ChatItem]:
        yield from self.calls
        for call in self.calls:
            yield self._results.get(call.id) or ToolResult(
                call_id=call.id, name=call.name, content="This call is still running; do not repeat it."
            )


class History:
    """The items of one session, in order. Owned by the session; replies write through it."""

    def __init__(self, items: Iterable[ChatItem] = ()) -> None:
        self._entries: list[ChatItem | Draft | ToolRound] = list(items)

    def add_user(self, text: str) -> None:
        self._entries.append(Message(role="user", text=text))

    def begin_tools(self, calls: Iterable[ToolCall]) -> ToolRound:
        """Adds calls at once, so that no later request misses that they were made."""
        entry = ToolRound(calls)
        self._entries.append(entry)
        return entry

    def draft(self, *, before: ToolRound | None = None) -> Draft:
        """Begins a message of the agent: at the end, or ahead of a round of calls during which it is said,
        because models want calls and results side by side and at the end."""
        entry = Draft()
        at = len(self._entries) if before is None else self._entries.index(before)
        self._entries.insert(at, entry)
        return entry

    def items(self) -> tuple[ChatItem, ...]:
        """The conversation now; messages of which nothing was heard are left out."""
        return tuple(item for entry in self._entries for item in _items(entry))


def _items(entry: ChatItem | Draft | ToolRound) -> Iterator[ChatItem]:
    if isinstance(entry, ToolRound):
        yield from entry.items()
    elif isinstance(entry, Draft):
        message = entry.message()
        if message is not None:
            yield message
    else:
        yield entry
