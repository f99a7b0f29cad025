"""Calls on a realtime model with `agentd serve` on a real LiveKit server; the model is a server of ours."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.microphone import EAR_HZ
from agentd.providers.llm import Message
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon
from tests.fakes.openai_realtime_server import (
    KEY,
    LETTERS_PER_S,
    TONE_HZ,
    VOICES,
    Answer,
    RealtimeServer,
    realtime_server,
)
from tests.speech import human
from tests.system.caller import ended_journal, server_of, speak, spoken

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

AGENT = """\
version: 1
name: realtime
greeting: {{say: "Hello, this is the model."}}
realtime: {{provider: openai, base_url: "{url}", api_key: "${{MODEL_KEY:?}}"}}
turn: {{detection: {detection}}}
"""
ANSWER = "You want to go forward by ten meters."
LONG = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon. On Sundays we are closed."


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


@pytest.fixture
async def model() -> AsyncIterator[RealtimeServer]:
    async with realtime_server() as running:
        running.transcript_s = 0.3
        yield running


def agents(model: RealtimeServer, detection: str) -> dict[str, str]:
    return {"realtime.yaml": AGENT.format(url=model.url, detection=detection)}


def pitch(sound: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(sound.astype(float)))
    return float(np.argmax(spectrum) * EAR_HZ / len(sound))


@pytest.mark.parametrize("detection", ["realtime", "auto"])
async def test_recorded_speech_is_heard_by_the_model_and_its_voice_by_the_caller(
    server: Server, model: RealtimeServer, tmp_path: Path, detection: str
) -> None:
    sound, transcript = human("go-forward")
    model.transcripts.append(transcript)
    model.answers.append(Answer(text=ANSWER, gap_s=0.02))
    state = {"AGENTD_STORE": str(tmp_path), "MODEL_KEY": KEY}
    async with running_daemon(server, agents(model, detection), workers=1, environment=state) as daemon:
        async with Caller.join(server, agent="realtime") as caller:
            await spoken(caller, 0)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            await asyncio.sleep(0.5)
            mine = [c for c in caller.captions if c.sender == caller.identity and c.final]
            shown = [c.text.strip() for c in caller.agent_captions()]
            audible_s = caller.heard.audible_s(ended)
            heard = caller.heard.samples(ended)
            figures = await daemon.metrics()
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert 'agentd_provider_requests_total{kind="realtime",outcome="ok",provider="openai"}' in figures
    assert 'agentd_turn_latency_seconds_count{agent="realtime",stage="e2e"} 1.0' in figures
    assert 'agentd_usage_tokens_total{agent="realtime",type="prompt"}' in figures
    assert mine[-1].text == transcript
    assert shown == ["Hello, this is the model.", ANSWER]
    assert audible_s == pytest.approx(len(ANSWER) / LETTERS_PER_S, abs=0.4)
    assert pitch(heard) == pytest.approx(TONE_HZ, abs=10)
    said = np.frombuffer(bytes(model.session.heard), "<i2")
    assert np.abs(said).max() > 1_000  # the caller's voice, and no silence
    assert restore(records).items == (
        Message(role="assistant", text="Hello, this is the model."),
        Message(role="user", text=transcript),
        Message(role="assistant", text=ANSWER),
    )
    (turn,) = [record.data for record in records if record.kind == "turn.user"]
    assert turn["rule"] == {"realtime": "realtime", "auto": "silence"}[detection]
    assert model.session.told == [("assistant", "Hello, this is the model."), ("user", transcript),
                                  ("assistant", ANSWER)]  # fmt: skip
    assert model.session.errors == []


async def test_a_barge_in_truncates_the_models_answer_to_what_the_caller_has_heard(
    server: Server, model: RealtimeServer, tmp_path: Path
) -> None:
    sound, transcript = human("go-forward")
    model.transcripts.extend([transcript, "stop please"])
    model.answers.extend([Answer(text=LONG), Answer(text="Sorry.")])
    state = {"AGENTD_STORE": str(tmp_path), "MODEL_KEY": KEY}
    async with running_daemon(server, agents(model, "realtime"), workers=1, environment=state):
        async with Caller.join(server, agent="realtime") as caller:
            await spoken(caller, 0)
            _, ended = await speak(caller, sound)
            await caller.until(lambda: any(s.state == "speaking" and s.at > ended for s in caller.states))
            await asyncio.sleep(3.2)  # beyond the echo warm-up
            began, stopped = await speak(caller, sound)
            await spoken(caller, stopped)
            audible_s = caller.heard.audible_s(ended, began + 0.5)
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    (cut,) = [item for item in model.session.items if item.told == ("assistant", "")]
    assert cut.sound_s == pytest.approx(audible_s, abs=0.4)
    first = [r.data for r in records if r.kind == "turn.agent"][1]
    assert first["interrupted"]
    assert LONG.startswith(first["text"])
    assert 0 < len(first["text"]) < len(LONG)
    assert model.session.errors == []


async def test_a_session_that_has_lasted_its_time_is_replaced_within_the_call(
    server: Server, model: RealtimeServer, tmp_path: Path
) -> None:
    sound, transcript = human("go-forward")
    model.transcripts.extend([transcript, "and then"])
    model.answers.extend([Answer(text="By ten meters."), Answer(text="Then you are there.")])
    state = {"AGENTD_STORE": str(tmp_path), "MODEL_KEY": KEY}
    async with running_daemon(server, agents(model, "realtime"), workers=1, environment=state):
        async with Caller.join(server, agent="realtime") as caller:
            await spoken(caller, 0)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            await model.drop()
            await caller.until(lambda: len(model.sessions) == 2)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            await caller.leave()
        await ended_journal(tmp_path, caller.room)
    assert model.session.told == [
        ("assistant", "Hello, this is the model."), ("user", transcript), ("assistant", "By ten meters."),
        ("user", "and then"), ("assistant", "Then you are there."),
    ]  # fmt: skip
    assert model.session.errors == []


async def test_a_killed_workers_call_goes_on_with_another_session_that_knows_what_was_said(
    server: Server, model: RealtimeServer, tmp_path: Path
) -> None:
    sound, transcript = human("go-forward")
    model.transcripts.extend([transcript, "and then"])
    model.answers.extend([Answer(text="By ten meters."), Answer(text="Then you are there.")])
    state = {"AGENTD_STORE": str(tmp_path), "MODEL_KEY": KEY}
    async with running_daemon(server, agents(model, "realtime"), workers=2, environment=state) as daemon:
        async with Caller.join(server, agent="realtime") as caller:
            await spoken(caller, 0)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            (session,) = await daemon.sessions()
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            os.kill(int(worker["pid"]), signal.SIGKILL)
            lost = "Sorry, I lost you for a moment."
            await caller.until(lambda: any(c.text.strip() == lost for c in caller.agent_captions()), 30)
            await caller.agent_state("listening", 20)
            await asyncio.sleep(0.5)
            _, ended = await speak(caller, sound)
            await spoken(caller, ended)
            await caller.leave()
        await ended_journal(tmp_path, caller.room)
    assert model.session.told == [
        ("assistant", "Hello, this is the model."), ("user", transcript), ("assistant", "By ten meters."),
        ("assistant", lost), ("user", "and then"), ("assistant", "Then you are there."),
    ]  # fmt: skip
    assert model.session.errors == []


OFFICE_HZ, PIPELINE_HZ = VOICES["cedar"], 900
HANDED_ROUND = {
    "desk": """\
greeting: {{say: "The desk, hello."}}
realtime: {{provider: openai, voice: marin, base_url: "{url}", api_key: "${{MODEL_KEY:?}}"}}
turn: {{detection: realtime}}
handoffs: [{{agent: office, when: the caller asks for the office}}]
""",
    "office": """\
greeting: {{say: "The office, good day."}}
realtime: {{provider: openai, voice: cedar, base_url: "{url}", api_key: "${{MODEL_KEY:?}}"}}
handoffs: [{{agent: accounts, when: the caller asks about money}}]
""",
    "accounts": f"""\
greeting: {{{{say: "Accounts, good day to you."}}}}
stt: {{{{provider: scripted}}}}
tts: {{{{provider: scripted, frequency_hz: {PIPELINE_HZ}, character: 30ms}}}}
llm:
  provider: scripted
  dialogue:
    start: ask
    states:
      ask:
        expect: [{{{{match: ["* desk *"], goto: back}}}}]
      back:
        tool: {{{{name: handoff_to_desk, goto: ask}}}}
handoffs: [{{{{agent: desk, when: the caller wants the desk, enter: wait}}}}]
""",
}


async def test_a_call_goes_between_two_models_voices_and_a_pipeline_on_one_track(
    server: Server, model: RealtimeServer, tmp_path: Path
) -> None:
    sound, transcript = human("go-forward")
    model.transcripts.extend([transcript, "and what does it cost", "and then"])
    model.answers.extend([
        Answer(calls=(("handoff_to_office", "{}", "call_1"),)),
        Answer(calls=(("handoff_to_accounts", "{}", "call_2"),)),
        Answer(text="Then you are there."),
    ])  # fmt: skip
    files = {f"{name}.yaml": "version: 1\n" + text.format(url=model.url) for name, text in HANDED_ROUND.items()}
    state = {"AGENTD_STORE": str(tmp_path), "MODEL_KEY": KEY}
    async with running_daemon(server, files, workers=1, environment=state):
        async with Caller.join(server, agent="desk") as caller:

            async def said(since: float, words: str) -> float:
                """The pitch of these words, once they were said."""
                await caller.until(lambda: any(c.text.strip() == words for c in caller.agent_captions()), 30)
                await spoken(caller, since)
                return pitch(caller.heard.samples(since))

            assert await said(0, "The desk, hello.") == pytest.approx(TONE_HZ, abs=10)
            _, ended = await speak(caller, sound)
            assert await said(ended, "The office, good day.") == pytest.approx(OFFICE_HZ, abs=10)
            assert model.sessions[0].ended.is_set()
            _, ended = await speak(caller, sound)
            assert await said(ended, "Accounts, good day to you.") == pytest.approx(PIPELINE_HZ, abs=10)
            assert model.sessions[1].ended.is_set()
            await caller.chat("the desk please")
            await caller.until(lambda: len(model.sessions) == 3, 20)
            await caller.agent_state("listening", 20)
            await asyncio.sleep(0.5)
            _, ended = await speak(caller, sound)
            assert await said(ended, "Then you are there.") == pytest.approx(TONE_HZ, abs=10)
            tracks = [each for each in caller.happened if each.what == "track"]
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert len(tracks) == 1
    ways = [(r.data["from"], r.data["to"], r.data["connection"]) for r in records if r.kind == "handoff"]
    assert ways == [("desk", "office", "opened"), ("office", "accounts", "closed"), ("accounts", "desk", "opened")]
    assert [each.settings["audio"]["output"]["voice"] for each in model.sessions] == ["marin", "cedar", "marin"]
    messages = [each for each in model.session.told if each[0] in ("user", "assistant")]
    assert messages == [
        ("assistant", "The desk, hello."), ("user", transcript), ("assistant", "The office, good day."),
        ("user", "and what does it cost"), ("assistant", "Accounts, good day to you."), ("user", "the desk please"),
        ("user", "and then"), ("assistant", "Then you are there."),
    ]  # fmt: skip
    assert [each for session in model.sessions for each in session.errors] == []
    assert [r.data for r in records if r.kind == "error"] == []
