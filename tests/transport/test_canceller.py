"""WebRTC's echo canceller, as `agentd console` uses it."""

from __future__ import annotations

import numpy as np
import pytest

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, level_dbfs, resample
from agentd.transport import sdk
from agentd.transport.canceller import EchoCanceller

sdk.quiet()

DELAY_S = 0.15
LENGTH_S = 6.0


def babble(seed: int, hz: int) -> AudioFrame:
    """Noise that comes and goes four times a second, as syllables do."""
    rng = np.random.default_rng(seed)
    loudness = 4000 * np.abs(np.sin(2 * np.pi * 2 * np.arange(round(LENGTH_S * INPUT_HZ)) / INPUT_HZ + seed))
    samples = (rng.normal(0, 1, len(loudness)) * loudness).clip(-30000, 30000).astype("<i2")
    return resample(AudioFrame(samples.tobytes(), INPUT_HZ), hz)


def cancelled(far: AudioFrame, near: np.ndarray) -> AudioFrame:
    """What is left of `near`, at INPUT_HZ, while `far` is played."""
    canceller = EchoCanceller(heard_hz=INPUT_HZ, played_hz=far.sample_rate_hz)
    left = bytearray()
    for number in range(round(LENGTH_S * 50)):
        for frame, take in ((far, canceller.played), (AudioFrame(near.tobytes(), INPUT_HZ), canceller.heard)):
            size = 2 * frame.sample_rate_hz // 50
            result = take(AudioFrame(frame.data[number * size : (number + 1) * size], frame.sample_rate_hz))
        left += result.data if result else b""
    return AudioFrame(bytes(left), INPUT_HZ)


def echo_of(far: AudioFrame) -> np.ndarray:
    quieter = resample(far, INPUT_HZ).array() * 0.3
    return np.concatenate([np.zeros(round(DELAY_S * INPUT_HZ)), quieter])[: len(quieter)].astype("<i2")


def late(frame: AudioFrame) -> AudioFrame:
    """The last two seconds: it has settled by then."""
    return AudioFrame(frame.data[-4 * INPUT_HZ :], INPUT_HZ)


@pytest.mark.parametrize("hz", [OUTPUT_HZ, 44_100, 48_000])
def test_an_echo_is_taken_out(hz: int) -> None:
    far = babble(1, hz)
    echo = echo_of(far)
    left = cancelled(far, echo)
    assert len(left.data) == 2 * len(echo)
    assert level_dbfs(late(left)) < level_dbfs(late(AudioFrame(echo.tobytes(), INPUT_HZ))) - 25


def test_a_caller_is_heard_while_the_loudspeaker_is_silent() -> None:
    voice = babble(2, INPUT_HZ)
    left = cancelled(AudioFrame(bytes(2 * round(LENGTH_S * OUTPUT_HZ)), OUTPUT_HZ), voice.array())
    assert level_dbfs(late(left)) == pytest.approx(level_dbfs(late(voice)), abs=3)
