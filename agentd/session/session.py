"""One call, from the caller's arrival to its end.

One task takes events in order (`_converse`), asks the turn machine and carries out what it decides; it alone
starts and stops replies. Beside it run the ears, the room's events, and what is written to the room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import NoReturn

from agentd.aio import Channel, Closed, now
from agentd.session.attendance import AWAY_S, Attendance
from agentd.session.call_time import CallTime
from agentd.session.callbacks import Delivery
from agentd.session.caller_turns import CallerTurns
from agentd.session.causes import NOBODY, caused_by
from agentd.session.compaction import Compaction
from agentd.session.consent import Consents
from agentd.session.controls import Controls
from agentd.session.conversation import Conversation
from agentd.session.early import EarlyAnswers
from agentd.session.ears import Ears
from agentd.session.entrance import begin_to_talk
from agentd.session.events import (
    THE_CALLER,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    Interrupt,
    LanguageSet,
    Overlap,
    PauseSpeech,
    Recognized,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    SayOver,
    SpeechEnded,
    SpeechStarted,
    TextTyped,
    Tick,
    TurnEvent,
    Voice,
)
from agentd.session.floor import Floor
from agentd.session.handover import Handover
from agentd.session.hands import Hands
from agentd.session.history_edit import edit_history
from agentd.session.hook_actions import HookActions
from agentd.session.hooks import Hooks
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
    with_causes,
)
from agentd.session.job_desk import show_again
from agentd.session.late_calls import LateCalls
from agentd.session.live_edits import LiveEdits
from agentd.session.permission_gate import PermissionGate
from agentd.session.plan import Plan, bridge, result_came
from agentd.session.reply import Reply
from agentd.session.restore import Restored
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
from agentd.session.room_writer import RoomWriter
from agentd.session.rpc_methods import RpcMethods
from agentd.session.setup import Equipment, SessionSetup
from agentd.session.shutdown import ShutdownCallbacks
from agentd.session.sides import Sides
from agentd.session.speaking import Speaking
from agentd.session.speech import AGAIN, HIGH
from agentd.session.speeches import Speeches
from agentd.session.tasks import Tasks
from agentd.session.tool_gates import Gates, OfferedTools
from agentd.session.transfers import Transfers
from agentd.session.turn_hooks import TurnChecked, TurnHooks
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
)
from agentd.tools.spec import Event, LateAnswer

log = logging.getLogger(__name__)

INBOX_CAPACITY = 1_000  # events of a call that waits for a reply to be cut: far more than it can make in that time
PLAYED_OUT_S = 0.4  # transport and jitter buffer between our last sample and the caller's ear
FAILURES_IN_A_ROW = 3  # then the session ends, as livekit-agents 1.8.9's does


class _Ended(Exception):
    """The call is over; unwinds the session's task group."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Session(Controls):
    """Holds the conversation of one call in a connected room."""

    def __init__(self, setup: SessionSetup) -> None:
        self._setup = setup
        self._room = setup.room
        started_at = setup.restored.started_at if setup.restored else 0.0
        self._conversation = Conversation(setup, started_at or time.time())
        self._sides = Sides(self._conversation)
        self._compaction = Compaction(self._conversation)
        self._writer = RoomWriter(self._conversation, setup.room)
        self._inbox: Channel[InboxEvent] = Channel(INBOX_CAPACITY)
        super().__init__(Speeches(self._conversation, self._put), self._put)
        self._conversation.act = self.do
        self._conversation.announce = lambda: self._put(Speak(result_came()))
        self._conversation.is_silent = self._silent
        self._rpc = RpcMethods(self._conversation)
        self._shutdown = ShutdownCallbacks(self._conversation, self.do)
        actions = HookActions(self._conversation, self.do, self._shutdown)
        self._hooks = Hooks(self._conversation, actions)
        self._turn_hooks = turn_hooks = TurnHooks(self._conversation, actions, self._inbox.force)
        self._consents = Consents(self._conversation, self._speeches)
        self._collected = Tasks(self._conversation, self._put)
        duplicates, limits = self._conversation.gates
        offered, permission = OfferedTools(self._conversation), PermissionGate(self._conversation)
        gates = (offered, permission, self._collected, duplicates, self._consents, limits)  # a call counts once made
        self._conversation.gates = Gates(gates)
        self._turns = CallerTurns(
            self._conversation, self._speeches, turn_hooks, self._consents, self._collected, self._sides.added
        )
        self._conversation.follow = self._follow
        self._speech_ended: float | None = None
        self._late_calls: LateCalls | None = None
        self._failures = 0
        self._presses = setup.definition.room.participants == "push_to_talk"

    @property
    def state(self) -> AgentState:
        """What front ends see."""
        return self._writer.state

    @property
    def turn(self) -> int | None:
        """The number of the caller's last turn; None before the first."""
        return self._conversation.turns or None

    def deliver(self, key: str, token: str, answer: LateAnswer) -> Delivery | None:
        """Somebody brings the result of a tool's call. What is taken is on record when this returns. None: it can be
        taken only while the call is held."""
        return self._late_calls.deliver(key, token, answer) if self._late_calls else None

    async def run(self) -> str:
        """Until the call ends; the reason why: caller_left, ended_by_agent, room_deleted, idle, max_duration,
        no_caller, caller_lost, error, or what `end` was given."""
        self._began = now()
        self._machine = Floor(
            self._conversation.turn_settings,
            self._conversation.providers.stt[0].provider.capabilities.streaming,
            language=self._conversation.language,
            warm=self._setup.restored is not None,
        )
        self._conversation.language_changed = self._language_changed
        self._time = CallTime(self._conversation, self._speeches)
        self._attendance = Attendance()
        self._handover = Handover(self._conversation, self._speeches, self._put, self._become, self._sides)
        half_done = (self._collected, self._consents, self._handover)
        self._edits = LiveEdits(self._conversation, self._put, self._follow_edit, half_done, self._shutdown.needs)
        async with asyncio.TaskGroup() as hooks:
            self._hooks.start(hooks)
            self._conversation.record_start()
            self._rpc.offer()
            reason = "cancelled"
            try:
                reason = await self._run_tasks()
            finally:
                self._late_calls = None
                self._early.end()
                self._turns.end()
                self._speeches.close()
                self._conversation.record("session.ended", reason=reason, duration_s=round(now() - self._began, 3))
                await self._sides.end()
            await self._hooks.finish()
            await self._shutdown.run(reason)
        return reason

    async def _run_tasks(self) -> str:
        reasons: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = self._handover.tasks = self._edits.tasks = group
                self._conversation.background = group.create_task
                self._late_calls = LateCalls(self._conversation, group)
                if self._setup.restored is not None:
                    self._late_calls.resume(self._setup.restored.calls)
                self._collected.start(group)
                self._early = EarlyAnswers(self._conversation, group)
                self._speaking = Speaking(
                    self._conversation, self._room, self._speeches, self._writer, group, self._put, self._sides.reply
                )
                self._transfers = Transfers(self._conversation, self, group)
                self._listening = Ears(self._conversation, self._room, group, self._inbox.force, self._sides)
                self._hands = Hands(self._conversation, self._listening, self._inbox.force)
                self._sides.start(group)
                group.create_task(show_again(self._conversation))
                group.create_task(self._writer.run())
                group.create_task(self._watch_room())
                group.create_task(self._converse())
        except* _Ended as ended:
            reasons = [error.reason for error in ended.exceptions if isinstance(error, _Ended)]
        return reasons[0] if reasons else "ended"

    # Beside the conversation.

    def _put(self, event: InboxEvent) -> None:
        """Before the session's task, with the hooks whose doing it is."""
        self._inbox.force(with_causes(event))

    async def _watch_room(self) -> None:
        async for event in self._room.events():
            self._inbox.force(event)

    # The conversation.

    @property
    def _reply(self) -> Reply | None:
        return self._speaking.reply

    async def _converse(self) -> None:
        while True:
            await self._take(await self._next_event())
            await self._check_time()
            self._step_handover()
            self._edits.step(boundary=self._at_boundary())
            await self._start_next_reply()

    async def _take(self, event: InboxEvent) -> None:
        if isinstance(event, Caused):
            with caused_by(event.causes):
                await self._take(event.event)
        elif isinstance(event, TurnEvent):
            await self._turn_event(event)
        else:
            await self._other_event(event)

    async def _next_event(self) -> InboxEvent:
        silent, time = self._silent(), self._time
        waits = (
            self._consents.deadline,
            self._handover.deadline(time.last_heard, silent=silent),
            self._collected.deadline(time.last_sound, silent=silent),
        )
        times = (self._machine.deadline, time.deadline(silent=silent), self._attendance.until, *waits)
        deadline = min((t for t in times if t is not None), default=None)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._inbox.receive()
        except (TimeoutError, Closed):
            return Tick()

    async def _turn_event(self, event: TurnEvent, voice: Voice = THE_CALLER) -> None:
        match event:
            case Interim(text) if text:
                self._writer.show_user(self._conversation.collecting.masked(text), final=False, voice=voice)
            case Recognized(text) if text:
                self._conversation.people.other_voices |= voice.other
                self._time.spoke()
                self._writer.show_user(self._conversation.collecting.masked(text), final=True, voice=voice)
        self._machine.streaming = self._listening.streaming
        decisions = self._machine.step(event, now(), voice)
        if isinstance(event, SpeechStarted):
            self._consents.sounds(voice.identity, event.since)
        if isinstance(event, SpeechStarted | SpeechEnded):
            self._time.speaks(speaking=self._machine.user_speaking)
            self._speech_ended = now()
        for decision in decisions:
            await self._carry_out(decision)
        behind = self._conversation.people.take_turns and len(self._speeches)  # the answer would follow another's
        if not behind and not self._collected.reads_turns:
            (self._sides.realtime or self._early).follow(self._machine)
        if self._presses and voice != THE_CALLER and self._machine.is_done(voice):
            self._listening.close(voice.identity)
        self._listening.overhear(self._machine.overlaps)

    async def _carry_out(self, decision: Decision) -> None:
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
                await self._interrupt(decision.voice)
            case PauseSpeech():
                self._speaking.hold()
            case ResumeSpeech() if self._attendance.there:
                self._speaking.release()
            case SayOver(text=text):
                text = self._conversation.render(text)
                self._speeches.add(Plan(purpose="say", text=text, interruptible=False, priority=HIGH))
            case Ignore(text=text):
                self._sides.ignored(decision)
                log.info("speech_ignored", extra={"rule": decision.rule, "characters": len(text)})

    def _commit(self, turn: CommitTurn) -> None:
        self._time.spoke()
        self._handover.caller_spoke()
        early = self._early.committed(turn.text)
        turn, heard = self._collected.committed(turn), turn.text
        self._sides.ended(turn, heard)
        self._listening.turn_ended(turn.voice)
        self._turns.commit(turn, self._speech_ended, early, self._tasks)
        if self._reply is None and self._attendance.met:
            self._writer.set_state("thinking")

    def _turn_checked(self, checked: TurnChecked) -> None:
        is_answered = self._turns.checked(checked)
        if not is_answered and self._reply is None and not len(self._turns) and not len(self._speeches):
            self._writer.set_state("listening")

    def _language_changed(self) -> None:
        """What is heard from now on, and the phrases it is compared with, are in the new language."""
        self._machine.turn = self._conversation.turn_settings
        self._inbox.force(LanguageSet(self._conversation.language))
        self._listening.follow_language()

    async def _interrupt(self, voice: Voice | None = None) -> None:
        """`voice`: whose words do."""
        reply = self._reply
        if reply is not None:
            self._time.touched(prompt=reply.plan.purpose == "idle")
        await self._speaking.cut()
        if reply is not None:
            self._question_put(reply, heard=False)
            self._compaction.consider(self._tasks)
            if voice not in (None, reply.plan.voice) and reply.plan.number is not None and reply.unheard_of:
                self._speeches.add(replace(reply.plan, early=None, speech="", priority=AGAIN))
        self._writer.set_state("listening")

    async def _start_next_reply(self) -> None:
        if not self._attendance.met or self._handover.holds or self._conversation.muting.voice:
            return
        reply = self._speaking.begin_next(caller_has_turn=self._machine.caller_has_turn)
        if reply is None:
            return
        for decision in self._machine.step(ReplyStarted(reply.plan.interruptible), now()):
            await self._carry_out(decision)
        if not self._attendance.there:
            reply.hold()

    async def _other_event(self, event: RoomEvent | SessionEvent) -> None:
        people = self._conversation.people
        match event:
            case FromVoice(voice, told) if people.may_speak(voice.identity):
                await self._turn_event(told, voice)
            case ReplyDone(reply) if reply is self._reply:
                await self._reply_done(reply)
            case ReplySounds(reply) if reply is self._reply:  # and was not cut since: a dead reply would sound for ever
                await self._turn_event(ReplyAudible())
            case ReplyTells(reply, told) if reply is self._reply:
                await self._turn_event(told)
            case Speak(plan):
                self._speeches.add(plan)
            case Cancel(speech, force) if not self._speeches.cancel(speech):
                if self._reply is not None and self._reply.plan.speech == speech:
                    await self._interrupt_now("cancelled", force=force)
            case InterruptNow(rule, force):
                self._speeches.drop_requested(force=force)
                await self._interrupt_now(rule, force=force)
            case EditHistory():
                edit_history(self._conversation, event, "operator")
            case DecideApproval():
                self._consents.decided(event)
            case HandOff():
                self._handover.ask(event)
            case _ if isinstance(event, Adjustment):
                self._conversation.adjust(event)
            case LookAtFiles():
                self._edits.look()
            case TurnChecked():
                self._turn_checked(event)
            case End(reason, text, stay):
                await self._end(reason, text, stay=stay)
            case TransferCall():
                self._transfers.begin(event)
            case LetBeQuiet(seconds=seconds):
                self._time.wait(seconds)
            case SetCallVariables(values=values):
                self._conversation.set_variables(values)
            case MuteCall():
                await self._mute(event)
            case CallerLinked():
                self._caller_linked(event)
            case CallerLeft():
                await self._caller_left(event)
            case CallerUnheard() | CallerMuted() | CallerChanged():
                self._conversation.note(event)
            case TextReceived(text=text, identity=identity) if people.may_speak(identity):
                if self._conversation.definition.room.text_input and text.strip():
                    await self._turn_event(TextTyped(text.strip()), people.voice(identity))
            case TurnByHand():
                self._hands.take(event)
            case KeyPressed(identity=identity) if people.may_speak(identity):
                await self._key_pressed(event)
            case BeginTask():
                self._collected.begin(event)
            case PressKeys(keys=keys):
                self._conversation.record("dtmf.sent", keys=keys)
                self._tasks.create_task(self._room.send_keys(keys))
            case VoiceUnheard(seconds=seconds):
                self._conversation.record("voice.unheard", seconds=round(seconds, 3))
                if self._reply is not None:
                    self._reply.unheard(seconds)
            case RoomClosed(reason=reason):
                raise _Ended(reason)

    async def _key_pressed(self, event: KeyPressed) -> None:
        """Whoever answers by keys has heard enough of the question."""
        people = self._conversation.people
        if not people.several and event.identity not in ("", self._conversation.caller.identity):
            return
        self._time.spoke()
        is_answer = self._collected.press(event)
        self._consents.pressed(event.identity, event.key)
        if is_answer and self._reply is not None and self._reply.plan.interruptible:
            await self._interrupt_now("key_pressed", force=False)

    async def _reply_done(self, reply: Reply) -> None:
        self._speaking.finish(reply)
        self._time.touched(prompt=reply.plan.purpose == "idle")
        self._question_put(reply, heard=reply.heard_as_planned)
        self._failures = self._failures + 1 if reply.failed else 0
        if reply.end_call is not None:
            await asyncio.sleep(PLAYED_OUT_S)
            await self._finish(reply.end_call)
        if self._failures >= FAILURES_IN_A_ROW:
            await self._finish("error")
        self._writer.set_state("thinking" if self._handover.under_way else "listening")
        self._compaction.consider(self._tasks)
        await self._turn_event(ReplyEnded())

    def _question_put(self, reply: Reply, *, heard: bool) -> None:
        if reply.plan.purpose == "consent":
            self._consents.said(reply.plan.speech, heard=heard, caller_has_turn=self._machine.caller_has_turn)

    async def _interrupt_now(self, rule: str, *, force: bool) -> None:
        """Somebody cuts what is being said; where the call was to end with it, it ends."""
        if self._reply is not None and self._reply.holds_the_floor and not force:
            self._conversation.record("decision", rule="not_interruptible", action="KeepSpeaking", value="")
            return
        self._conversation.record("decision", rule=rule, action="Interrupt", value="")
        end_call = self._reply.end_call if self._reply is not None else None
        await self._interrupt()
        if end_call is not None:
            await self._finish(end_call)
        await self._turn_event(ReplyEnded())

    async def _mute(self, act: MuteCall) -> None:
        muting = self._conversation.muting
        if not muting.change(act):
            return
        self._conversation.record("mute", what=act.what, muted=act.muted, rule="operator")
        self._time.touched()
        if muting.voice and act.what == "voice":
            await self._interrupt_now("operator", force=True)

    async def _end(self, reason: str, text: str, *, stay: bool = False) -> None:
        if not text or not self._attendance.there:
            await self._finish(reason, stay=stay)
        self._time.say_goodbye(text, reason)

    async def _finish(self, reason: str, *, stay: bool = False) -> NoReturn:
        """The agent ends the call; `stay`: for itself only."""
        await self._interrupt()
        delete = not stay and self._conversation.definition.room.on_end == "delete_room"
        await self._writer.end(delete=delete)
        raise _Ended(reason)

    # The caller comes and goes.

    def _caller_linked(self, event: CallerLinked) -> None:
        caller = event.caller
        self._conversation.arrive(event)
        if self._conversation.people.several and not self._presses:
            self._listening.open(caller.identity)
        self._machine.warm |= event.outbound
        is_first = self._attendance.came()
        self._time.touched()
        if self._reply is not None and self._machine.state.agent is not Agent.SILENT and not self._machine.state.held:
            self._reply.release()
        if is_first:
            self._conversation.meet(caller)
            self._writer.set_state("listening")
            begin_to_talk(self._conversation, self._speeches, self._bridge)
            if self._setup.restored is None:
                self._collected.begin_with_call()
            self._transfers.resume()

    def _bridge(self, restored: Restored) -> Plan:
        plan = bridge(restored, self._conversation.language, self._collected)
        return self._consents.resume(restored.question, plan, granted=restored.granted)

    async def _caller_left(self, event: CallerLeft) -> None:
        people = self._conversation.people
        self._conversation.leave(event)
        if people.several:
            self._listening.close(event.identity)
            for decision in self._machine.leave(event.identity, now()):
                await self._carry_out(decision)
            if people.here:
                return
        if event.final and not people.may_return(now(), AWAY_S):
            await self._interrupt()
            await self._writer.end(delete=False)
            raise _Ended("caller_left")
        self._attendance.lost()
        self._speaking.hold()

    # Another agent.

    def _become(self, equipment: Equipment) -> None:
        """All parts of the session are this agent's from now on. At a turn's boundary only."""
        self._collected.abandon("handed_over")
        self._consents.withdraw("handed_over")
        self._conversation.become(equipment)
        self._sides.follow_agent()
        self._early.follow_agent()
        self._speeches.follow_agent()
        self._follow_definition()
        self._edits.follow_agent()

    def _follow_edit(self, equipment: Equipment) -> None:
        """The same for another revision of the agent that has the call."""
        self._conversation.become(equipment, edited=True)
        self._sides.follow_agent()
        self._early.follow_agent("edit")
        self._speeches.forget_early("edit")
        self._handover.follow_edit()
        self._follow_definition()

    def _follow_definition(self) -> None:
        for part in (self._hooks, self._turn_hooks, self._rpc, self._time):
            part.follow_agent()
        self._machine.streaming = self._conversation.providers.stt[0].provider.capabilities.streaming
        self._machine.turn = self._conversation.turn_settings
        self._inbox.force(LanguageSet(self._conversation.language))
        self._listening.follow_agent()

    def _step_handover(self) -> None:
        under_way = self._handover.under_way
        self._handover.step(self._time.last_heard, boundary=self._at_boundary(), silent=self._silent())
        if under_way and not self._handover.under_way and not len(self._speeches):
            self._writer.set_state("listening")  # it is over, and whoever has the call waits for the caller

    def _at_boundary(self) -> bool:
        """Nobody has the turn or is about to have it by what was said."""
        having = self._reply is not None or self._machine.caller_has_turn or len(self._turns)
        return self._attendance.met and not having

    def _follow(self, event: Event) -> None:
        self._hooks.take(event)
        self._handover.follow(event)

    # Time.

    def _silent(self) -> bool:
        """Neither side speaks or is about to, and the caller is there and neither is muted."""
        waits = len(self._speeches) or len(self._turns) or self._handover.under_way or self._conversation.muting
        return self._attendance.there and self._reply is None and not waits and not self._machine.user_speaking

    async def _check_time(self) -> None:
        if self._attendance.over is not None:
            raise _Ended(self._attendance.over)
        self._consents.pass_by()
        self._collected.pass_by(self._time.last_sound, silent=self._silent())
        reason = self._time.pass_by(silent=self._silent())
        if reason is not None:
            await self._finish(reason)
