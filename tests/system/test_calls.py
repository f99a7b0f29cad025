"""Calls with `agentd serve` on a real LiveKit server: real speech goes in, what comes back is listened to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentd.audio import INPUT_HZ, AudioFrame, resample
from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.microphone import EAR_HZ
from agentd.providers.llm import Message, ToolCall, ToolResult
from agentd.registry import installed
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.speech import human, utterance, word_error_rate
from tests.system.caller import ended_journal, server_of, speak, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PARROT = """\
version: 1
name: parrot
greeting: {say: "Hello, I am the parrot."}
stt: {provider: whisper}
llm: {provider: scripted, replies: ["You said: {text}"]}
tts: {provider: hibari}
"""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


async def transcribed(caller: Caller, since: float = 0.0) -> str:
    """What Whisper hears in the agent's sound since `since`."""
    registry = installed()
    component = registry.find("stt", "whisper")
    stt = await registry.factory(component)(registry.settings_class(component)())
    try:
        heard = AudioFrame(caller.heard.samples(since).tobytes(), EAR_HZ)
        return str((await stt.recognize(resample(heard, INPUT_HZ), language="en")).text)
    finally:
        await stt.aclose()


@asynccontextmanager
async def keeping_state(
    server: Server, agents: dict[str, str] | Path, state: Path, **options: Any
) -> AsyncIterator[Daemon]:
    async with running_daemon(server, agents, environment={"AGENTD_STORE": str(state)}, **options) as daemon:
        yield daemon


async def test_human_speech_is_transcribed_answered_aloud_captioned_and_kept(server: Server, tmp_path: Path) -> None:
    sound, transcript = human("go-forward")
    async with keeping_state(server, {"parrot.yaml": PARROT}, tmp_path, workers=1):
        async with Caller.join(server, agent="parrot") as caller:
            await spoken(caller, 0)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            await asyncio.sleep(0.5)
            mine = [c for c in caller.captions if c.sender == caller.identity and c.final]
            states = [seen.state for seen in caller.states]
            heard = await transcribed(caller, ended)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert word_error_rate(transcript, mine[-1].text) <= 0.25
    shown = " ".join(c.text.strip() for c in caller.agent_captions())
    assert shown == f"Hello, I am the parrot. You said: {mine[-1].text}"
    assert word_error_rate(f"you said {transcript}", heard) <= 0.25
    assert _without_repeats(states) == [
        "initializing", "listening", "speaking", "listening", "thinking", "speaking", "listening",
    ] or _without_repeats(states)[-4:] == ["listening", "thinking", "speaking", "listening"]  # fmt: skip
    assert restore(records).items == (
        Message(role="assistant", text="Hello, I am the parrot."),
        Message(role="user", text=mine[-1].text),
        Message(role="assistant", text=f"You said: {mine[-1].text}"),
    )
    assert records[-1].kind == "session.ended"
    assert records[-1].data["reason"] == "caller_left"


def _without_repeats(states: list[str]) -> list[str]:
    return [state for i, state in enumerate(states) if i == 0 or states[i - 1] != state]


async def test_a_table_is_booked_by_voice_with_a_python_tool(server: Server, tmp_path: Path) -> None:
    samples = Path(__file__).parents[2] / "agents.d"
    lines = ["I would like to book a table.", "For two people.", "Sorry, what?", "Tomorrow at seven thirty.",
             "My name is Anna.", "Yes, that is right."]  # fmt: skip
    async with keeping_state(server, samples, tmp_path, workers=1):
        async with Caller.join(server, agent="front-desk") as caller:
            await spoken(caller, 0)
            for line in lines:
                await asyncio.sleep(0.4)
                _, ended = await speak(caller, utterance(line))
                await spoken(caller, ended)
            said = " ".join(c.text for c in caller.agent_captions())
            await caller.leave()
        restored = restore(await ended_journal(tmp_path, caller.room))
    assert "Your table is booked" in said
    (call,) = [item for item in restored.items if isinstance(item, ToolCall)]
    arguments = json.loads(call.arguments)
    assert arguments["people"] in (2, "2")
    assert "Anna" in arguments["name"]
    assert restored.variables["bookings"]


async def test_sixteen_calls_to_two_agents_in_two_workers(server: Server, tmp_path: Path) -> None:
    agents = {f"{name}.yaml": zero_cost_agent(name, [f"{name} heard {{text}}."]) for name in ("alpha", "beta")}
    async with keeping_state(server, agents, tmp_path, workers=2) as daemon:
        async with AsyncExitStack() as stack:
            callers = []
            for number in range(16):
                agent = ("alpha", "beta")[number % 2]
                caller = await stack.enter_async_context(Caller.join(server, agent=agent, microphone=False))
                callers.append((agent, number, caller))
            for _, _, caller in callers:
                await caller.agent_state("listening", 30)
            sessions = await daemon.sessions()
            for _, number, caller in callers:
                await caller.chat(f"call {number}")
            for agent, number, caller in callers:
                await caller.until(lambda c=caller: c.agent_captions(), 20)
                assert [c.text.strip() for c in caller.agent_captions()] == [f"{agent} heard call {number}."]
        per_worker = sorted(sum(s["worker"] == w for s in sessions) for w in {s["worker"] for s in sessions})
    assert len(per_worker) == 2
    assert per_worker[0] >= 4, "one worker took nearly all"


async def test_barge_in_silences_the_agent_and_the_history_keeps_what_was_heard(server: Server, tmp_path: Path) -> None:
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    warm = "turn: {interruption: {echo_warmup: 0}}"  # the agent's first sound in the call is interrupted
    agent = zero_cost_agent("a", [words], extra=warm)
    async with keeping_state(server, {"a.yaml": agent}, tmp_path, workers=1):
        async with Caller.join(server, agent="a") as caller:
            await caller.agent_state("listening", 20)
            await caller.chat("go")
            at = await caller.hears_after(time.monotonic() - 0.5, 10)
            await asyncio.sleep(max(0.0, at + 1.0 - time.monotonic()))
            began, _ = await speak(caller, utterance("No, stop, I wanted something else."))
            silent = caller.heard.silent_from(began, 0.3)
            await caller.until(lambda: len(caller.agent_captions()) >= 1, 10)
            cut = caller.agent_captions()[0].text.strip()
            await caller.leave()
        items = restore(await ended_journal(tmp_path, caller.room)).items
    assert silent is not None
    assert words.startswith(cut)
    assert 0 < len(cut) < len(words)
    assert items[1] == Message(role="assistant", text=cut, interrupted=True)


async def test_a_webhook_is_called_signed_and_the_call_ends_by_its_word(server: Server, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({"headers": dict(request.headers), "body": await request.json()})
        return web.json_response({"status": "found", "agentd": {"say": "Goodbye.", "actions": [{"type": "end_call"}]}})

    agent = """\
version: 1
name: hooked
stt: {provider: scripted}
tts: {provider: scripted, character: 20ms}
llm:
  provider: scripted
  dialogue:
    start: ask
    states:
      ask:
        say: "Which order?"
        expect: [{match: ["order {id:digits}"], goto: look}]
      look:
        tool: {name: find_order, arguments: {id: "{id}"}, say: "{result.status}", goto: ask}
tools:
  - type: webhook
    name: find_order
    description: Finds an order.
    url: URL
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    parameters: {type: object, properties: {id: {type: string}}, required: [id]}
"""
    async with _serving(answer) as url:
        text = agent.replace("URL", url)
        async with keeping_state(server, {"hooked.yaml": text}, tmp_path, workers=1):
            async with Caller.join(server, agent="hooked", microphone=False) as caller:
                await caller.agent_state("listening", 20)
                await caller.chat("order 12")
                await caller.until(lambda: any(h.what == "disconnected" for h in caller.happened), 20)
                gone = not await caller.room_exists()
            records = await ended_journal(tmp_path, caller.room)
    assert gone
    assert seen[0]["headers"]["webhook-signature"].startswith("v1,")
    assert seen[0]["body"]["data"]["arguments"] == {"id": "12"}
    assert records[-1].data["reason"] == "ended_by_agent"
    assert any(r.kind == "segment.heard" and r.data["text"] == "Goodbye." for r in records)


@asynccontextmanager
async def _serving(handler: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"  # type: ignore[union-attr]
    finally:
        await runner.cleanup()


BAD_TOOL = """\
from agentd.tools import RunContext


def crash(ctx: RunContext) -> str:
    \"\"\"Ends its process.\"\"\"
    import os
    os._exit(3)


def hang(ctx: RunContext) -> str:
    \"\"\"Never returns.\"\"\"
    while True:
        pass


def fail(ctx: RunContext) -> str:
    \"\"\"Raises.\"\"\"
    raise ValueError("the till is empty")
"""


async def test_a_tool_that_fails_hangs_or_crashes_is_told_and_the_call_goes_on(server: Server, tmp_path: Path) -> None:
    states = "\n".join(
        f"      {name}: {{tool: {{name: {name}, error_say: '{name} did not work.', error_goto: ask, goto: ask}}}}"
        for name in ("crash", "hang", "fail")
    )
    expects = ", ".join(f'{{match: ["{name}"], goto: {name}}}' for name in ("crash", "hang", "fail"))
    tools = "\n".join(
        f"  - {{type: python, ref: 'tools.bad:{name}', timeout: 1s}}" for name in ("crash", "hang", "fail")
    )
    agent = f"""\
version: 1
name: brittle
stt: {{provider: scripted}}
tts: {{provider: scripted, character: 10ms}}
llm:
  provider: scripted
  dialogue:
    start: ask
    states:
      ask: {{say: "What now?", expect: [{expects}, {{match: ["hello"], say: "I am here."}}]}}
{states}
tools:
{tools}
"""
    files = {"brittle.yaml": agent, "tools/__init__.py": "", "tools/bad.py": BAD_TOOL}
    async with keeping_state(server, files, tmp_path, workers=1):
        async with Caller.join(server, agent="brittle", microphone=False) as caller:
            await caller.agent_state("listening", 20)
            answers = [f"{word} did not work." for word in ("crash", "hang", "fail")]
            for word, answer in zip(("crash", "hang", "fail", "hello"), [*answers, "I am here."], strict=True):
                mark = len(caller.captions)
                await caller.chat(word)
                await caller.until(lambda a=answer, m=mark: _said_since(caller, a, m), 15)
                await caller.agent_state("listening", 15)
            await caller.leave()
        restored = restore(await ended_journal(tmp_path, caller.room))
    results = [item for item in restored.items if isinstance(item, ToolResult)]
    assert [result.is_error for result in results] == [True, True, True]
    assert "the till is empty" in results[2].content


async def test_a_caller_mutes_reconnects_and_comes_back(server: Server, tmp_path: Path) -> None:
    agent = zero_cost_agent("a", ["Answer {turn} to {text}."])
    async with keeping_state(server, {"a.yaml": agent}, tmp_path, workers=1):
        async with Caller.join(server, agent="a") as caller:
            await caller.agent_state("listening", 20)
            await _question(caller)
            caller.mute()
            await asyncio.sleep(0.5)
            caller.unmute()
            await _question(caller)
            await caller.reconnect(full=True)
            await caller.until(lambda: any(h.what == "reconnected" for h in caller.happened), 20)
            await asyncio.sleep(1)
            await _question(caller)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert [r.data["turn"] for r in records if r.kind == "turn.user"] == [1, 2, 3]
    assert records[-1].data["reason"] == "caller_left"


async def _question(caller: Caller) -> None:
    await asyncio.sleep(0.4)
    _, ended = await speak(caller, utterance("When do you open?"))
    await spoken(caller, ended)


DIALOGUE = """\
version: 1
name: counter
greeting: {say: "How many people?"}
stt: {provider: scripted}
tts: {provider: scripted, character: 20ms}
llm:
  provider: scripted
  dialogue:
    start: people
    states:
      people: {say: "How many people?", expect: [{match: ["{people:number} people"], goto: check}]}
      check: {say: "You said {people} people, is that right?", expect: [{match: ["what did I say"], repeat: true}]}
"""


async def test_ten_calls_outlive_their_killed_worker_and_know_what_was_said(server: Server, tmp_path: Path) -> None:
    async with keeping_state(server, {"counter.yaml": DIALOGUE}, tmp_path, workers=2) as daemon:
        async with AsyncExitStack() as stack:
            callers = []
            for _ in range(10):
                callers.append(await stack.enter_async_context(Caller.join(server, agent="counter", microphone=False)))
            for number, caller in enumerate(callers):
                await caller.agent_state("listening", 30)
                await caller.chat(f"{number + 2} people")
            for number, caller in enumerate(callers):
                await caller.until(lambda c=caller, n=number: _said(c, f"You said {n + 2} people"), 20)
            for caller in callers:
                await caller.agent_state("listening", 20)
            before = {s["room"]: s["worker"] for s in await daemon.sessions()}
            worker = (await daemon.workers())[0]
            hit = [c for c in callers if before[c.room] == worker["id"]]
            at = time.monotonic()
            os.kill(int(worker["pid"]), signal.SIGKILL)
            for caller in hit:
                await caller.until(lambda c=caller: _said(c, "Sorry, I lost you for a moment.", at), 20)
            marks = [len(caller.captions) for caller in callers]
            for caller in callers:
                await caller.agent_state("listening", 20)
                await caller.chat("what did I say")
            for number, (caller, mark) in enumerate(zip(callers, marks, strict=True)):
                await caller.until(lambda c=caller, n=number, m=mark: _said_since(c, f"You said {n + 2} people", m), 20)
            identities = [[h.identity for h in c.happened if h.detail == "agent"] for c in hit]
            for caller in callers:
                await caller.leave()
        await asyncio.sleep(1)
    assert 1 <= len(hit) <= 9
    for names in identities:
        assert len(set(names)) == 1, "the agent came back under another identity"
    for caller in hit:
        repeated = [c for c in caller.agent_captions() if c.at > at and c.text.strip() == "How many people?"]
        assert not repeated, "what was heard before the kill was said again"


def _said(caller: Caller, text: str, since: float = 0.0) -> bool:
    return any(text in caption.text for caption in caller.captions if caption.at >= since)


def _said_since(caller: Caller, text: str, mark: int) -> bool:
    return any(text in caption.text for caption in caller.captions[mark:])


async def test_an_edit_changes_the_next_call_and_not_the_one_under_way(server: Server, tmp_path: Path) -> None:
    async with keeping_state(
        server, {"a.yaml": zero_cost_agent("a", ["Version one."], character="10ms")}, tmp_path, workers=2
    ) as daemon:
        path = daemon.agents_dir / "a.yaml"
        async with Caller.join(server, agent="a", microphone=False) as old:
            await old.agent_state("listening", 20)
            revision = (await daemon.agents())[0]["revision"]
            path.write_text(zero_cost_agent("a", ["Version two."], character="10ms"))

            async def applied() -> bool:
                return bool((await daemon.agents())[0]["revision"] != revision)

            await daemon.until(applied)
            assert await _asked(old) == "Version one."
            async with Caller.join(server, agent="a", microphone=False) as new:
                await new.agent_state("listening", 20)
                assert await _asked(new) == "Version two."
            path.write_text("version: 1\nname: a\nllm: {provider: nonsense}\n")

            async def stale() -> bool:
                return bool((await daemon.agents())[0]["state"] == "stale")

            await daemon.until(stale)
            status, body = await daemon.post("/v1/reload")
            assert status == 422
            assert "nonsense" in json.dumps(body)
            async with Caller.join(server, agent="a", microphone=False) as newest:
                await newest.agent_state("listening", 20)
                assert await _asked(newest) == "Version two."


async def _asked(caller: Caller) -> str:
    count = len(caller.agent_captions())
    await caller.chat("which version")
    await caller.until(lambda: len(caller.agent_captions()) > count, 15)
    return caller.agent_captions()[-1].text.strip()
