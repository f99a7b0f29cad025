"""A scripted dialogue with several people: what one was asked is answered by nobody else."""

from __future__ import annotations

from agentd_scripted.dialogue import Dialogue, Response, State, ToolUse
from agentd_scripted.engine import Engine
from agentd_scripted.script import compile_script

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.speakers import Speaker, labelled

ANNA, BEN = Speaker(identity="anna", label="Anna"), Speaker(identity="ben", label="Ben")
NEAR = Speaker(identity="anna", label="another voice", other_voice=True)

ENGINE = Engine(
    compile_script(
        Dialogue(
            start="start",
            states={
                "start": State(say="How can I help?", expect=(Response(match=("* book *",), goto="people"),)),
                "people": State(
                    say="For how many people?",
                    expect=(Response(match=("[for] {people:number} [people]",), goto="sure"),),
                ),
                "sure": State(
                    say="For {people}, is that right?",
                    expect=(Response(match=("yes",), goto="book"), Response(match=("no",), goto="people")),
                ),
                "book": State(tool=ToolUse(name="book", arguments={"people": "{people}"}, say="It is booked.")),
            },
        )
    )
)


class Talk:
    def __init__(self) -> None:
        self.items: list[ChatItem] = [Message(role="assistant", text="How can I help?")]

    def hears(self, speaker: Speaker | None, text: str) -> str:
        self.items.append(Message(role="user", text=labelled(speaker, text), speaker=speaker))
        answer = ENGINE.reply(self.items).answer
        if answer.text:
            self.items.append(Message(role="assistant", text=answer.text))
        if answer.call is None:
            return answer.text
        self.items += [answer.call, ToolResult(call_id=answer.call.id, name="book", content="ok")]
        return f"{answer.call.name} {answer.call.arguments}"

    def calls(self) -> list[ToolCall]:
        return [item for item in self.items if isinstance(item, ToolCall)]


def test_a_slot_that_was_asked_of_one_is_not_filled_by_another() -> None:
    talk = Talk()
    assert talk.hears(ANNA, "I want to book a table") == "For how many people?"
    assert talk.hears(BEN, "for seven people").startswith("Sorry, I did not get that.")
    assert talk.hears(ANNA, "for two people") == "For 2, is that right?"


def test_another_cannot_confirm_and_has_a_dialogue_of_their_own() -> None:
    talk = Talk()
    talk.hears(ANNA, "I want to book a table")
    talk.hears(ANNA, "for two")
    assert talk.hears(BEN, "yes").startswith("Sorry, I did not get that. How can I help?")
    assert talk.calls() == []
    assert talk.hears(BEN, "I want to book a table") == "For how many people?"
    assert talk.hears(ANNA, "yes") == 'book {"people": 2}'
    assert talk.hears(BEN, "for five") == "For 5, is that right?"
    assert talk.hears(BEN, "yes") == 'book {"people": 5}'
    assert len({call.id for call in talk.calls()}) == 2


def test_a_second_voice_at_the_microphone_of_the_only_caller_confirms_nothing() -> None:
    talk = Talk()
    talk.hears(None, "I want to book a table")
    talk.hears(None, "for two")
    talk.hears(NEAR, "yes")
    assert talk.calls() == []
    assert talk.hears(None, "yes") == 'book {"people": 2}'


def test_the_first_to_answer_a_greeting_may_be_anybody() -> None:
    assert Talk().hears(BEN, "I want to book a table") == "For how many people?"
