"""A caller's microphone: one track in real time that carries what is said, and on demand the echo of what is heard."""

from __future__ import annotations

import asyncio
import time
import wave
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from livekit import rtc

MIC_HZ = 48_000
MIC_FRAME_S = 0.02
MIC_FRAME = round(MIC_HZ * MIC_FRAME_S)
EAR_HZ = 24_000
ECHO_SLACK_S = 0.1  # an echo that is later than its delay by more than this is cut short, as a sound card would


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """How a loudspeaker sounds in the microphone beside it: later, quieter, and again from the walls."""

    delay_s: float
    gain_db: float
    walls: tuple[tuple[float, float], ...] = ((0.011, 0.4), (0.023, 0.25))  # seconds later, share of the direct sound


class EchoPath:
    """What is heard, on its way to the microphone. Pure: int16 at EAR_HZ go in, floats at MIC_HZ come out in time."""

    def __init__(self, echo: Echo) -> None:
        direct = 10 ** (echo.gain_db / 20)
        self._taps = [(round(later * MIC_HZ), direct * share) for later, share in ((0.0, 1.0), *echo.walls)]
        self._past = np.zeros(max(lag for lag, _ in self._taps) + 1)
        self._waiting = np.zeros(round(echo.delay_s * MIC_HZ))
        self._most = len(self._waiting) + round(ECHO_SLACK_S * MIC_HZ)

    def push(self, heard: np.ndarray) -> None:
        """Sound from the loudspeaker."""
        before = np.concatenate([self._past[-1:], heard[:-1]])
        doubled = np.stack([(before + heard) / 2, heard], axis=1).reshape(-1)  # twice the rate
        sound = np.concatenate([self._past, doubled])
        first, size = len(self._past), len(doubled)
        answer = sum(share * sound[first - lag : first - lag + size] for lag, share in self._taps)
        self._past = sound[size:]
        self._waiting = np.concatenate([self._waiting, answer])[-self._most :]

    def delay(self, seconds: float) -> None:
        """From now on it comes later, up to the slack."""
        self._waiting = np.concatenate([np.zeros(round(seconds * MIC_HZ)), self._waiting])[-self._most :]

    def pull(self, samples: int) -> np.ndarray:
        """The next samples at the microphone; silence where nothing has come."""
        taken, self._waiting = self._waiting[:samples], self._waiting[samples:]
        return np.pad(taken, (0, samples - len(taken)))


@dataclass(frozen=True, slots=True)
class _Frame:
    data: np.ndarray
    began: asyncio.Future[float] | None = None  # of the first frame of what is said
    ended: asyncio.Future[float] | None = None  # of the last


class Microphone:
    """20 ms frames of what is being said; between them the SDK itself sends silence, unless there is an echo."""

    def __init__(self) -> None:
        self._source: rtc.AudioSource | None = None
        self._track: rtc.LocalAudioTrack | None = None
        self._task: asyncio.Task[None] | None = None
        self._frames: deque[_Frame] = deque()
        self._echo: EchoPath | None = None
        self._speaks = asyncio.Event()

    async def publish(self, room: rtc.Room) -> None:
        self._source = rtc.AudioSource(MIC_HZ, 1, queue_size_ms=100)
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(self._track, options)
        self._task = asyncio.get_running_loop().create_task(self._run(self._source))

    async def stop(self) -> None:
        self.hush()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._source is not None:
            await self._source.aclose()
            self._source = None

    def mute(self, muted: bool) -> None:
        assert self._track is not None
        (self._track.mute if muted else self._track.unmute)()

    def hush(self) -> None:
        while self._frames:
            frame = self._frames.popleft()
            _resolve(frame.began)
            _resolve(frame.ended)

    def echo(self, echo: Echo | None) -> None:
        """From now on the microphone hears the loudspeaker, or no longer does."""
        self._echo = EchoPath(echo) if echo else None
        self._speaks.set()

    def hear(self, samples: np.ndarray) -> None:
        """What comes from the loudspeaker now: int16 at EAR_HZ."""
        if self._echo is not None:
            self._echo.push(samples)

    async def play(self, samples: np.ndarray) -> tuple[float, float]:
        """Says int16 at MIC_HZ after what is being said; returns when it began and ended."""
        whole = np.pad(samples, (0, -len(samples) % MIC_FRAME)).astype(np.int16)
        loop = asyncio.get_running_loop()
        began, ended = loop.create_future(), loop.create_future()
        for at in range(0, len(whole), MIC_FRAME):
            last = at + MIC_FRAME >= len(whole)
            self._frames.append(_Frame(whole[at : at + MIC_FRAME], None if at else began, ended if last else None))
        self._speaks.set()
        padding_s = (-len(samples) % MIC_FRAME) / MIC_HZ
        return await began, await ended - padding_s

    async def _run(self, source: rtc.AudioSource) -> None:
        while True:
            await self._speaks.wait()
            due = time.monotonic()
            while self._frames or self._echo:
                frame = self._frames.popleft() if self._frames else _Frame(np.zeros(MIC_FRAME, np.int16))
                _resolve(frame.began)
                await source.capture_frame(rtc.AudioFrame(self._mixed(frame.data), MIC_HZ, 1, MIC_FRAME))
                due = max(due + MIC_FRAME_S, time.monotonic() - 0.1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                _resolve(frame.ended)
            self._speaks.clear()

    def _mixed(self, said: np.ndarray) -> bytes:
        if self._echo is None:
            return said.tobytes()
        mixed: np.ndarray = np.clip(said + self._echo.pull(len(said)), -32768, 32767)
        return mixed.astype(np.int16).tobytes()


def _resolve(future: asyncio.Future[float] | None) -> None:
    if future is not None and not future.done():
        future.set_result(time.monotonic())


def tone(hz: float, duration_s: float, dbfs: float = -12.0) -> np.ndarray:
    """A sine as int16 at MIC_HZ."""
    times = np.arange(round(duration_s * MIC_HZ)) / MIC_HZ
    return (np.sin(2 * np.pi * hz * times) * 32767 * 10 ** (dbfs / 20)).astype(np.int16)


def read_sound(path: Path) -> np.ndarray:
    """A 16-bit WAV file as the microphone takes it. Raises OSError and wave.Error."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        mono = samples.reshape(-1, file.getnchannels()).mean(axis=1)
        return at_mic_rate(mono, file.getframerate())


def at_mic_rate(samples: np.ndarray, hz: int) -> np.ndarray:
    """Linear interpolation: enough for speech that is only sampled up."""
    if hz == MIC_HZ:
        return samples.astype(np.int16)
    wanted = np.arange(round(len(samples) * MIC_HZ / hz)) * hz / MIC_HZ
    return np.asarray(np.interp(wanted, np.arange(len(samples)), samples), dtype=np.int16)
