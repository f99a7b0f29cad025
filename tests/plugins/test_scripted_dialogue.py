"""The sample agent's dialogue, told as stories: the caller's lines, and what the agent says and does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from agentd_scripted.dialogue import Dialogue, Response, State, ToolUse
from agentd_scripted.engine import Engine
from agentd_scripted.loading import DialogueInvalid, read_dialogue
from agentd_scripted.script import compile_script

from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult

AGENT = yaml.safe_load((Path(__file__).parents[2] / "agents.d" / "front-desk.yaml").read_text())
GREETING = Message(role="assistant", text="The Copper Pot, good day. How can I help you?")
SYSTEM = Message(role="system", text="You are a scripted agent.")
OPENING: tuple[ChatItem, ...] = (SYSTEM, GREETING)


def front_desk() -> Engine:
    dialogue = read_dialogue(yaml.safe_dump(AGENT["llm"]["dialogue"], sort_keys=False), "front-desk.yaml")
    return Engine(compile_script(dialogue), AGENT["variables"])


ENGINE = front_desk()


def book(arguments: dict[str, Any]) -> str:
    if "monday" in arguments["day"].lower():
        return "Closed on Mondays."
    if arguments["people"] > 12:
        return "Too many people: at most 12."
    return f"Your table is booked, {arguments['name']}."


@dataclass
class Story:
    """A conversation so far: `said` what the agent said last, `booked` the arguments of every booking."""

    items: list[ChatItem]
    said: str = ""
    ended: bool = False
    booked: list[dict[str, Any]] | None = None

    def hear(self, line: str) -> None:
        self.items.append(Message(role="user", text=line))
        self.said = ""
        for _ in range(4):
            answer = ENGINE.reply(self.items).answer
            if answer.text:
                self.items.append(Message(role="assistant", text=answer.text))
                self.said = f"{self.said} {answer.text}".strip()
            if answer.call is None:
                return
            self._run(answer.call)
            if self.ended:
                return
        raise AssertionError("the dialogue calls tools for ever")

    def _run(self, call: ToolCall) -> None:
        self.items.append(call)
        arguments = json.loads(call.arguments)
        if call.name == "end_call":
            self.ended, self.said = True, f"{self.said} {arguments['say']}".strip()
            return
        self.booked = [*(self.booked or []), arguments]
        self.items.append(ToolResult(call_id=call.id, name=call.name, content=book(arguments)))


def tell(*lines: str) -> Story:
    story = Story(items=list(OPENING))
    for line in lines:
        assert not story.ended, f"the call ended before {line!r}"
        story.hear(line)
    return story


TABLE = {"name": "Anna", "people": 2, "day": "tomorrow", "time": "7:30"}
ASK_NAME = ("I'd like a table for two, tomorrow at half past seven.",)
CONFIRM = (*ASK_NAME, "My name is Anna.")


@pytest.mark.parametrize(
    "lines",
    [
        ("I'd like to book a table.", "For two people.", "Tomorrow.", "Half past seven.", "My name is Anna.", "Yes."),
        ("Can I book a table?", "2.", "For tomorrow.", "7.30", "Anna", "Yes, that's right."),
        ("A table, please.", "We'll be two.", "Tomorrow, please.", "At seven thirty.", "It's Anna.", "Correct."),
        ("Reservation.", "to", "tomorrow at 730", "Anna.", "yeah"),
        (*ASK_NAME, "Put it under Anna.", "Yep."),
        (*ASK_NAME, "Um, Anna.", "Yes, please."),
        ("Book a table tomorrow.", "Me and my wife.", "Seven-thirty.", "Anna here", "Yes, that is all correct."),
        (*CONFIRM, "sounds good to me"),
        ("Hello.", "Hi.", *CONFIRM, "Okay."),
        ("We'd like to come for dinner.", "Two of us.", "It's for tomorrow.", "half seven", "A-N-N-A", "Perfect."),
    ],
    ids=[
        "step by step",
        "terse",
        "polite",
        "misheard",
        "at once",
        "hesitant",
        "couple",
        "fuzzy yes",
        "hello",
        "spelled",
    ],
)
def test_a_table_is_booked(lines: tuple[str, ...]) -> None:
    story = tell(*lines)
    assert story.booked == [TABLE | {"name": story.booked[0]["name"]}] if story.booked else False
    assert story.booked[0]["name"].startswith("Anna")
    assert story.said == "Your table is booked, " + story.booked[0]["name"] + ". Is there anything else?"


@pytest.mark.parametrize(
    ("lines", "changed"),
    [
        (("No, make it three people.",), {"people": 3}),
        (("Actually, for four people.",), {"people": 4}),
        (("No.", "The time.", "At eight."), {"time": "8:00"}),
        (("That's wrong.", "The day.", "Friday."), {"day": "Friday"}),
        (("No.", "The name.", "Hannah."), {"name": "Hannah"}),
        (("No, my name is Hannah.",), {"name": "Hannah"}),
        (("It's Anna Smith.",), {"name": "Anna Smith"}),
        (("No.", "The number of people.", "Five."), {"people": 5}),
        (("On Friday at eight, please.",), {"day": "Friday", "time": "8:00"}),
        (("No.", "Never mind."), {}),
    ],
)
def test_corrections_are_taken_before_the_booking(lines: tuple[str, ...], changed: dict[str, Any]) -> None:
    story = tell(*CONFIRM, *lines)
    assert story.booked is None
    assert story.said.endswith("Is that right?")
    story.hear("Yes.")
    assert story.booked == [TABLE | changed]


@pytest.mark.parametrize(
    "line", ["What?", "Sorry?", "Repeat that.", "Can you say that again?", "Pardon?", "I didn't catch that."]
)
@pytest.mark.parametrize("before", [("A table, please.",), ASK_NAME, CONFIRM], ids=["people", "name", "confirm"])
def test_what_was_said_is_repeated_and_nothing_is_lost(before: tuple[str, ...], line: str) -> None:
    story = tell(*before)
    said = story.said
    story.hear(line)
    assert story.said == said
    assert ENGINE.reply(story.items).position.slots == ENGINE.reply(tell(*before).items).position.slots


def test_the_greeting_is_repeated_too() -> None:
    assert tell("What?").said == GREETING.text


def test_nonsense_is_asked_again_then_a_person_is_offered() -> None:
    story = tell("A table, please.")
    story.hear("Purple monkeys.")
    assert story.said == "Sorry, I did not get that. For how many people?"
    story.hear("")
    assert story.said == "I am still not with you. You can say help at any time. For how many people?"
    story.hear("Wibble wobble.")
    assert story.said == "A colleague will call you back within the hour. Thank you for calling. Goodbye!"
    assert story.ended


def test_an_understood_sentence_forgives_the_misses_before_it() -> None:
    story = tell("A table, please.", "Wibble.", "Wobble.", "Two.", "Wibble.")
    assert story.said == "Sorry, I did not get that. For which day?"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("Help.", "I book tables."),
        ("What can I say?", "I book tables."),
        ("When are you open?", "We are open from noon to ten, every day but Monday."),
        ("What time do you open?", "We are open from noon to ten, every day but Monday."),
        ("Hello?", "Yes, I am here."),
    ],
)
def test_questions_on_the_way_are_answered_and_the_way_goes_on(line: str, answer: str) -> None:
    story = tell("A table for two, please.", line)
    assert story.said.startswith(answer)
    assert story.said.endswith("For which day?")


@pytest.mark.parametrize("line", ["Goodbye.", "Bye-bye.", "That's all, thanks.", "Bye, have a nice day."])
def test_goodbye_ends_the_call_anywhere(line: str) -> None:
    for before in ((), ASK_NAME, (*CONFIRM, "Yes.")):
        story = tell(*before, line)
        assert story.ended
        assert story.said == "Thank you for calling. Goodbye!"


@pytest.mark.parametrize(
    "line", ["I want to talk to a human.", "Operator!", "Can I speak to somebody?", "Give me a real person."]
)
def test_a_person_is_had_anywhere(line: str) -> None:
    assert tell(*ASK_NAME, line).said.startswith("A colleague will call you back")


def test_the_tools_answer_decides_how_it_goes_on() -> None:
    story = tell("A table for two on Monday at seven.", "Anna", "Yes.")
    assert story.said.startswith("I am sorry, we are closed then.")
    story.hear("Tuesday then.")
    assert story.said == "A table for 2, Tuesday at 7:00, in the name of Anna. Is that right?"
    story.hear("Yes.")
    assert story.booked is not None
    assert [booking["day"] for booking in story.booked] == ["Monday", "Tuesday"]


def test_a_failing_tool_is_told_and_a_person_calls_back() -> None:
    items = [*tell(*CONFIRM).items, Message(role="user", text="Yes.")]
    call = ENGINE.reply(items).answer.call
    assert call is not None
    failed = ToolResult(call_id=call.id, name="book", content="The tool failed.", is_error=True)
    answer = ENGINE.reply([*items, call, failed]).answer
    assert answer.text.startswith("I am sorry, I cannot reach the reservation book. A colleague")


def test_two_tables_in_one_call() -> None:
    story = tell(
        *CONFIRM, "Yes.", "Another table, please.", "Three people", "Friday", "8 pm", "Bob", "yes", "no thanks"
    )
    assert story.booked == [TABLE, {"name": "Bob", "people": 3, "day": "Friday", "time": "8:00 pm"}]
    assert story.ended


STORIES: Sequence[tuple[str, ...]] = (
    (*CONFIRM, "What?", "No.", "The time.", "At eight.", "Yes.", "No, thank you."),
    ("Wibble.", "Help.", "A table on Monday.", "2", "seven", "Anna", "yes", "Tuesday", "yes", "bye"),
)


@pytest.mark.parametrize("lines", STORIES)
def test_replaying_any_beginning_gives_the_same_answers(lines: tuple[str, ...]) -> None:
    """What another process would say that took the call over at any item."""
    story = tell(*lines)
    other = front_desk()
    for end, item in enumerate(story.items):
        if end >= len(OPENING) and isinstance(item, Message) and item.role == "assistant":
            assert other.reply(story.items[:end]).answer.text == item.text
        if isinstance(item, ToolCall):
            said = isinstance(story.items[end - 1], Message) and story.items[end - 1].role == "assistant"  # type: ignore[union-attr]
            assert other.reply(story.items[: end - said]).answer.call == item


@pytest.mark.parametrize("lines", STORIES)
def test_how_much_of_an_answer_was_heard_changes_nothing(lines: tuple[str, ...]) -> None:
    items = tell(*lines).items
    cut: list[ChatItem] = [
        Message(role="assistant", text=item.text[:7], interrupted=True)
        if isinstance(item, Message) and item.role == "assistant" and item is not GREETING
        else item
        for item in items
    ]
    assert ENGINE.reply(cut).position.slots == ENGINE.reply(items).position.slots
    unheard = [item for item in cut if not (isinstance(item, Message) and item.interrupted)]
    assert ENGINE.reply(unheard).position == ENGINE.reply(cut).position


def test_a_bridge_line_of_a_rescue_changes_nothing() -> None:
    items = [*tell(*ASK_NAME).items, Message(role="assistant", text="Sorry, I lost you for a moment.")]
    answer = ENGINE.reply([*items, Message(role="user", text="Anna")]).answer
    assert answer.text == "A table for 2, tomorrow at 7:30, in the name of Anna. Is that right?"


def test_a_tool_that_was_never_run_is_not_taken_as_done() -> None:
    """The caller spoke before the call's result: they are asked again, and nothing was booked."""
    items = [*tell(*CONFIRM).items, Message(role="user", text="Yes.")]
    call = ENGINE.reply(items).answer.call
    assert call is not None
    for so_far in (items, [*items, call]):
        spoke = [*so_far, Message(role="user", text="Wait, is it raining?")]
        assert ENGINE.reply(spoke).answer.text.endswith("in the name of Anna. Is that right?")
        again = ENGINE.reply([*spoke, Message(role="user", text="yes")]).answer.call
        assert again is not None
        assert (again.name, again.arguments) == (call.name, call.arguments)
        assert again.id != call.id


def test_when_the_beginning_is_cut_off_the_agents_words_say_where_it_is() -> None:
    items = tell(*CONFIRM).items
    rest = [SYSTEM, items[-1], Message(role="user", text="No, make it five people.")]
    assert ENGINE.reply(rest).answer.text == "A table for 5, tomorrow at 7:30, in the name of Anna. Is that right?"
    rest = [SYSTEM, Message(role="assistant", text="For which day?"), Message(role="user", text="Friday")]
    assert ENGINE.reply(rest).answer.text == "At what time?"
    rest = [SYSTEM, Message(role="assistant", text="Something unknown."), Message(role="user", text="a table")]
    assert ENGINE.reply(rest).answer.text == "Gladly. For how many people?"


def test_without_a_greeting_the_first_state_speaks() -> None:
    assert ENGINE.reply([SYSTEM]).answer.text == "How can I help you?"
    assert ENGINE.reply([]).answer.text == "How can I help you?"


def test_results_nobody_waits_for_are_ignored() -> None:
    items = tell(*ASK_NAME).items
    stray = ToolResult(call_id="x", name="weather", content="rain")
    assert ENGINE.reply([*items, stray]).position == ENGINE.reply(items).position


def test_results_are_json_where_they_can_be() -> None:
    states = {
        "ask": State(say="Which?", expect=(Response(match=("{item:text}",), goto="look"),)),
        "look": State(tool=ToolUse(name="look", arguments={"q": "{item}", "n": "3"}, say="It costs {result.price}.")),
    }
    engine = Engine(compile_script(Dialogue(start="ask", states=states)))
    items = [Message(role="user", text="blue hats")]
    call = engine.reply(items).answer.call
    assert call is not None
    assert json.loads(call.arguments) == {"q": "blue hats", "n": "3"}
    result = ToolResult(call_id=call.id, name="look", content='{"price": 12.5}')
    assert engine.reply([*items, call, result]).answer.text == "It costs 12.5."


def test_states_that_only_lead_to_each_other_do_not_hang() -> None:
    states = {"a": State(say="A.", goto="b"), "b": State(goto="a")}
    answer = Engine(compile_script(Dialogue(start="a", states=states))).reply([]).answer
    assert answer.text.startswith("A.")


def test_every_state_that_is_not_there_is_named() -> None:
    states = {
        "a": State(expect=(Response(match=("open",), goto="nowhere"),)),
        "b": State(goto="gone", tool=ToolUse(name="t", error_goto="lost")),
    }
    with pytest.raises(ValueError, match="names no state") as caught:
        Dialogue(start="begin", states=states, intents={"help": Response(match=("help",), goto="heaven")})
    assert str(caught.value).split("; ") == [
        'start names no state: "begin"',
        'intents.help.goto names no state: "heaven"',
        'goto of expect 1 of states.a names no state: "nowhere"',
        'states.b.goto names no state: "gone"',
        'states.b.tool.error_goto names no state: "lost"',
    ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"match": ("[open",)}, "is never closed"),
        ({"match": ("{x:y}",)}, "no known type"),
        ({"say": "?"}, "one of match, examples and find is needed"),
    ],
)
def test_a_response_without_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Response(**options)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("start: [", "d.yaml:"),
        ("- a", "a mapping is wanted"),
        ("start: a", "states is missing"),
        ("start: a\nstates: {a: {sya: hi}}", "d.yaml.states.a: unknown key 'sya'"),
        ("start: a\nstates: {a: {expect: hi}}", "d.yaml.states.a.expect: a list is wanted"),
        ("start: a\nstates: {a: {expect: [{repeat: maybe}]}}", "bool is wanted"),
        ("start: a\nstates: {a: {expect: [{find: {x: colour}}]}}", "one of number"),
        ("start: a\nfuzziness: high\nstates: {}", "float is wanted"),
        ("start: a\nstates: {b: {}}", 'd.yaml: start names no state: "a"'),
        ("start: a\nstates: {a: {expect: [{match: ['[a']}]}}", r"d.yaml.states.a.expect.0: '\[' is never closed"),
    ],
)
def test_a_dialogue_file_is_checked(text: str, complaint: str) -> None:
    with pytest.raises(DialogueInvalid, match=complaint):
        read_dialogue(text, "d.yaml")
