"""What a later incarnation is told of the conversation."""

from __future__ import annotations

import pytest

from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.session.records import Record
from agentd.session.restore import restore


def _records(*entries: tuple[str, dict[str, object]]) -> list[Record]:
    return [Record(seq=i, at=1000.0 + i, kind=kind, data=data) for i, (kind, data) in enumerate(entries)]


def _heard(segment: int, text: str, *, interrupted: bool = False) -> tuple[str, dict[str, object]]:
    return ("segment.heard", {"reply": 1, "segment": segment, "text": text, "interrupted": interrupted})


def _started(segment: int, text: str, **more: object) -> tuple[str, dict[str, object]]:
    return ("segment.started", {"reply": 1, "segment": segment, "text": text, **more})


def _called(call_id: str) -> tuple[str, dict[str, object]]:
    return ("tool.called", {"reply": 1, "id": call_id, "name": "book", "arguments": "{}"})


def _completed(call_id: str) -> tuple[str, dict[str, object]]:
    return (
        "tool.completed",
        {"reply": 1, "id": call_id, "name": "book", "content": "booked", "is_error": False},
    )


def _bridge(reply: int, *, generate: bool = False) -> tuple[str, dict[str, object]]:
    return ("reply.started", {"reply": reply, "turn": None, "purpose": "bridge", "generate": generate})


USER = ("turn.user", {"turn": 1, "text": "Book a table."})
REPLY = ("reply.started", {"reply": 1, "turn": 1, "purpose": "answer", "generate": True})
WRITTEN = ("reply.written", {"reply": 1})


def test_only_what_was_heard_is_restored_and_the_rest_is_unsaid() -> None:
    restored = restore(
        _records(
            USER, REPLY, _started(0, "One."), _started(1, "Two."), _started(2, "Three."), WRITTEN, _heard(0, "One.")
        )
    )
    assert restored.items == (
        Message(role="user", text="Book a table."),
        Message(role="assistant", text="One."),
    )
    assert restored.unsaid == ("Two.", "Three.")
    assert not restored.reply_owed


def test_a_turn_without_answer_is_owed_one() -> None:
    assert restore(_records(USER, REPLY)).reply_owed
    done = ("turn.agent", {"reply": 1, "turn": 1, "text": "", "interrupted": True})
    assert not restore(_records(USER, REPLY, done)).reply_owed


def test_speech_that_was_never_committed_is_remembered_as_lost() -> None:
    restored = restore(_records(USER, ("speech.started", {"at_s": 3})))
    assert restored.caller_was_speaking


def test_words_heard_while_a_tool_ran_stand_before_its_call() -> None:
    restored = restore(
        _records(
            USER,
            REPLY,
            _called("a"),
            _started(0, "One moment.", draft=0, before_calls=True),
            _completed("a"),
            _heard(0, "One moment."),
            _started(1, "Done.", draft=1),
            _heard(1, "Done."),
        )
    )
    assert restored.items[1:] == (
        Message(role="assistant", text="One moment."),
        ToolCall(id="a", name="book", arguments="{}"),
        ToolResult(call_id="a", name="book", content="booked"),
        Message(role="assistant", text="Done."),
    )


def test_a_tool_that_was_running_is_not_forgotten() -> None:
    restored = restore(_records(USER, REPLY, _called("a")))
    last = restored.items[-1]
    assert isinstance(last, ToolResult)
    assert last.call_id == "a"
    assert "still running" in last.content
    (call,) = restored.calls
    assert (call.id, call.reply, call.outcome) == ("a", 1, None)


def test_variables_and_the_end_are_restored() -> None:
    restored = restore(
        _records(
            ("session.started", {"variables": {"a": 1, "b": 1}}),
            ("variables", {"values": {"b": 2}}),
            ("session.ended", {"reason": "caller_left"}),
        )
    )
    assert restored.variables == {"a": 1, "b": 2}
    assert restored.ended
    assert restored.started_at == 1000.0


def test_an_answer_that_the_model_had_not_finished_is_gone_on_with() -> None:
    restored = restore(_records(USER, REPLY, _started(0, "One."), _started(1, "Two."), _heard(0, "One.")))
    assert (restored.unsaid, restored.reply_owed, restored.reply_begun) == (("Two.",), True, True)


def test_an_answer_of_which_there_is_nothing_is_made_anew() -> None:
    restored = restore(_records(USER, REPLY))
    assert (restored.reply_owed, restored.reply_begun) == (True, False)


def test_a_result_that_came_after_the_caller_spoke_stands_beside_its_call() -> None:
    """Models refuse a conversation in which something stands between the two."""
    cut = ("turn.agent", {"reply": 1, "turn": 1, "text": "", "interrupted": True})
    again = ("turn.user", {"turn": 2, "text": "Hello?"})
    restored = restore(_records(USER, REPLY, _called("a"), _called("b"), cut, again, _completed("b"), _completed("a")))
    kinds = [item.role if isinstance(item, Message) else (type(item).__name__) for item in restored.items]
    assert kinds == ["user", "ToolCall", "ToolCall", "ToolResult", "ToolResult", "user"]


@pytest.mark.parametrize(
    "after",
    [
        ("speech.wordless", {}),
        ("decision", {"rule": "acknowledgement", "action": "Ignore", "value": ""}),
        ("decision", {"rule": "false_interruption", "action": "ResumeSpeech", "value": ""}),
    ],
)
def test_a_cough_long_ago_is_no_lost_speech(after: tuple[str, dict[str, object]]) -> None:
    restored = restore(_records(USER, ("speech.started", {"at_s": 3}), ("speech.ended", {"duration_s": 0.2}), after))
    assert not restored.caller_was_speaking


def test_a_second_death_in_the_bridge_repeats_neither_its_opening_nor_what_it_said() -> None:
    first = [USER, REPLY, _started(0, "One."), _started(1, "Two."), _started(2, "Three."), WRITTEN, _heard(0, "One.")]

    def second(kind: str, segment: int, text: str) -> tuple[str, dict[str, object]]:
        return (kind, {"reply": 2, "segment": segment, "text": text, "opening": segment == 0, "interrupted": False})

    steps = [
        _bridge(2),
        second("segment.started", 0, "Sorry."),
        second("segment.started", 1, "Two."),
        second("segment.started", 2, "Three."),
        second("segment.heard", 0, "Sorry."),
        second("segment.heard", 1, "Two."),
        second("segment.heard", 2, "Three."),
    ]
    unsaid = [restore(_records(*first, *steps[:count])).unsaid for count in range(len(steps) + 1)]
    both, last = ("Two.", "Three."), ("Three.",)
    assert unsaid == [both, both, both, both, both, both, last, ()]
    assert restore(_records(*first, *steps)).replies == 2


def test_a_second_death_while_the_bridge_answers_still_owes_the_answer() -> None:
    heard = ("segment.heard", {"reply": 2, "segment": 0, "text": "Sorry.", "interrupted": False})
    opening = ("segment.started", {"reply": 2, "segment": 0, "text": "Sorry.", "opening": True})
    restored = restore(_records(USER, REPLY, _bridge(2, generate=True), opening, heard))
    assert (restored.unsaid, restored.reply_owed, restored.reply_begun) == ((), True, False)
