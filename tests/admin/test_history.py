"""The conversation over HTTP: told with the token, its shape without, and changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentd.admin.history import MAX_ITEMS, edit_of
from agentd.admin.problems import Refused
from agentd.admin.settings import AdminSettings
from agentd.providers.chat import ChatContext
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.runtime.journals import journal_path
from agentd.session.journal import Journal
from agentd.tools.acts import EditHistory
from tests.admin.conftest import Serve
from tests.fakes.daemon import FakeDaemon

TOKEN = "t" * 32
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
GIVEN = ChatContext.of(
    [
        Message(role="user", text="Book a table."),
        ToolCall(id="c1", name="book", arguments="{}"),
        ToolResult(call_id="c1", name="book", content="booked"),
    ]
)


@pytest.fixture
def kept(daemon: FakeDaemon, tmp_path: Path) -> None:
    """A call under way: one turn, and a tool that runs."""
    daemon.state = tmp_path
    journal = Journal.create(journal_path(tmp_path, "s-1"))
    journal.append("turn.user", {"turn": 1, "text": "Book a table."})
    journal.append("tool.called", {"reply": 1, "id": "c1", "name": "book", "arguments": '{"name": "Ann"}'})
    journal.close()


def guarded() -> AdminSettings:
    return AdminSettings(addr="127.0.0.1:0", token=TOKEN)


@pytest.mark.usefixtures("kept")
async def test_the_history_is_told_with_the_token_in_each_format(serve: Serve) -> None:
    client = await serve(guarded())
    assert (await client.get("/v1/sessions/s-1/history")).status == 401
    told = await (await client.get("/v1/sessions/s-1/history", headers=HEADERS)).json()
    assert (told["session"], told["format"]) == ("s-1", "agentd-chat-1")
    assert told["items"][0] == {
        "id": "turn_1", "type": "message", "role": "user", "text": "Book a table.", "interrupted": False,
    }  # fmt: skip
    assert told["items"][2]["content"] == "This call is still running; do not repeat it."
    theirs = await (await client.get("/v1/sessions/s-1/history?format=livekit", headers=HEADERS)).json()
    assert [item["type"] for item in theirs["items"]] == ["message", "function_call", "function_call_output"]
    openai = await (await client.get("/v1/sessions/s-1/history?format=openai", headers=HEADERS)).json()
    assert [message["role"] for message in openai["messages"]] == ["user", "assistant", "tool"]
    assert (await client.get("/v1/sessions/s-1/history?format=xml", headers=HEADERS)).status == 422
    missing = await client.get("/v1/sessions/s-2/history", headers=HEADERS)
    assert (missing.status, (await missing.json())["near"]) == (404, ["s-1"])


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("format", ["agentd", "livekit", "openai"])
async def test_without_a_token_to_ask_for_only_the_shape_is_told(serve: Serve, format: str) -> None:
    client = await serve()
    told = await (await client.get(f"/v1/sessions/s-1/history?format={format}")).json()
    text = json.dumps(told)
    assert "Book a table." not in text
    assert "Ann" not in text
    assert "still running" not in text
    assert '"book"' in text
    assert len(told.get("items") or told["messages"]) == 3


async def test_a_change_is_put_before_the_call(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    session = daemon.sessions()[0].id
    for body in ({"add": {"role": "system", "text": "It rains."}}, {"replace": GIVEN.to_livekit()}, {"keep": 4}):
        answer = await client.post(f"/v1/sessions/{session}/history", json=body)
        assert (answer.status, await answer.json()) == (202, {"session": session, "edit": next(iter(body))})
    acts = [act for _, act in daemon.controlled]
    assert acts[0].context.items == (Message(role="system", text="It rains."),)
    assert acts[1:] == [EditHistory(edit="replace", context=GIVEN), EditHistory(edit="keep", keep=4)]
    assert (await client.post("/v1/sessions/s-none/history", json={"keep": 4})).status == 404


@pytest.mark.parametrize("given", [GIVEN.to_dict(), GIVEN.to_livekit(), {"messages": GIVEN.to_openai()},
                                   GIVEN.to_openai()])  # fmt: skip
def test_a_conversation_is_taken_in_every_format(given: Any) -> None:
    assert edit_of({"replace": given}).context.items == GIVEN.items


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "send one of"),
        ({"add": {"role": "user", "text": "x"}, "keep": 1}, "send one of"),
        ({"drop": 1}, "send one of"),
        ({"keep": -1}, "keep is a number"),
        ({"keep": True}, "keep is a number"),
        ({"keep": MAX_ITEMS + 1}, "keep is a number"),
        ({"add": "hello"}, "add is"),
        ({"add": {"role": "tool", "text": "x"}}, "role one of system, user, assistant"),
        ({"add": {"role": "user", "text": " "}}, "add is"),
        ({"add": {"role": "user", "text": "x", "id": "1"}}, "add is"),
        ({"add": {"role": "user", "text": "x" * 5000}}, "5000 characters"),
        ({"replace": "x"}, "replace: a chat context is"),
        ({"replace": {"items": [{"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}]}},
         "do not belong together"),
        ({"replace": {"format": "agentd-chat-1", "items": [{"id": "a", "type": "message", "role": "user",
                                                            "text": None}]}}, "items[0].text is no text"),
        ({"replace": [{"role": "user", "content": "x"}] * (MAX_ITEMS + 1)}, f"{MAX_ITEMS} are taken"),
    ],
)  # fmt: skip
def test_what_is_no_change_is_refused_with_what_to_send(body: dict[str, Any], problem: str) -> None:
    with pytest.raises(Refused) as refused:
        edit_of(body)
    assert refused.value.status == 422
    assert problem in refused.value.detail
