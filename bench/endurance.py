"""Two hours of one call in a minute: python -m bench.endurance [--turns 1000]

A whole session over fakes in virtual time: questions, tools, interruptions, coughs, two languages and summaries, about
7 s a turn. Says whether answers get slower, memory grows, or the model is shown more than the budget allows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
import tracemalloc
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from agentd.config.definition import (
    AgentDefinition,
    Context,
    LanguageOverride,
    Limits,
)
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, ToolResult
from agentd.session.budget import total_tokens
from agentd.session.records import Record
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import Answer, FakeLLM, FakeSTT, says

HISTORY_TOKENS = 1_000
TURN_S = 7.2
ANSWER = "We are open from nine to five. See you then."
WARM_TURNS = 40  # by then the history is full, and everything is loaded


KINDS = ("plain", "plain", "tool", "interrupted", "plain", "coughed")
"""Of turns, again and again."""


@dataclass(slots=True)
class Marks:
    """What is held at one moment between two turns. `bytes`: 0 where they are not traced, which takes its time;
    `blocks`: of memory that Python has given out."""

    turn: int
    bytes: int
    blocks: int
    objects: int
    tasks: int
    fds: int


@dataclass(slots=True)
class Endured:
    """`e2e_s`, `delay_s`: by turn, of its answer and its end; numbers only, so that what is measured here is the call's
    and not this. `rules` and `kinds`: of decisions and records, to show that what should happen did."""

    e2e_s: array[float] = field(default_factory=lambda: array("d"))
    delay_s: array[float] = field(default_factory=lambda: array("d"))
    marks: list[Marks] = field(default_factory=list)
    most_tokens: int = 0  # in one request
    rules: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the call
    left: int = 0  # tasks that the call left behind

    def e2e(self, turns: range) -> list[float]:
        """Of plain answers, in some of the turns."""
        return [self.e2e_s[turn] for turn in turns if KINDS[turn % len(KINDS)] == "plain" and self.e2e_s[turn] > 0]

    @property
    def first(self) -> list[float]:
        return self.e2e(range(WARM_TURNS, WARM_TURNS + self._tenth))

    @property
    def last(self) -> list[float]:
        return self.e2e(range(len(self.e2e_s) - self._tenth, len(self.e2e_s)))

    @property
    def settled(self) -> Marks:
        """The first after the history had filled up."""
        return next(mark for mark in self.marks if mark.turn >= WARM_TURNS)

    @property
    def _tenth(self) -> int:
        return max(20, len(self.e2e_s) // 10)


def agent() -> AgentDefinition:
    return definition(
        languages={"de": LanguageOverride(instructions="Siezen Sie die Anrufer.", acknowledgements=("genau", "mhm"))},
        limits=Limits(history_tokens=HISTORY_TOKENS),
        context=Context(summarize=True),
    )


class Talk:
    """The conversation, turn by turn; the fakes keep everything that they see, which is thrown away after each."""

    def __init__(self) -> None:
        self.seen = Endured()
        self._calls = 0

    async def run(self, turns: int) -> Endured:
        before = asyncio.all_tasks()
        tools = FakeTools({"look_up": self._look_up})
        summary = FakeLLM(says("They asked for opening hours, and were told."), first_token_s=2.0)
        began = asyncio.get_running_loop().time()
        async with calling(
            agent=agent(), script=self._answer, stt=FakeSTT(), tools=tools, summary_llm=summary, observe=self._record
        ) as call:
            await call.room.silent(0.5)
            for number in range(turns):
                await self._turn(call, number)
                _forget(call)
                summary.requests.clear()
                if number == WARM_TURNS or number % max(1, turns // 10) == 0 or number == turns - 1:
                    self.seen.marks.append(_marks(number))
        self.seen.seconds = asyncio.get_running_loop().time() - began
        await asyncio.sleep(0)
        self.seen.left = len(asyncio.all_tasks() - before)
        return self.seen

    async def _turn(self, call: Call, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        german = number // 30 % 2 == 1
        text = f"Und was ist mit Frage {number}?" if german else f"And what of question {number}?"
        text += " Bitte sehen Sie nach." if kind == "tool" and german else " Look it up." if kind == "tool" else ""
        call.stt.languages = {text: "de" if german else "en"}
        self.seen.e2e_s.append(0.0)
        self.seen.delay_s.append(0.0)
        began = asyncio.get_running_loop().time()
        await call.room.speak(call.learn(text), 1.2)
        await call.room.silent(1.4)
        if kind == "interrupted":
            await call.room.speak(call.learn("No, wait, the other one."), 0.8)
        elif kind == "coughed":
            await call.room.speak(call.learn(""), 0.3)
        await call.room.silent(began + TURN_S - asyncio.get_running_loop().time())

    def _answer(self, request: ChatRequest) -> Answer:
        self.seen.most_tokens = max(self.seen.most_tokens, total_tokens(request.items[1:]))
        last = request.items[-1]
        asked = getattr(last, "text", "")
        if ("Look it up" in asked or "sehen Sie nach" in asked) and not isinstance(last, ToolResult):
            self._calls += 1
            return [ToolCall(id=f"call-{self._calls}", name="look_up", arguments='{"what": "hours"}')]
        return [TextDelta(f"{word} ") for word in ANSWER.split()]

    async def _look_up(self, call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(0.3)
        return "Opening hours: nine to five, on Saturdays until noon. " * 3

    def _record(self, record: Record) -> None:
        seen, data = self.seen, record.data
        seen.kinds.add(record.kind)
        match record.kind:
            case "decision":
                seen.rules.add(data["rule"])
            case "error":
                seen.errors.append(f"{data['where']}: {data['message']}")
            case "language":
                seen.languages.add(data["language"])
            case "turn.user":
                seen.delay_s[-1] = seen.delay_s[-1] or data["delay_s"]
            case "turn.agent" if seen.e2e_s:
                seen.e2e_s[-1] = seen.e2e_s[-1] or data["latencies"].get("e2e") or 0.0


def _forget(call: Call) -> None:
    """What the fakes have noted is no memory of the session's."""
    for noted in (call.records, call.events, call.llm.requests, call.tts.spoken, call.tts.asked, call.stt.asked):
        noted.clear()
    call.stt.texts.clear()
    call.tools.ran.clear()
    room = call.room
    for noted in (room.audio_out.played, room.states, room.user_captions):
        noted.clear()
    room.captions.clear()


def _marks(turn: int) -> Marks:
    gc.collect()
    return Marks(
        turn=turn,
        bytes=tracemalloc.get_traced_memory()[0],
        blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        tasks=len(asyncio.all_tasks()),
        fds=len(os.listdir("/proc/self/fd")),
    )


def endure(turns: int, *, trace: bool = False) -> Endured:
    """`trace`: count bytes, which takes four times as long."""
    if trace:
        tracemalloc.start(1)
    try:
        return run_virtual(Talk().run(turns), limit_s=turns * TURN_S + 60)
    finally:
        tracemalloc.stop()


def report(seen: Endured) -> str:
    first, last = seen.first, seen.last
    begun, ended = seen.settled, seen.marks[-1]
    answers = f"answers: median {1000 * median(first):.0f} ms at first, {1000 * median(last):.0f} at last"
    memory = f"memory: {begun.bytes / 1024:.0f} KiB at first, {ended.bytes / 1024:.0f} at last"
    lines = [
        f"{len(seen.e2e_s)} turns in {seen.seconds / 60:.0f} minutes of a call",
        f"{answers} (longest {1000 * max(first):.0f} and {1000 * max(last):.0f})",
        f"{memory}; objects {begun.objects} and {ended.objects}, blocks {begun.blocks} and {ended.blocks}",
        f"tasks {begun.tasks} and {ended.tasks}, left {seen.left}; open files {begun.fds} and {ended.fds}",
        f"shown to the model: {seen.most_tokens} of {HISTORY_TOKENS} tokens at the most",
        f"languages {', '.join(sorted(seen.languages))}; errors {len(seen.errors)}",
        f"decided: {', '.join(sorted(seen.rules))}",
    ]
    return "\n".join(lines)


def _mibs(marks: Sequence[Marks]) -> str:
    return " ".join(f"{mark.bytes / 1024:.0f}" for mark in marks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="bench.endurance", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=1_000)
    arguments = parser.parse_args()
    started = time.monotonic()
    endured = endure(arguments.turns, trace=True)
    print(report(endured))
    print(f"KiB over the call: {_mibs(endured.marks)}; took {time.monotonic() - started:.0f} s")
