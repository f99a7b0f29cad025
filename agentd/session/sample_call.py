"""A short call as its journal has it: what `agentd webhook send` and the contract's examples make events of. Pure."""

from __future__ import annotations

from typing import Any

from agentd.session.contract_events import ContractEvent, ContractEvents
from agentd.session.records import Record

BEGAN_AT = 1_896_091_200.0  # 2030-01-31T12:00:00Z
_LATENCIES = {"eou": 0.52, "stt": 0.11, "llm_ttft": 0.31, "tools": 0.24, "tts_ttfb": 0.12, "hold": 0.0, "e2e": 1.3}
_USAGE = {"prompt_tokens": 410, "completion_tokens": 38, "cached_tokens": 0, "characters": 96}
_HANDOFF = {
    "from": "front-desk",
    "to": "billing",
    "revision": "9b2f04",
    "history": "full",
    "first": True,
    "rule": "model",
    "value": "handoffs[0].when",
    "place": "agents.d/front-desk.yaml:30",
}
_CALL = {"reply": 2, "id": "call_1", "name": "find_slot"}


def sample_events(agent: str, revision: str, variables: dict[str, Any]) -> tuple[ContractEvents, list[ContractEvent]]:
    """Every type that a call makes today, each once or more, and the fold after them."""
    fold = ContractEvents(session="s-0123456789abcdef", agent=agent)
    made = []
    for number, (after_s, kind, data) in enumerate(_records(agent, revision, variables)):
        made += fold.take(Record(seq=number, at=BEGAN_AT + after_s, kind=kind, data=data))
    failed = Record(seq=0, at=BEGAN_AT + 9.0, kind="session.ended", data={"reason": "error", "duration_s": 9.0})
    last = fold.take(failed)[-1]
    return fold, [*made, last]


def _records(agent: str, revision: str, variables: dict[str, Any]) -> list[tuple[float, str, dict[str, Any]]]:
    about = {"agent": agent, "revision": revision, "room": "room-1", "job_id": "AJ_1", "variables": variables}
    asked = {"turn": 1, "text": "Is there anything on Friday?", "language": "en", "source": "speech"}
    answer = {"reply": 2, "turn": 1, "interrupted": False, "purpose": "answer", "latencies": _LATENCIES}
    greeting: dict[str, Any] = {"reply": 1, "turn": None, "interrupted": False, "purpose": "greeting", "latencies": {}}
    ok = {"content": '{"free": "09:30"}', "is_error": False, "outcome": "ok", "duration_s": 0.24}
    late = {"content": "no answer within 8 s", "is_error": True, "outcome": "timeout", "duration_s": 8.0}
    return [
        (0.0, "session.started", about),
        (0.4, "caller.linked", {"identity": "caller-1", "name": "Zoë", "kind": "standard", "returned": False}),
        (1.2, "turn.agent", {**greeting, "text": "Good day. What can I do for you?"}),
        (4.0, "turn.user", {**asked, "speaker": "caller-1"}),
        (4.2, "tool.called", {**_CALL, "arguments": '{"day": "2030-02-01"}'}),
        (4.5, "tool.completed", {**_CALL, **ok}),
        (4.6, "tool.called", {**_CALL, "id": "call_2", "arguments": '{"day": "2030-02-02"}'}),
        (12.6, "tool.completed", {**_CALL, "id": "call_2", **late}),
        (14.0, "turn.agent", {**answer, "text": "On Friday there is half past nine."}),
        (14.1, "usage", _USAGE),
        (14.5, "variables", {"values": {"slot": "2030-02-01T09:30"}}),
        (14.9, "transfer", {"destination": "billing", "mode": "cold", "state": "failed", "reason": "no answer"}),
        (15.2, "handoff", _HANDOFF),
        (16.0, "caller.left", {"identity": "caller-1", "reason": "CLIENT_INITIATED", "final": True}),
        (16.1, "session.ended", {"reason": "caller_left", "duration_s": 16.1}),
    ]
