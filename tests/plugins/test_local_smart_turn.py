"""Smart Turn: its features, its threads, and what it says where its file is not installed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agentd_local import smart_turn
from agentd_local.config import SmartTurnSettings

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.turn_detector import TurnSoFar
from agentd.registry import installed

MODEL = smart_turn._installed()


def sound(seconds: float, hz: int = INPUT_HZ) -> AudioFrame:
    wave = np.sin(np.arange(round(seconds * hz)) * 0.1) * 8000
    return AudioFrame(wave.astype("<i2").tobytes(), hz)


def turn(audio: AudioFrame) -> TurnSoFar:
    return TurnSoFar(audio=audio, text="", language="en")


class Session:
    """An onnxruntime session that remembers what it was given."""

    def __init__(self) -> None:
        self.inputs: list[np.ndarray] = []
        self.threads: set[str] = set()

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.inputs.append(inputs["input_features"])
        self.threads.add(threading.current_thread().name)
        return [np.array([[0.75]], np.float32)]


async def test_the_model_runs_beside_the_loop_on_eight_seconds_whatever_was_said() -> None:
    session = Session()
    detector = smart_turn.SmartTurn(session, SmartTurnSettings())
    for seconds in (0.2, 8.0, 20.0):
        assert await detector.judge(turn(sound(seconds))) == 0.75
    assert {(each.shape, each.dtype) for each in session.inputs} == {((1, 80, 800), np.dtype(np.float32))}
    assert all(name.startswith("smart-turn") for name in session.threads)
    await detector.aclose()


def test_a_shorter_sound_stands_at_the_end_and_a_longer_one_is_cut_at_its_beginning() -> None:
    short = smart_turn.features(sound(1.0))
    assert np.ptp(short[:, :690], axis=1).max() < 0.01
    assert np.ptp(short[:, 690:], axis=1).max() > 0.5
    long = sound(12.0)
    last = AudioFrame(long.data[-2 * 8 * INPUT_HZ :], INPUT_HZ)
    assert np.array_equal(smart_turn.features(long), smart_turn.features(last))


async def test_another_rate_is_refused() -> None:
    with pytest.raises(ProviderRefused, match="wants 16000 Hz, got 8000 Hz"):
        await smart_turn.SmartTurn(Session(), SmartTurnSettings()).judge(turn(sound(1.0, 8000)))


def test_without_its_file_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(smart_turn, "_installed", lambda: None)
    with pytest.raises(ProviderRefused, match="pip install --no-deps pipecat-ai"):
        smart_turn.load(SmartTurnSettings())
    other = tmp_path / "smart-turn.onnx"
    other.write_bytes(b"no model")
    monkeypatch.setattr(smart_turn, "_installed", lambda: other)
    with pytest.raises(ProviderRefused, match="has sha256"):
        smart_turn.load(SmartTurnSettings())
    with pytest.raises(ProviderRefused, match="cannot load"):
        smart_turn.load(SmartTurnSettings(model_path=str(other)))


def test_it_is_a_component_that_nobody_has_who_does_not_ask() -> None:
    component = installed().find("turn_detector", "smart-turn")
    assert installed().settings_class(component) is SmartTurnSettings
    assert installed().default("turn_detector") is None


@pytest.mark.skipif(MODEL is None, reason="pipecat-ai, which carries the model, is not installed")
async def test_silence_after_a_tone_is_judged_by_the_real_model() -> None:
    detector: Any = await smart_turn.create_turn_detector(SmartTurnSettings())
    assert 0.0 <= await detector.judge(turn(sound(2.0))) <= 1.0
    await detector.aclose()
