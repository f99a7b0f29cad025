"""The agent's voice on its way into the native library, which is real here, and into no track."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from agentd.audio import BYTES_PER_SAMPLE, OUTPUT_HZ, AudioFrame
from agentd.transport import audio_out, sdk
from agentd.transport.audio_out import AHEAD_S, LARGEST_WRITE_S, RtcAudioOut

sdk.quiet()


def sound(seconds: float) -> AudioFrame:
    return AudioFrame(bytes(BYTES_PER_SAMPLE * round(seconds * OUTPUT_HZ)), OUTPUT_HZ)


async def test_sound_is_handed_over_shortly_before_it_is_due_and_waited_for() -> None:
    out = RtcAudioOut()
    out.open_gate()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await out.write(sound(1.0))
    assert 0 < out.queued_s <= AHEAD_S + LARGEST_WRITE_S + 0.01
    await out.drained()
    assert loop.time() - began >= 0.99
    await out.close()


async def test_what_waits_is_thrown_away_and_nobody_waits_for_it() -> None:
    out = RtcAudioOut()
    out.open_gate()
    await out.write(sound(AHEAD_S + LARGEST_WRITE_S))
    waiting = asyncio.create_task(out.drained())
    await asyncio.sleep(0)
    out.clear()
    assert out.queued_s == 0
    await asyncio.wait_for(waiting, 5)
    await out.close()


async def test_an_answer_that_is_lost_does_not_silence_the_agent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audio_out, "TAKEN_WITHIN_S", 0.05)
    handed: list[int] = []

    async def never_answered(self: rtc.AudioSource, frame: rtc.AudioFrame) -> None:
        handed.append(frame.samples_per_channel)
        await asyncio.Event().wait()

    monkeypatch.setattr(rtc.AudioSource, "capture_frame", never_answered)
    out = RtcAudioOut()
    out.open_gate()
    await asyncio.wait_for(out.write(sound(2 * LARGEST_WRITE_S)), 5)
    assert handed == [round(LARGEST_WRITE_S * OUTPUT_HZ)] * 2
    assert caplog.messages == ["sound handed over without an answer"] * 2
    await out.close()
