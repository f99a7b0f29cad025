"""What is believed of Whisper's output. Pure: tokens and probabilities in, decisions out.

Whisper loops when its encoder context is short, and writes "you" or "Thank you." for silence and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORT_CONTEXT_S = 15  # below this the decoder loops on ordinary speech
FULL_CONTEXT_S = 30
TOKENS_PER_SECOND = 8  # twice what quick speakers reach
FEWEST_TOKENS = 10
SHORTEST_SPEECH_S = 0.1
UNSURE_LOGPROB = -1.0  # OpenAI's own threshold: a mean below it together with a doubt about speech means none
UNSURE_NO_SPEECH = 0.4
SILENCE_DBFS = -60.0
MOST_REPEATS = {1: 6, 2: 4}  # a phrase of so many tokens may stand so often side by side; longer ones 3 times
PIECE_S = (20.0, 28.0)  # a long utterance is cut at its quietest point in this range


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One pass of the model. `capped`: the limit of tokens ended it, not the model."""

    tokens: tuple[int, ...]
    mean_logprob: float
    no_speech: float
    capped: bool


def token_limit(duration_s: float) -> int:
    return max(FEWEST_TOKENS, math.ceil(TOKENS_PER_SECOND * duration_s))


def repetition_start(tokens: Sequence[int]) -> int | None:
    """Where a loop begins to repeat itself (the first round is kept), or None."""
    for start in range(len(tokens)):
        for size in range(1, (len(tokens) - start) // 3 + 1):
            phrase = tokens[start : start + size]
            rounds = 1
            while tokens[start + rounds * size : start + (rounds + 1) * size] == phrase:
                rounds += 1
            if rounds > MOST_REPEATS.get(size, 3):
                return start + size
    return None


def is_loop(decoded: Decoded) -> bool:
    return decoded.capped or repetition_start(decoded.tokens) is not None


def is_speech(decoded: Decoded, no_speech_threshold: float) -> bool:
    if decoded.no_speech > no_speech_threshold:
        return False
    return decoded.mean_logprob > UNSURE_LOGPROB or decoded.no_speech < UNSURE_NO_SPEECH


def without_loop(tokens: Sequence[int]) -> tuple[int, ...]:
    start = repetition_start(tokens)
    return tuple(tokens if start is None else tokens[:start])


def pieces(samples: NDArray[np.float32], rate_hz: int) -> list[NDArray[np.float32]]:
    """The sound in pieces of at most 28 s, cut where it is quietest."""
    found = []
    while len(samples) > FULL_CONTEXT_S * rate_hz:
        hop = rate_hz // 50
        first, last = (int(bound * rate_hz) for bound in PIECE_S)
        window = samples[first:last][: (last - first) // hop * hop].reshape(-1, hop)
        cut = first + hop * int(np.argmin(np.square(window).mean(axis=1))) + hop // 2
        found.append(samples[:cut])
        samples = samples[cut:]
    return [*found, samples]
