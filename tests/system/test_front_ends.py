"""The wire contract of livekit-wire.md, read by the libraries that stock front ends are made of."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from agentd.audio import write_wav
from agentd.loadtest.caller import Server
from agentd.transport.tokens import AgentToDispatch, LiveKitCredentials, caller_token
from bench.daemon import running_daemon
from tests.speech import human, plain_words, with_silence
from tests.system.front_end import front_end
from tests.system.standin import GREETING, StandIn, registered_standin
from tests.system.web import PROJECT, running_browser, write_beeps

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

STATES = {"initializing", "idle", "listening", "thinking", "speaking"}


def dispatching_token(key: LiveKitCredentials, agent_name: str, identity: str = "ann") -> str:
    room = f"call-{secrets.token_hex(4)}"
    return caller_token(key, room=room, identity=identity, agents=[AgentToDispatch(agent_name=agent_name)])


def check_agent(report: dict[str, Any]) -> str:
    """Items 1 to 7: one agent, of the right kind, with a voice. Answers its identity."""
    ((identity, agent),) = report["agents"].items()
    assert identity.startswith("agent-")
    assert agent["kind"] == "AGENT"
    assert "lk.publish_on_behalf" not in agent["attributes"]
    assert agent["attributes"]["lk.agent.name"]
    (track,) = report["tracks"]
    assert (track["identity"], track["source"], track["kind"], track["muted"]) == (
        identity,
        "microphone",
        "audio",
        False,
    )
    assert report["loudest"] > 0.01
    return str(identity)


def check_states(report: dict[str, Any]) -> None:
    """Items 4 and 5: known states, the last pending one within 20 s, thinking or listening before speaking."""
    states = [entry["state"] for entry in report["states"]]
    assert set(states) <= STATES
    ready = next(entry for entry in report["states"] if entry["state"] not in ("initializing", "idle"))
    assert ready["at_ms"] - report["joined_ms"] < 20_000
    assert "initializing" not in states[1:]


def check_agent_streams(report: dict[str, Any], agent: str) -> None:
    """Item 8: a stream a segment, deltas paced to the voice, final in the trailer."""
    streams = [stream for stream in report["streams"] if stream["identity"] == agent]
    assert streams
    ended = [stream for stream in streams if stream["ended_ms"] is not None]
    assert len({stream["header"]["lk.segment_id"] for stream in streams}) == len(streams)
    for stream in streams:
        assert stream["header"]["lk.transcribed_track_id"] == report["tracks"][0]["sid"]
        assert stream["header"]["lk.transcription_final"] == "false"
    for stream in ended:
        assert stream["trailer"]["lk.transcription_final"] == "true"
    longest = max(ended, key=lambda stream: len(stream["chunks"]))
    assert len(longest["chunks"]) > 1
    assert longest["chunks"][-1]["at_ms"] - longest["chunks"][0]["at_ms"] > 200


def check_user_streams(report: dict[str, Any]) -> None:
    """Item 9: each stream complete and in the caller's name; the last of a segment is final."""
    streams = [stream for stream in report["streams"] if stream["identity"] == report["me"]]
    segments: dict[str, list[dict[str, Any]]] = {}
    for stream in streams:
        segments.setdefault(stream["header"]["lk.segment_id"], []).append(stream)
    assert segments
    finals = [[stream["header"]["lk.transcription_final"] for stream in group] for group in segments.values()]
    assert any(group[-1] == "true" for group in finals)
    assert all("true" not in group[:-1] for group in finals)


def check_legacy(report: dict[str, Any], agent: str) -> None:
    """Item 10: what useTrackTranscription reads ends with the same words as the streams."""
    spoken = {
        stream["header"]["lk.segment_id"]: "".join(chunk["text"] for chunk in stream["chunks"])
        for stream in report["streams"]
        if stream["identity"] == agent and stream["ended_ms"] is not None
    }
    packets = report["track_transcriptions"][agent]
    for segment, text in spoken.items():
        assert packets[segment] == {"text": text, "final": True}
    assert {entry["track"] for entry in report["legacy"] if entry["identity"] == agent} == {report["tracks"][0]["sid"]}


async def test_stock_front_ends_read_everything_that_they_show(credentials: LiveKitCredentials, tmp_path: Path) -> None:
    token = dispatching_token(credentials, "front-desk")
    async with (
        registered_standin(credentials, "front-desk", StandIn()),
        running_browser(write_beeps(tmp_path / "beeps.wav")) as browser,
        front_end(browser, credentials.websocket_url, token) as caller,
    ):
        await caller.until("seen.streams.some((one) => one.header['lk.transcription_final'] === 'true')")
        await caller.chat("What is on the menu?")
        await caller.until("seen.transcriptions.some(({ text }) => text === 'You wrote: What is on the menu?')")
        await caller.until("seen.states.at(-1).state === 'listening'")
        report = await caller.report()
        agent = check_agent(report)
        check_states(report)
        check_agent_streams(report, agent)
        check_user_streams(report)
        check_legacy(report, agent)
        texts = [(entry["identity"] == agent, entry["text"]) for entry in report["transcriptions"]]
        assert (True, GREETING) in texts
        assert (False, "a beep") in texts
        assert [entry["message"] for entry in report["chat"]] == ["What is on the menu?"]  # never echoed (item 11)
        assert [entry["state"] for entry in report["states"]][-3:] == ["thinking", "speaking", "listening"]

        await caller.chat("bye")
        await caller.until("seen.disconnected !== null")
        assert (await caller.report())["disconnected"] == "ROOM_DELETED"  # item 6


async def test_the_daemon_is_read_by_stock_front_ends_with_a_token_of_its_endpoint(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    speech, transcript = human("go-forward")
    microphone = tmp_path / "speech.wav"
    write_wav(microphone, with_silence(speech, 6.0, 10.0))
    server = Server(url=credentials.url, api_key=credentials.api_key, api_secret=credentials.api_secret)
    parrot = {"parrot.yaml": (PROJECT / "agents.d" / "parrot.yaml").read_text()}
    async with (
        running_daemon(server, parrot, workers=1, flags=("--dev",)) as daemon,
        running_browser(microphone) as browser,
    ):
        status, granted = await daemon.post("/v1/token", {"participant_name": "Ann"})
        assert status == 201
        async with front_end(browser, granted["server_url"], granted["participant_token"]) as caller:
            await caller.until("seen.transcriptions.some(({ text }) => text.startsWith('You said'))", 45)
            await caller.until("seen.states.at(-1).state === 'listening'")
            report = await caller.report()
            agent = check_agent(report)
            assert report["agents"][agent]["attributes"]["lk.agent.name"] == "parrot"
            check_states(report)
            check_agent_streams(report, agent)
            check_user_streams(report)
            check_legacy(report, agent)
            states = [entry["state"] for entry in report["states"] if entry["state"] != "initializing"]
            assert states[:2] == ["listening", "speaking"]  # initializing may be over before anybody sees it
            mine = [entry["text"] for entry in report["transcriptions"] if entry["identity"] == report["me"]]
            assert plain_words(transcript) in [plain_words(text) for text in mine]
            assert report["chat"] == []
            await caller.leave()
