"""One call on a real LiveKit server, from the reception to the accounts and back: another voice, the same track."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.microphone import EAR_HZ
from agentd.session.explanation import explain
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon
from tests.documents import ROOT
from tests.system.caller import ended_journal, server_of, spoken
from tests.system.test_daemon import asked

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

TONES_HZ = {"reception": 300, "accounts": 700}
"""The example's voices are one and the same at two speeds: here each is a tone, so that who speaks can be measured."""


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


def example(name: str) -> str:
    text = (ROOT / "examples" / "handoff" / f"{name}.yaml").read_text()
    text = re.sub(
        r"^tts: .*$", f"tts: {{provider: scripted, frequency_hz: {TONES_HZ[name]}, character: 30ms}}", text, flags=re.M
    )
    return re.sub(r"^stt: .*$", "stt: {provider: scripted}", text, flags=re.M)


def pitch_hz(caller: Caller, since: float) -> float:
    """Of what was heard since: the strongest frequency."""
    samples = caller.heard.samples(since).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / EAR_HZ)[int(np.argmax(spectrum))])


async def test_a_call_goes_to_another_voice_and_back_on_one_track_and_outlives_its_worker_there(
    server: Server, tmp_path: Path
) -> None:
    agents = {f"{name}.yaml": example(name) for name in TONES_HZ}
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, agents, workers=2, environment=environment) as daemon:
        async with Caller.join(server, agent="reception") as caller:
            await spoken(caller, 0)
            assert pitch_hz(caller, 0) == pytest.approx(TONES_HZ["reception"], abs=15)
            await caller.chat("I have a question about my invoice")
            await caller.until(lambda: any("number" in each.text for each in caller.agent_captions()), 20)
            since = time.monotonic()
            answer = await asked(caller, "number 42")
            await spoken(caller, since)
            assert answer.startswith("Invoice 42 is paid.")
            assert pitch_hz(caller, since) == pytest.approx(TONES_HZ["accounts"], abs=15)
            tracks = [each.detail for each in caller.happened if each.what == "track"]
            (session,) = await daemon.sessions()
            assert (session["agent"], session["acting"]) == ("reception", "accounts")
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            killed = time.monotonic()
            os.kill(int(worker["pid"]), signal.SIGKILL)
            await spoken(caller, killed)  # that there was a fault, in the voice of who had the call
            assert pitch_hz(caller, killed) == pytest.approx(TONES_HZ["accounts"], abs=15)
            back = await asked(caller, "I need an appointment")
            assert back.startswith("Hill Street clinic")
            await caller.agent_state("listening", 15)
            since = time.monotonic()
            assert await asked(caller, "an appointment please") == "The next free appointment is on Monday at nine."
            await spoken(caller, since)
            assert pitch_hz(caller, since) == pytest.approx(TONES_HZ["reception"], abs=15)
            assert (await daemon.sessions())[0]["acting"] == "reception"
            unknown = await daemon.post(f"/v1/sessions/{session['id']}/handoff", {"agent": "account"})
            asked_for = await daemon.post(
                f"/v1/sessions/{session['id']}/handoff", {"agent": "accounts", "enter": "wait"}
            )
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert len(tracks) == 1
    assert (unknown[0], asked_for[0]) == (422, 202)
    told = explain("s", records).handoffs
    assert [(each.agent, each.to) for each in told][:2] == [("reception", "accounts"), ("accounts", "reception")]
    assert told[0].cause.place.endswith("reception.yaml:30")
    assert records[-1].kind == "session.ended"
