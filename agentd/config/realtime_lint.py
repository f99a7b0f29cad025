"""What must hold of an agent with a `realtime` model: what has no place beside it, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentd.config.definition import Context, RoomOptions
from agentd.config.provider_choice import ProviderChoice
from agentd.config.source import MappingNode, Node, Scalar, pointer_to
from agentd.config.turns import Turn
from agentd.errors import Problem

REPLACED = ("stt", "llm")
"""Kinds that a realtime model does itself; `tts` may stand beside it."""


def realtime_problems(root: MappingNode, values: Mapping[str, Any]) -> Iterator[Problem]:
    turn = values.get("turn")
    detection = turn.detection if isinstance(turn, Turn) else "auto"
    if "realtime" not in values or values["realtime"] is None:
        if detection == "realtime":
            hint = "like realtime: {provider: openai}"
            message = '"detection: realtime" needs a "realtime" model'
            yield _problem(root, ("turn", "detection"), "missing-key", message, hint)
        return
    for kind in REPLACED:
        if _written(root.get(kind)):
            message = f'"{kind}" has no place beside "realtime", which does that itself'
            yield _problem(root, (kind,), "conflict", message, "take one of the two out")
    if isinstance(values["realtime"], ProviderChoice) and values["realtime"].fallback:
        message = "a realtime model has no fallbacks: a connection that is lost is opened again"
        yield _problem(root, ("realtime", "fallback"), "conflict", message)
    if detection == "stt":
        message = '"detection: stt" needs "stt"'
        hint = "the realtime model's own end of turn is detection: realtime"
        yield _problem(root, ("turn", "detection"), "conflict", message, hint)
    room = values.get("room")
    if isinstance(room, RoomOptions) and room.participants != "linked":
        message = f'"participants: {room.participants}" needs "stt": a realtime model hears one caller'
        yield _problem(root, ("room", "participants"), "conflict", message)
    yield from _languages(root)
    yield from _summaries(root, values)
    if detection != "realtime":
        yield from _preemptive(root)
    elif values.get("interruption_detector") is not None:
        message = '"interruption_detector" has no place beside "detection: realtime": it hears with agentd\'s own'
        yield _problem(root, ("interruption_detector",), "conflict", message)


def _languages(root: MappingNode) -> Iterator[Problem]:
    languages = root.get("languages")
    for entry in languages.entries if isinstance(languages, MappingNode) else ():
        kinds = ("stt",) if _written(root.get("tts")) else ("stt", "tts")
        for kind in kinds:
            if isinstance(entry.value, MappingNode) and _written(entry.value.get(kind)):
                message = f'"{kind}" has no place beside "realtime": its model hears and speaks in every language'
                yield _problem(root, ("languages", entry.key, kind), "conflict", message)


def _summaries(root: MappingNode, values: Mapping[str, Any]) -> Iterator[Problem]:
    context = values.get("context")
    if isinstance(context, Context) and context.summarize and context.llm is None:
        message = '"context.summarize" needs "context.llm": a realtime model writes no summaries'
        yield _problem(root, ("context", "summarize"), "missing-key", message)


def _preemptive(root: MappingNode) -> Iterator[Problem]:
    turn = root.get("turn")
    if isinstance(turn, MappingNode) and _written(turn.get("preemptive")):
        message = '"preemptive" has no effect with a realtime model but for "detection: realtime"'
        hint = "it is asked when the turn has ended"
        yield _problem(root, ("turn", "preemptive"), "no-effect-yet", message, hint, warning=True)


def _written(node: Node | None) -> bool:
    return node is not None and not (isinstance(node, Scalar) and node.is_null)


def _problem(
    root: MappingNode, path: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
) -> Problem:
    """At the key at the end of the path, as far as the path is written."""
    node: Node = root
    mark, pointer = root.mark, ""
    for key in path:
        if not isinstance(node, MappingNode) or key not in node.by_key:
            break
        mark, pointer = node.by_key[key].mark, pointer_to(pointer, key)
        node = node.by_key[key].value
    return mark.problem(pointer, code, message, hint, warning=warning)
