"""hibari synthesis: one voice for all calls, sentence by sentence, in a few threads.

The library gives no word timings, so `aligned` is False. It would fetch a voice that it lacks; we
only ever hand it the path of a file that is there. `pronunciations` are the session's to apply.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentd.audio import OUTPUT_HZ, AudioFrame
from agentd.errors import ProviderRefused
from agentd.providers.tts import SpeechChunk
from agentd_local.config import HibariSettings
from agentd_local.weights import check_sha256, existing
from agentd_local.workers import BoundedThreads

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROVIDER = "hibari"
HOP = OUTPUT_HZ // 100
AUDIBLE = 10 ** (-50 / 20)  # of full scale: the voice peaks 30 dB above it, and rests 20 dB below it
ONSET_S = 0.02  # kept before the first sound: the model gives 0.3 s, which a caller would wait for
REST_S = 0.2  # kept after the last: the model gives 0.4 s, which between two segments is a halt


class HibariTTS:
    """The loaded voice, with its threads."""

    def __init__(self, settings: HibariSettings, voice: Any) -> None:
        self._settings = settings
        self._voice = voice
        self._threads = BoundedThreads(PROVIDER, parallel=settings.parallel, max_waiting=settings.max_waiting)

    @property
    def sample_rate_hz(self) -> int:
        return OUTPUT_HZ

    @property
    def aligned(self) -> bool:
        return False

    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        self._check_language(language)
        index = 0
        async for text in segments:
            for sentence in self._voice.split_sentences(text):
                frame = await self._threads.run(partial(self._sound, sentence))
                if frame.data:
                    yield SpeechChunk(segment=index, frame=frame)
            yield SpeechChunk(segment=index, frame=AudioFrame(b"", OUTPUT_HZ), last=True)
            index += 1

    async def aclose(self) -> None:
        self._threads.close()

    def _check_language(self, language: str | None) -> None:
        if language and language.split("-")[0].lower() != "en":
            raise ProviderRefused(PROVIDER, f'speaks English only, not "{language}"')

    def _sound(self, sentence: str) -> AudioFrame:
        return pcm(without_silence(self._voice(sentence, speed=self._settings.speed, seed=self._settings.seed)))


def without_silence(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sound without what silence around it is longer than ONSET_S and REST_S."""
    hops = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    audible = np.flatnonzero(np.sqrt(np.square(hops).mean(axis=1)) > AUDIBLE)
    if not len(audible):
        return samples[: round(REST_S * OUTPUT_HZ)]
    first = audible[0] * HOP - round(ONSET_S * OUTPUT_HZ)
    last = (audible[-1] + 1) * HOP + round(REST_S * OUTPUT_HZ)
    return samples[max(0, first) : last]


def pcm(samples: NDArray[np.float32]) -> AudioFrame:
    """Samples from -1 to 1 as a frame at 24 kHz."""
    return AudioFrame((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes(), OUTPUT_HZ)


def load(settings: HibariSettings) -> HibariTTS:
    """Blocks while the voice loads and says its first word. Raises ProviderRefused."""
    try:
        import hibari
    except ImportError as error:
        raise ProviderRefused(PROVIDER, "hibari-tts is not installed: pip install 'agentd[local]'") from error
    path = voice_file(settings)
    try:
        voice = hibari.Hibari(voice=settings.voice, model=str(path), threads=1)
        voice.sess = _lean_session(path)
        voice("Ready, set, xylq.")  # loads the lexicon and the network for unknown words now, not in a call
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ProviderRefused(PROVIDER, f"cannot load {path}: {error}") from error
    return HibariTTS(settings, voice)


def _lean_session(path: Path) -> Any:
    """hibari's session keeps the largest memory that it ever needed; without its arena 25 MB less, no slower."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def voice_file(settings: HibariSettings) -> Path:
    """Where the voice is. Raises ProviderRefused for one that is unknown or not here: hibari would download it."""
    from hibari import voices

    known = voices.VOICES.get(settings.voice)
    if known is None:
        raise ProviderRefused(PROVIDER, f'no voice "{settings.voice}"; known: {", ".join(voices.VOICES)}')
    if settings.model_path:
        return existing(settings.model_path, provider=PROVIDER)
    try:
        path = Path(voices.voice_path(settings.voice, download_missing=False))
    except FileNotFoundError as error:
        here = ", ".join(name for name, voice in voices.VOICES.items() if voice.get("bundled"))
        raise ProviderRefused(
            PROVIDER,
            f'the voice "{settings.voice}" is not in the package ({here} is): '
            f"put {known['file']} on this machine and set model_path",
        ) from error
    return check_sha256(path, known["sha256"], provider=PROVIDER)


async def create_tts(settings: HibariSettings) -> HibariTTS:
    return await asyncio.to_thread(load, settings)
