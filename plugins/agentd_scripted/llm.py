"""The scripted model: an answer computed from the chat, streamed as a model would stream it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agentd.providers.llm import ChatItem, ChatRequest, LLMDelta, Message, TextDelta
from agentd_scripted.config import ScriptedLLMSettings
from agentd_scripted.engine import Answer, Engine
from agentd_scripted.loading import read_dialogue
from agentd_scripted.script import compile_script
from agentd_scripted.wording import fill


class ScriptedLLM:
    """Answers from a dialogue, or from a list of replies. Shared by all calls; remembers none."""

    def __init__(self, settings: ScriptedLLMSettings, engine: Engine | None) -> None:
        self._settings = settings
        self._engine = engine

    async def chat(self, request: ChatRequest) -> AsyncIterator[LLMDelta]:
        answer = self._answer(request)
        if self._settings.first_delay:
            await asyncio.sleep(self._settings.first_delay)
        for number, piece in enumerate(pieces(answer.text, self._settings.delta_words)):
            if number and self._settings.delta_delay:
                await asyncio.sleep(self._settings.delta_delay)
            yield TextDelta(piece)
        if answer.call and request.tool_choice != "none":
            yield answer.call

    async def aclose(self) -> None:
        """Nothing is held."""

    def _answer(self, request: ChatRequest) -> Answer:
        if self._engine is None:
            return Answer(text=_reply(self._settings.replies, request.items), rule="replies")
        return self._engine.with_variables(request.variables).reply(request.items).answer


def _reply(replies: tuple[str, ...], items: tuple[ChatItem, ...]) -> str:
    said = [item.words for item in items if isinstance(item, Message) and item.role == "user"]
    turn = max(1, len(said))
    return fill(replies[(turn - 1) % len(replies)], {"text": said[-1] if said else "", "turn": turn})


def pieces(text: str, size: int) -> list[str]:
    """The text in pieces of `size` words, which joined are the text."""
    words = text.split(" ")
    cuts = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
    return [
        cut if last else f"{cut} " for last, cut in ((n == len(cuts) - 1, cut) for n, cut in enumerate(cuts)) if cut
    ]


def engine_of(settings: ScriptedLLMSettings) -> Engine | None:
    """The dialogue, compiled; None where there are replies."""
    dialogue = settings.dialogue
    if settings.dialogue_file:
        dialogue = read_dialogue(settings.dialogue_file.text, settings.dialogue_file.path)
    return Engine(compile_script(dialogue)) if dialogue else None


async def create_llm(settings: ScriptedLLMSettings) -> ScriptedLLM:
    return ScriptedLLM(settings, await asyncio.to_thread(engine_of, settings))
