from __future__ import annotations

from typing import Any

import pytest

from agentd.runtime.spans import Span, Spans, span_id, trace_id
from agentd.session.records import Record

STORY: list[tuple[float, str, dict[str, Any]]] = [
    (100.0, "session.started", {"agent": "front-desk", "revision": "r1", "variables": {}}),
    (101.0, "provider", {"kind": "tts", "provider": "wren", "outcome": "ok", "duration_s": 0.2}),
    (102.0, "turn.agent", {"text": "Welcome.", "purpose": "greeting", "turn": 0}),
    (110.0, "turn.user", {"turn": 1, "text": "My name is Ann.", "rule": "silence", "delay_s": 0.5, "language": "en"}),
    (110.6, "provider", {"kind": "llm", "provider": "parrot", "outcome": "timeout", "duration_s": 0.6}),
    (111.0, "provider", {"kind": "llm", "provider": "parrot", "outcome": "ok", "duration_s": 0.4}),
    (111.0, "usage", {"prompt_tokens": 20, "completion_tokens": 5, "cached_tokens": 0, "characters": 0}),
    (111.1, "tool.called", {"reply": 1, "id": "c1", "name": "find", "arguments": '{"name": "Ann"}'}),
    (
        111.6,
        "tool.completed",
        {"reply": 1, "id": "c1", "name": "find", "content": "Ann Lee", "is_error": False, "outcome": "ok"},
    ),
    (
        114.0,
        "turn.agent",
        {"text": "Hello Ann.", "purpose": "answer", "turn": 1, "interrupted": False, "latencies": {"e2e": 1.6}},
    ),
    (120.0, "session.ended", {"reason": "caller_left", "duration_s": 20.0}),
]


def told(*, content: bool = False, story: list[tuple[float, str, dict[str, Any]]] = STORY) -> list[Span]:
    fold = Spans(session="s-1", agent="front-desk", content=content, models={("llm", "parrot"): "m-2"})
    records = [Record(seq=seq, at=at, kind=kind, data=data) for seq, (at, kind, data) in enumerate(story)]
    return [span for record in records for span in fold.take(record)]


def test_a_call_is_a_tree_of_its_session_its_turns_and_what_they_asked() -> None:
    spans = told()
    by_key = {span.key: span for span in spans}
    tree = [(span.name, by_key[span.parent].name if span.parent else "") for span in spans]
    assert tree == [
        ("tts wren", "invoke_agent front-desk"),
        ("chat m-2", "turn"),
        ("chat m-2", "turn"),
        ("execute_tool find", "turn"),
        ("turn", "invoke_agent front-desk"),
        ("invoke_agent front-desk", ""),
    ]
    assert len(by_key) == len(spans)


def test_spans_begin_and_end_when_it_happened() -> None:
    times = {span.name: (span.start, span.end) for span in told()}
    assert times["turn"] == (109.5, 114.0)
    assert times["execute_tool find"] == (111.1, 111.6)
    assert times["invoke_agent front-desk"] == (100.0, 120.0)
    assert times["chat m-2"] == pytest.approx((110.6, 111.0))


def test_attributes_are_those_of_the_conventions() -> None:
    _, failed, chat, tool, turn, session = told()
    assert (failed.error, chat.error) == ("timeout", "")
    assert chat.kind == "client"
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.provider.name"] == "parrot"
    assert chat.attributes["gen_ai.request.model"] == "m-2"
    assert tool.attributes["gen_ai.tool.name"] == "find"
    assert turn.attributes["agentd.latency.e2e"] == 1.6
    assert turn.attributes["gen_ai.usage.input_tokens"] == 20
    assert session.attributes["gen_ai.usage.output_tokens"] == 5
    assert session.attributes["gen_ai.conversation.id"] == "s-1"


def test_what_people_said_is_told_only_where_it_is_asked_for_and_under_its_own_names() -> None:
    assert "Ann" not in str(told())
    said = {
        name: value for span in told(content=True) for name, value in span.attributes.items() if "Ann" in str(value)
    }
    assert said == {
        "lk.pii.user.text": "My name is Ann.",
        "lk.pii.agent.text": "Hello Ann.",
        "lk.pii.tool.arguments": '{"name": "Ann"}',
        "lk.pii.tool.result": "Ann Lee",
    }


def test_a_call_that_outlives_its_process_stays_one_trace() -> None:
    resumed = [(130.0, "session.resumed", {"incarnation": 2, "gap_s": 1.0}), *STORY[3:]]
    first, second = told(), told(story=resumed)
    assert second[-1].attributes["agentd.incarnation"] == 2
    assert not {span.key for span in first} & {span.key for span in second}
    assert trace_id("s-1") != trace_id("s-2")
    assert 0 < span_id("s-1", "a") < 2**64


def test_a_turn_that_nobody_answers_ends_with_the_next_or_with_the_call() -> None:
    turns = [STORY[0], STORY[3], (112.0, "turn.user", {**STORY[3][2], "turn": 2}), STORY[-1]]
    assert [(s.name, s.end) for s in told(story=turns)] == [
        ("turn", 112.0),
        ("turn", 120.0),
        ("invoke_agent front-desk", 120.0),
    ]
