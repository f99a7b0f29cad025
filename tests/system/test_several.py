"""Several people in one room on a real LiveKit server: two callers with speech of their own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from livekit import rtc

from agentd.loadtest.caller import Caller, Caption
from agentd.session.records import Record
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon
from tests.speech import human, utterance, word_error_rate
from tests.system.caller import ended_journal, server_of, speak

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

HOST = """\
version: 1
name: host
room: {{participants: {participants}}}
stt: {{provider: whisper}}
llm: {{provider: scripted, replies: ["You said: {{text}}"]}}
tts: {{provider: hibari}}
"""


def microphone_of(caller: Caller) -> str:
    """The track that captions of this caller's words must name."""
    assert caller.rtc is not None
    return next(iter(caller.rtc.local_participant.track_publications))


def finals(caller: Caller, sender: str) -> list[Caption]:
    return [c for c in caller.captions if c.sender == sender and c.final and c.ended]


def turns(records: list[Record]) -> list[dict[str, Any]]:
    return [dict(record.data) for record in records if record.kind == "turn.user"]


async def press(caller: Caller, method: str) -> str:
    assert caller.rtc is not None
    agent = await caller.agent()
    return await caller.rtc.local_participant.perform_rpc(
        destination_identity=agent.identity, method=method, payload=""
    )


def agent_said(caller: Caller, agent: str) -> list[str]:
    return [c.text.strip() for c in caller.captions if c.ended and c.sender == agent and c.final]


async def test_two_who_speak_at_once_are_heard_by_themselves_and_each_is_answered(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    sound, transcript = human("go-forward")
    words = "Do you have a parking space behind the house?"
    other = utterance(words)
    async with (
        running_daemon(
            server, {"host.yaml": HOST.format(participants="everyone")},
            environment={"AGENTD_STORE": str(tmp_path)}, workers=1,
        ),
        Caller.join(server, agent="host", identity="anna") as anna,
        Caller.join(server, room=anna.room, identity="ben") as ben,
    ):  # fmt: skip
        await anna.agent_state("listening", 30)
        agent = (await anna.agent()).identity
        await asyncio.sleep(1.5)  # both microphones are subscribed to
        async with asyncio.TaskGroup() as group:
            group.create_task(speak(anna, sound))
            group.create_task(speak(ben, other))
        await anna.until(lambda: len(agent_said(anna, agent)) >= 2, 60)
        of_anna, of_ben = finals(anna, "anna"), finals(anna, "ben")
        tracks = {who: {c.attributes["lk.transcribed_track_id"] for c in finals(anna, who)} for who in ("anna", "ben")}
        assert tracks == {"anna": {microphone_of(anna)}, "ben": {microphone_of(ben)}}
        said = agent_said(anna, agent)
        await ben.chat("Thank you both.")
        await anna.until(lambda: len(agent_said(anna, agent)) >= 3, 30)
        last = agent_said(anna, agent)[-1]
        await ben.leave()
        await asyncio.sleep(4)
        assert await anna.agent(), "one who leaves ended the call of the other"
        await anna.leave()
        records = await ended_journal(tmp_path, anna.room)
    assert word_error_rate(transcript, " ".join(c.text for c in of_anna)) <= 0.3
    assert word_error_rate(words, " ".join(c.text for c in of_ben)) <= 0.3
    spoken = {turn["speaker"]: turn["text"] for turn in turns(records) if turn["source"] == "speech"}
    assert sorted(said) == sorted(f"You said: {text}" for text in spoken.values())
    assert last == "You said: Thank you both."
    assert [(t["speaker"], t["text"]) for t in turns(records)][-1] == ("ben", "Thank you both.")
    assert records[-1].data["reason"] == "caller_left"


async def test_with_a_linked_caller_nobody_else_is_heard_read_or_obeyed(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    words = "Do you have a parking space behind the house?"
    async with (
        running_daemon(
            server, {"host.yaml": HOST.format(participants="linked")},
            environment={"AGENTD_STORE": str(tmp_path)}, workers=1,
        ),
        Caller.join(server, agent="host", identity="anna") as anna,
        Caller.join(server, room=anna.room, identity="ben") as ben,
    ):  # fmt: skip
        await anna.agent_state("listening", 30)
        agent = (await anna.agent()).identity
        await asyncio.sleep(1.5)
        await speak(ben, utterance("I would like to book a table."))
        await ben.chat("Yes, I confirm.")
        with pytest.raises(rtc.RpcError, match="only the linked caller"):
            await press(ben, "end_turn")
        await speak(anna, utterance(words))
        await anna.until(lambda: agent_said(anna, agent), 40)
        await anna.leave()
        records = await ended_journal(tmp_path, anna.room)
    (turn,) = turns(records)
    assert turn["speaker"] == "anna"
    assert word_error_rate(words, turn["text"]) <= 0.3
    assert {record.data["speaker"] for record in records if record.kind == "transcript"} == {"anna"}


async def test_the_floor_is_one_persons_and_nobody_else_is_heard(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    first, second = "Do you have a parking space behind the house?", "I would like to book a table."
    async with (
        running_daemon(
            server, {"host.yaml": HOST.format(participants="push_to_talk")},
            environment={"AGENTD_STORE": str(tmp_path)}, workers=1,
        ),
        Caller.join(server, agent="host", identity="anna") as anna,
        Caller.join(server, room=anna.room, identity="ben") as ben,
    ):  # fmt: skip
        await anna.agent_state("listening", 30)
        agent = (await anna.agent()).identity
        await asyncio.sleep(1.5)
        await press(anna, "start_turn")
        with pytest.raises(rtc.RpcError, match="the floor is taken"):
            await press(ben, "start_turn")
        async with asyncio.TaskGroup() as group:
            group.create_task(speak(anna, utterance(first)))
            group.create_task(speak(ben, utterance(second)))
        await asyncio.sleep(0.5)
        await press(anna, "end_turn")
        await anna.until(lambda: agent_said(anna, agent), 40)
        await press(ben, "start_turn")
        await speak(ben, utterance(second))
        await asyncio.sleep(0.5)
        await press(ben, "end_turn")
        await anna.until(lambda: len(agent_said(anna, agent)) >= 2, 40)
        await ben.leave()
        await anna.leave()
        records = await ended_journal(tmp_path, anna.room)
    told = [(turn["speaker"], turn["text"]) for turn in turns(records)]
    assert [who for who, _ in told] == ["anna", "ben"], json.dumps(told)
    assert word_error_rate(first, told[0][1]) <= 0.3
    assert word_error_rate(second, told[1][1]) <= 0.3
