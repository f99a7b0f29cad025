"""The conversation as the model sees it: only what was said by the caller, done by tools, and heard of the agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agentd.providers.chat import ChatContext, Entry, is_pinned, units
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.speakers import Speaker, labelled
from agentd.session.markup import plain

STILL_RUNNING = "This call is still running; do not repeat it."
ON_ITS_WAY = (
    "This call goes on in the background, and its result comes later by itself. Say that it is on its way, and talk "
    "on. Do not repeat the call, and do not guess its result."
)
_SUMMARY = "summary"  # how the id of a summary begins


def user_id(turn: int) -> str:
    return f"turn_{turn}"


def agent_id(reply: int, draft: int) -> str:
    return f"reply_{reply}_{draft}"


def tools_id(reply: int) -> str:
    return f"reply_{reply}"


class Draft:
    """A message of the agent in the making: all of its text while the reply runs, afterwards what was heard.

    It keeps its place in the history, so that tool calls made meanwhile stand after it.
    """

    __slots__ = ("heard", "id", "interrupted", "settled", "text")

    def __init__(self, entry_id: str = "") -> None:
        self.id = entry_id
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
        text = self.heard if self.settled else plain(self.text).strip()
        return Message(role="assistant", text=text, interrupted=self.interrupted) if text else None

    def entries(self) -> Iterator[Entry]:
        message = self.message()
        if message is not None:
            yield Entry(self.id, message)


class ToolRound:
    """Calls made side by side, and their results as they come: one that is awaited is told as such."""

    __slots__ = ("_detached", "_results", "calls", "id")

    def __init__(self, calls: Iterable[ToolCall], entry_id: str = "") -> None:
        self.id = entry_id
        self.calls = tuple(calls)
        self._results: dict[str, ToolResult] = {}
        self._detached: set[str] = set()

    def add(self, call: ToolCall) -> None:
        self.calls = (*self.calls, call)

    def has_result(self, call_id: str) -> bool:
        return call_id in self._results

    @property
    def settled(self) -> bool:
        """Every result is there."""
        return all(call.id in self._results for call in self.calls)

    def complete(self, result: ToolResult) -> None:
        self._results[result.call_id] = result

    def detach(self, call_id: str) -> None:
        """Nobody waits for this call any longer."""
        self._detached.add(call_id)

    def items(self) -> Iterator[ChatItem]:
        yield from self.calls
        for call in self.calls:
            awaited = ON_ITS_WAY if call.id in self._detached else STILL_RUNNING
            yield self._results.get(call.id) or ToolResult(call_id=call.id, name=call.name, content=awaited)

    def entries(self) -> Iterator[Entry]:
        half = len(self.calls)
        for number, item in enumerate(self.items()):
            call = self.calls[number % half].id
            yield Entry(f"{self.id}_{call}" + ("_result" if number >= half else ""), item)


class History:
    """The items of one session, in order. Owned by the session; replies write through it.

    Its beginning can be forgotten, or stand as a summary. How much is counted in items without system messages, in
    which the journal of a session that lives and a history that is rebuilt from it agree.
    """

    def __init__(self, items: Iterable[ChatItem] = (), ids: Sequence[str] = ()) -> None:
        self._entries: list[Entry | Draft | ToolRound] = list(ChatContext.of(items, ids).entries)
        numbers = [name.removeprefix(f"{_SUMMARY}_") for name in ids]  # ids may be anybody's
        self._summaries = max((int(number) for number in numbers if number.isdecimal()), default=0)
        self.forgotten = 0  # items that were forgotten or summarised

    def add_user(self, text: str, entry_id: str = "user", speaker: Speaker | None = None) -> None:
        """`speaker`: which of several people said it."""
        self._entries.append(Entry(entry_id, Message(role="user", text=labelled(speaker, text), speaker=speaker)))

    def user_text(self, entry_id: str) -> str | None:
        """What the caller said in this turn; None when it is not in the history any more."""
        item = next((each.item for each in self._entries if isinstance(each, Entry) and each.id == entry_id), None)
        return item.text if isinstance(item, Message) else None

    def correct_user(self, entry_id: str, text: str) -> None:
        """Its words were found out later."""
        for number, each in enumerate(self._entries):
            if isinstance(each, Entry) and each.id == entry_id and isinstance(each.item, Message):
                self._entries[number] = Entry(entry_id, replace(each.item, text=text))

    def begin_tools(self, calls: Iterable[ToolCall], entry_id: str = "tools") -> ToolRound:
        """Adds calls at once, so that no later request misses that they were made."""
        entry = ToolRound(calls, entry_id)
        self._entries.append(entry)
        return entry

    def detach(self, entry_id: str, call_id: str) -> None:
        """Nobody waits for the result of this call any longer: it comes later."""
        for each in self._entries:
            if isinstance(each, ToolRound) and each.id == entry_id:
                each.detach(call_id)

    def complete(self, entry_id: str, call: ToolCall, result: ToolResult) -> None:
        """Attaches the result to its call; where that is not in the history any more, both stand last."""
        rounds = [each for each in self._entries if isinstance(each, ToolRound) and each.id == entry_id]
        rounds = [each for each in reversed(rounds) if any(one.id == call.id for one in each.calls)]
        found = next((each for each in rounds if not each.has_result(call.id)), rounds[0] if rounds else None)
        if found is not None:
            found.complete(result)
            return
        for number, each in enumerate(self._entries):
            if isinstance(each, Entry) and each.id == f"{entry_id}_{call.id}_result":  # of an earlier incarnation
                self._entries[number] = Entry(each.id, result)
                return
        again = ToolRound([call], entry_id)
        again.complete(result)
        self._entries.append(again)

    def draft(self, *, before: ToolRound | None = None, entry_id: str = "agent") -> Draft:
        """Begins a message of the agent: at the end, or ahead of a round of calls during which it is said,
        because models want calls and results side by side and at the end."""
        entry = Draft(entry_id)
        at = self._entries.index(before) if before in self._entries else len(self._entries)
        self._entries.insert(at, entry)
        return entry

    def items(self) -> tuple[ChatItem, ...]:
        """The conversation now; messages of which nothing was heard are left out."""
        return tuple(entry.item for each in self._entries for entry in _entries(each))

    def context(self) -> ChatContext:
        """The same with the items' ids, which another incarnation and the journal know them by."""
        found = [entry for each in self._entries for entry in _entries(each)]
        return ChatContext.of([entry.item for entry in found], [entry.id for entry in found])

    def settled(self) -> int:
        """How many items at the beginning will never change: nothing is being said or called among them."""
        count = 0
        for each in self._entries:
            if not isinstance(each, Entry) and not each.settled:
                break
            count += sum(1 for _ in _entries(each))
        return count

    def forget(self, count: int) -> None:
        """The oldest `count` items, system messages not counted and kept. They are settled."""
        self.forgotten += count
        kept: list[Entry | Draft | ToolRound] = []
        for each in self._entries:
            size = sum(1 for _ in _entries(each))
            if isinstance(each, Entry) and is_pinned(each.item):
                kept.append(each)
            elif 0 < count >= size:  # those of which nothing was heard go with what surrounds them
                count -= size
            else:
                kept.append(each)
                count = 0
        self._entries = kept

    def append(self, entries: Iterable[Entry]) -> None:
        """Puts these last, whatever was said."""
        self._entries += entries

    def replace(self, count: int, entries: Iterable[Entry]) -> None:
        """Puts these in the place of the oldest `count` items, which are settled; system messages stay. What has the id
        of an item that stays is that item, and is not put there again; a call goes with its result."""
        self.forget(count)
        first = next((n for n, each in enumerate(self._entries) if not _pinned(each)), len(self._entries))
        here = {entry.id for each in self._entries for entry in _entries(each)}
        new = (unit for unit in units(entries) if not any(entry.id in here for entry in unit))
        self._entries[first:first] = [entry for unit in new for entry in unit]

    def summarize(self, count: int, summary: str) -> None:
        """Puts a summary in the place of the oldest `count` items and of earlier summaries."""
        self.forget(count)
        self._summaries += 1
        rest = [e for e in self._entries if not (isinstance(e, Entry) and e.id.startswith(_SUMMARY))]
        self._entries = [Entry(f"{_SUMMARY}_{self._summaries}", Message(role="system", text=summary)), *rest]


def _pinned(each: Entry | Draft | ToolRound) -> bool:
    return isinstance(each, Entry) and is_pinned(each.item)


def _entries(each: Entry | Draft | ToolRound) -> Iterator[Entry]:
    if isinstance(each, Entry):
        yield each
    else:
        yield from each.entries()
