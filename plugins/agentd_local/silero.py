"""Silero voice activity detection: one onnxruntime session for all calls, state by call.

A run takes the windows of one call in order (the model's first dimension is time, not calls), so
calls cannot be batched with this file. A window takes about 0.15 ms: less than handing it to a
thread, so it runs on the event loop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd_local.config import SileroSettings
from agentd_local.onnx import onnx_session
from agentd_local.weights import check_sha256, existing, package_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_SAMPLES = 512
CONTEXT_SAMPLES = 64  # the end of the window before, which the model sees again
BATCH_WINDOWS = 16  # about 2.5 ms at once; a longer frame lets other tasks run in between
SILENCE_PEAK = 0.0005
"""Of full scale, -66 dB: what a microphone with noise suppression, a codec or a muted line gives between words. Speech
that is never louder is sixteen steps of a sample high, and no recogniser understands it."""

SETTLED_WINDOWS = 10  # of a silence, which the model hears
MODEL_SHA256 = "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2"
PROVIDER = "silero"


class SileroVAD:
    """The loaded model; streams hold their own state."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @property
    def window_samples(self) -> int:
        return WINDOW_SAMPLES

    def stream(self) -> SileroStream:
        return SileroStream(self._session)

    async def aclose(self) -> None:
        """Nothing to close: the session's memory goes with the last stream."""


class SileroStream:
    """One call's detector: the model's memory, the last samples it saw, and what is no full window yet."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._rest = b""
        self._silent_windows = 0

    async def push(self, frame: AudioFrame) -> list[float]:
        if frame.sample_rate_hz != INPUT_HZ:
            raise ProviderRefused(PROVIDER, f"wants {INPUT_HZ} Hz, got {frame.sample_rate_hz} Hz")
        data = self._rest + frame.data
        whole = len(data) - len(data) % (2 * WINDOW_SAMPLES)
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        windows = samples.reshape(-1, WINDOW_SAMPLES)
        probabilities = [0.0] * len(windows)
        wanted = self._worth_a_look(windows)
        for start in range(0, len(wanted), BATCH_WINDOWS):
            if start:
                await asyncio.sleep(0)
            batch = wanted[start : start + BATCH_WINDOWS]
            for index, probability in zip(batch, self._run(windows[batch]), strict=True):
                probabilities[index] = probability
        return probabilities

    def _worth_a_look(self, windows: NDArray[np.float32]) -> list[int]:
        """Those that may be more than silence, and the first of a silence: in them the model ends its words."""
        wanted: list[int] = []
        for index, peak in enumerate(np.abs(windows).max(axis=1, initial=0.0)):
            self._silent_windows = self._silent_windows + 1 if peak <= SILENCE_PEAK else 0
            if self._silent_windows <= SETTLED_WINDOWS:
                wanted.append(index)
        return wanted

    def _run(self, windows: NDArray[np.float32]) -> list[float]:
        tails = windows[:, -CONTEXT_SAMPLES:]
        contexts = np.concatenate([self._context[None, :], tails[:-1]])
        inputs = {"input": np.concatenate([contexts, windows], axis=1), "h": self._hidden, "c": self._cell}
        speech, self._hidden, self._cell = self._session.run(None, inputs)
        self._context = tails[-1].copy()
        return [float(probability) for probability in speech.reshape(-1)]


def load(settings: SileroSettings) -> SileroVAD:
    """Blocks while the model loads. Raises ProviderRefused."""
    session = onnx_session(
        lambda: model_file(settings),
        provider=PROVIDER,
        inputs=("input", "h", "c"),
        wanted="input, h and c (Silero v6)",
    )
    return SileroVAD(session)


def model_file(settings: SileroSettings) -> Path:
    if settings.model_path:
        return existing(settings.model_path, provider=PROVIDER)
    path = package_file("faster_whisper", "assets/silero_vad_v6.onnx", provider=PROVIDER)
    return check_sha256(path, MODEL_SHA256, provider=PROVIDER)


async def create_vad(settings: SileroSettings) -> SileroVAD:
    return await asyncio.to_thread(load, settings)
