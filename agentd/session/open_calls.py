"""The calls of tools of one session: which have no result yet, and which were made lately. A register."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentd.config.tools import ToolOptions
from agentd.providers.llm import ToolCall
from agentd.session.callbacks import Callback
from agentd.session.events import THE_CALLER, Voice
from agentd.tools.spec import ToolRunner

KEPT = 200  # calls that have ended; the oldest are forgotten first


@dataclass(slots=True, kw_only=True, eq=False)
class OpenCall:
    """One call from the wish of the model to its result, by the tools of the agent that made it. `entry`: the id of its
    round in the history; `key`: names it over retries and over the death of the process; moments are of the session's
    clock.

    `background`: nobody waits for it. `words`: set when the reply need not wait any longer; whether the model is to
    be asked for words. `why_cancelled`: what the model is told when its task is cancelled.
    """

    call: ToolCall
    tools: ToolRunner
    options: ToolOptions
    reply: int
    entry: str
    key: str
    began: float
    voice: Voice = THE_CALLER
    background: bool = False
    made: bool = True  # no rule has stopped it
    callback: Callback | None = None
    task: asyncio.Task[None] | None = None
    words: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: float | None = None
    outcome: str = ""
    content: str = ""
    why_cancelled: str = "The call was cancelled."

    def cancel(self, why: str) -> None:
        self.why_cancelled = why
        if self.task is not None:
            self.task.cancel()


class OpenCalls:
    """Owned by the session."""

    def __init__(self) -> None:
        self._open: list[OpenCall] = []
        self._ended: deque[OpenCall] = deque(maxlen=KEPT)
        self.untold: set[str] = set()
        """Keys of those whose results came late and were not spoken of."""

    def begin(self, call: OpenCall) -> None:
        self._open.append(call)

    def end(self, call: OpenCall, outcome: str, content: str, at: float) -> bool:
        """Its result is there. False: it was there already, which does not change, unless nobody knew what it was."""
        if call.ended is not None and call.outcome != UNKNOWN:
            return False
        if call in self._open:
            self._open.remove(call)
            self._ended.append(call)
        call.ended, call.outcome, call.content = at, outcome, content
        return True

    @property
    def open(self) -> tuple[OpenCall, ...]:
        """In the order in which they began."""
        return tuple(self._open)

    async def settled(self) -> None:
        """Until those that a reply waits for, or had waited for in another process, have their results."""
        waiting = [each.words for each in self._open if not each.background]
        if waiting:
            await asyncio.wait(waiting)

    def of_key(self, key: str) -> OpenCall | None:
        return next((each for each in (*self._open, *self._ended) if each.key == key), None)

    def of_call(self, call: ToolCall) -> OpenCall | None:
        """The one that is this very call."""
        return next((each for each in self._open if each.call is call), None)

    def made_before(self, call: OpenCall) -> Iterator[OpenCall]:
        """Those that were made, the latest first."""
        earlier = self._open[: self._open.index(call)] if call in self._open else self._open
        return (each for each in (*reversed(earlier), *reversed(self._ended)) if each.made)

    @property
    def cancellable(self) -> tuple[OpenCall, ...]:
        """Those in the background that the model may cancel."""
        return tuple(each for each in self._open if each.background and each.options.cancellable)


UNKNOWN = "unknown"
"""The outcome of a call whose process died before it had a result."""


def same(one: ToolCall, other: ToolCall) -> bool:
    """The same tool with the same arguments, however they are written."""
    return one.name == other.name and canonical(one.arguments) == canonical(other.arguments)


def canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
