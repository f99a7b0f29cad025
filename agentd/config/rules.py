"""What the fields of one dataclass must be together: pure findings about a value, by its class."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agentd.config import busy_rules, task_rules, tool_rules, workers
from agentd.config.budget import Budget
from agentd.config.builtins import SetLanguageTool
from agentd.config.busy import BusyStep
from agentd.config.definition import AgentDefinition, Greeting, Limits
from agentd.config.finding import Finding
from agentd.config.handoffs import HISTORY_PATTERN, Handoff, Passing
from agentd.config.hooks import HookActions, InstructionsAction, ToolsAction
from agentd.config.rollout import Objectives, Rollout
from agentd.config.turns import Endpointing, EndpointingRule
from agentd.config.values import format_duration
from agentd.config.workers import WorkersSection
from agentd.providers.vad import VADSettings

_LOOKS_LIKE_SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{16,}|sk_[A-Za-z0-9_]{24,}|whsec_[A-Za-z0-9+/=]{24,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|xox[abpr]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"
    r"|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def findings_of(value: Any) -> Iterator[Finding]:
    """Everything wrong with a value whose fields are good one by one."""
    for cls, rule in _RULES.items():
        if isinstance(value, cls):
            yield from rule(value)


def looks_like_secret(text: str) -> bool:
    """Whether the text has the form of a key of a well-known service."""
    return bool(_LOOKS_LIKE_SECRET.search(text))


def _greeting(greeting: Greeting) -> Iterable[Finding]:
    if greeting.say is not None and greeting.generate is not None:
        yield Finding("generate", "conflict", '"say" and "generate" exclude each other')
    if greeting.say is None and greeting.generate is None:
        yield Finding(
            "", "missing-key", 'a greeting needs "say" or "generate"', "or leave it out: then the caller begins"
        )


def _limits(limits: Limits) -> Iterable[Finding]:
    longest, before = limits.max_duration, limits.warn_before
    if before is not None and longest is None:
        yield Finding("warn_before", "missing-key", '"warn_before" needs "max_duration"')
    if before is not None and longest is not None and before >= longest:
        shown = format_duration(before), format_duration(longest)
        message = f'"warn_before" ({shown[0]}) is no less than "max_duration" ({shown[1]})'
        yield Finding("warn_before", "delay-order", message)
    if limits.warning is not None and before is None:
        yield Finding("warning", "missing-key", '"warning" needs "warn_before": when to say it')
    prompt, silence = limits.idle_prompt, limits.end_after_silence
    if prompt is not None and longest is not None and longest <= prompt.after:
        shown = format_duration(prompt.after), format_duration(longest)
        message = f'"idle_prompt" comes after {shown[0]}, when the call has ended after {shown[1]}'
        yield Finding("idle_prompt", "delay-order", message)
    if prompt is not None and silence is not None and silence <= prompt.after:
        shown = format_duration(silence), format_duration(prompt.after)
        message = f'"idle_prompt" comes after {shown[1]}, when the call has ended after {shown[0]} of silence'
        yield Finding("end_after_silence", "delay-order", message)


def _budget(budget: Budget) -> Iterable[Finding]:
    limits = [budget, *([budget.per_caller] if budget.per_caller else [])]
    names = ("tokens_per_day", "minutes_per_day", "cost_per_day")
    for place, limit in zip(("", "per_caller"), limits, strict=False):
        if all(getattr(limit, name) is None for name in names) and not (limit is budget and budget.per_caller):
            yield Finding(place, "missing-key", f"a budget needs one of {', '.join(names)}")
    for name in names:
        whole, part = getattr(budget, name), getattr(budget.per_caller, name, None)
        if whole is not None and part is not None and part > whole:
            message = f'"per_caller.{name}" ({part:g}) is more than all callers together have ({whole:g})'
            yield Finding("per_caller", "conflict", message)


def _endpointing(endpointing: Endpointing) -> Iterable[Finding]:
    if endpointing.min_delay > endpointing.max_delay:
        shown = format_duration(endpointing.min_delay), format_duration(endpointing.max_delay)
        yield Finding("min_delay", "delay-order", f'"min_delay" ({shown[0]}) is longer than "max_delay" ({shown[1]})')
    elif endpointing.unsure_delay is not None and endpointing.unsure_delay > endpointing.max_delay:
        shown = format_duration(endpointing.unsure_delay), format_duration(endpointing.max_delay)
        message = f'"unsure_delay" ({shown[0]}) is longer than "max_delay" ({shown[1]})'
        yield Finding("unsure_delay", "delay-order", message)


def _endpointing_rule(rule: EndpointingRule) -> Iterable[Finding]:
    try:
        re.compile(rule.when_agent)
    except re.error as error:
        yield Finding("when_agent", "bad-pattern", f"no regular expression: {error}")
    if rule.min_delay is None and rule.digits is None:
        yield Finding("", "missing-key", 'a rule needs "min_delay" or "digits"')


def _several(definition: AgentDefinition) -> Iterable[Finding]:
    """What cannot be together with more than one participant."""
    participants, turn, kinds = definition.room.participants, definition.turn, definition.room.participant_kinds
    if participants == "linked":
        return
    if participants == "everyone" and turn.detection == "manual":
        hint = "write room: {participants: push_to_talk}"
        yield Finding("turn", "conflict", '"detection: manual" needs a button, which "everyone" has not', hint)
    if participants != "push_to_talk":
        return
    if turn.detection not in ("auto", "manual"):
        message = f'"push_to_talk" ends turns by hand, not by "detection: {turn.detection}"'
        yield Finding("turn", "conflict", message, "leave it out")
    if turn.wake_phrase is not None:
        yield Finding("turn", "conflict", '"push_to_talk" waits for a button, and "wake_phrase" for words')
    if "standard" not in kinds:
        message = '"push_to_talk" needs a front end, which participants of these kinds do not have'
        yield Finding("room", "conflict", message, 'add "standard" to "participant_kinds"')


def _agent(definition: AgentDefinition) -> Iterable[Finding]:
    yield from _several(definition)
    yield from busy_rules.steps_findings(definition.when_busy, realtime=definition.realtime is not None)
    if definition.turn.detection == "model" and definition.turn_detector is None:
        hint = "like turn_detector: {provider: smart-turn}"
        yield Finding("turn", "missing-key", '"detection: model" needs a "turn_detector"', hint)
    if definition.turn.interruption.detection == "detector" and definition.interruption_detector is None:
        message = '"interruption.detection: detector" needs an "interruption_detector"'
        yield Finding("turn", "missing-key", message)
    if not definition.languages and any(isinstance(tool, SetLanguageTool) for tool in definition.tools):
        yield Finding("tools", "no-languages", '"set_language" has nothing to change to', 'write "languages"')
    methods = [each.method for each in definition.rpc]
    for name in dict.fromkeys(methods):
        if methods.count(name) > 1:
            yield Finding("rpc", "name-clash", f'the method "{name}" is there {methods.count(name)} times')
    if definition.context.summarize and definition.limits.history_tokens is None:
        message = '"context.summarize" needs "limits.history_tokens": without it nothing is ever left out'
        yield Finding("context", "missing-key", message)


def _passing(passing: Passing) -> Iterable[Finding]:
    if not re.fullmatch(HISTORY_PATTERN, passing.history):
        hint = 'full, "last: N", summary or none'
        yield Finding("history", "not-allowed", f'"history" cannot be "{passing.history}"', hint)


def _handoff(handoff: Handoff) -> Iterable[Finding]:
    triggers = {"when": handoff.when, "on": handoff.on, "after_silence": handoff.after_silence}
    named = [key for key, value in triggers.items() if value is not None]
    if not named and handoff.if_ is None:
        yield Finding("", "missing-key", "the handoff says nothing of when", "one of when, if, on, after_silence")
    if len(named) > 1:
        message = f'"{named[0]}" and "{named[1]}" exclude each other'
        yield Finding(named[1], "conflict", message, "write two handoffs")


def _rollout(rollout: Rollout) -> Iterable[Finding]:
    if rollout.percent is None and not rollout.match:
        yield Finding(
            "", "missing-key", '"rollout" needs "percent" or "match": which calls it takes', "like percent: 10"
        )


def _objectives(objectives: Objectives) -> Iterable[Finding]:
    asked = (
        objectives.gap_p95,
        objectives.error_rate,
        objectives.interruption_rate,
        objectives.tool_failure_rate,
    )
    if all(limit is None for limit in asked):
        hint = "one of gap_p95, error_rate, interruption_rate, tool_failure_rate"
        yield Finding("", "missing-key", '"objectives" asks for nothing', hint)
    if objectives.max_calls < objectives.min_calls:
        message = f'"max_calls" ({objectives.max_calls}) is less than "min_calls" ({objectives.min_calls})'
        yield Finding("max_calls", "calls-order", message)


def _hook_actions(actions: HookActions) -> Iterable[Finding]:
    if not actions.named:
        yield Finding(
            "",
            "missing-key",
            '"do" says nothing to do',
            "one of set, tool, python, webhook, instructions, tools, task, dtmf, say, generate, handoff, end",
        )


def _instructions_action(action: InstructionsAction) -> Iterable[Finding]:
    if (action.append is None) is (action.replace is None):
        yield Finding("", "missing-key", '"instructions" needs one of "append" and "replace"')


def _tools_action(action: ToolsAction) -> Iterable[Finding]:
    if not action.enable and not action.disable:
        yield Finding("", "missing-key", '"tools" needs "enable" or "disable"')


def _vad(settings: VADSettings) -> Iterable[Finding]:
    if settings.max_buffered_speech <= settings.prefix_padding:
        yield Finding(
            "max_buffered_speech", "delay-order", '"max_buffered_speech" must be longer than "prefix_padding"'
        )


_RULES: dict[type[Any], Callable[[Any], Iterable[Finding]]] = {
    Greeting: _greeting,
    Limits: _limits,
    Budget: _budget,
    Endpointing: _endpointing,
    EndpointingRule: _endpointing_rule,
    AgentDefinition: _agent,
    Passing: _passing,
    Handoff: _handoff,
    Rollout: _rollout,
    Objectives: _objectives,
    HookActions: _hook_actions,
    InstructionsAction: _instructions_action,
    ToolsAction: _tools_action,
    VADSettings: _vad,
    BusyStep: busy_rules.step_findings,
    WorkersSection: workers.findings,
    **tool_rules.RULES,
    **task_rules.RULES,
}
