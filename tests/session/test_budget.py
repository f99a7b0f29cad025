"""A conversation within its budget of tokens."""

from __future__ import annotations

from random import Random

import pytest

from agentd.providers.chat import is_pinned
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.session.budget import estimate_tokens, fit, item_tokens, total_tokens
from tests.providers.test_chat import any_conversation
from tests.session.chaos import calls_have_results


def user(text: str) -> Message:
    return Message(role="user", text=text)


def agent(text: str) -> Message:
    return Message(role="assistant", text=text)


def call(name: str, result: str) -> tuple[ChatItem, ...]:
    return ToolCall(id=name, name=name, arguments="{}"), ToolResult(call_id=name, name=name, content=result)


LONG = "word " * 150


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("the", 1),
        ("conversation", 3),
        ("At 9.30, please.", 1 + 1 + 1 + 2 + 1 + 2 + 1),
        ("Tür", 1 + 1 + 1),
        ("Привет", 6),
        ("您好", 4),
        ("สวัสดี", 12),
        ("a\n\nb", 3),
    ],
)
def test_tokens_are_estimated_for_every_script(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_what_fits_stays_as_it_is() -> None:
    items = (user("Hello."), agent("Hi."))
    found = fit(items, 256)
    assert (found.items, found.oldest, found.later) == (items, 0, 0)
    assert found.tokens == total_tokens(items)


def test_the_oldest_exchanges_go_until_a_fifth_of_the_budget_is_free() -> None:
    items = [item for n in range(10) for item in (user(f"Question {n}."), agent(LONG))]
    each = total_tokens(items[:2])
    found = fit(items, 8 * each)
    assert found.oldest == 8
    assert found.items == tuple(items[8:])
    assert found.tokens <= 0.8 * 8 * each


def test_the_conversation_begins_again_with_words_of_the_caller() -> None:
    items = (
        user("One."),
        agent("Let me see."),
        *call("book", LONG),
        agent(LONG),
        user("Two."),
        agent("Yes."),
        user("Three."),
    )
    found = fit(items, 300)
    assert found.items == items[5:]


def test_instructions_and_summaries_are_never_left_out() -> None:
    pinned = Message(role="system", text="Summary.")
    items = (pinned, user(LONG), agent(LONG), user(LONG), agent(LONG), user("Now?"))
    found = fit(items, 256)
    assert found.items[0] == pinned
    assert found.oldest == 4


def test_the_callers_last_turn_is_kept_even_beyond_the_budget() -> None:
    items = (user("One."), agent(LONG), user(LONG * 5))
    found = fit(items, 256)
    assert found.items == items[2:]
    assert found.tokens > 256


def test_of_the_present_turn_the_older_results_go_and_the_last_stay() -> None:
    items = (user("Go."), *call("a", LONG), *call("b", LONG), *call("c", LONG))
    found = fit(items, 400)
    assert found.items == (items[0], *items[3:])
    assert (found.oldest, found.later) == (0, 2)


def test_what_is_under_way_is_not_forgotten() -> None:
    items = (user("One."), agent(LONG), user("Two."), *call("running", LONG), user("Three."))
    found = fit(items, 256, settled=3)
    assert found.items == (items[2], *items[3:])
    assert found.oldest == 2


@pytest.mark.parametrize("seed", range(200))
def test_whatever_was_said_the_promises_hold(seed: int) -> None:
    rng = Random(seed)
    items = any_conversation(rng)
    budget, settled = rng.randint(50, 800), rng.randint(0, len(items))
    found = fit(items, budget, settled)
    assert calls_have_results(found.items)
    assert found.tokens == total_tokens(found.items)
    assert len(items) - len(found.items) == found.oldest + found.later
    assert [i for i in found.items if is_pinned(i)] == [i for i in items if is_pinned(i)]
    users = [item for item in items if isinstance(item, Message) and item.role == "user"]
    if users:
        assert found.items.count(users[-1]) >= 1
    if total_tokens(items) <= budget:
        assert found.items == items
    elif settled == len(items) and users:
        tail = items[len(items) - items[::-1].index(users[-1]) - 1 :]
        kept = sum(map(item_tokens, [i for i in items if is_pinned(i)])) + total_tokens(tail)
        assert found.tokens <= max(budget, kept)
