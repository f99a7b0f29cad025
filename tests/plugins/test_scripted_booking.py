"""The sample agent's own tools, as a worker runs them: in a tool process, called by the dialogue."""

from __future__ import annotations

from pathlib import Path

from agentd_scripted.llm import create_llm

from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.providers.llm import ChatItem, ChatRequest, Message, ToolCall
from agentd.registry import installed
from agentd.tools.host import ToolHost
from agentd.tools.runner import open_tools
from agentd.tools.spec import SetVariables, ToolContext

AGENTS = Path(__file__).parents[2] / "agents.d"
LINES = ("A table for two, tomorrow at half past seven.", "My name is Anna.", "Yes.")


async def test_the_front_desk_books_through_its_tool_process() -> None:
    definition = load(AGENTS, DaemonConfig(), installed(), {}).agents["front-desk"]
    llm = await create_llm(definition.llm.settings)
    host = ToolHost(AGENTS, ("tools.*",))
    try:
        tools = await open_tools(definition, host=host)
        assert {schema.name for schema in tools.schemas} == {"book", "end_call"}
        items: list[ChatItem] = [Message(role="assistant", text="How can I help you?")]
        items += [Message(role="user", text=line) for line in LINES]
        request = ChatRequest(items=tuple(items), tools=tools.schemas)
        (call,) = [delta async for delta in llm.chat(request) if isinstance(delta, ToolCall)]
        context = ToolContext(session_id="s", agent="front-desk", revision="r")
        outcome = await tools.run(call, context)
        assert outcome.result.content.startswith("Your table is booked, Anna: 2 people, tomorrow at 7:30.")
        assert SetVariables(values={"bookings": ["Anna, 2, tomorrow, 7:30"]}) in outcome.actions
        await tools.aclose()
    finally:
        await host.aclose()
