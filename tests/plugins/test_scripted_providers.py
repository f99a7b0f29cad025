"""The scripted model, recogniser and voice, as the session uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agentd_scripted.config import (
    ScriptedLLMSettings,
    ScriptedSTTSettings,
    ScriptedTTSSettings,
)
from agentd_scripted.llm import create_llm, pieces
from agentd_scripted.stt import create_stt
from agentd_scripted.tts import create_tts
from click.testing import CliRunner

from agentd.aio import now
from agentd.audio import level_dbfs, silence
from agentd.cli.main import main
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration, IncludedFile
from agentd.providers.llm import ChatRequest, LLMDelta, Message, TextDelta, ToolCall
from agentd.providers.tts import SpeechChunk
from agentd.registry import installed
from tests.fakes.clock import run_virtual

AGENTS = Path(__file__).parents[2] / "agents.d"
FILE = """
start: ask
states:
  ask: {say: "Shall I call it a day, {boss}?", expect: [{match: ["yes *"], say: Fine., goto: end}]}
  end: {tool: {name: end_call}}
"""


def request(*said: str, **options: object) -> ChatRequest:
    items = tuple(Message(role="user", text=text) for text in said)
    return ChatRequest(items=items, **options)  # type: ignore[arg-type]


async def deltas(settings: ScriptedLLMSettings, chat: ChatRequest) -> list[LLMDelta]:
    llm = await create_llm(settings)
    return [delta async for delta in llm.chat(chat)]


def text_of(found: list[LLMDelta]) -> str:
    return "".join(delta.text for delta in found if isinstance(delta, TextDelta))


async def test_replies_come_in_turn_and_may_echo() -> None:
    settings = ScriptedLLMSettings(replies=("You said: {text}", "Turn {turn}."))
    assert text_of(await deltas(settings, request("hello there"))) == "You said: hello there"
    assert text_of(await deltas(settings, request("hello", "again"))) == "Turn 2."
    assert text_of(await deltas(settings, request("a", "b", "c"))) == "You said: c"


async def test_an_answer_is_streamed_in_pieces_that_join_to_it() -> None:
    settings = ScriptedLLMSettings(replies=("one two three four five six seven",), delta_words=3)
    found = await deltas(settings, request("go"))
    assert found == [TextDelta("one two three "), TextDelta("four five six "), TextDelta("seven")]


@pytest.mark.parametrize("text", ["", "a", "a b", "a  b c", "long " * 20 + "end"])
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text, 3)) == text


def test_delays_are_as_set() -> None:
    async def timed() -> list[float]:
        settings = ScriptedLLMSettings(
            replies=("a b c",), delta_words=1, first_delay=Duration(0.35), delta_delay=Duration(0.05)
        )
        llm, began = await create_llm(settings), now()
        return [round(now() - began, 3) async for _ in llm.chat(request("go"))]

    assert run_virtual(timed()) == [0.35, 0.4, 0.45]


async def test_a_dialogue_file_with_variables_and_a_tool() -> None:
    settings = ScriptedLLMSettings(dialogue_file=IncludedFile("d.yaml", FILE))
    found = await deltas(settings, request(variables={"boss": "Kim"}))
    assert text_of(found) == "Shall I call it a day, Kim?"
    found = await deltas(settings, request("yes, do"))
    assert text_of(found) == "Fine."
    assert found[-1] == ToolCall(id="call_1", name="end_call", arguments="{}")
    assert not any(isinstance(delta, ToolCall) for delta in await deltas(settings, request("yes", tool_choice="none")))


async def test_one_model_serves_many_calls_and_remembers_none() -> None:
    llm = await create_llm(ScriptedLLMSettings(replies=("first", "second {text}"), delta_words=1))

    async def answer(*said: str) -> str:
        return "".join([delta.text async for delta in llm.chat(request(*said)) if isinstance(delta, TextDelta)])

    found = await asyncio.gather(*(answer("x", str(number)) for number in range(20)))
    assert found == [f"second {number}" for number in range(20)]
    assert await answer("x") == "first"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "exactly one of"),
        ({"replies": ("a",), "dialogue_file": IncludedFile("d", FILE)}, "exactly one of"),
        ({"dialogue_file": IncludedFile("d.yaml", "start: x")}, "d.yaml: states is missing"),
    ],
)
def test_settings_without_sense_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ScriptedLLMSettings(**options)


def test_the_sample_agents_are_valid() -> None:
    done = CliRunner().invoke(main, ["validate", "-d", str(AGENTS)])
    assert (done.exit_code, "0 errors" in done.output) == (0, True), done.output


def test_a_mistake_in_a_dialogue_is_shown_at_its_line(tmp_path: Path) -> None:
    text = (AGENTS / "front-desk.yaml").read_text().replace("{people:number} of us", "{people:nmber} of us", 1)
    (tmp_path / "front-desk.yaml").write_text(text)
    (tmp_path / "tools").symlink_to(AGENTS / "tools")
    line = next(n for n, line in enumerate(text.splitlines(), start=1) if "nmber" in line)
    done = CliRunner().invoke(main, ["validate", "-d", str(tmp_path)])
    assert done.exit_code == 78
    (problem,) = (shown for shown in done.output.splitlines() if "nmber" in shown)
    where = int(problem.split("front-desk.yaml:")[1].split(":")[0])
    assert line - 4 <= where <= line  # the response that holds the template


async def test_the_recogniser_numbers_utterances() -> None:
    stt = await create_stt(ScriptedSTTSettings())
    texts = [(await stt.recognize(silence(1, 16_000), language="en")).text for _ in range(2)]
    assert texts == ["utterance 1", "utterance 2"]
    assert not stt.capabilities.streaming
    with pytest.raises(ProviderRefused):
        await stt.stream(language=None)


async def test_the_streaming_recogniser_numbers_them_by_call() -> None:
    stt = await create_stt(ScriptedSTTSettings(streaming=True, texts=("yes", "no {number}")))
    assert stt.capabilities.streaming
    for _ in range(2):
        stream = await stt.stream(language="en")
        await stream.push(silence(0.5, 16_000))
        await stream.flush()
        await stream.push(silence(0.5, 16_000))
        await stream.flush()
        await stream.aclose()
        found = [(event.kind, event.transcript.text, event.audio_end_s) async for event in stream]
        assert found == [("final", "yes", 0.5), ("final", "no 2", 1.0)]
    with pytest.raises(ProviderRefused):
        await stt.recognize(silence(1, 16_000), language=None)


async def spoken(settings: ScriptedTTSSettings, *texts: str) -> list[SpeechChunk]:
    async def segments() -> AsyncIterator[str]:
        for text in texts:
            yield text

    tts = await create_tts(settings)
    return [chunk async for chunk in tts.synthesize(segments(), language=None)]


async def test_the_voice_is_a_tone_as_long_as_the_text_with_the_time_of_every_word() -> None:
    first, second = await spoken(ScriptedTTSSettings(), "Hello there, you.", "Bye " * 20)
    assert (first.segment, first.last, second.segment, second.last) == (0, True, 1, True)
    assert first.frame.duration_s == pytest.approx(17 * 0.06, abs=0.001)
    assert second.frame.duration_s == pytest.approx(79 * 0.06, abs=0.001)
    assert [(word.text, round(word.start_s, 2), round(word.end_s, 2)) for word in first.words] == [
        ("Hello ", 0.0, 0.36),
        ("there, ", 0.36, 0.78),
        ("you.", 0.78, 1.02),
    ]
    assert -16 < level_dbfs(first.frame) < -12


@pytest.mark.parametrize(("sound", "low", "high"), [("noise", -16, -14), ("silence", -1000, -100)])
async def test_other_sounds(sound: str, low: float, high: float) -> None:
    (chunk,) = await spoken(ScriptedTTSSettings(sound=sound), "Hello there.")  # type: ignore[arg-type]
    assert max(low, level_dbfs(chunk.frame)) == pytest.approx((low + high) / 2, abs=(high - low) / 2)


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
async def test_they_are_made_through_the_registry(kind: str) -> None:
    component = installed().find(kind, "scripted")  # type: ignore[arg-type]
    options = {"replies": ("ok",)} if kind == "llm" else {}
    provider = await installed().factory(component)(installed().settings_class(component)(**options))
    await provider.aclose()
