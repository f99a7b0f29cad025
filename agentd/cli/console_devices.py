"""A microphone and a loudspeaker for `agentd console`, through PortAudio (the extra `console`)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from agentd.audio import BYTES_PER_SAMPLE, INPUT_HZ, OUTPUT_HZ, AudioFrame, Rechunker, Resampler
from agentd.cli.console_room import FRAME_S, ConsoleRoom, Sink
from agentd.errors import AgentdError
from agentd.transport.canceller import FRAMES_A_S, EchoCanceller

COMMON_HZ = (48_000, 44_100)  # which a device takes that takes neither ours nor what it calls its own
AHEAD_S = 0.06  # of sound that the loudspeaker has before it begins: how late ours may come without a gap
LATENCY_S = 0.1  # of the devices: PortAudio's own choice, 35 ms on PulseAudio, ran out on a busy machine
TOO_FAR_AHEAD_S = 0.12  # from here on silence is left out, or two clocks that differ would drift apart

_NAMES = {"input": "microphone", "output": "loudspeaker"}


class NoDevice(AgentdError):
    """There is no way to speak or to hear here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The system's default microphone and loudspeaker, and the rates that they take: ours, or else their own."""

    input_hz: int
    output_hz: int


def find_devices() -> Devices:
    """Raises NoDevice."""
    try:
        import sounddevice
    except ImportError:
        raise NoDevice('the extra "console" is not installed: pip install "agentd[console]"') from None
    except OSError:
        raise NoDevice("PortAudio is not installed; on Debian and Ubuntu: apt-get install libportaudio2") from None
    checks = {"input": sounddevice.check_input_settings, "output": sounddevice.check_output_settings}

    def rate(kind: Literal["input", "output"], wanted_hz: int) -> int:
        try:
            device = sounddevice.query_devices(kind=kind)
        except (sounddevice.PortAudioError, ValueError):
            raise NoDevice(f"this machine has no {_NAMES[kind]}") from None
        reason: Exception | None = None
        for hz in (wanted_hz, round(device["default_samplerate"]), *COMMON_HZ):
            if hz % FRAMES_A_S:
                continue
            try:
                checks[kind](samplerate=hz, channels=1, dtype="int16")
            except sounddevice.PortAudioError as error:
                reason = error
            else:
                return hz
        raise NoDevice(f'the {_NAMES[kind]} "{device["name"]}" cannot be used: {reason}')

    return Devices(input_hz=rate("input", INPUT_HZ), output_hz=rate("output", OUTPUT_HZ))


@contextlib.contextmanager
def open_devices(devices: Devices, room: ConsoleRoom, sinks: list[Sink], lost: Callable[[str], None]) -> Iterator[None]:
    """The microphone speaks into `room`, and a sink that is the loudspeaker is put to `sinks`, until the block ends.

    `lost` is told, on the loop, of a device that ends before. Raises NoDevice.
    """
    import sounddevice

    loop = asyncio.get_running_loop()
    ended = threading.Event()

    def finished(kind: str) -> Callable[[], None]:
        def tell() -> None:
            if not ended.is_set():
                loop.call_soon_threadsafe(lost, f"the {_NAMES[kind]} is gone")

        return tell

    def hear(frame: AudioFrame) -> None:
        if not ended.is_set():
            loop.call_soon_threadsafe(room.hear, frame)

    canceller = EchoCanceller(heard_hz=INPUT_HZ, played_hz=devices.output_hz)
    ear, mouth = Ear(devices.input_hz, canceller.heard, hear), Mouth(devices.output_hz, canceller.played)
    common = {"channels": 1, "dtype": "int16", "latency": LATENCY_S}
    try:
        with (
            sounddevice.RawInputStream(
                samplerate=devices.input_hz, callback=ear.callback, finished_callback=finished("input"), **common
            ),
            sounddevice.RawOutputStream(
                samplerate=devices.output_hz, callback=mouth.callback, finished_callback=finished("output"), **common
            ),
        ):
            sinks.append(mouth)
            try:
                yield
            finally:
                ended.set()
                sinks.remove(mouth)
    except sounddevice.PortAudioError as error:
        raise NoDevice(f"the sound devices cannot be used: {error}") from error


class Ear:
    """What a microphone brings, in frames as the room takes them. `callback` runs in PortAudio's thread."""

    def __init__(self, hz: int, clean: Callable[[AudioFrame], AudioFrame], heard: Callable[[AudioFrame], None]) -> None:
        self._hz = hz
        self._clean = clean  # at INPUT_HZ
        self._heard = heard
        self._resampler = Resampler(hz, INPUT_HZ) if hz != INPUT_HZ else None
        self._rechunker = Rechunker(round(FRAME_S * INPUT_HZ), INPUT_HZ)

    def callback(self, data: Any, frames: int, time: Any, status: Any) -> None:
        frame = AudioFrame(bytes(data), self._hz)
        if self._resampler is not None:
            frame = self._resampler.push(frame)
        for each in self._rechunker.push(self._clean(frame)):
            self._heard(each)


class Mouth:
    """Sound between two clocks: `play` brings it by ours, `callback` takes it by the loudspeaker's, in its thread.

    It begins with AHEAD_S of sound, and again so after it ran out; silence is left out when too much waits.
    """

    def __init__(self, hz: int, played: Callable[[AudioFrame], None]) -> None:
        self._hz = hz
        self._played = played
        self._resampler = Resampler(OUTPUT_HZ, hz) if hz != OUTPUT_HZ else None
        self._waiting = bytearray()
        self._flowing = False
        self._lock = threading.Lock()

    def play(self, frame: AudioFrame) -> None:
        data = self._resampler.push(frame).data if self._resampler is not None else frame.data
        with self._lock:
            if self._ahead_s < TOO_FAR_AHEAD_S or any(frame.data):
                self._waiting += data

    def callback(self, out: Any, frames: int, time: Any, status: Any) -> None:
        out[:] = data = self.take(frames * BYTES_PER_SAMPLE)
        self._played(AudioFrame(data, self._hz))

    def take(self, size: int) -> bytes:
        """The next `size` bytes; silence where there are none."""
        with self._lock:
            self._flowing = self._flowing or self._ahead_s >= AHEAD_S
            if not self._flowing:
                return bytes(size)
            taken = bytes(self._waiting[:size])
            del self._waiting[:size]
            self._flowing = len(taken) == size
        return taken.ljust(size, b"\0")

    @property
    def _ahead_s(self) -> float:
        return len(self._waiting) / BYTES_PER_SAMPLE / self._hz
