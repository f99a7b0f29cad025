"""An explained call as text for a terminal. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agentd.session.explained_call import (
    Attempt,
    Cause,
    Early,
    EditExplained,
    Explained,
    HandoffExplained,
    MuteExplained,
    ReplyExplained,
    Tool,
    TurnExplained,
)
from agentd.session.timing import STAGES, TOTAL

WIDTH = 96
_MARGIN = 11  # where what is told begins
_BAR = 56
HALF_HIDDEN_S = 0.0005


def text_of(call: Explained, turn: int | None = None) -> str:
    """All of it in the order in which it happened, or one turn."""
    parts = [(each.at_s, _turn(each)) for each in call.turns if turn is None or each.turn == turn]
    if turn is None:
        parts += [(reply.at_s, _other_reply(reply)) for reply in call.replies]
        parts += [(handoff.at_s, _handoff(handoff)) for handoff in call.handoffs]
        parts += [(mute.at_s, _mute(mute)) for mute in call.mutes]
        parts += [(edit.at_s, _edit(edit)) for edit in call.edits]
        parts += [(rescue.at_s, _rescue(rescue.gap_s, rescue.incarnation)) for rescue in call.rescues]
    blocks = [_head(call), *("\n".join(lines) for _, lines in sorted(parts, key=lambda part: part[0]))]
    return "\n\n".join(blocks) + "\n"


def _head(call: Explained) -> str:
    began = datetime.fromtimestamp(call.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    ended = f"ended after {call.duration_s:.1f} s: {call.ended}" if call.duration_s is not None else "no end on record"
    who = f", caller {call.caller}" if call.caller else ""
    lines = [
        f"session {call.session}: {began}, {ended}",
        f"agent {call.agent}{f' ({call.source})' if call.source else ''}, revision {call.revision[:8]}{who}",
    ]
    if call.requested:
        lines.append(_requested(call.requested))
    return "\n".join(line for each in lines for line in textwrap.wrap(each, WIDTH))


def _requested(requested: Mapping[str, Any]) -> str:
    """The question before the call."""
    why = f" ({requested['message']})" if requested["message"] else ""
    to = f", for {requested['agent']} to take" if requested["agent"] else ""
    return f"asked before the call: {requested['outcome']} after {requested['duration_s'] * 1000:.0f} ms{why}{to}"


def _turn(turn: TurnExplained) -> list[str]:
    spoken = f" in {turn.language}" if turn.language else ""
    lines = [f"turn {turn.turn}, {turn.at_s:.1f} s{spoken}"]
    who = f"{turn.speaker}: " if turn.speaker else ""
    lines += _told("caller", who + _quoted(turn.text))
    if turn.hook:
        lines += _told("hook", f"it had heard {_quoted(turn.heard)}; changed by {turn.hook}")
    for cause in turn.ignored:
        lines += _told("ignored", f"words of which none is a turn: {_caused(cause)}")
    lines += _attempts(turn.attempts) + _errors(turn.errors)
    lines += _told("ended", f"{turn.delay_s:.3f} s after the last speech: {_caused(turn.ended)}")
    for early in turn.early:
        lines += _told("early", _early(early))
    for consent in turn.consents:
        lines += _told("consent", f"{consent.tool}, {consent.at_s:.1f} s: {consent.outcome} ({_caused(consent.cause)})")
    for step in turn.tasks:
        of = f", {step.field}" if step.field else ""
        lines += _told("task", f"{step.task}{of}: {step.why}")
    return lines + (_reply(turn.reply) if turn.reply else _told("agent", "no answer was begun"))


def _other_reply(reply: ReplyExplained) -> list[str]:
    return [f"{reply.purpose}, {reply.at_s:.1f} s", *_reply(reply)]


def _handoff(handoff: HandoffExplained) -> list[str]:
    what = "went on" if handoff.made else "was not handed over"
    knows = f", with the history: {handoff.history}" if handoff.history else ""
    return [
        f"handoff, {handoff.at_s:.1f} s",
        *_told("agent", f"the call {what}: {handoff.agent} -> {handoff.to}{knows}"),
        *(_told("model", f"its connection was {handoff.connection}") if handoff.connection else ()),
        *_told("by", _caused(handoff.cause)),
    ]


def _mute(mute: MuteExplained) -> list[str]:
    said = {
        ("ears", True): "no longer heard the callers",
        ("ears", False): "heard the callers again",
        ("voice", True): "could no longer speak",
        ("voice", False): "could speak again",
    }
    return [f"mute, {mute.at_s:.1f} s", *_told("agent", f"it {said[mute.what, mute.muted]}: {_caused(mute.cause)}")]


def _edit(edit: EditExplained) -> list[str]:
    lines = [f"edit, {edit.at_s:.1f} s"]
    if edit.taken:
        told = f"the call went on by revision {edit.revision[:8]} of {edit.agent}, before it {edit.previous[:8]}"
        lines += _told("agent", told) + _told("taken", ", ".join(edit.applied))
    else:
        lines += _told("agent", f"the call kept revision {edit.previous[:8]} of {edit.agent}, not {edit.revision[:8]}")
    if edit.cause is not None:
        lines += _told("why", f"{edit.cause.why}: {edit.cause.value}" if edit.cause.value else edit.cause.why)
    for setting, why in edit.kept:
        lines += _told("kept", f"{setting}: {why}" if why else setting)
    return lines


def _rescue(gap_s: float, incarnation: int) -> list[str]:
    return [f"the process of the call died: {gap_s:.3f} s of silence until incarnation {incarnation} went on"]


def _reply(reply: ReplyExplained) -> list[str]:
    lines: list[str] = []
    if TOTAL in reply.latencies:
        lines += _gap(reply.latencies)
    for tool in reply.tools:
        lines += _tool(tool)
    if reply.tool_changes:
        lines += _told("tools", " ".join(reply.tool_changes))
    if reply.tools_off is not None:
        lines += _told("tools", f"answered without: {_caused(reply.tools_off)}")
    lines += _attempts(reply.attempts) + _errors(reply.errors)
    lines += _told("agent", _quoted(reply.text) if reply.text else "nothing was heard")
    for pause in reply.pauses:
        on = f"went on after {pause.lasted_s:.3f} s: {_caused(pause.resumed)}" if pause.resumed else "did not go on"
        lines += _told("held", f"at {pause.at_s:.1f} s, {_caused(pause.cause)}; {on}")
    if reply.cut is not None:
        lines += _told("cut", f"at {reply.cut_at_s:.1f} s: {_caused(reply.cut)}")
    elif not reply.finished:
        lines += _told("cut", "no end on record: its process died, or it is still going on")
    if reply.unheard:
        lines += _told("unheard", _quoted(reply.unheard))
    return lines


def _tool(tool: Tool) -> list[str]:
    took = f" after {tool.duration_s:.3f} s" if tool.duration_s is not None and tool.stopped is None else ""
    why = f", not made: {_caused(tool.stopped)}" if tool.stopped is not None else ""
    lines = _told("tool", f"{tool.name} {textwrap.shorten(tool.arguments, 60)}: {tool.outcome}{took}{why}")
    if tool.repeated:
        lines += _told("", f"made {tool.repeated} times again under its key {tool.key}: its process had died")
    for progress in tool.progress:
        lines += _told("", f"progress: {progress}")
    if tool.detached is not None:
        lines += _told("", f"no reply waited for it: {_caused(tool.detached)}")
    return lines


def _gap(latencies: Mapping[str, float]) -> list[str]:
    parts = [(name, latencies[name]) for name in STAGES if latencies.get(name, 0.0) > HALF_HIDDEN_S]
    total = latencies[TOTAL]
    terms = " + ".join(f"{name} {seconds:.3f}" for name, seconds in parts)
    return [*_told("gap", f"{total:.3f} s = {terms}"), *_told("", bar(parts, total))] if parts else []


def bar(parts: Sequence[tuple[str, float]], total: float) -> str:
    """The stages to scale, each with its name where there is room for it."""
    shown = ""
    end = 0.0
    for name, seconds in parts:
        end += seconds
        width = max(1, round(_BAR * end / total) - len(shown))
        shown += ("|" + name + "-" * width)[:width] if width > len(name) else "|" + "-" * (width - 1)
    return f"{shown}|"


def _early(early: Early) -> str:
    cause = _caused(early.cause) if early.cause else ""
    if early.attempt is None:
        return f"not begun: {cause}"
    began = f"start {early.attempt}, {early.ran_s:.3f} s and {early.characters} characters ahead"
    return f"{began}, used" if early.outcome == "used" else f"{began}, {early.outcome}: {cause}"


def _attempts(attempts: Sequence[Attempt]) -> list[str]:
    """Those that failed, and what came after them."""
    lines: list[str] = []
    failed: set[str] = set()
    for attempt in attempts:
        if attempt.outcome != "ok":
            failed.add(attempt.kind)
            why = f" ({attempt.message})" if attempt.message else ""
            said = f"{attempt.kind} {attempt.provider}: {attempt.outcome} after {attempt.duration_s:.3f} s{why}"
            lines += _told("provider", said)
        elif attempt.kind in failed:
            failed.discard(attempt.kind)
            said = f"{attempt.kind} {attempt.provider}: answered after {attempt.duration_s:.3f} s"
            lines += _told("provider", said)
    return lines


def _errors(errors: Sequence[str]) -> list[str]:
    return [line for error in errors for line in _told("error", error)]


def _caused(cause: Cause) -> str:
    """ "silence after the last speech [silence] turn.endpointing.min_delay=0.5 (agents.d/a.yaml:12)"."""
    rule = f" [{cause.rule}]" if cause.rule else ""
    place = f" ({cause.place})" if cause.place else ""
    return f"{cause.why}{rule}" + (f" {cause.value}{place}" if cause.value else "")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _told(label: str, text: str) -> list[str]:
    return list(_lines(label, text))


def _lines(label: str, text: str) -> Iterator[str]:
    wrapped = textwrap.wrap(text, WIDTH - _MARGIN, break_on_hyphens=False) or [""]
    for number, line in enumerate(wrapped):
        yield f"  {label if number == 0 else '':<{_MARGIN - 2}}{line}"
