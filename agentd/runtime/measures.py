"""A session's records, as steps of the metrics. Pure.

`sessions_total` is not made here: the supervisor counts each call once, also the one whose worker died.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentd.runtime.status import Measure
from agentd.session.records import Record
from agentd.session.timing import STAGES, TOTAL


def measures(record: Record, agent: str) -> list[Measure]:
    """What this record adds to the figures; nothing for most kinds."""
    of_kind = _BY_KIND.get(record.kind)
    return of_kind(record.data, agent) if of_kind else []


def _turn(data: Mapping[str, Any], agent: str) -> list[Measure]:
    """The stages of an answer to a turn: those of a greeting would be parts of no silence."""
    latencies = data.get("latencies") or {}
    told = [stage for stage in (*STAGES, TOTAL) if stage in latencies] if TOTAL in latencies else []
    steps = [
        Measure(name="turn_latency_seconds", value=float(latencies[stage]), labels={"agent": agent, "stage": stage})
        for stage in told
    ]
    if data.get("interrupted"):
        steps.append(Measure(name="interruptions_total", labels={"agent": agent}))
    return steps


def _preemption(data: Mapping[str, Any], agent: str) -> list[Measure]:
    return [Measure(name="preemptions_total", labels={"agent": agent, "outcome": str(data["outcome"])})]


def _caller_turn(data: Mapping[str, Any], agent: str) -> list[Measure]:
    return [Measure(name="user_turns_total", labels={"agent": agent, "language": str(data.get("language") or "")})]


def _language(data: Mapping[str, Any], agent: str) -> list[Measure]:
    labels = {"agent": agent, "language": str(data["language"]), "rule": str(data["rule"])}
    return [Measure(name="language_changes_total", labels=labels)]


def _tool(data: Mapping[str, Any], agent: str) -> list[Measure]:
    labels, ignored = {"agent": agent, "tool": str(data["name"])}, data.get("ignored", 0)
    return [
        Measure(name="tool_calls_total", labels={**labels, "outcome": str(data.get("outcome", "ok"))}),
        Measure(name="tool_duration_seconds", value=float(data.get("duration_s", 0.0)), labels=labels),
        *([Measure(name="tool_actions_ignored_total", value=float(ignored), labels=labels)] if ignored else []),
    ]


def _decision(data: Mapping[str, Any], agent: str) -> list[Measure]:
    if data["action"] == "KeepRevision":
        outcome = "failed" if data["rule"] == "edit_not_ready" else "kept"
        return [Measure(name="live_edits_total", labels={"agent": agent, "outcome": outcome})]
    loops = data["rule"] == "tool_loop"
    return [Measure(name="tool_loops_total", labels={"agent": agent})] if loops else []


def _edited(data: Mapping[str, Any], agent: str) -> list[Measure]:
    outcome = "taken_in_part" if data["kept"] else "taken"
    return [Measure(name="live_edits_total", labels={"agent": agent, "outcome": outcome})]


def _provider(data: Mapping[str, Any], agent: str) -> list[Measure]:
    labels = {key: str(data[key]) for key in ("kind", "provider", "outcome")}
    return [Measure(name="provider_requests_total", labels=labels)]


def _hook(data: Mapping[str, Any], agent: str) -> list[Measure]:
    return [Measure(name="hook_runs_total", labels={"agent": agent, "outcome": str(data["outcome"])})]


def _hooks_dropped(data: Mapping[str, Any], agent: str) -> list[Measure]:
    return [Measure(name="events_dropped_total", value=float(data["events"]), labels={"where": "hooks"})]


def _usage(data: Mapping[str, Any], agent: str) -> list[Measure]:
    tokens = {"prompt": "prompt_tokens", "completion": "completion_tokens", "cached": "cached_tokens"}
    steps = [
        Measure(name="usage_tokens_total", value=float(data[key]), labels={"agent": agent, "type": label})
        for label, key in tokens.items()
        if data.get(key)
    ]
    if data.get("characters"):
        steps.append(Measure(name="usage_characters_total", value=float(data["characters"]), labels={"agent": agent}))
    return steps


_BY_KIND: Mapping[str, Callable[[Mapping[str, Any], str], list[Measure]]] = {
    "turn.agent": _turn,
    "preemption": _preemption,
    "turn.user": _caller_turn,
    "language": _language,
    "tool.completed": _tool,
    "decision": _decision,
    "agent.edited": _edited,
    "provider": _provider,
    "hook.completed": _hook,
    "hook.dropped": _hooks_dropped,
    "usage": _usage,
}
