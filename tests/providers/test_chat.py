"""What can be done with a conversation as a value."""

from __future__ import annotations

import json
from random import Random

import pytest

from agentd.providers.chat import ChatContext, Entry, units
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.speakers import Speaker, labelled

BOOKING: tuple[ChatItem, ...] = (
    Message(role="system", text="Be brief."),
    Message(role="user", text="Two tables."),
    ToolCall(id="a", name="book", arguments='{"people": 2}'),
    ToolCall(id="b", name="book", arguments='{"people": 3}'),
    ToolResult(call_id="a", name="book", content="booked"),
    ToolResult(call_id="b", name="book", content="full", is_error=True),
    Message(role="assistant", text="One is", interrupted=True),
    Message(role="user", text="Stop."),
)
CHAT = ChatContext.of(BOOKING)


def test_an_id_that_comes_twice_is_made_two() -> None:
    assert ChatContext.of(BOOKING[:3], ["x", "x", "x"]).ids == ("x", "x_2", "x_3")


def test_an_item_is_found_by_its_id() -> None:
    assert CHAT.get("item_2") == BOOKING[1]
    assert CHAT.get("item_99") is None


def test_a_copy_can_leave_instructions_and_tools_out() -> None:
    assert CHAT.copy() == CHAT
    assert CHAT.copy(exclude_instructions=True).items == BOOKING[1:]
    assert CHAT.copy(exclude_tools=True).items == (*BOOKING[:2], *BOOKING[6:])


@pytest.mark.parametrize(
    ("max_items", "kept"),
    [(0, []), (1, [7]), (2, [6, 7]), (3, [6, 7]), (5, [6, 7]), (6, [2, 3, 4, 5, 6, 7]), (7, [1, 2, 3, 4, 5, 6, 7])],
)
def test_truncation_keeps_rounds_whole_and_instructions_always(max_items: int, kept: list[int]) -> None:
    assert CHAT.truncate(max_items).items == (BOOKING[0], *(BOOKING[number] for number in kept))


def test_merging_adds_what_is_not_here() -> None:
    later = ChatContext((*CHAT.entries[5:], Entry("new", Message(role="user", text="And now?"))))
    merged = CHAT.merge(later)
    assert merged.items == (*BOOKING, Message(role="user", text="And now?"))
    assert merged.merge(later) == merged


def test_what_is_exported_can_be_imported() -> None:
    assert ChatContext.from_dict(json.loads(json.dumps(CHAT.to_dict()))) == CHAT


def test_openais_format_holds_what_it_can_and_comes_back() -> None:
    messages = CHAT.to_openai()
    assert [message["role"] for message in messages] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["a", "b"]
    back = ChatContext.from_openai(json.loads(json.dumps(messages))).items
    assert back[:5] == BOOKING[:5]
    assert back[6] == Message(role="assistant", text="One is")


def test_openais_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "One."}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "Two."}]
    (item,) = ChatContext.from_openai([{"role": "developer", "content": parts}]).items
    assert item == Message(role="system", text="One. Two.")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"id": "1"}], "items[0].type is none of message, tool_call, tool_result"),
        (
            [{"id": "1", "type": "message", "role": "robot", "text": ""}],
            "items[0].role is none of system, user, assistant",
        ),
        ([{"id": "1", "type": "message", "role": "user"}], "items[0].text is no text"),
        ([7], "items[0] is no item"),
        (
            [{"id": "1", "type": "tool_call", "call_id": "a", "name": "book", "arguments": ""}],
            "item 1 begins calls and results that do not belong together",
        ),
        ([{"id": "1", "type": "message", "role": "user", "text": ""}] * 2, "two items have the same id"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused_with_its_place(items: list[object], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        ChatContext.from_dict({"format": "agentd-chat-1", "items": items})
    assert str(refused.value) == message


def test_a_document_of_another_format_is_refused() -> None:
    for data in ({}, {"items": []}, {"format": "agentd-chat-1"}, []):
        with pytest.raises(ValueError, match="a conversation is"):
            ChatContext.from_dict(data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "robot"},
        {"role": "tool", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "a"}]},
        {"role": "tool", "tool_call_id": "a", "content": "alone"},
        "no message",
    ],
)
def test_what_is_no_message_of_openais_is_refused(message: object) -> None:
    with pytest.raises(ValueError):
        ChatContext.from_openai([message])  # type: ignore[list-item]


def any_conversation(rng: Random) -> tuple[ChatItem, ...]:
    items: list[ChatItem] = []
    for number in range(rng.randint(0, 12)):
        match rng.choice(["user", "assistant", "system", "tools"]):
            case "tools":
                calls = [ToolCall(id=f"{number}-{n}", name="t", arguments="{}") for n in range(rng.randint(1, 3))]
                items += calls
                items += [ToolResult(call_id=call.id, name="t", content="ok " * rng.randint(1, 90)) for call in calls]
            case role:
                items.append(Message(role=role, text="word " * rng.randint(1, 90)))  # type: ignore[arg-type]
    return tuple(items)


@pytest.mark.parametrize("seed", range(100))
def test_no_operation_parts_a_call_from_its_result(seed: int) -> None:
    rng = Random(seed)
    chat = ChatContext.of(any_conversation(rng))
    assert tuple(entry for unit in units(chat.entries) for entry in unit) == chat.entries
    for result in (chat.truncate(rng.randint(0, 20)), chat.merge(ChatContext.of(any_conversation(rng))), chat.copy()):
        assert ChatContext.from_dict(result.to_dict()) == result


def test_who_said_it_is_kept_in_json() -> None:
    near = Speaker(identity="anna", label="another voice near Anna", other_voice=True)
    context = ChatContext.of([Message(role="user", text=labelled(near, "Yes."), speaker=near)])
    assert ChatContext.from_dict(json.loads(json.dumps(context.to_dict()))) == context
    assert [item.words for item in context.items if isinstance(item, Message)] == ["Yes."]
    with pytest.raises(ValueError, match=r"items\[0\]\.speaker"):
        ChatContext.from_dict({**context.to_dict(), "items": [{**context.to_dict()["items"][0], "speaker": "Anna"}]})
