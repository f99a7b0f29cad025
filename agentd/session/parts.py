"""What one session is made of: its parts, how they reach each other, and how all of them become another agent's.

A part that needs nothing that runs is made with the session; others when the call begins, whose time counts from there;
the last in its task group.
"""

from __future__ import annotations

import asyncio
import time

from agentd.aio import Channel
from agentd.session.attendance import Attendance
from agentd.session.call_time import CallTime
from agentd.session.caller_turns import CallerTurns
from agentd.session.compaction import Compaction
from agentd.session.consent import Consents
from agentd.session.controls import Controls
from agentd.session.conversation import Conversation
from agentd.session.early import EarlyAnswers
from agentd.session.ears import Ears
from agentd.session.events import (
    LanguageSet,
)
from agentd.session.floor import Floor
from agentd.session.handover import Handover
from agentd.session.hands import Hands
from agentd.session.hook_actions import HookActions
from agentd.session.hooks import Hooks
from agentd.session.inbox import (
    InboxEvent,
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
from agentd.session.room_writer import RoomWriter
from agentd.session.rpc_methods import RpcMethods
from agentd.session.setup import Equipment, SessionSetup
from agentd.session.shutdown import ShutdownCallbacks
from agentd.session.sides import Sides
from agentd.session.speaking import Speaking
from agentd.session.speeches import Speeches
from agentd.session.tasks import Tasks
from agentd.session.tool_gates import Gates, OfferedTools
from agentd.session.transfers import Transfers
from agentd.session.turn_hooks import TurnHooks
from agentd.tools.spec import Event

INBOX_CAPACITY = 1_000  # events of a call that waits for a reply to be cut: far more than it can make in that time


class Parts:
    """Those of one session. They do as they are told: who decides is `agentd.session.turn_taking.TurnTaking`."""

    def __init__(self, setup: SessionSetup, controls: Controls) -> None:
        """`controls`: by which tools and hooks ask something of the session."""
        self.setup = setup
        self.room = setup.room
        started_at = setup.restored.started_at if setup.restored else 0.0
        self.conversation = Conversation(setup, started_at or time.time())
        self.sides = Sides(self.conversation)
        self.compaction = Compaction(self.conversation)
        self.writer = RoomWriter(self.conversation, setup.room)
        self.inbox: Channel[InboxEvent] = Channel(INBOX_CAPACITY)
        self.controls = controls
        self.speeches = Speeches(self.conversation, self.put)
        self.conversation.act = controls.do
        self.conversation.announce = lambda: self.put(Speak(result_came()))
        self.conversation.is_silent = self.silent
        self.rpc = RpcMethods(self.conversation)
        self.shutdown = ShutdownCallbacks(self.conversation, controls.do)
        actions = HookActions(self.conversation, controls.do, self.shutdown)
        self.hooks = Hooks(self.conversation, actions)
        self.turn_hooks = turn_hooks = TurnHooks(self.conversation, actions, self.inbox.force)
        self.consents = Consents(self.conversation, self.speeches)
        self.collected = Tasks(self.conversation, self.put)
        duplicates, limits = self.conversation.gates
        offered, permission = OfferedTools(self.conversation), PermissionGate(self.conversation)
        gates = (offered, permission, self.collected, duplicates, self.consents, limits)  # a call counts once made
        self.conversation.gates = Gates(gates)
        self.turns = CallerTurns(
            self.conversation, self.speeches, turn_hooks, self.consents, self.collected, self.sides.added
        )
        self.conversation.follow = self._follow
        self.late_calls: LateCalls | None = None
        self.presses = setup.definition.room.participants == "push_to_talk"

    def make(self) -> None:
        """Those whose time begins with the call."""
        self.machine = Floor(
            self.conversation.turn_settings,
            self.conversation.providers.stt[0].provider.capabilities.streaming,
            language=self.conversation.language,
            warm=self.setup.restored is not None,
        )
        self.conversation.language_changed = self._language_changed
        self.time = CallTime(self.conversation, self.speeches)
        self.attendance = Attendance()
        self.handover = Handover(self.conversation, self.speeches, self.put, self._become, self.sides)
        half_done = (self.collected, self.consents, self.handover)
        self.edits = LiveEdits(self.conversation, self.put, self._follow_edit, half_done, self.shutdown.needs)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Those that have tasks of their own."""
        self.tasks = self.handover.tasks = self.edits.tasks = group
        self.conversation.background = group.create_task
        self.late_calls = LateCalls(self.conversation, group)
        if self.setup.restored is not None:
            self.late_calls.resume(self.setup.restored.calls)
        self.collected.start(group)
        self.early = EarlyAnswers(self.conversation, group)
        self.speaking = Speaking(
            self.conversation, self.room, self.speeches, self.writer, group, self.put, self.sides.reply
        )
        self.transfers = Transfers(self.conversation, self.controls, group)
        self.listening = Ears(self.conversation, self.room, group, self.inbox.force, self.sides)
        self.hands = Hands(self.conversation, self.listening, self.inbox.force)
        self.sides.start(group)
        group.create_task(show_again(self.conversation))
        group.create_task(self.writer.run())

    def put(self, event: InboxEvent) -> None:
        """Before the session's task, with the hooks whose doing it is."""
        self.inbox.force(with_causes(event))

    @property
    def reply(self) -> Reply | None:
        """What is being said, or is about to be."""
        return self.speaking.reply

    def _follow(self, event: Event) -> None:
        self.hooks.take(event)
        self.handover.follow(event)

    def _language_changed(self) -> None:
        """What is heard from now on, and the phrases it is compared with, are in the new language."""
        self.machine.turn = self.conversation.turn_settings
        self.inbox.force(LanguageSet(self.conversation.language))
        self.listening.follow_language()

    def bridge(self, restored: Restored) -> Plan:
        """What the call goes on with after an earlier incarnation: a question that it had put, before all else."""
        plan = bridge(restored, self.conversation.language, self.collected)
        return self.consents.resume(restored.question, plan, granted=restored.granted)

    def silent(self) -> bool:
        """Neither side speaks or is about to, and the caller is there and neither is muted."""
        waits = len(self.speeches) or len(self.turns) or self.handover.under_way or self.conversation.muting
        return self.attendance.there and self.reply is None and not waits and not self.machine.user_speaking

    def at_boundary(self) -> bool:
        """Nobody has the turn or is about to have it by what was said."""
        having = self.reply is not None or self.machine.caller_has_turn or len(self.turns)
        return self.attendance.met and not having

    # Another agent.

    def _become(self, equipment: Equipment) -> None:
        """All parts of the session are this agent's from now on. At a turn's boundary only."""
        self.collected.abandon("handed_over")
        self.consents.withdraw("handed_over")
        self.conversation.become(equipment)
        self.sides.follow_agent()
        self.early.follow_agent()
        self.speeches.follow_agent()
        self._follow_definition()
        self.edits.follow_agent()

    def _follow_edit(self, equipment: Equipment) -> None:
        """The same for another revision of the agent that has the call."""
        self.conversation.become(equipment, edited=True)
        self.sides.follow_agent()
        self.early.follow_agent("edit")
        self.speeches.forget_early("edit")
        self.handover.follow_edit()
        self._follow_definition()

    def _follow_definition(self) -> None:
        for part in (self.hooks, self.turn_hooks, self.rpc, self.time):
            part.follow_agent()
        self.machine.streaming = self.conversation.providers.stt[0].provider.capabilities.streaming
        self.machine.turn = self.conversation.turn_settings
        self.inbox.force(LanguageSet(self.conversation.language))
        self.listening.follow_agent()
