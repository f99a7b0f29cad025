"""Replies that a realtime model makes: it writes them for a synthesiser, or speaks them itself.

The rest of a reply (tools, captions, what was heard, its records) is as in `agentd.session.reply`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agentd.aio import now
from agentd.audio import AudioFrame, Resampler
from agentd.errors import ProviderError
from agentd.providers.llm import LLM, ChatRequest, LLMDelta, TextDelta, ToolCall, Usage
from agentd.providers.tts import SpeechChunk
from agentd.session.history import Draft, tools_id
from agentd.session.markup import plain
from agentd.session.realtime import RealtimeLink
from agentd.session.realtime_answer import Part, Question
from agentd.session.realtime_take import Take
from agentd.session.reply import Reply
from agentd.session.segmenter import Segmenter
from agentd.session.setup import Candidate


class WrittenReply(Reply):
    """The model's words, in a synthesiser's voice."""

    def __init__(self, link: RealtimeLink, *arguments: Any) -> None:
        self._link = link
        super().__init__(*arguments)

    def cut(self) -> None:
        cut = not self._settled
        super().cut()
        for draft in self._drafts if cut else ():
            self._link.reword(draft.id)

    async def _deltas(
        self, models: tuple[Candidate[LLM], ...], request: ChatRequest, draft: Draft, instruction: str | None
    ) -> AsyncGenerator[LLMDelta, None]:
        question = Question(
            entry=draft.id,
            tool_round=tools_id(self.number),
            instruction=instruction,
            tool_choice=request.tool_choice,
        )
        async with aclosing(self._link.answer(question)) as parts:
            async for part in parts:
                if not isinstance(part, AudioFrame):
                    yield part


class SpokenReply(Reply):
    """The model's voice. What it says in one go is one take of the playout; its sentences are the segments."""

    def __init__(self, link: RealtimeLink, *arguments: Any) -> None:
        self._link = link
        self._takes: list[Take] = []
        self._take_of: dict[int, Take] = {}  # by segment
        super().__init__(*arguments)

    def cut(self) -> None:
        """The model is told what was heard, too."""
        if not self._settled:
            heard = {take.entry: self._playback.heard_s(take.number) for take in self._takes}
            super().cut()
            for entry, heard_s in heard.items():
                if entry and heard_s is not None:
                    self._link.cut(entry, heard_s)

    # What the playout reports: of takes.

    def words_heard(self, segment: int, delta: str) -> None:
        for part in self._takes[segment].hear(delta):
            if part.done:
                super().segment_heard(part.segment, part.words, interrupted=False)
            else:
                super().words_heard(part.segment, part.words)

    def segment_heard(self, segment: int, text: str, *, interrupted: bool) -> None:
        take = self._takes[segment]
        for part in take.end(text):
            cut = interrupted and (part.segment == self._last_of(take) or not take.is_whole(part))
            super().segment_heard(part.segment, part.words, interrupted=cut)

    def _last_of(self, take: Take) -> int:
        return max(segment for segment, of in self._take_of.items() if of is take)

    # The model.

    async def say(self, text: str) -> None:
        """Has the model say this. Without its voice the words are shown."""
        await self._say(text, self._new_draft())

    async def _say_given(self) -> None:
        plan = self.plan
        if plan.text:
            await self.say(plan.text)
        if plan.opening:
            draft = self._new_draft()
            await self._say(plan.opening, draft, opening=True)
            if plan.unsaid:
                await self._say(" ".join(plan.unsaid), draft)

    async def _say(self, text: str, draft: Draft, *, opening: bool = False) -> None:
        take = self._begin_take()
        try:
            await self._speak_take(Question(say=plain(text)), draft, take, opening=opening)
        except ProviderError as error:
            self.failed = True
            self._conversation.record("error", where=f"realtime {error.provider}", message=error.message)
            if not take.text:
                draft.text += text
                segmenter = Segmenter()
                await self._add_sentences([*segmenter.push(text), *segmenter.flush()], draft, take, opening=opening)
        finally:
            self._end_take(take)

    async def _ask_model(
        self, draft: Draft, models: tuple[Candidate[LLM], ...], instruction: str | None, *, last: bool
    ) -> list[ToolCall]:
        question = Question(
            entry=draft.id,
            tool_round=tools_id(self.number),
            instruction=instruction,
            tool_choice=self._choice(last=last),
        )
        take = self._begin_take(draft.id)
        try:
            return await self._speak_take(question, draft, take)
        finally:
            self._end_take(take)

    async def _speak_take(
        self, question: Question, draft: Draft, take: Take, *, opening: bool = False
    ) -> list[ToolCall]:
        """The answer's sound is played with its words; its calls are returned."""
        segmenter, calls = Segmenter(), list[ToolCall]()
        rate_hz = self._link.sample_rate_hz
        resampler = Resampler(rate_hz, self._rate) if rate_hz != self._rate else None
        try:
            async with aclosing(self._link.answer(question)) as parts:
                async for part in parts:
                    self._note_first(part)
                    match part:
                        case TextDelta(text):
                            draft.text += text
                            await self._add_sentences(segmenter.push(text), draft, take, opening=opening)
                        case AudioFrame():
                            frame = resampler.push(part) if resampler else part
                            self._playback.add(SpeechChunk(segment=take.number, frame=frame))
                        case ToolCall():
                            calls.append(part)
                        case Usage():
                            self._record_usage(part)
        finally:
            await self._add_sentences(segmenter.flush(), draft, take, opening=opening)
        return calls

    def _note_first(self, part: Part) -> None:
        if isinstance(part, TextDelta | AudioFrame):
            self._marks.first_segment = self._marks.first_segment or now()
        if isinstance(part, AudioFrame):
            self._marks.first_sound = self._marks.first_sound or now()

    # Takes.

    def _begin_take(self, entry: str = "") -> Take:
        take = Take(len(self._takes), entry)
        self._takes.append(take)
        self._playback.begin(take.number, "")
        return take

    def _end_take(self, take: Take) -> None:
        self._playback.add(SpeechChunk(segment=take.number, frame=AudioFrame(b"", self._rate), last=True))

    async def _add_sentences(self, sentences: list[str], draft: Draft, take: Take, *, opening: bool) -> None:
        first = len(self._texts)
        self._take_of.update({first + number: take for number in range(len(sentences))})
        await self._add_segments(sentences, draft, opening=opening)

    async def _voice(self, segment: int, text: str, marked: str) -> None:
        take = self._take_of[segment]
        self._playback.extend(take.number, take.add(segment, text))

    async def _speak(self) -> None:
        """There is nothing to synthesise: when all is said, the playout is told so."""
        async for _ in self._segments:
            pass
        self._playback.finish()
