"""Audio values and pure operations on them: rechunk, resample, level.

Everywhere in agentd sound is 16-bit signed little-endian PCM, mono. 16 kHz comes in (what VAD and
recognition want), 24 kHz goes out (what synthesis makes and Opus takes without resampling).
numpy is imported where it is used: the supervisor process never needs it.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUT_HZ = 16_000
OUTPUT_HZ = 24_000
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """`data`: s16le mono samples; `sample_rate_hz`: samples a second."""

    data: bytes
    sample_rate_hz: int

    @property
    def samples(self) -> int:
        return len(self.data) // BYTES_PER_SAMPLE

    @property
    def duration_s(self) -> float:
        return self.samples / self.sample_rate_hz

    def array(self) -> NDArray[np.int16]:
        """The samples as a read-only int16 array of shape (samples,)."""
        import numpy as np

        return np.frombuffer(self.data, dtype="<i2")


def silence(duration_s: float, sample_rate_hz: int) -> AudioFrame:
    return AudioFrame(bytes(BYTES_PER_SAMPLE * round(duration_s * sample_rate_hz)), sample_rate_hz)


def concat(frames: Iterable[AudioFrame], sample_rate_hz: int) -> AudioFrame:
    """All frames as one; each must already be at `sample_rate_hz`."""
    return AudioFrame(b"".join(frame.data for frame in frames), sample_rate_hz)


def level_dbfs(frame: AudioFrame) -> float:
    """RMS level in dB relative to full scale; -inf for digital silence."""
    import numpy as np

    if not frame.data:
        return -math.inf
    rms = float(np.sqrt(np.mean(np.square(frame.array().astype(np.float32)))))
    return 20 * math.log10(rms / 32768) if rms > 0 else -math.inf


class Rechunker:
    """Cuts a stream of any frame sizes into frames of exactly `samples` samples."""

    __slots__ = ("_bytes", "_hz", "_rest")

    def __init__(self, samples: int, sample_rate_hz: int) -> None:
        self._bytes = samples * BYTES_PER_SAMPLE
        self._hz = sample_rate_hz
        self._rest = b""

    def push(self, frame: AudioFrame) -> list[AudioFrame]:
        data = self._rest + frame.data
        whole = len(data) - len(data) % self._bytes
        self._rest = data[whole:]
        return [AudioFrame(data[at : at + self._bytes], self._hz) for at in range(0, whole, self._bytes)]

    def flush(self) -> AudioFrame | None:
        """What is left, shorter than a full frame; None when nothing is."""
        rest, self._rest = self._rest, b""
        return AudioFrame(rest, self._hz) if rest else None


class Resampler:
    """Streaming windowed-sinc resampling between any two integer rates.

    32 taps a phase with a Kaiser window (beta 8: about 80 dB of stop band). Output is delayed by
    half the taps at the input rate (1 ms at 16 kHz); `flush` gives the tail.
    """

    _HALF_TAPS = 16

    def __init__(self, from_hz: int, to_hz: int) -> None:
        import numpy as np

        self._to_hz = to_hz
        divisor = math.gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        cutoff = min(1.0, to_hz / from_hz) * 0.95
        half = math.ceil(self._HALF_TAPS / cutoff)
        offsets = np.arange(-half + 1, half + 1)[None, :] - (np.arange(self._up) / self._up)[:, None]
        window = np.i0(8.0 * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, 1))) / np.i0(8.0)
        kernel = cutoff * np.sinc(cutoff * offsets) * window
        self._kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
        self._half = half
        self._buffer = np.zeros(half - 1, dtype=np.float32)
        self._phase = 0  # position of the next output sample, in 1/up input samples, past the buffer's start

    def push(self, frame: AudioFrame) -> AudioFrame:
        return self._convert(frame.array())

    def flush(self) -> AudioFrame:
        import numpy as np

        return self._convert(np.zeros(self._half, dtype=np.int16))

    def _convert(self, samples: NDArray[np.int16]) -> AudioFrame:
        import numpy as np

        self._buffer = np.concatenate([self._buffer, samples.astype(np.float32)])
        usable = len(self._buffer) - 2 * self._half + 1
        count = max(0, -(-(usable * self._up - self._phase) // self._down))
        positions = self._phase + self._down * np.arange(count)
        starts, phases = positions // self._up, positions % self._up
        windows = self._buffer[starts[:, None] + np.arange(2 * self._half)[None, :]]
        out = np.einsum("ij,ij->i", windows, self._kernel[phases])
        consumed, self._phase = divmod(self._phase + self._down * count, self._up)
        consumed_now = min(consumed, len(self._buffer))
        self._phase += (consumed - consumed_now) * self._up
        self._buffer = self._buffer[consumed_now:]
        data = np.clip(np.rint(out), -32768, 32767).astype("<i2").tobytes()
        return AudioFrame(data, self._to_hz)


def resample(frame: AudioFrame, to_hz: int) -> AudioFrame:
    """The whole of `frame` at another rate, aligned and of proportional length."""
    if frame.sample_rate_hz == to_hz:
        return frame
    resampler = Resampler(frame.sample_rate_hz, to_hz)
    data = resampler.push(frame).data + resampler.flush().data
    wanted = round(frame.samples * to_hz / frame.sample_rate_hz) * BYTES_PER_SAMPLE
    return AudioFrame(data[:wanted].ljust(wanted, b"\0"), to_hz)


def read_wav(path: Path) -> AudioFrame:
    """A 16-bit WAV file, mixed to mono. Raises ValueError for any other sample width."""
    return wav_sound(path.read_bytes())


def wav_sound(content: bytes) -> AudioFrame:
    """The sound of a 16-bit WAV file of this content, mixed to mono. Raises ValueError for what is none."""
    try:
        with wave.open(io.BytesIO(content), "rb") as file:
            if file.getsampwidth() != BYTES_PER_SAMPLE:
                raise ValueError(f"want 16-bit samples, got {8 * file.getsampwidth()}-bit")
            data, rate, channels = file.readframes(file.getnframes()), file.getframerate(), file.getnchannels()
    except (wave.Error, EOFError) as error:
        raise ValueError(str(error) or "it is cut off") from error
    if channels > 1:
        import numpy as np

        data = np.frombuffer(data, "<i2").reshape(-1, channels).mean(axis=1).astype("<i2").tobytes()
    return AudioFrame(data, rate)


def write_wav(path: Path, frame: AudioFrame) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(frame.sample_rate_hz)
        file.writeframes(frame.data)
