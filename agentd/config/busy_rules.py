"""What an agent's steps of giving up must be, each and together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from agentd.config.busy import BusyStep, queue_of, refuses_from
from agentd.config.finding import Finding
from agentd.config.folder import FileRefused, Folder
from agentd.config.source import ListNode, MappingNode, Scalar
from agentd.errors import Problem


def step_findings(step: BusyStep) -> Iterable[Finding]:
    if step.preemptive is None and step.llm is None and step.queue is None and not step.refuse:
        hint = "one of preemptive, llm, queue, refuse"
        yield Finding("", "missing-key", "the step says nothing of what to do", hint)
    if step.queue is not None and step.refuse:
        yield Finding("refuse", "conflict", '"queue" and "refuse" exclude each other')


def steps_findings(steps: tuple[BusyStep, ...], *, realtime: bool) -> Iterable[Finding]:
    """What the steps of one agent must be together."""
    for lower, higher in pairwise(steps):
        if higher.load < lower.load:
            message = f"a step from load {higher.load:g} on stands behind one from {lower.load:g} on"
            yield Finding("when_busy", "load-order", message, "write the steps in the order of their loads")
    for key in ("queue", "refuse"):
        if sum(bool(getattr(step, key)) for step in steps) > 1:
            yield Finding("when_busy", "conflict", f'two steps say "{key}"')
    queue, refused = queue_of(steps), refuses_from(steps)
    if queue is not None and refused is not None and refused <= queue[0]:
        message = f"calls are refused from load {refused:g} on, before any could wait from {queue[0]:g} on"
        yield Finding("when_busy", "conflict", message)
    if realtime and any(step.llm is not None for step in steps):
        yield Finding("when_busy", "conflict", 'a step says "llm", and the agent has a "realtime" model instead')


def audio_problems(root: MappingNode, folder: Folder) -> Iterator[Problem]:
    """The hold sounds are read when a caller waits: what is wrong with them is said now."""
    written = root.get("when_busy")
    for number, item in enumerate(written.items if isinstance(written, ListNode) else ()):
        queue = item.get("queue") if isinstance(item, MappingNode) else None
        audio = queue.get("audio") if isinstance(queue, MappingNode) else None
        if isinstance(audio, Scalar) and audio.text.endswith(".wav"):
            try:
                Folder(folder.home).sound(audio.text)
            except FileRefused as refused:
                pointer = f"/when_busy/{number}/queue/audio"
                yield audio.mark.problem(pointer, refused.code, refused.message, refused.hint)


def busy_texts(steps: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Its templates, with where they stand."""
    for number, step in enumerate(steps if isinstance(steps, tuple) else ()):
        queue = step.queue if isinstance(step, BusyStep) else None
        if queue is not None and queue.say:
            yield ("when_busy", number, "queue", "say"), queue.say
        if queue is not None and queue.apology:
            yield ("when_busy", number, "queue", "apology"), queue.apology
