"""What a webhook answers -> what the model reads and what agentd does."""

import json
from typing import Any

import pytest

from agentd.providers.llm import ToolCall
from agentd.tools import replies
from agentd.tools.http import Answer
from agentd.tools.replies import Reading
from agentd.tools.spec import EndCall, Say, SetVariables, ToolOutcome

CALL = ToolCall(id="c1", name="find_slot", arguments="{}")


def success(text: str, content_type: str = "application/json") -> ToolOutcome:
    return replies.outcome(CALL, Answer(status=200, content_type=content_type, text=text), Reading(on_error="message"))


def directed(directives: Any, **result: Any) -> ToolOutcome:
    return success(json.dumps({**result, "agentd": directives}))


@pytest.mark.parametrize(
    ("text", "content_type", "content"),
    [
        ('{"slots": ["9:00"]}', "application/json", '{"slots": ["9:00"]}'),
        ("[1, 2]", "application/json", "[1, 2]"),
        ('"nine"', "application/json", "nine"),
        ("null", "application/json", "null"),
        ("  Nine o'clock.\n", "text/plain", "Nine o'clock."),
        ("", "application/json", "ok"),
        ("", "", "ok"),
        ("{broken", "application/json", "{broken"),
        ("[" * 50_000 + "x", "application/json", None),
        ('{"agentd": {"say": "no"}}', "text/plain", '{"agentd": {"say": "no"}}'),
        ('{"a": 1}', "application/vnd.api+json", '{"a": 1}'),
    ],
)
def test_the_body_is_the_result(text: str, content_type: str, content: str | None) -> None:
    outcome = success(text, content_type)
    assert content is None or outcome.result.content == content
    assert (outcome.outcome, outcome.result.is_error, outcome.reply, outcome.actions) == ("ok", False, True, ())


def test_the_reserved_key_is_obeyed_and_not_shown() -> None:
    outcome = directed(
        {
            "say": {"text": "One  moment.", "interruptible": False},
            "reply": "none",
            "actions": [
                {"type": "set_variables", "variables": {"slot": "9:00"}},
                {"type": "end_call", "say": "Bye."},
                {"type": "end_call"},
            ],
        },
        ok=True,
    )
    assert outcome.result.content == '{"ok": true}'
    assert outcome.reply is False
    assert outcome.actions == (
        Say(text="One moment.", interruptible=False),
        SetVariables(values={"slot": "9:00"}),
        EndCall(say="Bye."),
        EndCall(),
    )


def test_say_may_be_a_text_alone() -> None:
    outcome = directed({"say": "Done."})
    assert outcome.actions == (Say(text="Done."),)
    assert outcome.result.content == "ok"


@pytest.mark.parametrize(
    "directives",
    [
        None,
        "say",
        {"say": 3},
        {"say": {"words": "x"}},
        {"actions": "end_call"},
        {"actions": {"type": "end_call"}},
        {"actions": [None, 1, {}, {"type": "transfer"}, {"type": "set_variables", "variables": [1]}]},
        {"pending": {"after": 1}},
    ],
)
def test_directives_that_are_not_known_are_left_out(directives: Any) -> None:
    outcome = directed(directives, a=1)
    assert (outcome.actions, outcome.result.content, outcome.outcome) == ((), '{"a": 1}', "ok")


def test_what_is_left_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    directed({"actions": [{"type": "transfer"}, {"type": "fly"}]})
    assert [record.__dict__["action"] for record in caplog.records] == ["transfer", "fly"]


PROBLEM = '{"title": "Full", "detail": "No free slot on Friday.", "secret": "x"}'


@pytest.mark.parametrize(
    ("on_error", "content_type", "text", "told"),
    [
        ("message", "application/problem+json", PROBLEM, "No free slot on Friday."),
        ("message", "application/json", PROBLEM, "No free slot on Friday."),
        ("message", "application/problem+json", '{"detail": 3}', "The tool failed."),
        ("message", "text/html", "<h1>Error</h1>", "The tool failed."),
        ("message", "application/json", "[1]", "The tool failed."),
        ("hide", "application/problem+json", PROBLEM, "The tool failed."),
        ("passthrough", "text/plain", "stack trace", "stack trace"),
        ("passthrough", "text/plain", "", "HTTP 500"),
    ],
)
def test_errors_are_told_as_the_tool_wants(on_error: replies.OnError, content_type: str, text: str, told: str) -> None:
    outcome = replies.outcome(
        CALL, Answer(status=500, content_type=content_type, text=text), Reading(on_error=on_error)
    )
    assert (outcome.result.content, outcome.result.is_error, outcome.outcome) == (told, True, "http")


def test_an_error_cannot_direct_the_call() -> None:
    answer = Answer(status=500, content_type="application/json", text='{"agentd": {"say": "x"}}')
    assert replies.outcome(CALL, answer, Reading(on_error="message")).actions == ()


def test_a_long_result_is_cut_with_a_mark() -> None:
    content = success("y" * 20_000, "text/plain").result.content
    assert content.startswith("y" * 16_384 + "…")
    assert content.endswith("[cut here: 3616 more characters]")
