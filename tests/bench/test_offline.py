"""The caller of the corpus in virtual time: what they say arrives in time, what is played is heard in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.aio import now
from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame
from agentd.loadtest.microphone import MIC_HZ, Echo
from bench.turn_taking import kept
from bench.turn_taking.corpus import corpus, held_out
from bench.turn_taking.offline import (
    FRAME_S,
    LONGER_S,
    TRANSPORT_S,
    UNEVEN_S,
    OfflineCaller,
    SoundingRoom,
    definition_of,
)
from bench.turn_taking.subjects import AGENTD_DETECTORS, Agentd
from tests.fakes.clock import run_virtual


def tone(seconds: float, hz: int, level: int = 8000) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * hz)) / hz)).astype(np.int16)


def living(act: Any) -> Any:
    """What `act(room, caller, frames)` answers, beside the caller's microphone and ears."""

    async def live() -> Any:
        room = SoundingRoom()
        caller = OfflineCaller(room)
        frames: list[tuple[float, AudioFrame]] = []
        room.hear = lambda frame, identity="": frames.append((now(), frame))  # type: ignore[method-assign]
        task = asyncio.ensure_future(caller.live())
        try:
            return await act(room, caller, frames)
        finally:
            task.cancel()

    return run_virtual(live())


def loud_s(frames: list[tuple[float, AudioFrame]]) -> list[float]:
    """When the loud windows of 10 ms began."""
    found = []
    for ended, frame in frames:
        for number, hop in enumerate(frame.array().reshape(-1, INPUT_HZ // 1000)):
            if np.abs(hop).max() > 1000:
                found.append(ended - frame.duration_s + number / 1000)
    return found


def test_what_is_said_arrives_between_its_beginning_and_its_end() -> None:
    async def act(room: Any, caller: OfflineCaller, frames: Any) -> tuple[float, float, list[float]]:
        await asyncio.sleep(1.0)
        began, ended = await caller.say(tone(0.5, MIC_HZ))
        await asyncio.sleep(0.2)
        return began, ended, loud_s(frames)

    began, ended, loud = living(act)
    assert ended - began == pytest.approx(0.5, abs=0.002)
    assert loud[0] == pytest.approx(began, abs=0.004)
    assert loud[-1] == pytest.approx(ended, abs=0.004)


def test_what_is_played_is_heard_when_it_is_and_what_is_cleared_is_not() -> None:
    async def act(room: Any, caller: OfflineCaller, frames: Any) -> tuple[float, float | None, float]:
        await asyncio.sleep(0.5)
        await room.audio_out.write(AudioFrame(tone(1.0, OUTPUT_HZ).tobytes(), OUTPUT_HZ))
        await asyncio.sleep(0.3)
        room.audio_out.clear()
        await asyncio.sleep(1.0)
        return await caller.hears_after(0.0), caller.heard.silent_from(0.6), caller.heard.audible_s(0.0)

    first, silent, audible = living(act)
    assert first == pytest.approx(0.51, abs=0.001)
    assert silent == pytest.approx(0.81, abs=0.011)
    assert audible == pytest.approx(0.3, abs=0.011)


def test_an_echo_comes_back_later_and_quieter() -> None:
    async def act(room: Any, caller: OfflineCaller, frames: Any) -> list[float]:
        caller.echo(Echo(delay_s=0.1, gain_db=-6.0, walls=()))
        await asyncio.sleep(0.5)
        await room.audio_out.write(AudioFrame(tone(0.5, OUTPUT_HZ).tobytes(), OUTPUT_HZ))
        await asyncio.sleep(1.5)
        return loud_s(frames)

    loud = living(act)
    assert loud[0] == pytest.approx(0.5 + 0.1 + TRANSPORT_S, abs=FRAME_S + UNEVEN_S)
    assert loud[-1] - loud[0] == pytest.approx(0.5, abs=UNEVEN_S)


def test_frames_come_unevenly_where_there_is_an_echo_and_its_way_grows_longer() -> None:
    async def act(room: Any, caller: OfflineCaller, frames: Any) -> tuple[list[float], list[float]]:
        await asyncio.sleep(1.0)
        even = [at for at, _ in frames]
        caller.echo(Echo(delay_s=0.1, gain_db=-6.0, walls=()))
        frames.clear()
        click = np.concatenate([tone(0.05, OUTPUT_HZ), np.zeros(round(1.95 * OUTPUT_HZ), np.int16)])
        for _ in range(4):
            await room.audio_out.write(AudioFrame(click.tobytes(), OUTPUT_HZ))
        await asyncio.sleep(2.0)
        sound = np.concatenate([frame.array() for _, frame in frames])
        loud = np.flatnonzero(np.abs(sound) > 1000) / INPUT_HZ
        clicks = [at for before, at in zip([-1.0, *loud], loud, strict=False) if at - before > 1.0]
        return even, clicks

    even, clicks = living(act)
    assert np.diff(even) == pytest.approx(FRAME_S, abs=1e-6)
    gaps = np.diff(clicks)
    assert max(gaps) == pytest.approx(2.0 + LONGER_S, abs=0.005)
    assert min(gaps) == pytest.approx(2.0, abs=0.005)


def test_what_a_model_answered_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PLACE", tmp_path)
    asked: list[str] = []
    for text in ("first", "second"):
        answer = kept.Answers("owl").of(b"the same sound", lambda text=text: asked.append(text) or text)  # type: ignore[misc]
        assert answer == "first"
    assert asked == ["first"]


def test_sentences_that_are_held_out_are_not_in_the_corpus() -> None:
    words = {part for item in corpus(0) for part in item.parts if hasattr(part, "text")}
    texts = {part.text for part in words}  # type: ignore[union-attr]
    assert len(held_out(0)) == 36
    assert not texts & {part.text for item in held_out(0) for part in item.parts if hasattr(part, "text")}
    assert held_out(3) == held_out(3)


@pytest.mark.parametrize("detector", AGENTD_DETECTORS)
def test_every_detector_of_agentds_has_an_agent_file_that_loads(detector: str) -> None:
    assert definition_of(Agentd(detector)).turn is not None
