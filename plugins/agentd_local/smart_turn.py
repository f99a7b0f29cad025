"""Smart Turn v3: whether a voice sounds finished, from the last 8 s of its sound. For 23 languages.

One onnxruntime session for all calls, on threads of its own: an opinion takes about 60 ms of a processor. The file
comes with the package pipecat-ai, whose code is not imported.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentd.audio import INPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.turn_detector import TurnSoFar
from agentd_local.config import SmartTurnSettings
from agentd_local.mel import log_mel
from agentd_local.onnx import onnx_session
from agentd_local.weights import check_sha256, existing
from agentd_local.workers import BoundedThreads

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS = 8
BANDS = 80
INPUT = "input_features"
FILE = "audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
MODEL_SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
PROVIDER = "smart-turn"


class SmartTurn:
    """The loaded model."""

    def __init__(self, session: Any, settings: SmartTurnSettings) -> None:
        self._session = session
        self._threads = BoundedThreads(PROVIDER, parallel=settings.parallel, max_waiting=settings.max_waiting)

    async def judge(self, turn: TurnSoFar) -> float:
        if turn.audio.sample_rate_hz != INPUT_HZ:
            raise ProviderRefused(PROVIDER, f"wants {INPUT_HZ} Hz, got {turn.audio.sample_rate_hz} Hz")
        return await self._threads.run(lambda: self._run(turn.audio))

    def _run(self, audio: AudioFrame) -> float:
        outputs = self._session.run(None, {INPUT: features(audio)[None]})
        return float(np.asarray(outputs[0]).reshape(-1)[0])

    async def aclose(self) -> None:
        self._threads.close()


def features(audio: AudioFrame) -> NDArray[np.float32]:
    """Whisper's features of the last 8 s, silence before a shorter sound, at a mean of 0 and a variance of 1."""
    samples = audio.array()[-SECONDS * INPUT_HZ :].astype(np.float32) / np.float32(32768)
    padded = np.pad(samples, (SECONDS * INPUT_HZ - len(samples), 0))
    normal = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    return log_mel(normal.astype(np.float32), SECONDS, BANDS)


def load(settings: SmartTurnSettings) -> SmartTurn:
    """Blocks while the model loads. Raises ProviderRefused."""
    session = onnx_session(
        lambda: model_file(settings), provider=PROVIDER, inputs=(INPUT,), wanted=f"{INPUT} (Smart Turn v3)"
    )
    return SmartTurn(session, settings)


def model_file(settings: SmartTurnSettings) -> Path:
    if settings.model_path:
        return existing(settings.model_path, provider=PROVIDER)
    path = _installed()
    if path is None:
        wanted = "pip install --no-deps pipecat-ai==1.14.0, or set model_path"
        raise ProviderRefused(PROVIDER, f"no model file: {wanted}")
    return check_sha256(path, MODEL_SHA256, provider=PROVIDER)


def _installed() -> Path | None:
    spec = find_spec("pipecat")  # finds it and imports nothing
    paths = [Path(root, FILE) for root in (spec.submodule_search_locations or ())] if spec else []
    return next((path for path in paths if path.exists()), None)


async def create_turn_detector(settings: SmartTurnSettings) -> SmartTurn:
    return await asyncio.to_thread(load, settings)
