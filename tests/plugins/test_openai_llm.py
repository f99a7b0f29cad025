"""The OpenAI language model against a server that speaks its wire format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from agentd_openai.config import OpenAILLMSettings
from agentd_openai.llm import OpenAILLM, create_llm

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.fields import Duration, Secret
from agentd.providers.llm import (
    ChatRequest,
    LLMDelta,
    Message,
    NamedTool,
    ProviderSideTool,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSchema,
    Usage,
)
from tests.fakes.openai_server import KEY, Answer, OpenAIServer, Refusal, chunk, openai_server, text_chunks, tool_chunks

HELLO = ChatRequest(items=(Message(role="system", text="Be brief."), Message(role="user", text="Hello?")))
USAGE = Usage(prompt_tokens=21, completion_tokens=7, cached_tokens=4)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with openai_server() as running:
        yield running


def settings(server: OpenAIServer, **changes: object) -> OpenAILLMSettings:
    plain = OpenAILLMSettings(api_key=Secret("literal", KEY), base_url=server.url)
    return replace(plain, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def model(server: OpenAIServer, **changes: object) -> AsyncIterator[OpenAILLM]:
    llm = await create_llm(settings(server, **changes))
    try:
        yield llm
    finally:
        await llm.aclose()


async def answer(server: OpenAIServer, request: ChatRequest = HELLO, **changes: object) -> list[LLMDelta]:
    async with model(server, **changes) as llm:
        return [delta async for delta in llm.chat(request)]


async def listen(server: OpenAIServer, heard: list[LLMDelta], **changes: object) -> None:
    """As `answer`, but what came before an error is kept."""
    async with model(server, **changes) as llm:
        async for delta in llm.chat(HELLO):
            heard.append(delta)


async def test_text_comes_delta_by_delta_through_awkward_byte_boundaries(server: OpenAIServer) -> None:
    for size in (1, 2, 3, 7, 1000):
        server.answers.append(Answer(chunks=text_chunks("Grüß", " Gott, ", "日本 🙂"), piece_bytes=size))
        assert await answer(server) == [TextDelta("Grüß"), TextDelta(" Gott, "), TextDelta("日本 🙂"), USAGE]


async def test_the_request_is_exactly_this(server: OpenAIServer) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    request = replace(
        HELLO, tools=(ToolSchema(name="find", description="Find.", parameters=schema),), tool_choice="required"
    )
    await answer(server, request, temperature=0.3, max_tokens=99, parallel_tool_calls=False, extra_body={"top_p": 0.5})
    assert server.bodies == [
        {
            "model": "gpt-4.1-mini",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
            "tools": [{"type": "function", "function": {"name": "find", "description": "Find.", "parameters": schema}}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "max_tokens": 99,
            "temperature": 0.3,
            "top_p": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_a_conversation_with_parallel_tool_calls_is_sent_as_the_service_demands(server: OpenAIServer) -> None:
    items = (
        *HELLO.items,
        Message(role="assistant", text="One moment."),
        ToolCall(id="a", name="find", arguments='{"day":"Monday"}'),
        ToolCall(id="b", name="find", arguments='{"day":"Friday"}'),
        ToolResult(call_id="a", name="find", content="none"),
        ToolResult(call_id="b", name="find", content="10:00", is_error=False),
        Message(role="user", text="And?"),
        ToolCall(id="c", name="find", arguments="{}"),
        ToolResult(call_id="c", name="find", content="failed", is_error=True),
    )
    await answer(server, ChatRequest(items=items))
    sent = server.bodies[0]["messages"]
    assert [message["role"] for message in sent] == [
        "system", "user", "assistant", "tool", "tool", "user", "assistant", "tool",
    ]  # fmt: skip
    assert sent[2]["content"] == "One moment."
    assert [call["id"] for call in sent[2]["tool_calls"]] == ["a", "b"]
    assert sent[6] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }


async def test_parallel_tool_calls_are_assembled_from_interleaved_fragments(server: OpenAIServer) -> None:
    fragments = [
        (0, "call_a", "find", ""),
        (0, None, None, '{"da'),
        (1, "call_b", "book", '{"at"'),
        (0, None, None, 'y":1}'),
        (1, None, None, ":2}"),
    ]
    server.answers.append(Answer(chunks=tool_chunks(*fragments)))
    assert await answer(server) == [
        ToolCall(id="call_a", name="find", arguments='{"day":1}'),
        ToolCall(id="call_b", name="book", arguments='{"at":2}'),
        USAGE,
    ]


async def test_calls_that_share_index_zero_are_told_apart_by_their_ids(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=tool_chunks((0, "x", "find", '{"a":1}'), (0, "y", "find", "")), done=False))
    assert (await answer(server))[:2] == [
        ToolCall(id="x", name="find", arguments='{"a":1}'),
        ToolCall(id="y", name="find", arguments="{}"),
    ]


async def test_text_before_a_tool_call_is_kept(server: OpenAIServer) -> None:
    calls = tool_chunks((0, "a", "find", "{}"))
    server.answers.append(Answer(chunks=[chunk({"content": "Let me look."}), *calls]))
    assert (await answer(server))[:2] == [TextDelta("Let me look."), ToolCall(id="a", name="find", arguments="{}")]


async def test_keep_alives_alone_do_not_extend_the_wait_for_the_first_token(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("late"), keep_alives=100, keep_alive_gap_s=0.02))
    with pytest.raises(ProviderTimeout, match=r"no useful token within 0\.2 s"):
        await answer(server, first_token_timeout=Duration(0.2))
    await asyncio.wait_for(server.aborted.wait(), 2)


async def test_empty_deltas_do_not_extend_the_wait_either(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=[chunk({"role": "assistant", "content": ""})] * 100, gap_s=0.02))
    with pytest.raises(ProviderTimeout, match="no useful token"):
        await answer(server, first_token_timeout=Duration(0.2))


async def test_a_stall_in_mid_answer_is_a_timeout_after_the_text_that_came(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("one", "two", "three"), hang_after=3))
    heard: list[LLMDelta] = []
    with pytest.raises(ProviderTimeout, match=r"stalled for 0\.15 s"):
        await listen(server, heard, stall_timeout=Duration(0.15))
    assert heard == [TextDelta("one"), TextDelta("two")]


async def test_time_that_the_reader_takes_is_no_stall(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("one", "two"), gap_s=0.01))
    async with model(server, stall_timeout=Duration(0.1)) as llm:
        heard = []
        async for delta in llm.chat(HELLO):
            heard.append(delta)
            await asyncio.sleep(0.15)
    assert heard == [TextDelta("one"), TextDelta("two"), USAGE]


async def test_a_cut_connection_raises_unavailable_after_the_text_that_came(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("one", "two"), cut_after=2, gap_s=0.01))
    heard: list[LLMDelta] = []
    with pytest.raises(ProviderUnavailable):
        await listen(server, heard)
    assert heard == [TextDelta("one")]


async def test_a_stream_that_ends_without_a_finish_is_incomplete(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("half a sen", finish=None)))
    with pytest.raises(ProviderUnavailable, match="before it was complete"):
        await answer(server)


async def test_a_complete_answer_survives_the_loss_of_what_follows_it(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("All of it."), cut_after=3, gap_s=0.01))
    assert await answer(server) == [TextDelta("All of it.")]
    server.answers.append(Answer(chunks=text_chunks("All of it."), hang_after=3))
    assert await answer(server, stall_timeout=Duration(0.1)) == [TextDelta("All of it.")]


@pytest.mark.parametrize("raw", [b'data: {"choices": [{"del\n\n', b"data: \xff\xfe{}\n\n", b"data: nonsense\n\n"])
async def test_malformed_events_are_unavailability(server: OpenAIServer, raw: bytes) -> None:
    server.answers.append(Answer(raw=raw))
    with pytest.raises(ProviderUnavailable, match="malformed"):
        await answer(server)


async def test_an_error_event_in_mid_stream_carries_the_providers_words(server: OpenAIServer) -> None:
    error = b'data: {"error": {"message": "The server had an error", "type": "server_error", "code": null}}\n\n'
    server.answers.append(Answer(raw=error))
    with pytest.raises(ProviderUnavailable, match="The server had an error"):
        await answer(server)


ERRORS = [
    (Refusal(400, "bad member"), ProviderRefused, None),
    (Refusal(403, "no access"), ProviderRefused, None),
    (Refusal(404, "no such model", "model_not_found"), ProviderRefused, None),
    (Refusal(422, "unprocessable"), ProviderRefused, None),
    (Refusal(408, "slow"), ProviderTimeout, None),
    (Refusal(429, "slow down", "rate_limit_exceeded", {"retry-after": "7"}), ProviderUnavailable, 7.0),
    (Refusal(429, "slow down", "rate_limit_exceeded", {"retry-after-ms": "250"}), ProviderUnavailable, 0.25),
    (Refusal(429, "pay first", "insufficient_quota"), ProviderRefused, None),
    (Refusal(500, "oops"), ProviderUnavailable, None),
    (Refusal(503, "overloaded", headers={"retry-after": "2"}), ProviderUnavailable, 2.0),
]


@pytest.mark.parametrize(
    ("refusal", "error", "retry_after_s"), ERRORS, ids=[f"{r.response.status}-{r}" for r, _, _ in ERRORS]
)
async def test_http_errors_map_to_the_error_tree(
    server: OpenAIServer, refusal: Refusal, error: type[ProviderError], retry_after_s: float | None
) -> None:
    server.failures.append(refusal)
    with pytest.raises(error) as caught:
        await answer(server)
    assert type(caught.value) is error
    assert str(refusal) in caught.value.message
    assert caught.value.retry_after_s == retry_after_s
    assert len(server.requests) == 1  # the SDK did not retry


async def test_a_wrong_key_is_refused_and_not_repeated_in_the_message(server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="HTTP 401") as caught:
        await answer(server, api_key=Secret("literal", "sk-wrong-key-42"))
    assert "sk-wrong-key-42" not in str(caught.value)


async def test_an_unknown_model_is_refused(server: OpenAIServer) -> None:
    with pytest.raises(ProviderRefused, match="`gpt-9` does not exist"):
        await answer(server, model="gpt-9")


async def test_no_server_is_unavailability() -> None:
    async with openai_server() as gone:
        pass
    with pytest.raises(ProviderUnavailable, match="no connection"):
        await answer(gone)


async def test_without_a_key_openai_is_refused_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ProviderRefused, match="OPENAI_API_KEY is not set"):
        await create_llm(OpenAILLMSettings())


async def test_the_environments_key_does_not_go_to_another_server(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ProviderRefused, match="HTTP 401"):  # this server happens to want a key
        await answer(server, api_key=None)
    assert server.requests[0].headers["authorization"] == "Bearer none"


async def test_closing_the_generator_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("one", "two", "three"), gap_s=0.05))
    async with model(server) as llm:
        deltas = llm.chat(HELLO)
        assert await anext(deltas) == TextDelta("one")
        await deltas.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(server.aborted.wait(), 2)
        assert server.open_streams == 0
        assert [delta async for delta in llm.chat(HELLO)] == [TextDelta("Hello."), USAGE]  # the client still works


async def test_cancelling_the_reader_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(Answer(chunks=text_chunks("one", "two"), hang_after=2))
    begun = asyncio.Event()

    async def read(llm: OpenAILLM) -> None:
        async for _ in llm.chat(HELLO):
            begun.set()

    async with model(server) as llm:
        task = asyncio.create_task(read(llm))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.aborted.wait(), 2)


async def test_twenty_requests_at_once_share_a_client_and_do_not_wait_for_each_other(server: OpenAIServer) -> None:
    server.answers.extend(Answer(chunks=text_chunks(f"answer {n}"), gap_s=0.1) for n in range(20))

    async def ask(llm: OpenAILLM) -> str:
        return "".join([delta.text async for delta in llm.chat(HELLO) if isinstance(delta, TextDelta)])

    async with model(server) as llm:
        answers = await asyncio.gather(*(ask(llm) for _ in range(20)))
    assert sorted(answers) == sorted(f"answer {n}" for n in range(20))
    assert server.most_streams == 20


async def test_a_connection_is_used_again(server: OpenAIServer) -> None:
    async with model(server) as llm:
        for _ in range(3):
            assert [delta async for delta in llm.chat(HELLO)] == [TextDelta("Hello."), USAGE]
    assert len(server.connections) == 1


async def test_a_named_tool_is_asked_for_as_openai_writes_it(server: OpenAIServer) -> None:
    find = ToolSchema(name="find", description="Find.", parameters={"type": "object"})
    await answer(server, replace(HELLO, tools=(find,), tool_choice=NamedTool("find")))
    assert server.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "find"}}


async def test_a_search_of_the_provider_goes_out_as_its_options(server: OpenAIServer) -> None:
    search = ProviderSideTool(name="web_search", settings={"search_context_size": "low"})
    await answer(server, replace(HELLO, provider_tools=(search,)))
    assert server.bodies[0]["web_search_options"] == {"search_context_size": "low"}
    assert "tools" not in server.bodies[0]
