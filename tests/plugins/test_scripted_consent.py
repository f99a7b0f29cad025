"""A script beside a question of agentd's: whether a tool may be called is not the dialogue's; the result is."""

from __future__ import annotations

import pytest
from agentd_scripted.engine import Engine, awaits_consent
from agentd_scripted.loading import read_dialogue
from agentd_scripted.script import compile_script

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.session.consent_words import ASKED, OPERATOR_ASKED, WAITING

DIALOGUE = """
start: ask
states:
  ask:
    say: "Which day?"
    expect:
      - {match: ["{day:date}"], goto: book}
      - {match: ["(no|nothing) *"], goto: bye}
  book:
    tool:
      {name: book, arguments: {day: "{day}"}, say: "{result}", goto: more, error_say: "It failed.", error_goto: more}
    expect: [{match: ["no *"], say: "Then not.", goto: more}]
  more:
    say: "Anything else?"
    expect: [{match: ["no *"], goto: bye}]
  bye: {say: "Goodbye."}
"""


def replied(*said: ChatItem) -> tuple[str, str]:
    """The words of the answer, and the tool that it calls."""
    engine = Engine(compile_script(read_dialogue(DIALOGUE, "dialogue.yaml")))
    call = ToolCall(id="call_1", name="book", arguments="{}")
    asked = ToolResult(call_id="call_1", name="book", content=ASKED)
    items = (Message(role="assistant", text="Which day?"), user("Friday"), call, asked, *said)
    answer = engine.reply(items).answer
    return answer.text, answer.call.name if answer.call else ""


def user(text: str) -> Message:
    return Message(role="user", text=text)


def result(content: str, *, is_error: bool = False) -> ToolResult:
    return ToolResult(call_id="consent-1-1", name="book", content=content, is_error=is_error)


@pytest.mark.parametrize("text", [ASKED, OPERATOR_ASKED, WAITING])
def test_what_agentd_says_of_a_call_that_waits_is_known(text: str) -> None:
    assert awaits_consent(text)


def test_nothing_is_said_while_agentd_asks() -> None:
    assert replied() == ("", "")


def test_the_result_of_the_call_that_was_agreed_to_is_followed() -> None:
    assert replied(user("Yes, please."), result("It is booked.")) == ("It is booked. Anything else?", "")
    assert replied(user("Yes."), result("closed", is_error=True)) == ("It failed. Anything else?", "")


def test_a_no_is_what_the_state_expects() -> None:
    assert replied(user("No, thank you.")) == ("Then not. Anything else?", "")


def test_other_words_of_the_question_before_ask_for_another_call() -> None:
    assert replied(user("Sunday")) == ("", "book")
    assert replied(user("Sunday"), result(ASKED), user("Yes."), result("Booked.")) == ("Booked. Anything else?", "")


def test_what_nobody_understands_is_left_to_agentd_which_asks_again() -> None:
    assert replied(user("The weather is fine.")) == ("", "")
    assert replied(user("The weather is fine."), user("Yes."), result("Booked.")) == ("Booked. Anything else?", "")
