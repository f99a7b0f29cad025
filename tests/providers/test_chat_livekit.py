"""Conversations in livekit-agents' shape, there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentd.providers.chat import ChatContext
from agentd.providers.llm import Message, ToolCall, ToolResult

CONTEXT = ChatContext.of(
    [
        Message(role="system", text="It rains."),
        Message(role="user", text="Book a table."),
        ToolCall(id="c1", name="book", arguments='{"n": 2}'),
        ToolResult(call_id="c1", name="book", content="full", is_error=True),
        Message(role="assistant", text="We are", interrupted=True),
    ]
)


def test_a_conversation_is_told_in_their_words() -> None:
    assert CONTEXT.to_livekit() == {
        "items": [
            {"id": "item_1", "type": "message", "role": "system", "content": ["It rains."], "interrupted": False},
            {"id": "item_2", "type": "message", "role": "user", "content": ["Book a table."], "interrupted": False},
            {"id": "item_3", "type": "function_call", "call_id": "c1", "name": "book", "arguments": '{"n": 2}'},
            {"id": "item_4", "type": "function_call_output", "call_id": "c1", "name": "book", "output": "full",
             "is_error": True},
            {"id": "item_5", "type": "message", "role": "assistant", "content": ["We are"], "interrupted": True},
        ]
    }  # fmt: skip
    assert ChatContext.from_livekit(json.loads(json.dumps(CONTEXT.to_livekit()))) == CONTEXT


def test_what_only_they_have_is_left_out() -> None:
    image = {"id": "i", "type": "image_content", "image": "data:"}
    told = {
        "items": [
            {"id": "a", "type": "message", "role": "developer", "content": ["Be", image, "brief."], "created_at": 1.5},
            {"id": "b", "type": "agent_handoff", "new_agent_id": "x"},
        ]
    }
    assert ChatContext.from_livekit(told).items == (Message(role="system", text="Be brief."),)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ([], 'a chat context is {"items": [...]}'),
        ({"items": ["x"]}, "items[0] is no item"),
        ({"items": [{"type": "message", "role": "bot", "content": []}]}, "items[0].role is none of"),
        ({"items": [{"type": "message", "role": "user", "content": None}]}, "items[0].content is no list"),
        ({"items": [{"type": "function_call", "call_id": "c", "name": "n"}]}, "items[0].arguments is no text"),
        ({"items": [{"type": "mood"}]}, "items[0].type is none of"),
        ({"items": [{"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}]}, "do not belong"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(told: Any, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        ChatContext.from_livekit(told)
    assert problem in str(refused.value)


def test_the_newest_part_is_what_fits_and_calls_stay_with_their_results() -> None:
    whole = len(json.dumps(CONTEXT.to_dict(), ensure_ascii=False))
    assert CONTEXT.newest(whole) == CONTEXT
    assert CONTEXT.newest(0) == ChatContext()
    for size in range(0, whole, 7):
        newest = CONTEXT.newest(size)
        assert newest.entries == CONTEXT.entries[len(CONTEXT.entries) - len(newest.entries) :]
        assert len(json.dumps(newest.to_dict()["items"], ensure_ascii=False)) <= max(size, 2)
        assert ChatContext.from_dict(newest.to_dict()) == newest


def test_an_id_that_comes_twice_never_gets_one_that_is_there() -> None:
    messages = [Message(role="user", text=str(number)) for number in range(4)]
    assert ChatContext.of(messages, ["a", "a_2", "a", "a"]).ids == ("a", "a_2", "a_3", "a_4")
