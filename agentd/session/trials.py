"""Whether the providers that an edit brings can be opened: tried before a call that goes on well is given them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agentd.aio import now
from agentd.audio import INPUT_HZ, silence
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from agentd.providers.llm import LLM, ChatRequest, Message
from agentd.providers.stt import STT
from agentd.providers.tts import TTS
from agentd.session.boundary import plugin_code
from agentd.session.setup import Equipment

TRIAL_S = 10.0
"""As long as one attempt of a conversation may take."""

HOLDS_S = 60.0
"""So long what a trial has found is taken for true: the calls of a worker share it."""

KEPT = 200
WORD = "Hello."
HEARD_S = 0.5  # of silence for a recogniser of whole utterances

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class _Found:
    """`at`: of the session's clock; None before the first trial has ended."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float | None = None
    error: ProviderError | None = None


class Trials:
    """Those of a worker, whose calls have their providers in common: each is tried once for all of them."""

    def __init__(self) -> None:
        self._found: dict[Key, _Found] = {}

    async def make(self, before: AgentDefinition, equipment: Equipment, language: str) -> None:
        """Tries the recogniser, the model and the voice that are other ones than `before`: those that were asked for,
        not their fallbacks. Raises ProviderError with what the first of them says."""
        for choice, provider in _new(before, equipment, language):
            await self._once(choice, provider, language)

    async def _once(self, choice: ProviderChoice, provider: Any, language: str) -> None:
        key = (choice.kind, choice.provider, choice.digest, language)
        found = self._found.setdefault(key, _Found())
        while len(self._found) > KEPT:
            self._found.pop(next(iter(self._found)))
        async with found.lock:
            if found.at is None or now() - found.at > HOLDS_S:
                found.error = await _tried(choice, provider, language)
                found.at = now()
        if found.error is not None:
            raise found.error


def _new(before: AgentDefinition, equipment: Equipment, language: str) -> Iterator[tuple[ProviderChoice, Any]]:
    after, providers = equipment.definition, equipment.providers.in_language(language)
    old, new = before.in_language(language), after.in_language(language)
    chosen = (
        (old.stt or before.stt, new.stt or after.stt, providers.stt),
        (before.llm, after.llm, providers.llm),
        (old.tts or before.tts, new.tts or after.tts, providers.tts),
    )
    for was, becomes, candidates in chosen:
        if becomes is not None and becomes != was:
            yield becomes, candidates[0].provider


async def _tried(choice: ProviderChoice, provider: Any, language: str) -> ProviderError | None:
    """Why it cannot be used; None: it can."""
    try:
        async with asyncio.timeout(TRIAL_S):
            with plugin_code(choice.provider):
                await _TRIALS[choice.kind](provider, language)
    except TimeoutError:
        return ProviderTimeout(choice.provider, f"no answer within {TRIAL_S:g} s")
    except ProviderError as error:
        return error
    return None


async def _hear(stt: STT, language: str) -> None:
    if stt.capabilities.streaming:
        await (await stt.stream(language=language)).aclose()
    else:
        await stt.recognize(silence(HEARD_S, INPUT_HZ), language=language)


async def _answer(llm: LLM, language: str) -> None:
    request = ChatRequest(items=(Message(role="user", text=WORD),), language=language)
    async with aclosing(llm.chat(request)) as deltas:  # type: ignore[type-var]  # an async generator, by its contract
        await anext(deltas, None)


async def _speak(tts: TTS, language: str) -> None:
    async with aclosing(tts.synthesize(_one_word(), language=language)) as chunks:  # type: ignore[type-var]
        if await anext(chunks, None) is None:
            raise ProviderUnavailable("tts", "no sound came")


async def _one_word() -> AsyncIterator[str]:
    yield WORD


_TRIALS: Mapping[str, Callable[[Any, str], Awaitable[None]]] = {"stt": _hear, "llm": _answer, "tts": _speak}
