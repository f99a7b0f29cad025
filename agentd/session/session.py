"""One call, from the caller's arrival to its end.

One task takes events in order (`_converse`): those of a conversation go to `TurnTaking`, others to the part that they
are for. Beside it run the ears, the room's events, and what is written to the room.
"""

from __future__ import annotations

import asyncio

from agentd.aio import Closed, now
from agentd.session.attendance import AWAY_S
from agentd.session.callbacks import Delivery
from agentd.session.causes import caused_by
from agentd.session.comings import arrive, leave, note
from agentd.session.controls import Controls
from agentd.session.entrance import begin_to_talk
from agentd.session.events import (
    ReplyAudible,
    TextTyped,
    Tick,
    TurnEvent,
)
from agentd.session.history_edit import edit_history
from agentd.session.inbox import (
    Cancel,
    Caused,
    End,
    FromVoice,
    InboxEvent,
    InterruptNow,
    LookAtFiles,
    ReplyDone,
    ReplySounds,
    ReplyTells,
    SessionEvent,
    Speak,
)
from agentd.session.parts import Parts
from agentd.session.room import (
    AgentState,
    CallerChanged,
    CallerLeft,
    CallerLinked,
    CallerMuted,
    CallerUnheard,
    KeyPressed,
    RoomClosed,
    RoomEvent,
    TextReceived,
    TurnByHand,
    VoiceUnheard,
)
from agentd.session.setup import SessionSetup
from agentd.session.turn_hooks import TurnChecked
from agentd.session.turn_taking import CallEnded, TurnTaking
from agentd.session.turns import Agent
from agentd.tools.acts import (
    Adjustment,
    BeginTask,
    DecideApproval,
    EditHistory,
    HandOff,
    LetBeQuiet,
    MuteCall,
    PressKeys,
    SetCallVariables,
    TransferCall,
    WithholdEdit,
)
from agentd.tools.spec import LateAnswer


class Session(Controls):
    """Holds the conversation of one call in a connected room."""

    def __init__(self, setup: SessionSetup) -> None:
        self._parts = parts = Parts(setup, self)
        super().__init__(parts.speeches, parts.put)
        self._conversation = parts.conversation
        self._turn_taking = TurnTaking(parts)

    @property
    def state(self) -> AgentState:
        """What front ends see."""
        return self._parts.writer.state

    @property
    def turn(self) -> int | None:
        """The number of the caller's last turn; None before the first."""
        return self._conversation.turns or None

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """Somebody brings the result of a tool's call. What is taken is on record when this returns. None: it can be
        taken only while the call is held."""
        return self._parts.late_calls.deliver(key, token, answer) if self._parts.late_calls else None

    async def run(self) -> str:
        """Until the call ends; the reason why: caller_left, ended_by_agent, room_deleted, idle, max_duration,
        no_caller, caller_lost, error, or what `end` was given."""
        parts, began = self._parts, now()
        parts.make()
        async with asyncio.TaskGroup() as hooks:
            parts.hooks.start(hooks)
            self._conversation.record_start()
            parts.rpc.offer()
            reason = "cancelled"
            try:
                reason = await self._run_tasks()
            finally:
                parts.late_calls = None
                parts.early.end()
                parts.turns.end()
                parts.speeches.close()
                self._conversation.record("session.ended", reason=reason, duration_s=round(now() - began, 3))
                await parts.sides.end()
            await parts.hooks.finish()
            await parts.shutdown.run(reason)
        return reason

    async def _run_tasks(self) -> str:
        reasons: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                self._parts.start(group)
                group.create_task(self._watch_room())
                group.create_task(self._converse())
        except* CallEnded as ended:
            reasons = [error.reason for error in ended.exceptions if isinstance(error, CallEnded)]
        return reasons[0] if reasons else "ended"

    # Beside the conversation.

    async def _watch_room(self) -> None:
        async for event in self._parts.room.events():
            self._parts.inbox.force(event)

    # The conversation.

    async def _converse(self) -> None:
        while True:
            await self._take(await self._next_event())
            await self._check_time()
            self._step_handover()
            self._parts.edits.step(boundary=self._parts.at_boundary())
            await self._turn_taking.start_next_reply()

    async def _take(self, event: InboxEvent) -> None:
        if isinstance(event, Caused):
            with caused_by(event.causes):
                await self._take(event.event)
        elif isinstance(event, TurnEvent):
            await self._turn_taking.take(event)
        else:
            await self._other_event(event)

    async def _next_event(self) -> InboxEvent:
        parts = self._parts
        silent, time = parts.silent(), parts.time
        waits = (
            parts.consents.deadline,
            parts.handover.deadline(time.last_heard, silent=silent),
            parts.collected.deadline(time.last_sound, silent=silent),
        )
        times = (parts.machine.deadline, time.deadline(silent=silent), parts.attendance.until, *waits)
        deadline = min((t for t in times if t is not None), default=None)
        try:
            async with asyncio.timeout_at(deadline):
                return await parts.inbox.receive()
        except (TimeoutError, Closed):
            return Tick()

    async def _other_event(self, event: RoomEvent | SessionEvent) -> None:
        parts, people = self._parts, self._conversation.people
        match event:
            case FromVoice(voice, told) if people.may_speak(voice.identity):
                await self._turn_taking.take(told, voice)
            case ReplyDone(reply) if reply is parts.reply:
                await self._turn_taking.reply_done(reply)
            case ReplySounds(reply) if reply is parts.reply:  # and was not cut since: a dead reply would sound for ever
                await self._turn_taking.take(ReplyAudible())
            case ReplyTells(reply, told) if reply is parts.reply:
                await self._turn_taking.take(told)
            case Speak(plan):
                parts.speeches.add(plan)
            case Cancel(speech, force) if not parts.speeches.cancel(speech):
                if parts.reply is not None and parts.reply.plan.speech == speech:
                    await self._turn_taking.interrupt_now("cancelled", force=force)
            case InterruptNow(rule, force):
                parts.speeches.drop_requested(force=force)
                await self._turn_taking.interrupt_now(rule, force=force)
            case EditHistory():
                edit_history(self._conversation, event, "operator")
            case DecideApproval():
                parts.consents.decided(event)
            case HandOff():
                parts.handover.ask(event)
            case _ if isinstance(event, Adjustment):
                self._conversation.adjust(event)
            case LookAtFiles():
                parts.edits.look()
            case WithholdEdit():
                parts.edits.withhold(event)
            case TurnChecked():
                self._turn_taking.turn_checked(event)
            case End(reason, text, stay):
                await self._end(reason, text, stay=stay)
            case TransferCall():
                parts.transfers.begin(event)
            case LetBeQuiet(seconds=seconds):
                parts.time.wait(seconds)
            case SetCallVariables(values=values):
                self._conversation.set_variables(values)
            case MuteCall():
                await self._mute(event)
            case CallerLinked():
                self._caller_linked(event)
            case CallerLeft():
                await self._caller_left(event)
            case CallerUnheard() | CallerMuted() | CallerChanged():
                note(self._conversation, event)
            case TextReceived(text=text, identity=identity) if people.may_speak(identity):
                if self._conversation.definition.room.text_input and text.strip():
                    await self._turn_taking.take(TextTyped(text.strip()), people.voice(identity))
            case TurnByHand():
                parts.hands.take(event)
            case KeyPressed(identity=identity) if people.may_speak(identity):
                await self._key_pressed(event)
            case BeginTask():
                parts.collected.begin(event)
            case PressKeys(keys=keys):
                self._conversation.record("dtmf.sent", keys=keys)
                parts.tasks.create_task(parts.room.send_keys(keys))
            case VoiceUnheard(seconds=seconds):
                self._conversation.record("voice.unheard", seconds=round(seconds, 3))
                if parts.reply is not None:
                    parts.reply.unheard(seconds)
            case RoomClosed(reason=reason):
                raise CallEnded(reason)

    async def _key_pressed(self, event: KeyPressed) -> None:
        """Whoever answers by keys has heard enough of the question."""
        parts, people = self._parts, self._conversation.people
        if not people.several and event.identity not in ("", self._conversation.caller.identity):
            return
        parts.time.spoke()
        is_answer = parts.collected.press(event)
        parts.consents.pressed(event.identity, event.key)
        if is_answer and parts.reply is not None and parts.reply.plan.interruptible:
            await self._turn_taking.interrupt_now("key_pressed", force=False)

    async def _mute(self, act: MuteCall) -> None:
        muting = self._conversation.muting
        if not muting.change(act):
            return
        self._conversation.record("mute", what=act.what, muted=act.muted, rule="operator")
        self._parts.time.touched()
        if muting.voice and act.what == "voice":
            await self._turn_taking.interrupt_now("operator", force=True)

    async def _end(self, reason: str, text: str, *, stay: bool = False) -> None:
        if not text or not self._parts.attendance.there:
            await self._turn_taking.finish(reason, stay=stay)
        self._parts.time.say_goodbye(text, reason)

    # The caller comes and goes.

    def _caller_linked(self, event: CallerLinked) -> None:
        parts = self._parts
        caller = event.caller
        arrive(self._conversation, event)
        if self._conversation.people.several and not parts.presses:
            parts.listening.open(caller.identity)
        parts.machine.warm |= event.outbound
        is_first = parts.attendance.came()
        parts.time.touched()
        if parts.reply is not None and parts.machine.state.agent is not Agent.SILENT and not parts.machine.state.held:
            parts.reply.release()
        if is_first:
            self._conversation.meet(caller)
            parts.writer.set_state("listening")
            begin_to_talk(self._conversation, parts.speeches, parts.bridge)
            if parts.setup.restored is None:
                parts.collected.begin_with_call()
            parts.transfers.resume()

    async def _caller_left(self, event: CallerLeft) -> None:
        parts, people = self._parts, self._conversation.people
        leave(self._conversation, event)
        if people.several:
            parts.listening.close(event.identity)
            for decision in parts.machine.leave(event.identity, now()):
                await self._turn_taking.carry_out(decision)
            if people.here:
                return
        if event.final and not people.may_return(now(), AWAY_S):
            await self._turn_taking.interrupt()
            await parts.writer.end(delete=False)
            raise CallEnded("caller_left")
        parts.attendance.lost()
        parts.speaking.hold()

    # Another agent.

    def _step_handover(self) -> None:
        parts = self._parts
        under_way = parts.handover.under_way
        parts.handover.step(parts.time.last_heard, boundary=parts.at_boundary(), silent=parts.silent())
        if under_way and not parts.handover.under_way and not len(parts.speeches):
            parts.writer.set_state("listening")  # it is over, and whoever has the call waits for the caller

    # Time.

    async def _check_time(self) -> None:
        parts = self._parts
        if parts.attendance.over is not None:
            raise CallEnded(parts.attendance.over)
        parts.consents.pass_by()
        parts.collected.pass_by(parts.time.last_sound, silent=parts.silent())
        reason = parts.time.pass_by(silent=parts.silent())
        if reason is not None:
            await self._turn_taking.finish(reason)
