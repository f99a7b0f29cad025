"""What lies between PortAudio's threads and the console's room. With devices: tests/system/test_microphone.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, silence
from agentd.cli.console_devices import AHEAD_S, TOO_FAR_AHEAD_S, Devices, Ear, Mouth, NoDevice, find_devices

SAY_S = 0.02


def sound(duration_s: float, hz: int, value: int = 1000) -> AudioFrame:
    return AudioFrame(value.to_bytes(2, "little", signed=True) * round(duration_s * hz), hz)


def mouth(hz: int = OUTPUT_HZ) -> tuple[Mouth, list[AudioFrame]]:
    played: list[AudioFrame] = []
    return Mouth(hz, played.append), played


def bytes_of(duration_s: float, hz: int = OUTPUT_HZ) -> int:
    return 2 * round(duration_s * hz)


# The loudspeaker


def test_it_begins_when_enough_is_ahead_and_loses_nothing() -> None:
    speaker, _ = mouth()
    speaker.play(sound(SAY_S, OUTPUT_HZ))
    assert not any(speaker.take(bytes_of(0.01)))
    for _ in range(round(AHEAD_S / SAY_S) - 1):
        speaker.play(sound(SAY_S, OUTPUT_HZ))
    assert speaker.take(bytes_of(AHEAD_S)) == sound(AHEAD_S, OUTPUT_HZ).data


def test_when_it_runs_out_it_is_silent_until_enough_is_ahead_again() -> None:
    speaker, _ = mouth()
    speaker.play(sound(AHEAD_S, OUTPUT_HZ))
    taken = speaker.take(bytes_of(AHEAD_S + 0.01))
    assert taken == sound(AHEAD_S, OUTPUT_HZ).data + bytes(bytes_of(0.01))
    speaker.play(sound(SAY_S, OUTPUT_HZ))
    assert not any(speaker.take(bytes_of(0.01)))
    speaker.play(sound(AHEAD_S, OUTPUT_HZ))
    assert all(speaker.take(bytes_of(0.01))[::2])


def test_silence_is_left_out_when_too_much_waits_and_speech_never() -> None:
    speaker, _ = mouth()
    speaker.play(sound(TOO_FAR_AHEAD_S, OUTPUT_HZ))
    for _ in range(50):
        speaker.play(silence(SAY_S, OUTPUT_HZ))
    speaker.play(sound(SAY_S, OUTPUT_HZ, 7))
    heard = speaker.take(bytes_of(TOO_FAR_AHEAD_S + SAY_S))
    assert heard == sound(TOO_FAR_AHEAD_S, OUTPUT_HZ).data + sound(SAY_S, OUTPUT_HZ, 7).data


def test_a_loudspeaker_of_another_rate_gets_sound_of_that_rate_and_the_canceller_all_of_it() -> None:
    speaker, played = mouth(48_000)
    for _ in range(10):
        speaker.play(sound(SAY_S, OUTPUT_HZ))
    out = bytearray(bytes_of(0.1, 48_000))
    speaker.callback(out, 4800, None, None)
    assert played == [AudioFrame(bytes(out), 48_000)]
    middle = AudioFrame(bytes(out), 48_000).array()[1000:4000]
    assert abs(middle - 1000).max() < 20


# The microphone


@pytest.mark.parametrize("hz", [INPUT_HZ, 44_100, 48_000])
def test_a_microphone_of_any_rate_brings_frames_as_the_room_takes_them(hz: int) -> None:
    frames: list[AudioFrame] = []
    ear = Ear(hz, lambda frame: frame, frames.append)
    for _ in range(100):
        data = sound(0.01, hz)
        ear.callback(memoryview(data.data), data.samples, None, None)
    assert {(frame.samples, frame.sample_rate_hz) for frame in frames} == {(512, INPUT_HZ)}
    assert len(frames) in (30, 31)
    assert abs(frames[15].array() - 1000).max() < 20


def test_what_the_canceller_leaves_is_what_is_heard() -> None:
    frames: list[AudioFrame] = []
    ear = Ear(INPUT_HZ, lambda frame: silence(frame.duration_s, INPUT_HZ), frames.append)
    ear.callback(sound(0.064, INPUT_HZ).data, 1024, None, None)
    assert [any(frame.data) for frame in frames] == [False, False]


# Which devices there are


class PortAudioError(Exception):
    pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A PortAudio whose default devices call `own` their rate, or that has none, and that take the rates of `takes`."""

    def having(own: dict[str, int | None], takes: tuple[int, ...]) -> None:
        module: Any = ModuleType("sounddevice")

        def query_devices(kind: str) -> dict[str, Any]:
            if own[kind] is None:
                raise PortAudioError("Error querying device -1")
            return {"name": "USB Audio", "default_samplerate": float(own[kind] or 0)}

        def check(samplerate: int, **_: Any) -> None:
            if samplerate not in takes:
                raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

        module.PortAudioError, module.query_devices = PortAudioError, query_devices
        module.check_input_settings = module.check_output_settings = check
        monkeypatch.setitem(sys.modules, "sounddevice", module)

    return having


def test_our_rates_are_taken_where_they_can_be_had(machine: Callable[..., None]) -> None:
    machine({"input": 44_100, "output": 44_100}, (16_000, 24_000, 44_100, 48_000))
    assert find_devices() == Devices(input_hz=16_000, output_hz=24_000)


def test_else_a_device_keeps_its_own_rate_or_a_common_one(machine: Callable[..., None]) -> None:
    machine({"input": 44_100, "output": 48_000}, (44_100, 48_000))
    assert find_devices() == Devices(input_hz=44_100, output_hz=48_000)
    machine({"input": 22_050, "output": 22_050}, (22_050, 48_000))
    assert find_devices() == Devices(input_hz=48_000, output_hz=48_000)


def test_it_is_said_what_is_missing(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine({"input": None, "output": 48_000}, (48_000,))
    with pytest.raises(NoDevice, match="this machine has no microphone"):
        find_devices()
    machine({"input": 48_000, "output": None}, (48_000,))
    with pytest.raises(NoDevice, match="this machine has no loudspeaker"):
        find_devices()
    machine({"input": 48_000, "output": 48_000}, ())
    with pytest.raises(NoDevice, match='the microphone "USB Audio" cannot be used: Invalid sample rate'):
        find_devices()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NoDevice, match=r'pip install "agentd\[console\]"'):
        find_devices()
