"""One reply: what the agent says in one go, and the tools that it calls on the way.

Three tasks side by side: the model (or given text) makes segments, synthesis makes their sound, playout plays it.
Cancelling the task that runs `Reply.run` interrupts the reply; tools that were called go on, and their results
still reach the history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from agentd.aio import Channel, now
from agentd.audio import AudioFrame
from agentd.errors import ProviderError
from agentd.providers.llm import LLM, ChatRequest, LLMDelta, TextDelta, ToolCall, ToolChoice, Usage
from agentd.providers.tts import SpeechChunk
from agentd.session import resilience
from agentd.session.captions import Captions
from agentd.session.conversation import Conversation
from agentd.session.early import SEGMENTS_CAPACITY, usable
from agentd.session.events import AgentWords, InterruptionsAllowed, ToolsRunning, Voice
from agentd.session.history import Draft, ToolRound, agent_id
from agentd.session.markup import plain
from agentd.session.model_request import chat_request, first_choice
from agentd.session.phrases import phrase
from agentd.session.plan import GO_ON, Plan
from agentd.session.playout import Playback
from agentd.session.room import Room
from agentd.session.segmenter import Segmenter
from agentd.session.setup import Candidate
from agentd.session.synthesis import Segments, at_rate, voiced
from agentd.session.timing import ReplyMarks
from agentd.session.tool_calls import ToolCalls
from agentd.session.words import same_phrase

log = logging.getLogger(__name__)


class Reply:
    """`background` owns the tool calls: they outlive an interruption. `audible` is told when sound begins,
    and when it stops because more is still being made. `tell`: what turn-taking must know."""

    def __init__(
        self,
        conversation: Conversation,
        room: Room,
        plan: Plan,
        background: asyncio.TaskGroup,
        audible: Callable[[bool], None],
        tell: Callable[[AgentWords | ToolsRunning | InterruptionsAllowed], None],
    ) -> None:
        self.plan = plan
        self.failed = False
        self.end_call = plan.end_call
        self.hands_over = False  # one of its tools wants another agent to go on: the model has nothing more to say
        self._conversation = conversation
        self._on_audible = audible
        self._tell = tell
        self.number = conversation.next_reply()
        self._early = usable(plan.early, conversation)
        if self._early is not None:
            self._early.take(self.number)
        self._voiced = self._early if self._early is not None and self._early.voiced else None
        self._segments: Segments = self._voiced.segments if self._voiced else Channel(SEGMENTS_CAPACITY)
        self._drafts: list[Draft] = []
        self._before_calls: list[bool] = []  # by draft: whether it stands ahead of the calls that were running
        self._draft_of: list[Draft] = []  # by segment
        self._texts: list[str] = []  # by segment
        self._heard: list[str] = []
        self._asked = False
        self._called = False  # a tool was
        self._running: ToolRound | None = None  # the calls whose results are awaited
        self._marks = ReplyMarks(now(), conversation.agent_silent)
        self._playback = Playback(conversation.voice, self, pace=conversation.pace)
        self._captions = Captions(room, f"{conversation.setup.id}-{conversation.setup.incarnation}-{self.number}")
        self._rate = conversation.voice.sample_rate_hz
        self._settled = False
        self._calls = ToolCalls(conversation, self, background, tell)

    async def run(self) -> None:
        """Until the last sound is heard. Raises CancelledError when interrupted, and nothing that a provider does."""
        self._conversation.record(
            "reply.started",
            reply=self.number,
            turn=self.plan.number,
            purpose=self.plan.purpose,
            generate=self.plan.generate,
            speech=self.plan.speech,
            in_history=self.plan.in_history,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._captions.run())
                group.create_task(self._think())
                group.create_task(self._speak())
                await self._playback.run()
                self._captions.finish()
            self._settle(interrupted=False)
        finally:
            self.cut()

    def hold(self) -> None:
        self._marks.held = self._marks.held or now()
        self._playback.hold()

    def release(self) -> None:
        if self._marks.held is not None:
            self._marks.held, self._marks.held_until = None, now()
        self._playback.release()

    def unheard(self, seconds: float) -> None:
        self._playback.unheard(seconds)

    def cut(self) -> None:
        """Silences the reply at once and fixes what was heard of it; idempotent. The task is still to be cancelled."""
        if not self._settled:
            self._playback.cut()
            self._settle(interrupted=True)
            if self._early is not None:
                self._early.stop()

    @property
    def unheard_of(self) -> bool:
        """Nothing of it was heard."""
        return not any(self._heard)

    @property
    def heard_as_planned(self) -> bool:
        """Every word of its given text was heard and no other: a model that was to say it may have its own."""
        return not self.failed and same_phrase(" ".join(self._heard), self.plan.text)

    # What the playout reports.

    def audible(self, sounding: bool) -> None:
        self._marks.audible = self._marks.audible or now()
        self._on_audible(sounding)

    def words_heard(self, segment: int, delta: str) -> None:
        self._captions.write(segment, delta)
        self._tell(AgentWords(delta))

    def segment_heard(self, segment: int, text: str, *, interrupted: bool) -> None:
        self._captions.close(segment)
        self._draft_of[segment].hear(text)
        self._heard.append(text)
        self._conversation.record(
            "segment.heard", reply=self.number, segment=segment, text=text, interrupted=interrupted
        )

    # The model, or the given text.

    async def _think(self) -> None:
        try:
            await self._say_given()
            if self.plan.generate and self.plan.purpose == "bridge":
                await self._conversation.calls.settled()
            if self.plan.generate:
                await self._generate()
                self._conversation.record("reply.written", reply=self.number)
        except ProviderError as error:
            self.failed = True
            self._conversation.record("error", where=f"llm {error.provider}", message=error.message)
            await self.say(phrase("trouble", self._conversation.language))
        finally:
            self._segments.close()

    async def say(self, text: str) -> None:
        """Speaks this text after what is already on its way."""
        segmenter = Segmenter()
        draft = self._new_draft()
        draft.text = text
        await self._add_segments([*segmenter.push(text), *segmenter.flush()], draft)

    async def _say_given(self) -> None:
        plan = self.plan
        if plan.text:
            await self.say(plan.text)
        if plan.opening:
            draft = self._new_draft()
            draft.text = " ".join((plan.opening, *plan.unsaid))
            segmenter = Segmenter()
            await self._add_segments([*segmenter.push(plan.opening), *segmenter.flush()], draft, opening=True)
            await self._add_segments(plan.unsaid, draft)

    async def _generate(self) -> None:
        if self.plan.purpose == "result":
            self._conversation.calls.untold.clear()
        if self.plan.calls and not await self._run_tools(list(self.plan.calls)):
            return
        steps = self._conversation.definition.limits.max_tool_steps
        for step in range(steps + 1):
            last = step == steps or self._calls.broken_off is not None
            if last and step:
                rule, value = self._calls.broken_off or ("tool_loop", f"limits.max_tool_steps={steps}")
                log.warning("answer_without_tools" if rule != "tool_loop" else rule, extra={"why": value})
                self._conversation.record("decision", rule=rule, action="AnswerWithoutTools", value=value)
            calls = await self._answer(last=last)
            if not calls or last or self._settled or not await self._run_tools(calls):
                return

    async def _answer(self, *, last: bool) -> list[ToolCall]:
        """One answer of the model; one that breaks off is gone on with once, after its last whole sentence, and by
        another model if there is one. Raises ProviderError."""
        models = self._conversation.providers.llm
        draft = self._new_draft()
        try:
            return await self._ask_model(draft, models, self.plan.instruction, last=last)
        except ProviderError as error:
            if not draft.text:
                raise
            self._conversation.record("error", where=f"llm {error.provider}", message=error.message)
        said = [text for text, of in zip(self._texts, self._draft_of, strict=True) if of is draft]
        draft.text = " ".join(said)
        instruction = GO_ON if said else self.plan.instruction
        return await self._ask_model(self._new_draft(), (*models[1:], *models[:1]), instruction, last=last)

    async def _ask_model(
        self, draft: Draft, models: tuple[Candidate[LLM], ...], instruction: str | None, *, last: bool
    ) -> list[ToolCall]:
        """One request: the answer's words become segments, its calls are returned."""
        conversation = self._conversation
        request = chat_request(
            conversation, instruction=instruction, tool_choice=self._choice(last=last), voice=self.voice
        )
        segmenter, calls = Segmenter(), list[ToolCall]()
        async with aclosing(self._deltas(models, request, draft, instruction)) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta(text):
                        draft.text += text
                        await self._add_segments(segmenter.push(text), draft)
                    case ToolCall():
                        calls.append(delta)
                    case Usage():
                        self._record_usage(delta)
        await self._add_segments(segmenter.flush(), draft)
        return calls

    def _choice(self, *, last: bool) -> ToolChoice:
        """What the file wants holds until the model has called something, in an answer to the caller."""
        if last or self.end_call:
            return "none"
        begins = self.plan.purpose == "answer" and not self._called
        return first_choice(self._conversation, self.voice) if begins else "auto"

    def _deltas(
        self, models: tuple[Candidate[LLM], ...], request: ChatRequest, draft: Draft, instruction: str | None
    ) -> AsyncGenerator[LLMDelta, None]:
        """Of the first request what was made early, if it was."""
        early, first = self._early, not self._asked
        self._asked = True
        return early.deltas() if early and first else resilience.chat(models, request, self._conversation.record)

    def _record_usage(self, usage: Usage) -> None:
        self._conversation.record(
            "usage",
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            characters=0,
        )

    def _new_draft(self) -> Draft:
        draft = (
            Draft()
            if not self.plan.in_history
            else self._conversation.history.draft(
                before=self._running, entry_id=agent_id(self.number, len(self._drafts))
            )
        )
        self._drafts.append(draft)
        self._before_calls.append(self._running is not None)
        if self._settled:  # cut before this task had begun, or while it takes its time to end
            draft.settle(interrupted=True)
        return draft

    async def _add_segments(self, texts: Iterable[str], draft: Draft, *, opening: bool = False) -> None:
        for marked in texts:
            if self._settled:
                return
            text = plain(marked)
            index = len(self._texts)
            self._texts.append(text)
            self._draft_of.append(draft)
            self._marks.first_segment = self._marks.first_segment or now()
            number = self._drafts.index(draft)
            self._conversation.record(
                "segment.started",
                reply=self.number,
                segment=index,
                text=text,
                draft=number,
                before_calls=self._before_calls[number],
                opening=opening,
            )
            await self._voice(index, text, marked)

    async def _voice(self, segment: int, text: str, marked: str) -> None:
        """Has this segment spoken."""
        self._playback.begin(segment, text)
        if self._voiced is None or segment >= self._voiced.segmented:
            await self._segments.send(marked)

    # What its tools ask of it.

    @property
    def voice(self) -> Voice:
        """Whose turn it answers."""
        return self.plan.voice

    @property
    def interruptible(self) -> bool:
        return self.plan.interruptible

    @property
    def holds_the_floor(self) -> bool:
        """Nobody may cut it now, without force."""
        return not self.plan.interruptible or self._calls.forbid_interruptions

    @property
    def quiet(self) -> bool:
        """All that it has to say so far was heard."""
        return self._playback.idle

    async def say_for_tool(self, text: str) -> None:
        """Nothing, once the reply was cut or is done."""
        if not self._segments.closed:
            await self.say(text)

    async def language_changed(self) -> None:
        """What follows is spoken in the new language's voice."""
        if not self._segments.closed:
            await self._segments.send(None)

    async def _run_tools(self, calls: list[ToolCall]) -> bool:
        """Answers whether the model is to be asked for words about the results."""
        self._called = True
        self._running = self._calls.begin(calls)
        began = now()
        more = await self._calls.run(self._running)
        self._marks.tools.append((began, now()))
        self._running = None
        return more and self.end_call is None and not self.hands_over

    # Synthesis.

    async def _speak(self) -> None:
        conversation = self._conversation
        ended = 0
        try:
            made = self._voiced and self._voiced.sound()
            stream = made or voiced(conversation, self._segments, conversation.record)
            async with aclosing(at_rate(stream, self._rate)) as chunks:
                async for chunk in chunks:
                    self._marks.first_sound = self._marks.first_sound or now()
                    self._playback.add(chunk)
                    ended += chunk.last
        except ProviderError as error:
            self.failed = True
            conversation.record("error", where=f"tts {error.provider}", message=error.message)
        await self._show_unspoken(ended)
        characters = sum(map(len, self._texts))
        if characters:
            conversation.record("usage", prompt_tokens=0, completion_tokens=0, cached_tokens=0, characters=characters)
        self._playback.finish()

    async def _show_unspoken(self, ended: int) -> None:
        """Segments without sound, because synthesis failed: they pass as captions, so that the caller can read them."""
        async for _ in self._segments:
            pass
        for segment in range(ended, len(self._texts)):
            self._playback.add(SpeechChunk(segment=segment, frame=AudioFrame(b"", self._rate), last=True))

    # The end.

    def _settle(self, *, interrupted: bool) -> None:
        self._settled = True
        if self._marks.audible is not None:
            self._conversation.agent_silent = self._marks.held or now()
        for draft in self._drafts:
            draft.settle(interrupted=interrupted)
        self._conversation.record(
            "turn.agent",
            reply=self.number,
            turn=self.plan.number,
            purpose=self.plan.purpose,
            text=" ".join(self._heard),
            interrupted=interrupted,
            revision=self._conversation.definition.revision,
            latencies=self._marks.latencies(self.plan.timing),
        )
