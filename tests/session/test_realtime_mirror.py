"""The realtime model's conversation follows the history: as commands, without any model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentd.providers.chat import Entry
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult
from agentd.providers.realtime import AddItem, Command, RemoveItem, TruncateItem
from agentd.session.realtime_mirror import Mirror


def user(name: str, text: str = "Hello.") -> Entry:
    return Entry(name, Message(role="user", text=text))


def agent(name: str, text: str = "Hi.") -> Entry:
    return Entry(name, Message(role="assistant", text=text))


def test_what_is_new_is_added_behind_what_stands_before_it() -> None:
    mirror = Mirror()
    first, second = user("turn_1"), agent("reply_1_0")
    assert mirror.sync([first, second]) == [
        AddItem(id="agentd_1", item=first.item, after=None),
        AddItem(id="agentd_2", item=second.item, after="agentd_1"),
    ]
    assert mirror.sync([first, second]) == []
    between = user("turn_2")
    assert mirror.sync([first, between, second]) == [AddItem(id="agentd_3", item=between.item, after="agentd_1")]


def test_what_the_model_made_is_not_told_to_it() -> None:
    mirror = Mirror()
    mirror.adopt("turn_1", "model_1")
    mirror.adopt("turn_1", "model_2")  # a turn of two utterances
    mirror.adopt("reply_1_0", "model_3")
    later = user("turn_2")
    assert mirror.sync([user("turn_1", "in other words"), agent("reply_1_0"), later]) == [
        AddItem(id="agentd_1", item=later.item, after="model_3")
    ]


def test_what_is_not_in_the_history_is_taken_out() -> None:
    mirror = Mirror()
    mirror.adopt("turn_1", "model_1")
    mirror.adopt("reply_1_0", "model_2")
    assert mirror.sync([user("turn_1")]) == [RemoveItem("model_2")]
    assert mirror.sync([]) == [RemoveItem("model_1")]


def test_a_result_that_comes_later_takes_the_place_of_the_note_that_stood_for_it() -> None:
    mirror = Mirror()
    call = Entry("reply_1_c", ToolCall(id="c", name="book", arguments="{}"))
    waits = Entry("reply_1_c_result", ToolResult(call_id="c", name="book", content="still running"))
    came = Entry("reply_1_c_result", ToolResult(call_id="c", name="book", content="Booked."))
    mirror.adopt("reply_1_0", "model_1")
    mirror.adopt("reply_1_c", "model_1")  # it was begun as part of the answer, and turned out to be a call
    mirror.sync([call, waits])
    assert mirror.sync([call, came]) == [
        RemoveItem("agentd_1"),
        AddItem(id="agentd_2", item=came.item, after="model_1"),
    ]


def test_an_answer_is_truncated_where_it_was_cut_and_what_follows_is_taken_out() -> None:
    mirror = Mirror()
    for item, seconds in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        mirror.adopt("reply_1_0", item)
        mirror.sounded(item, seconds)
    mirror.adopt("reply_1_0", "d")  # begun, and without sound yet
    assert mirror.cut("reply_1_0", 3.5) == [TruncateItem(id="b", heard_s=1.5), RemoveItem("c"), RemoveItem("d")]
    assert mirror.sync([agent("reply_1_0")]) == []
    assert mirror.cut("reply_9_0", 1.0) == []


def test_an_answer_that_was_heard_to_its_end_is_left_alone() -> None:
    mirror = Mirror()
    mirror.adopt("reply_1_0", "a")
    mirror.sounded("a", 2.0)
    assert mirror.cut("reply_1_0", 2.0) == []


def test_an_answer_that_another_voice_spoke_is_replaced_by_what_was_heard() -> None:
    mirror = Mirror()
    mirror.adopt("reply_1_0", "a")
    mirror.replace("reply_1_0")
    heard = agent("reply_1_0", "Hi")
    assert mirror.sync([heard]) == [RemoveItem("a"), AddItem(id="agentd_1", item=heard.item, after=None)]


class Model:
    """Obeys, and refuses what a model would refuse."""

    def __init__(self) -> None:
        self.items: list[tuple[str, ChatItem]] = []

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            names = [name for name, _ in self.items]
            match command:
                case AddItem(id=name, item=item, after=after):
                    assert name not in names
                    at = 0 if after is None else names.index(after) + 1
                    self.items.insert(at, (name, item))
                case RemoveItem(name):
                    self.items.pop(names.index(name))


_names = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(st.lists(st.tuples(_names, st.sampled_from(["one", "two"])), max_size=8), st.sets(st.integers(0, 7)))
def test_whatever_the_history_becomes_the_model_holds_the_same_in_the_same_order(
    histories: list[tuple[list[str], str]], losses: set[int]
) -> None:
    """Orders may not change, as a history's do not: the names come sorted."""
    mirror, model = Mirror(), Model()
    for step, (names, text) in enumerate(histories):
        if step in losses:
            mirror, model = Mirror(made=mirror.made), Model()
        entries = [user(name, text) for name in sorted(names)]
        model.obey(mirror.sync(entries))
        assert [item for _, item in model.items] == [entry.item for entry in entries]
