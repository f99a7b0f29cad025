"""Who speaks when, in one call: what the turn machine decides is carried out, and replies begin, are cut and end.

For the session's task only; it alone starts and stops replies.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import NoReturn

from agentd.aio import now
from agentd.session.causes import NOBODY, caused_by
from agentd.session.events import (
    THE_CALLER,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    Interrupt,
    Overlap,
    PauseSpeech,
    Recognized,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    SayOver,
    SpeechEnded,
    SpeechStarted,
    TurnEvent,
    Voice,
)
from agentd.session.parts import Parts
from agentd.session.plan import Plan
from agentd.session.reply import Reply
from agentd.session.speech import AGAIN, HIGH
from agentd.session.turn_hooks import TurnChecked

log = logging.getLogger(__name__)

PLAYED_OUT_S = 0.4  # transport and jitter buffer between our last sample and the caller's ear
FAILURES_IN_A_ROW = 3  # then the session ends, as livekit-agents 1.8.9's does


class CallEnded(Exception):
    """The call is over; unwinds the session's task group."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class TurnTaking:
    """One session's. `CallEnded` of whatever is called here ends the call."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._conversation = parts.conversation
        self._speech_ended: float | None = None
        self._failures = 0

    async def take(self, event: TurnEvent, voice: Voice = THE_CALLER) -> None:
        """What was heard, or happened to a reply, as the turn machine knows it. `voice`: whose doing it is."""
        parts = self._parts
        match event:
            case Interim(text) if text:
                parts.writer.show_user(self._conversation.collecting.masked(text), final=False, voice=voice)
            case Recognized(text) if text:
                self._conversation.people.other_voices |= voice.other
                parts.time.spoke()
                parts.writer.show_user(self._conversation.collecting.masked(text), final=True, voice=voice)
        parts.machine.streaming = parts.listening.streaming
        decisions = parts.machine.step(event, now(), voice)
        if isinstance(event, SpeechStarted):
            parts.consents.sounds(voice.identity, event.since)
        if isinstance(event, SpeechStarted | SpeechEnded):
            parts.time.speaks(speaking=parts.machine.user_speaking)
            self._speech_ended = now()
        for decision in decisions:
            await self.carry_out(decision)
        behind = self._conversation.people.take_turns and len(parts.speeches)  # the answer would follow another's
        if not behind and not parts.collected.reads_turns:
            (parts.sides.realtime or parts.early).follow(parts.machine)
        if parts.presses and voice != THE_CALLER and parts.machine.is_done(voice):
            parts.listening.close(voice.identity)
        parts.listening.overhear(parts.machine.overlaps)

    async def carry_out(self, decision: Decision) -> None:
        """Puts it on record, and does it."""
        parts = self._parts
        if isinstance(decision, Overlap):
            self._conversation.record("speech.overlapped", outcome=decision.rule, duration_s=decision.duration_s)
            return
        action = type(decision).__name__
        whose = {} if decision.voice == THE_CALLER else {"speaker": decision.voice.identity}
        self._conversation.record("decision", rule=decision.rule, action=action, value=decision.value, **whose)
        match decision:
            case CommitTurn():
                with caused_by(NOBODY):  # it is the caller's doing
                    self._commit(decision)
            case Interrupt():
                await self.interrupt(decision.voice)
            case PauseSpeech():
                parts.speaking.hold()
            case ResumeSpeech() if parts.attendance.there:
                parts.speaking.release()
            case SayOver(text=text):
                text = self._conversation.render(text)
                parts.speeches.add(Plan(purpose="say", text=text, interruptible=False, priority=HIGH))
            case Ignore(text=text):
                parts.sides.ignored(decision)
                log.info("speech_ignored", extra={"rule": decision.rule, "characters": len(text)})

    def _commit(self, turn: CommitTurn) -> None:
        parts = self._parts
        parts.time.spoke()
        parts.handover.caller_spoke()
        early = parts.early.committed(turn.text)
        turn, heard = parts.collected.committed(turn), turn.text
        parts.sides.ended(turn, heard)
        parts.listening.turn_ended(turn.voice)
        parts.turns.commit(turn, self._speech_ended, early, parts.tasks)
        if parts.reply is None and parts.attendance.met:
            parts.writer.set_state("thinking")

    def turn_checked(self, checked: TurnChecked) -> None:
        """Hooks have looked at a turn of the caller's."""
        parts = self._parts
        is_answered = parts.turns.checked(checked)
        if not is_answered and parts.reply is None and not len(parts.turns) and not len(parts.speeches):
            parts.writer.set_state("listening")

    async def interrupt(self, voice: Voice | None = None) -> None:
        """Silences the agent. `voice`: whose words do."""
        parts, reply = self._parts, self._parts.reply
        if reply is not None:
            parts.time.touched(prompt=reply.plan.purpose == "idle")
        await parts.speaking.cut()
        if reply is not None:
            self._question_put(reply, heard=False)
            parts.compaction.consider(parts.tasks)
            if voice not in (None, reply.plan.voice) and reply.plan.number is not None and reply.unheard_of:
                parts.speeches.add(replace(reply.plan, early=None, speech="", priority=AGAIN))
        parts.writer.set_state("listening")

    async def start_next_reply(self) -> None:
        """Begins what waits to be said, if anything may be said now."""
        parts = self._parts
        if not parts.attendance.met or parts.handover.holds or self._conversation.muting.voice:
            return
        reply = parts.speaking.begin_next(caller_has_turn=parts.machine.caller_has_turn)
        if reply is None:
            return
        for decision in parts.machine.step(ReplyStarted(reply.plan.interruptible), now()):
            await self.carry_out(decision)
        if not parts.attendance.there:
            reply.hold()

    async def reply_done(self, reply: Reply) -> None:
        """It was said to its end. Raises CallEnded where the call was to end with it, or too many have failed."""
        parts = self._parts
        parts.speaking.finish(reply)
        parts.time.touched(prompt=reply.plan.purpose == "idle")
        self._question_put(reply, heard=reply.heard_as_planned)
        self._failures = self._failures + 1 if reply.failed else 0
        if reply.end_call is not None:
            await asyncio.sleep(PLAYED_OUT_S)
            await self.finish(reply.end_call)
        if self._failures >= FAILURES_IN_A_ROW:
            await self.finish("error")
        parts.writer.set_state("thinking" if parts.handover.under_way else "listening")
        parts.compaction.consider(parts.tasks)
        await self.take(ReplyEnded())

    def _question_put(self, reply: Reply, *, heard: bool) -> None:
        if reply.plan.purpose == "consent":
            self._parts.consents.said(
                reply.plan.speech, heard=heard, caller_has_turn=self._parts.machine.caller_has_turn
            )

    async def interrupt_now(self, rule: str, *, force: bool) -> None:
        """Somebody cuts what is being said; where the call was to end with it, it ends."""
        parts = self._parts
        if parts.reply is not None and parts.reply.holds_the_floor and not force:
            self._conversation.record("decision", rule="not_interruptible", action="KeepSpeaking", value="")
            return
        self._conversation.record("decision", rule=rule, action="Interrupt", value="")
        end_call = parts.reply.end_call if parts.reply is not None else None
        await self.interrupt()
        if end_call is not None:
            await self.finish(end_call)
        await self.take(ReplyEnded())

    async def finish(self, reason: str, *, stay: bool = False) -> NoReturn:
        """The agent ends the call; `stay`: for itself only."""
        await self.interrupt()
        delete = not stay and self._conversation.definition.room.on_end == "delete_room"
        await self._parts.writer.end(delete=delete)
        raise CallEnded(reason)
